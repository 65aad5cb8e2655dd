//! The Helm chart and the kustomize base: the same resources as `render` prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use latchkey_testing::{Scratch, repository};

use super::process::built;
use super::site::{commented_specs, latchkey};

const IMAGES: [&str; 3] =
    ["registry.example.com/latchkey:1", "oci://r/l:1", "https://example.com/l.wasm"];

const WORKLOADS: [&str; 4] =
    ["ingress:istio=front,a.b/c=d", "sidecar:app=orders,on=1,y=null", "gateway/web", "waypoint/w"];

const ATTACHMENTS: [&str; 3] = ["gateway/eg", "gateway/eg/http", "route/orders"];

/// Each kind of target with an image: `--to … --target … --wasm …`.
fn targets() -> impl Iterator<Item = String> {
    let workloads = WORKLOADS.iter().map(|target| ("istio", target));
    let attachments = ATTACHMENTS.iter().map(|target| ("envoy-gateway", target));
    let targets = workloads.chain(attachments).zip(IMAGES.iter().cycle());
    targets.map(|((mesh, target), image)| format!("--to {mesh} --target {target} --wasm {image}"))
}

/// The resources of a stream, by kind and name.
fn resources(text: &str) -> BTreeMap<String, Value> {
    let documents = text.split("---\n").filter(|document| document.contains("apiVersion"));
    let parsed = documents.map(|document| yaml_serde::from_str::<Value>(document).unwrap());
    let named = |resource: Value| {
        (format!("{} {}", resource["kind"], resource["metadata"]["name"]), resource)
    };
    parsed.map(named).collect()
}

/// What a program prints, or what it has against its arguments.
fn output(command: &mut Command) -> Result<String, String> {
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if ran.status.success() { Ok(text(ran.stdout)) } else { Err(text(ran.stderr)) }
}

fn helm(scratch: &Scratch, arguments: &[String]) -> Result<String, String> {
    output(
        Command::new(built("helm"))
            .args(["template", "orders"])
            .arg(repository("deploy/helm/latchkey"))
            .args(["--namespace", "shop", "--set-file", "policy=policy.json"])
            .args(arguments)
            .current_dir(scratch.path()),
    )
}

/// The chart's values that say what options of `render` do.
fn values(options: &str) -> Vec<String> {
    let words: Vec<&str> = options.split_whitespace().collect();
    let value = |pair: &[&str]| {
        let name = match pair[0] {
            "--to" => "mesh",
            "--wasm" => "image",
            "--mesh-version" => "meshVersion",
            "--session-header" => "sessions.header",
            "--issuer" | "--jwks" | "--audience" => &pair[0].replace("--", "sessions."),
            option => option.trim_start_matches("--"),
        };
        let is_file = pair[0] == "--jwks" && !pair[1].contains("://");
        let how = if is_file { "--set-file" } else { "--set-string" };
        [how.to_owned(), format!("{name}={}", pair[1].replace(',', "\\,"))]
    };
    words.chunks(2).flat_map(value).collect()
}

#[test]
#[ignore = "make mesh-test"]
fn the_chart_is_what_render_prints() {
    let scratch = Scratch::new();
    let flowyte = fs::read_to_string(repository("envoy/systems/flowyte.yaml")).unwrap();
    scratch.write("sessions.yaml", &flowyte);
    scratch.write("payload.yaml", &flowyte.replace("payload: session", "payload: payload"));
    fs::copy(repository("envoy/systems/flokit.yaml"), scratch.file("keys.yaml")).unwrap();
    fs::copy(repository("envoy/systems/flotiq.yaml"), scratch.file("holds.yaml")).unwrap();
    fs::copy(repository("envoy/systems/flowyte.jwks.json"), scratch.file("jwks.json")).unwrap();
    let digest = "0".repeat(64);
    let file =
        "--issuer https://auth.example.com --jwks jwks.json --audience https://a.example.com";
    let fetched = "--issuer https://auth.example.com --jwks https://auth.example.com:8443/keys";
    let plain = "--issuer https://auth.example.com --jwks http://auth.example.com/keys";
    let mut cases = Vec::new();
    for target in targets() {
        cases.push(("keys.yaml", format!("{target} --sha256 {digest}")));
        for sessions in [file, fetched, plain] {
            cases.push(("sessions.yaml", format!("{target} {sessions}")));
        }
        cases.push(("payload.yaml", format!("{target} {file} --session-header X-Session")));
        cases.push(("payload.yaml", format!("{target} {fetched} --session-header X-Session")));
    }
    for target in &WORKLOADS[..3] {
        for version in ["1.23", "1.24.2", "v1.26", "1.27-rc.1", "1.31"] {
            let options =
                format!("--to istio --target {target} --wasm r/l:1 --mesh-version {version}");
            cases.push(("keys.yaml", options));
        }
    }
    let listener = "--to envoy-gateway --target gateway/eg/http --wasm r/l:1";
    for options in ["--guard patch --port 443", "--mesh-version 1.8 --port 80", "--guard rule"] {
        cases.push(("keys.yaml", format!("{listener} {options}")));
    }
    for target in ATTACHMENTS {
        let module = "--module /opt/libLatchkey_Own+0.1.0.so";
        cases.push(("holds.yaml", format!("--to envoy-gateway --target {target} {module}")));
        let older = format!("{module} --mesh-version 1.8 --port 80");
        if target.ends_with("/http") {
            cases.push(("keys.yaml", format!("--to envoy-gateway --target {target} {older}")));
        }
    }
    cases.push(("sessions.yaml", format!("{listener} --guard patch --port 443 {file}")));
    cases.push(("sessions.yaml", format!("{listener} --guard rule {file}")));
    for (policy, options) in &cases {
        let rendered = latchkey(
            &scratch,
            &format!("render {policy} {options} --namespace shop --name orders"),
        );
        let json = latchkey(&scratch, &format!("render {policy} --to json"));
        scratch.write("policy.json", &json);
        let text =
            helm(&scratch, &values(options)).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(resources(&text), resources(&rendered), "{options}");
        assert_eq!(commented_specs(&text), commented_specs(&rendered), "{options}");
    }
    println!("the chart is what render prints, {} times", cases.len());
}

#[test]
#[ignore = "make mesh-test"]
fn the_chart_says_what_it_lacks() {
    let scratch = Scratch::new();
    let system = |name: &str| {
        let policy = repository(&format!("envoy/systems/{name}.yaml"));
        latchkey(&scratch, &format!("render {} --to json", policy.display()))
    };
    let (keys, sessions, holds) = (system("flokit"), system("flowyte"), system("flotiq"));
    let istio = "--to istio --target gateway/web --wasm r/l:1";
    let native = "--to envoy-gateway --target gateway/eg";
    let gateway = &format!("{native} --wasm r/l:1");
    for (policy, options, expected) in [
        (&keys, "--target gateway/a", "mesh is istio or envoy-gateway"),
        (&keys, "--to istio --wasm r/l:1", "target is ingress:"),
        (&keys, "--to envoy-gateway --wasm r/l:1", "target is gateway/NAME"),
        (&keys, "--to istio --target gateway/web", "image is needed"),
        (&keys, "--to istio --target gateway/Web --wasm r/l:1", "target names \"Web\""),
        (&keys, "--to istio --target sidecar:app --wasm r/l:1", "is LABEL=VALUE"),
        (&keys, "--to istio --target sidecar:app= --wasm r/l:1", "is LABEL=VALUE"),
        (&keys, "--to istio --target sidecar:-a=b --wasm r/l:1", "is LABEL=VALUE"),
        (&keys, "--to istio --target sidecar:A.b/c=d --wasm r/l:1", "is LABEL=VALUE"),
        (
            &keys,
            "--to istio --target sidecar:a=b,c=d,a=e --wasm r/l:1",
            "target names the label \"a\" twice",
        ),
        (
            &keys,
            "--to envoy-gateway --target gateway/eg/Http --wasm r/l:1",
            "target names \"Http\"",
        ),
        (
            &keys,
            "--to istio --target waypoint/w --wasm r/l:1 --mesh-version 1.23",
            "from Istio 1.24 on",
        ),
        (&keys, &format!("{istio} --guard rule"), "for envoy-gateway"),
        (&keys, &format!("{istio} --mesh-version new"), "not a version"),
        (&keys, &format!("{istio} --issuer https://a"), "and this has none"),
        (&keys, &format!("{gateway} --guard patch --port 80"), "gateway/NAME/LISTENER"),
        (&keys, &format!("{gateway} --guard none"), "guard is policy, patch or rule"),
        (&keys, &format!("{gateway} --guard rule --mesh-version 1.8"), "before Envoy Gateway 1.9"),
        (&keys, &format!("{gateway} --port 80"), "port is for guard patch"),
        (&sessions, istio, "sessions.issuer and sessions.jwks"),
        (
            &sessions,
            &format!("{istio} --issuer https://a --jwks https://a/k --session-header x"),
            "under payload only",
        ),
        (&holds, istio, "graphql.hold headers"),
        (&keys, &format!("{istio} --module /opt/liblatchkey-0.1.0.so"), "for envoy-gateway"),
        (&keys, &format!("{gateway} --module /opt/liblatchkey-0.1.0.so"), "in place of image"),
        (&keys, &format!("{native} --module opt/liblatchkey-0.1.0.so"), "must be absolute"),
        (&keys, &format!("{native} --module /"), "names no file"),
        (&keys, &format!("{native} --module /l.so --mesh-version 1.7"), "from 1.8 on"),
        (
            &sessions,
            &format!("{native} --module /l.so --issuer https://a --jwks https://a/k"),
            "takes no sessions",
        ),
    ] {
        scratch.write("policy.json", policy);
        let error = helm(&scratch, &values(options)).unwrap_err();
        assert!(error.contains(expected), "{options}: {error}");
    }
}

/// The resource that an overlay of the kustomize base has, with the target and the image of `render`'s options.
fn plugin(target: &str, image: &str) -> Value {
    let resource = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "latchkey"}, "spec": spec});
    let reference = |kind: &str, name: &str| json!({"group": "gateway.networking.k8s.io", "kind": kind, "name": name});
    let istio = |(field, value): (&str, Value)| {
        let url = if image.contains("://") { image.to_owned() } else { format!("oci://{image}") };
        resource("extensions.istio.io/v1alpha1", "WasmPlugin", json!({field: value, "url": url}))
    };
    let envoy_gateway = |reference: Value| {
        let code = match image.strip_prefix("https://") {
            Some(_) => json!({"type": "HTTP", "http": {"url": image}}),
            None => json!({"type": "Image", "image": {"url": image.trim_start_matches("oci://")}}),
        };
        let spec = json!({"targetRefs": [reference], "wasm": [{"name": "latchkey", "code": code}]});
        resource("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", spec)
    };
    if let Some((_, labels)) = target.split_once(':') {
        let labels = labels.split(',').map(|label| label.split_once('=').unwrap());
        return istio(("selector", json!({"matchLabels": labels.collect::<BTreeMap<_, _>>()})));
    }
    match target.split('/').collect::<Vec<_>>()[..] {
        ["route", name] => envoy_gateway(reference("HTTPRoute", name)),
        ["gateway", "eg"] => envoy_gateway(reference("Gateway", "eg")),
        ["gateway", name, listener] => {
            let mut reference = reference("Gateway", name);
            reference["sectionName"] = json!(listener);
            envoy_gateway(reference)
        }
        [_, name] => istio(("targetRefs", json!([reference("Gateway", name)]))),
        _ => panic!("{target}"),
    }
}

/// The first or second overlay in docs/mesh/kustomize.md.
fn overlay(index: usize) -> String {
    let text = fs::read_to_string(repository("docs/mesh/kustomize.md")).unwrap();
    text.split("```yaml\n").nth(1 + index).unwrap().split("```").next().unwrap().to_owned()
}

/// Builds an overlay as docs/mesh/kustomize.md has it, beside a copy of the base.
fn kustomize(scratch: &Scratch, base: &str, plugin: &Value) -> Result<String, String> {
    let text = fs::read_to_string(repository("docs/mesh/kustomize.md")).unwrap();
    let patch = text.split("jq '").nth(1).unwrap().split('\'').next().unwrap();
    let (kind, path) = match base {
        "envoy-gateway" => ("EnvoyExtensionPolicy", "/spec/wasm/0/config"),
        _ => ("WasmPlugin", "/spec/pluginConfig"),
    };
    let overlay = overlay(0).replace("WasmPlugin", kind).replace("istio/sidecar", base);
    scratch.write("overlay/kustomization.yaml", &overlay);
    scratch.write("overlay/plugin.yaml", &plugin.to_string());
    let filter = patch.replace("/spec/pluginConfig", path);
    let made = output(Command::new("jq").arg(&filter).arg(scratch.file("policy.json"))).unwrap();
    scratch.write("overlay/policy.json", &made);
    output(Command::new(built("kustomize")).arg("build").arg(scratch.file("overlay")))
}

/// Puts the base where the overlay looks for it.
fn copy(from: &Path, scratch: &Scratch, to: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{to}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            copy(&path, scratch, &name);
        } else {
            scratch.write(&name, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
#[ignore = "make mesh-test"]
fn the_kustomize_base_is_what_render_prints() {
    let scratch = Scratch::new();
    copy(&repository("deploy/kustomize"), &scratch, "deploy/kustomize");
    let policy = repository("envoy/systems/flokit.yaml").display().to_string();
    scratch.write("policy.json", &latchkey(&scratch, &format!("render {policy} --to json")));
    for options in targets() {
        let rendered = latchkey(&scratch, &format!("render {policy} {options} --namespace shop"));
        let words: Vec<&str> = options.split(' ').collect();
        let [_, mesh, _, target, _, image] = words[..] else { panic!("{options}") };
        let base = match target.split_once([':', '/']) {
            Some((kind, _)) if mesh == "istio" => format!("istio/{kind}"),
            _ => mesh.to_owned(),
        };
        let text = kustomize(&scratch, &base, &plugin(target, image))
            .unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(resources(&text), resources(&rendered), "{options}");
        // Without a target there is nothing to apply.
        let mut lost = plugin(target, image);
        for field in ["selector", "targetRefs"] {
            lost["spec"].as_object_mut().unwrap().remove(field);
        }
        let error = kustomize(&scratch, &base, &lost).unwrap_err();
        assert!(error.contains("is missing for replacement source"), "{options}: {error}");
    }
}

/// Of what the base does not have: sessions, older meshes, native modules.
#[test]
#[ignore = "make mesh-test"]
fn what_render_prints_is_a_resource_of_kustomize() {
    let scratch = Scratch::new();
    let systems = repository("envoy/systems");
    let systems = systems.display();
    let sessions = format!(
        "{systems}/flowyte.yaml --issuer https://auth.example.com --jwks {systems}/flowyte.jwks.json"
    );
    let keys = format!("{systems}/flokit.yaml");
    let module = "--module /opt/liblatchkey-0.1.0.so";
    let mut cases = vec![
        format!("{keys} --to envoy-gateway --target gateway/eg {module}"),
        format!(
            "{keys} --to envoy-gateway --target gateway/eg/http {module} --guard patch --port 80"
        ),
        format!("{keys} --to istio --target gateway/web --wasm r/l:1 --mesh-version 1.23"),
        format!("{keys} --to istio --target sidecar:app=a --wasm r/l:1 --mesh-version 1.26"),
    ];
    cases.extend(targets().map(|target| format!("{sessions} {target}")));
    for options in &cases {
        let rendered = latchkey(&scratch, &format!("render {options} --namespace shop"));
        scratch.write("own/kustomization.yaml", &overlay(1));
        scratch.write("own/latchkey.yaml", &rendered);
        let build = || {
            let folder = scratch.file("own");
            output(Command::new(built("kustomize")).arg("build").arg(folder)).unwrap()
        };
        assert_eq!(resources(&build()), resources(&rendered), "{options}");
        // Another namespace is kustomize's doing.
        scratch.write("own/kustomization.yaml", &overlay(1).replace("shop", "other"));
        assert_ne!(resources(&build()), resources(&rendered), "{options}");
    }
}
