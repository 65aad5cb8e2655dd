//! `latchkey render`.

use std::process::Command;

use serde_json::{Value, json};

use super::{BROKEN, Directory, HASH, PEPPERED, TestCommand, directory, repository, systems, wasm};

#[test]
fn render_prints_json_for_the_plugin() {
    TestCommand::new(&directory(), "render policy.yaml --keys keys.yaml --to json").prints(
        0,
        &format!(
            "{{\"realm\":\"demo\",\
             \"credentials\":[{{\"header\":\"authorization\",\"scheme\":\"Bearer\"}}],\
             \"keys\":[{{\"id\":\"a\",\"hash\":\"{HASH}\",\"scopes\":[\"read\"]}}]}}\n"
        ),
        "",
    );
}

#[test]
fn render_prints_the_file_that_envoy_watches() {
    let command = "render policy.yaml --keys keys.yaml --to ecds --wasm /etc/envoy/latchkey.wasm";
    TestCommand::new(&directory(), command).prints(
        0,
        &ecds(HASH, "read", "", "4dcf86f670f9febb"),
        "",
    );
}

#[test]
fn render_hands_the_pepper_over_where_it_is_needed() {
    let directory = directory();
    directory
        .write("keys.yaml", &format!("keys:\n- {{id: a, hash: '{PEPPERED}', scopes: [read]}}\n"));
    let environment =
        "        environment_variables:\n          host_env_keys: [LATCHKEY_PEPPER]\n";
    let command = "render policy.yaml --keys keys.yaml --to ecds --wasm /etc/envoy/latchkey.wasm";
    TestCommand::new(&directory, command).with("LATCHKEY_PEPPER", "pepper").prints(
        0,
        &ecds(PEPPERED, "read", environment, "c3608dd0ec410451"),
        "",
    );
}

/// The version is the beginning of the SHA-256 of what stands before it.
fn ecds(hash: &str, scope: &str, environment: &str, version: &str) -> String {
    format!(
        r#"resources:
- "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: latchkey
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: latchkey
      failure_policy: FAIL_RELOAD
      allow_on_headers_stop_iteration: true
      vm_config:
        vm_id: latchkey
        runtime: envoy.wasm.runtime.v8
        code:
          local:
            filename: "/etc/envoy/latchkey.wasm"
{environment}      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: |
          {{
            "realm": "demo",
            "credentials": [
              {{"header":"authorization","scheme":"Bearer"}}
            ],
            "keys": [
              {{"id":"a","hash":"{hash}","scopes":["{scope}"]}}
            ]
          }}
version_info: "{version}"
"#
    )
}

#[test]
fn what_yaml_forbids_or_breaks_lines_at_survives_rendering() {
    let directory = directory();
    let odd = "\u{7f} \u{85} \u{2028} \u{feff} é \u{1f511} \\n \\\" \\u0000 # : - '";
    directory.write(
        "policy.json",
        &format!(
            r#"{{"credentials": [{{"header": "x-key"}}], "keys": [{{"id": "a", "hash": "{HASH}", "name": "{odd}"}}]}}"#
        ),
    );
    let json = TestCommand::new(&directory, "render policy.json --to json").output();
    let yaml =
        TestCommand::new(&directory, "render policy.json --to ecds --wasm x:#.wasm").output();
    let rendered: serde_json::Value = yaml_serde::from_str(&yaml).unwrap();
    let config = &rendered["resources"][0]["typed_config"]["config"];
    assert_eq!(config["vm_config"]["code"]["local"]["filename"], "x:#.wasm");
    let value = config["configuration"]["value"].as_str().unwrap();
    let [before, after] =
        [&json, value].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
    assert_eq!(before, after);
}

#[test]
fn render_refuses_a_policy_with_errors() {
    TestCommand::new(&directory(), "render broken.yaml --to json").prints(3, "", BROKEN);
}

#[test]
fn what_is_for_people_is_left_out() {
    let directory = directory();
    directory.write(
        "keys.yaml",
        &format!(
            "keys:\n- {{id: a, name: A, hash: '{HASH}', created: 2026-01-01T00:00:00Z, \
             hint: a...b, scopes: [read]}}\n"
        ),
    );
    let command = "render policy.yaml --keys keys.yaml --to json";
    let json = TestCommand::new(&directory, command).output();
    assert!(json.contains(&format!("{{\"id\":\"a\",\"hash\":\"{HASH}\",\"scopes\":[\"read\"]}}")));
}

/// Envoy's word on a bootstrap.
fn envoy_accepts(directory: &Directory, bootstrap: &str) {
    let envoy = repository(".tools/envoy");
    assert!(envoy.is_file(), "no Envoy at `.tools/envoy`: run `make tools`");
    let ran = Command::new(envoy)
        .args(["--mode", "validate", "--disable-hot-restart", "-c", bootstrap])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn envoy_accepts_every_system_as_a_bootstrap() {
    for policy in systems() {
        let directory = directory();
        let policy = policy.display().to_string();
        let is_with_sessions = policy.contains("flowyte");
        let sessions = if is_with_sessions { SESSIONS } else { "" };
        let command = format!("render {policy} --to envoy --wasm {}{sessions}", wasm());
        let command = command
            .replace("JWKS", &repository("envoy/systems/flowyte.jwks.json").display().to_string());
        let bootstrap = TestCommand::new(&directory, &command).output();
        let parsed: Value = yaml_serde::from_str(&bootstrap).unwrap();
        let mut filters = filters(&parsed);
        if is_with_sessions {
            assert_eq!(filters.remove(0), "envoy.filters.http.jwt_authn");
        }
        assert_eq!(filters[..2], ["latchkey", "guard"], "{policy}");
        assert!(!bootstrap.contains("config_discovery"), "{policy}");
        directory.write("envoy.yaml", &bootstrap);
        envoy_accepts(&directory, "envoy.yaml");
    }
}

#[test]
fn envoy_accepts_every_system_with_the_native_module() {
    for policy in systems() {
        let directory = directory();
        let policy = policy.display().to_string();
        let is_with_sessions = policy.contains("flowyte");
        let sessions = if is_with_sessions { SESSIONS } else { "" };
        let command = format!(
            "render {policy} --to envoy --module {}{sessions}",
            latchkey_testing::module().display()
        );
        let command = command
            .replace("JWKS", &repository("envoy/systems/flowyte.jwks.json").display().to_string());
        let bootstrap = TestCommand::new(&directory, &command).output();
        let parsed: Value = yaml_serde::from_str(&bootstrap).unwrap();
        let mut filters = filters(&parsed);
        if is_with_sessions {
            // What verifies sessions, then what hands them over.
            let before: Vec<String> = filters.drain(..2).collect();
            assert_eq!(before, ["envoy.filters.http.jwt_authn", "latchkey-session"]);
        }
        assert_eq!(filters[..2], ["latchkey", "guard"], "{policy}");
        directory.write("envoy.yaml", &bootstrap);
        envoy_accepts(&directory, "envoy.yaml");
    }
}

#[test]
fn the_native_module_is_rendered_by_its_path() {
    let directory = directory();
    let keys = format!("keys:\n- {{id: a, hash: '{HASH}', scopes: [read]}}\n");
    directory.write("keys.yaml", &keys);
    let render = |arguments: &str| {
        TestCommand::new(&directory, &format!("render policy.yaml --keys keys.yaml {arguments}"))
    };
    let path = "/etc/latchkey/liblatchkey-0.1.0.so";
    let ecds = render(&format!("--to ecds --module {path}")).output();
    let ecds: Value = yaml_serde::from_str(&ecds).unwrap();
    let filter = &ecds["resources"][0]["typed_config"];
    let kind = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
    assert_eq!(filter["@type"], format!("type.googleapis.com/{kind}"));
    let module = &filter["dynamic_module_config"]["module"];
    assert_eq!(*module, json!({"local": {"filename": path}}));
    assert_eq!(filter["filter_name"], "latchkey");
    let policy = filter["filter_config"]["value"].as_str().unwrap();
    let json = render("--to json").output();
    assert_eq!(
        serde_json::from_str::<Value>(policy).unwrap(),
        serde_json::from_str::<Value>(&json).unwrap()
    );

    let gateway = format!("--to envoy-gateway --target gateway/eg --module {path}");
    let text = render(&gateway).output();
    assert!(text.contains("#   - name: \"latchkey-0.1.0\"\n"), "{text}");
    let source = format!("#     source: {{type: Local, local: {{path: \"{path}\"}}}}\n");
    assert!(text.contains(&source), "{text}");
    let documents = documents(&text);
    let module = &documents[0]["spec"]["dynamicModule"][0];
    assert_eq!(module["name"], "latchkey-0.1.0");
    assert_eq!(module["filterName"], "latchkey");
    assert_eq!(module["config"]["keys"][0]["id"], "a");
    assert_eq!(documents[1]["kind"], "SecurityPolicy");

    for (arguments, message) in [
        (
            "--to ecds --module https://x/y-1.so".to_owned(),
            "Envoy opens the filter as a file: `--module` must be a path, not `https://x/y-1.so`",
        ),
        (
            "--to istio --target gateway/a --module /x-1.so".to_owned(),
            "`--module` is for `--to envoy`, `--to ecds` and `--to envoy-gateway`, not for `--to istio`",
        ),
        (
            "--to envoy-gateway --target gateway/a --module x-1.so".to_owned(),
            "`--module` is a path in the proxy's container: it must be absolute, not `x-1.so`",
        ),
        (
            format!("{gateway} --mesh-version 1.7 --guard patch"),
            "Envoy Gateway has native modules from 1.8 on, not in 1.7: write `--wasm`",
        ),
    ] {
        render(&arguments).prints_error(2, &format!("error: {message}\n"));
    }
    let unversioned = render("--to ecds --module /x/latchkey.so").complaint(0);
    assert!(unversioned.contains("the name of `/x/latchkey.so` has no version"), "{unversioned}");
}

#[test]
fn envoy_accepts_what_it_watches() {
    let directory = directory();
    let command = format!("push policy.yaml --keys keys.yaml --ecds ecds.yaml --wasm {}", wasm());
    TestCommand::new(&directory, &command).output();
    let bootstrap = std::fs::read_to_string(repository("envoy/envoy.yaml")).unwrap();
    let folder = directory.path().display().to_string();
    directory.write("envoy.yaml", &bootstrap.replace("/etc/latchkey", &folder));
    envoy_accepts(&directory, "envoy.yaml");
}

/// The names of a bootstrap's HTTP filters.
fn filters(bootstrap: &Value) -> Vec<String> {
    let filters =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = bootstrap.pointer(filters).unwrap().as_array().unwrap();
    filters.iter().map(|filter| filter["name"].as_str().unwrap().to_owned()).collect()
}

fn documents(yaml: &str) -> Vec<Value> {
    yaml.split("---\n").map(|document| yaml_serde::from_str(document).unwrap()).collect()
}

fn policy() -> Value {
    json!({
        "realm": "demo",
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": "a", "hash": PEPPERED, "scopes": ["read"]}],
    })
}

/// The guard as it stands in the shipped bootstrap.
fn guard() -> Value {
    let bootstrap = std::fs::read_to_string(repository("envoy/envoy.yaml")).unwrap();
    let bootstrap: Value = yaml_serde::from_str(&bootstrap).unwrap();
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let filters = bootstrap.pointer(filters).unwrap()["http_filters"].as_array().unwrap();
    let guard = filters.iter().find(|filter| filter["name"] == "guard").unwrap();
    json!({"name": "latchkey-guard", "typed_config": guard["typed_config"]})
}

fn render(arguments: &str) -> TestCommand {
    let directory = directory();
    let command = format!("render policy.yaml --keys peppered.yaml {arguments}");
    let command = TestCommand::new(&directory, &command).with("LATCHKEY_PEPPER", "pepper");
    command.keeping(directory)
}

/// A pinned image.
const IMAGE: &str =
    "example.com/latchkey@sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What `--to envoy`, `istio` and `envoy-gateway` are told of flowyte's sessions.
const SESSIONS: &str =
    " --issuer https://auth.flowyte.example --audience https://api.flowyte.example --jwks JWKS";

/// The resources for a target, rendered of an image with the digest.
fn rendered(arguments: &str) -> Vec<Value> {
    let digest = "0".repeat(64);
    let image = format!("--wasm oci://example.com/latchkey:1 --sha256 {digest}");
    documents(&render(&format!("{arguments} {image}")).output())
}

#[test]
fn istio_gets_a_plugin_and_the_guard() {
    let [plugin, filter] =
        rendered("--to istio --target ingress:istio=front,a.b/c=d_e").try_into().unwrap();
    assert_eq!(
        plugin,
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": "latchkey", "namespace": "istio-system"},
            "spec": {
                "selector": {"matchLabels": {"istio": "front", "a.b/c": "d_e"}},
                "url": "oci://example.com/latchkey:1",
                "sha256": "0".repeat(64),
                "phase": "AUTHN",
                "failStrategy": "FAIL_RELOAD",
                "pluginName": "latchkey",
                "vmConfig": {"env": [{"name": "LATCHKEY_PEPPER", "valueFrom": "HOST"}]},
                "pluginConfig": policy(),
            },
        })
    );
    assert_eq!(filter["kind"], "EnvoyFilter");
    assert_eq!(filter["metadata"]["name"], "latchkey-guard");
    let labels = json!({"labels": {"istio": "front", "a.b/c": "d_e"}});
    assert_eq!(filter["spec"]["workloadSelector"], labels);
    let patch = &filter["spec"]["configPatches"][0];
    assert_eq!(patch["patch"], json!({"operation": "INSERT_BEFORE", "value": guard()}));
    assert_eq!(patch["match"], guard_match("GATEWAY", None));
}

/// Where the guard stands in Istio's proxies.
fn guard_match(context: &str, listener: Option<&str>) -> Value {
    let manager = "envoy.filters.network.http_connection_manager";
    let router = json!({"name": "envoy.filters.http.router"});
    let mut place = json!({"filterChain": {"filter": {"name": manager, "subFilter": router}}});
    if let Some(listener) = listener {
        place["name"] = json!(listener);
    }
    json!({"context": context, "listener": place})
}

#[test]
fn each_target_of_istio_is_named_on_plugin_and_guard() {
    let of_gateway =
        json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}]);
    for (target, context, listener) in [
        ("gateway/web", "GATEWAY", None),
        ("waypoint/web", "SIDECAR_INBOUND", Some("main_internal")),
    ] {
        let [plugin, filter] =
            rendered(&format!("--to istio --target {target} --name orders --namespace shop"))
                .try_into()
                .unwrap();
        for (resource, name) in [(&plugin, "orders"), (&filter, "orders-guard")] {
            assert_eq!(
                resource["metadata"],
                json!({"name": name, "namespace": "shop"}),
                "{target}"
            );
            assert_eq!(resource["spec"]["targetRefs"], of_gateway, "{target}");
        }
        let place = &filter["spec"]["configPatches"][0]["match"];
        assert_eq!(*place, guard_match(context, listener), "{target}");
        assert!(plugin["spec"].get("match").is_none(), "{target}");
    }
    let [plugin, filter] = rendered("--to istio --target sidecar:app=orders").try_into().unwrap();
    assert_eq!(plugin["metadata"]["namespace"], "default");
    assert_eq!(plugin["spec"]["selector"], json!({"matchLabels": {"app": "orders"}}));
    assert_eq!(plugin["spec"]["match"], json!([{"mode": "SERVER"}]));
    assert_eq!(filter["spec"]["workloadSelector"], json!({"labels": {"app": "orders"}}));
    let place = &filter["spec"]["configPatches"][0]["match"];
    assert_eq!(*place, guard_match("SIDECAR_INBOUND", None));
}

#[test]
fn an_older_istio_gets_what_it_knows() {
    let of = |target: &str, version: &str| -> [Value; 2] {
        let command = format!("--to istio --target {target} --mesh-version {version}");
        rendered(&command).try_into().unwrap()
    };
    for (version, strategy) in [
        ("1.26.4", "FAIL_CLOSE"),
        ("1.27", "FAIL_RELOAD"),
        ("v1.27.0-rc.1", "FAIL_RELOAD"),
        ("2.0", "FAIL_RELOAD"),
    ] {
        let [plugin, _] = of("sidecar:app=a", version);
        assert_eq!(plugin["spec"]["failStrategy"], strategy, "{version}");
    }
    let [plugin, filter] = of("gateway/web", "1.24");
    assert!(
        plugin["spec"].get("targetRefs").is_some() && filter["spec"].get("targetRefs").is_some()
    );
    let [plugin, filter] = of("gateway/web", "1.23");
    let labels = json!({"gateway.networking.k8s.io/gateway-name": "web"});
    assert_eq!(plugin["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(filter["spec"]["workloadSelector"]["labels"], labels);
    render(&format!("--to istio --target waypoint/web --mesh-version 1.23 --wasm {IMAGE}"))
        .prints_error(2, "error: a waypoint takes the guard from Istio 1.24 on, not in 1.23\n");
}

#[test]
fn envoy_gateway_gets_an_extension_and_the_guard() {
    let reference = |kind: &str, name: &str| json!({"group": "gateway.networking.k8s.io", "kind": kind, "name": name});
    let mut of_listener = reference("Gateway", "eg");
    of_listener["sectionName"] = json!("https");
    for (target, reference) in [
        ("gateway/eg", reference("Gateway", "eg")),
        ("gateway/eg/https", of_listener),
        ("route/orders", reference("HTTPRoute", "orders")),
    ] {
        for (url, code) in [
            (format!("oci://{IMAGE}").as_str(), json!({"type": "Image", "image": {"url": IMAGE}})),
            (IMAGE, json!({"type": "Image", "image": {"url": IMAGE}})),
            (
                "https://example.com/latchkey.wasm",
                json!({"type": "HTTP", "http": {"url": "https://example.com/latchkey.wasm"}}),
            ),
        ] {
            let command =
                format!("--to envoy-gateway --wasm {url} --namespace web --target {target}");
            let [extension, security] = documents(&render(&command).output()).try_into().unwrap();
            assert_eq!(
                extension,
                json!({
                    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
                    "kind": "EnvoyExtensionPolicy",
                    "metadata": {"name": "latchkey", "namespace": "web"},
                    "spec": {
                        "targetRefs": [reference],
                        "wasm": [{
                            "name": "latchkey",
                            "failOpen": false,
                            "code": code,
                            "env": {"hostKeys": ["LATCHKEY_PEPPER"]},
                            "config": policy(),
                        }],
                    },
                })
            );
            assert_eq!(
                security,
                json!({
                    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
                    "kind": "SecurityPolicy",
                    "metadata": {"name": "latchkey-guard", "namespace": "web"},
                    "spec": {"targetRefs": [reference], "authorization": expression()},
                })
            );
        }
    }
}

fn expression() -> Value {
    json!({
        "defaultAction": "Deny",
        "rules": [{
            "name": "latchkey-allowed",
            "action": "Allow",
            "cel": "filter_state['wasm.latchkey'] >= b'allow ' && filter_state['wasm.latchkey'] < b'allow!'",
        }],
    })
}

#[test]
fn the_guard_of_envoy_gateway_can_be_a_patch_or_a_rule() {
    for older in ["--guard patch", "--mesh-version 1.8"] {
        let command = format!("--to envoy-gateway --target gateway/eg/web --port 8080 {older}");
        let [_, patch] = rendered(&command).try_into().unwrap();
        assert_eq!(patch["kind"], "EnvoyPatchPolicy");
        let patches = patch["spec"]["jsonPatches"].as_array().unwrap();
        let names: Vec<&Value> = patches.iter().step_by(2).map(|patch| &patch["name"]).collect();
        assert_eq!(names, ["default/eg/web", "default/eg/web-quic", "tcp-8080", "udp-8080"]);
        for patch in patches.iter().step_by(2) {
            assert_eq!(patch["operation"]["value"], guard());
        }
        for patch in patches.iter().skip(1).step_by(2) {
            assert_eq!(patch["operation"]["value"], "FAIL_RELOAD");
        }
    }
    let image = format!("--wasm {IMAGE}");
    let text =
        render(&format!("--to envoy-gateway --target route/a --guard rule {image}")).output();
    let (resource, rule) = text.split_once("# spec:\n").unwrap();
    assert_eq!(documents(resource).len(), 1);
    let rule = rule.replace("# ", "");
    assert_eq!(yaml_serde::from_str::<Value>(&rule).unwrap()["authorization"], expression());
    for (arguments, message) in [
        (
            "--guard patch --target gateway/eg --port 80",
            "`--guard patch` needs the listener: `--target gateway/NAME/LISTENER`",
        ),
        (
            "--guard patch --target gateway/eg/a",
            "`--guard patch` needs `--port`, the listener's, by which newer versions name it",
        ),
        ("--target gateway/eg/a --port 80", "`--port` is for `--guard patch`"),
        (
            "--mesh-version 1.8 --guard policy --target gateway/eg",
            "a rule of a SecurityPolicy is an expression from Envoy Gateway 1.9 on, not in 1.8: `--guard patch`",
        ),
        (
            "--mesh-version 1.8 --target route/a",
            "`--guard patch` stands in a whole listener and would refuse what belongs to other routes: protect a Gateway's listener, or use Envoy Gateway 1.9",
        ),
    ] {
        let error = render(&format!("--to envoy-gateway {arguments} {image}")).complaint(2);
        assert_eq!(error.lines().next(), Some(&*format!("error: {message}")));
    }
}

#[test]
fn what_is_protected_has_to_be_said() {
    let workloads = "  a gateway of Istio's own, by labels:  --target ingress:istio=ingressgateway
  a Gateway of the Gateway API:         --target gateway/web
  pods with a sidecar, by labels:       --target sidecar:app=orders,version=v1
  a waypoint of ambient mode:           --target waypoint/orders
";
    let attachments = "  a Gateway:              --target gateway/eg
  one of its listeners:   --target gateway/eg/https
  an HTTPRoute:           --target route/orders
  each of several Gateways that are merged, in place of class/NAME:  --target gateway/eg
";
    for (to, list) in [("istio", workloads), ("envoy-gateway", attachments)] {
        render(&format!("--to {to} --wasm {IMAGE}")).prints_error(
            2,
            &format!("error: `--to {to}` needs `--target`, which says what is protected\n{list}"),
        );
        for target in [
            "web",
            "gateway/",
            "gateway:a=b",
            "ingress:a",
            "sidecar:a=b,",
            "route/a/b",
            "ingress:=b",
            "gateway/a b",
            "gateway/A",
            "gateway/a..b",
            "sidecar:-a=b",
            "sidecar:a=b.",
            "sidecar:A.b/c=d",
            "sidecar:a/b/c=d",
            "sidecar:a=b c",
        ] {
            let directory = directory();
            TestCommand::new(&directory, "")
                .arguments(&[
                    "render",
                    "policy.yaml",
                    "--keys",
                    "keys.yaml",
                    "--to",
                    to,
                    "--wasm",
                    IMAGE,
                    "--target",
                    target,
                ])
                .prints_error(2, &format!("error: `--target {target}` is not a target\n{list}"));
        }
    }
    let long = "a".repeat(64);
    for target in [format!("sidecar:{long}=b"), format!("sidecar:b={long}")] {
        let error = render(&format!("--to istio --target {target} --wasm x/y")).complaint(2);
        assert!(error.starts_with("error: `--target sidecar:"), "{error}");
    }
    let error = render("--to istio --target sidecar:app=a,b=c,app=d --wasm x/y").complaint(2);
    assert_eq!(error, "error: `--target sidecar:app=a,b=c,app=d` names the label `app` twice\n");
    let error = render("--to envoy-gateway --target class/eg --wasm x/y").complaint(2);
    assert!(error.starts_with("error: `--target class/eg` is not possible: "), "{error}");
    for (option, instead) in
        [("--gateway", "--target gateway/NAME`"), ("--listener", "--target gateway/NAME/LISTENER`")]
    {
        let error = render(&format!("--to istio --wasm x/y {option} x")).complaint(2);
        assert!(
            error.contains("this option no longer exists: write ") && error.contains(instead),
            "{error}"
        );
    }
}

#[test]
fn an_option_that_means_nothing_to_a_form_is_wrong_usage() {
    const MESHES: &str = "`--to istio` and `--to envoy-gateway`";
    const VERIFYING: &str = "`--to envoy`, `--to istio` and `--to envoy-gateway`";
    for (form, options, forms) in [
        ("json", "--wasm x", "`--to envoy`, `--to ecds`, `--to istio` and `--to envoy-gateway`"),
        ("json", "--name x", "`--to ecds`, `--to istio` and `--to envoy-gateway`"),
        ("json", "--target foo", MESHES),
        ("json", "--issuer i --jwks nofile", VERIFYING),
        ("ecds", "--session-header x", VERIFYING),
        ("envoy", "--target gateway/a --mesh-version 1.2 --guard patch", MESHES),
        ("envoy", "--name x", "`--to ecds`, `--to istio` and `--to envoy-gateway`"),
        ("ecds", "--sha256 x", MESHES),
        ("istio", "--guard patch", "`--to envoy-gateway`"),
        ("istio", "--port 80", "`--to envoy-gateway`"),
    ] {
        let option = options.split(' ').next().unwrap();
        let wasm = if form == "json" { "" } else { " --wasm /x" };
        render(&format!("--to {form}{wasm} {options}"))
            .prints_error(2, &format!("error: `{option}` is for {forms}, not for `--to {form}`\n"));
    }
}

#[test]
fn an_option_without_a_value_is_wrong_usage() {
    for given in [
        "--wasm=",
        "--module=",
        "--name=",
        "--issuer=",
        "--jwks=",
        "--audience=",
        "--session-header=",
        "--port=0",
    ] {
        let command = ["render", "policy.yaml", "--to", "envoy-gateway", given];
        let error = TestCommand::new(&directory(), "").arguments(&command).complaint(2);
        let (option, _) = given.split_once('=').unwrap();
        assert!(error.contains(&format!("'{option} <")), "{error}");
    }
    let error = render("--to istio --target gateway/a --wasm oci://").complaint(2);
    assert_eq!(error, "error: `--wasm oci://` names nothing\n");
    let error = with_sessions(&format!("--to envoy{SESSIONS} --session-header a:b")).complaint(2);
    assert!(error.contains("not the name of a header"), "{error}");
}

/// Words that a reader of YAML takes for something else, such as `on` and `1`, are texts.
#[test]
fn whatever_names_a_resource_or_a_workload_is_a_text() {
    let image = format!("--wasm {IMAGE}");
    let to = "--to istio --target sidecar:on=1,null=2,y=0x1 --name 123 --namespace null";
    let text = render(&format!("{to} {image}")).output();
    for line in [
        r#"      "on": "1""#,
        r#"      "null": "2""#,
        r#"      "y": "0x1""#,
        r#"  name: "123""#,
        r#"  namespace: "null""#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    let to = "--to envoy-gateway --target gateway/1/2 --name 1e3.a --namespace 7";
    let text = render(&format!("{to} {image}")).output();
    for line in [
        r#"  name: "1e3.a""#,
        r#"  namespace: "7""#,
        r#"    name: "1""#,
        r#"    sectionName: "2""#,
        r#"  name: "1e3.a-guard""#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    let long = "a".repeat(64);
    for to in ["istio", "envoy-gateway"] {
        let word = "up to 63 lower-case letters, digits and `-`";
        let namespace = format!("{word}, with a letter or a digit at both ends");
        let name = format!(
            "words of {word}, each with a letter or a digit at both ends, with `.` between"
        );
        for (option, told, other) in [("--name", name, "a..b"), ("--namespace", namespace, "a.b")] {
            for text in ["a: b", "Foo Bar", other, "-a", "a-", "A", &long] {
                let given = format!("{option}={text}");
                let target = ["--target", "gateway/a", "--wasm", IMAGE, &given];
                let command = [&["render", "policy.yaml", "--to", to][..], &target].concat();
                TestCommand::new(&directory(), "")
                    .arguments(&command)
                    .prints_error(2, &format!("error: `{option}` must be {told}, not `{text}`\n"));
            }
        }
    }
}

/// flowyte, with what says who issues its sessions.
fn with_sessions(arguments: &str) -> TestCommand {
    let directory = directory();
    let jwks = repository("envoy/systems/flowyte.jwks.json").display().to_string();
    let policy = repository("envoy/systems/flowyte.yaml");
    let wasm = if arguments.contains("envoy-gateway") { IMAGE } else { "/x.wasm" };
    let command = format!("render {} {arguments} --wasm {wasm}", policy.display());
    TestCommand::new(&directory, &command.replace("JWKS", &jwks)).keeping(directory)
}

#[test]
fn sessions_need_their_issuer() {
    for to in
        ["--to envoy", "--to istio --target gateway/a", "--to envoy-gateway --target gateway/a"]
    {
        for given in ["", " --issuer https://a.example", " --jwks JWKS"] {
            with_sessions(&format!("{to}{given}")).prints_error(
                2,
                "error: the policy has `sessions`, which need `--issuer` and `--jwks`\n  \
                 --issuer https://auth.example.com --jwks jwks.json, or --jwks https://auth.example.com/.well-known/jwks.json\n",
            );
        }
        for (jwks, code, message) in [
            ("none.json", 1, "cannot read `none.json`: No such file or directory (os error 2)"),
            ("policy.yaml", 1, "`policy.yaml` is not JSON: "),
            ("ftp://x/y", 2, "`--jwks` is a file or an https:// URL, not `ftp://x/y`"),
        ] {
            let error = with_sessions(&format!("{to} --issuer https://a.example --jwks {jwks}"))
                .complaint(code);
            assert!(error.starts_with(&format!("error: {message}")), "{error}");
        }
    }
    for option in ["--issuer", "--jwks", "--audience", "--session-header"] {
        let error = render(&format!("--to envoy --wasm /x {option} x")).complaint(2);
        assert_eq!(
            error,
            format!("error: `{option}` is for a policy with `sessions`, and this has none\n")
        );
    }
}

#[test]
fn what_verifies_sessions_is_rendered() {
    let text = with_sessions(&format!("--to istio --target gateway/a{SESSIONS}")).output();
    let [plugin, _, filter] = documents(&text).try_into().unwrap();
    // Behind what verifies them.
    assert_eq!(plugin["spec"]["phase"], "AUTHZ");
    assert_eq!(filter["metadata"]["name"], "latchkey-sessions");
    let patch = &filter["spec"]["configPatches"][0]["patch"];
    assert_eq!(patch["operation"], "INSERT_FIRST");
    let authn = &patch["value"]["typed_config"];
    let provider = &authn["providers"]["sessions"];
    assert_eq!(provider["issuer"], "https://auth.flowyte.example");
    assert_eq!(provider["audiences"], json!(["https://api.flowyte.example"]));
    assert_eq!(provider["payload_in_metadata"], "session");
    let any = &authn["rules"][0]["requires"]["requires_any"]["requirements"];
    assert_eq!(*any, json!([{"provider_name": "sessions"}, {"allow_missing_or_failed": {}}]));

    let text = with_sessions(&format!("--to envoy-gateway --target gateway/a{SESSIONS}")).output();
    let [_, security] = documents(&text).try_into().unwrap();
    let jwt = &security["spec"]["jwt"];
    assert_eq!(jwt["failOpen"], true);
    assert_eq!(jwt["providers"][0]["name"], "session");
    assert_eq!(security["spec"]["authorization"], expression());

    // Keys that are fetched.
    let directory = directory();
    let policy = repository("envoy/systems/flowyte.yaml");
    let command = format!(
        "render {} --to envoy --wasm {} --issuer https://a.example --jwks https://a.example/keys",
        policy.display(),
        wasm()
    );
    let bootstrap = TestCommand::new(&directory, &command).output();
    let parsed: Value = yaml_serde::from_str(&bootstrap).unwrap();
    assert_eq!(parsed["static_resources"]["clusters"][1]["name"], "latchkey-jwks");
    directory.write("envoy.yaml", &bootstrap);
    envoy_accepts(&directory, "envoy.yaml");
}

#[test]
fn istio_verifies_sessions_in_a_header_of_their_own_itself() {
    let directory = directory();
    let render = |payload: &str| {
        let policy = format!(
            "credentials: [{{header: authorization}}]\nkeys: []\nsessions: {{payload: {payload}, id: sub}}\n"
        );
        directory.write("sessions.yaml", &policy);
        let command = "render sessions.yaml --to istio --target gateway/a --wasm /x --session-header X-Session \
                       --issuer https://a.example --jwks https://a.example/keys";
        TestCommand::new(&directory, command)
    };
    let [plugin, _, sessions] = documents(&render("payload").output()).try_into().unwrap();
    assert_eq!(plugin["spec"]["phase"], "AUTHZ");
    assert_eq!(sessions["kind"], "RequestAuthentication");
    assert_eq!(sessions["spec"]["targetRefs"][0]["name"], "a");
    assert_eq!(
        sessions["spec"]["jwtRules"],
        json!([{
            "issuer": "https://a.example",
            "jwksUri": "https://a.example/keys",
            "fromHeaders": [{"name": "x-session", "prefix": "Bearer "}],
        }])
    );
    render("session").prints(
        1,
        "",
        "error: `/sessions/payload` is `session`, and Istio's RequestAuthentication leaves claims under `payload` only: \
         write `payload`, or leave `--session-header` out\n",
    );
}

#[test]
fn the_filter_is_where_that_proxy_can_take_it_from() {
    for (arguments, message) in [
        (
            "--to ecds --wasm oci://x/y",
            "Envoy opens the filter as a file: `--wasm` must be a path, not `oci://x/y`",
        ),
        (
            "--to envoy --wasm https://x/y",
            "Envoy opens the filter as a file: `--wasm` must be a path, not `https://x/y`",
        ),
        (
            "--to envoy-gateway --target gateway/a --wasm /x",
            "Envoy Gateway fetches the filter: `--wasm` must be an image or an https:// URL, not `/x`",
        ),
        (
            "--to istio --target gateway/a --wasm ftp://x",
            "`--wasm` is a path, an image or an https:// URL, not `ftp://x`",
        ),
        (
            "--to istio --target gateway/a --wasm a,b",
            "`--wasm a,b` is neither an image nor an https:// URL",
        ),
        (
            "--to istio --target gateway/a --wasm oci://x --sha256 DIGEST",
            "`--sha256` must be 64 hex digits, not `DIGEST`",
        ),
        (
            "--to envoy-gateway --target gateway/a --wasm x/y@sha256:DIGEST",
            "the digest of `--wasm` must be 64 hex digits, not `DIGEST`",
        ),
        (
            "--to istio --target gateway/a --wasm ./x.wasm",
            "`--wasm` is a path in the proxy's container: it must be absolute, not `./x.wasm`",
        ),
    ] {
        render(arguments).prints_error(2, &format!("error: {message}\n"));
    }
    let digest = "0".repeat(64);
    render(&format!("--to istio --target gateway/a --wasm /x.wasm --sha256 {digest}"))
        .prints_error(
            2,
            "error: `--sha256` is for what is fetched: Istio does not compare it with a file\n",
        );
    for wasm in ["a b", "https://a/b c", "oci://a\tb"] {
        let target = ["--to", "istio", "--target", "gateway/a", "--wasm", wasm];
        let command = [&["render", "policy.yaml"], target.as_slice()].concat();
        TestCommand::new(&directory(), "").arguments(&command).prints_error(
            2,
            &format!("error: `--wasm {wasm}` is neither an image nor an https:// URL\n"),
        );
    }
    // As `latchkey image` prints it.
    let pinned = |sha256: &str| {
        let wasm = "--wasm x.example:5000/y:1 --sha256";
        render(&format!("--to istio --target gateway/a {wasm} {sha256}")).output()
    };
    assert_eq!(pinned(&format!("sha256:{digest}")), pinned(&digest));
    for wasm in ["https://x/y", "x.example:5000/y:1"] {
        assert_eq!(
            render(&format!("--to istio --target gateway/a --wasm {wasm}")).complaint(0),
            "warning: without `--sha256` the proxy runs whatever is served there\n",
        );
    }
    for (wasm, url) in [
        ("/x.wasm", "file:///x.wasm"),
        ("file:///x.wasm", "file:///x.wasm"),
        ("x.example:5000/y:1", "oci://x.example:5000/y:1"),
        ("latchkey", "oci://latchkey"),
        // Whatever its name ends in.
        ("reg.example.com/plugins/latchkey.wasm", "oci://reg.example.com/plugins/latchkey.wasm"),
    ] {
        let yaml = render(&format!("--to istio --target gateway/a --wasm {wasm}")).output();
        assert_eq!(documents(&yaml)[0]["spec"]["url"], url);
    }
}

#[test]
fn sizes_at_which_a_road_ends_are_named() {
    let directory = directory();
    let image = format!("oci://x/y --sha256 {}", "0".repeat(64));
    for (keys, to, wasm, ends) in [
        (3_000, "istio --target gateway/a", image.as_str(), &["kubectl"][..]),
        (3_000, "ecds", "x.wasm", &[]),
        (15_000, "envoy-gateway --target gateway/a", &image, &["kubectl", "etcd"]),
        (40_000, "istio --target gateway/a", &image, &["kubectl", "etcd", "gRPC"]),
        (40_000, "ecds", "x.wasm", &["gRPC"]),
        (40_000, "envoy", "x.wasm", &[]),
    ] {
        // Spread over the digests' whole range, as hashes are.
        let hash =
            |index: u64| format!("{:016x}{index:048}", index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let key = |index: u64| {
            format!(r#"{{"id":"k{index}","hash":"sha256:{}","scopes":["read"]}}"#, hash(index))
        };
        let keys: Vec<String> = (0..keys).map(key).collect();
        directory.write("keys.json", &format!("{{\"keys\":[{}]}}", keys.join(",")));
        let command = format!("render policy.yaml --keys keys.json --to {to} --wasm {wasm}");
        let warnings = TestCommand::new(&directory, &command).error();
        let named: Vec<bool> =
            ends.iter().map(|end| warnings.lines().any(|line| line.contains(end))).collect();
        assert!(named.iter().all(|named| *named), "{warnings}");
        assert_eq!(warnings.lines().count(), ends.len(), "{warnings}");
    }
}

#[test]
fn a_rule_that_would_hang_is_not_rendered_for_proxies_without_the_switch() {
    let policy = |hold: &str| {
        format!(
            "credentials: [{{header: x-key}}]\nkeys: []\nrules:\n  - {{paths: [/a]}}\n  \
             - paths: [/graphql]\n    graphql: {{require: \"{{field}}:{{operation}}\", hold: {hold}}}\n"
        )
    };
    let directory = Directory::new();
    directory.write("headers.yaml", &policy("headers"));
    directory.write("body.yaml", &policy("body"));
    for to in ["istio", "envoy-gateway"] {
        let with =
            format!("--to {to} --target gateway/a --wasm oci://x --sha256 {}", "0".repeat(64));
        TestCommand::new(&directory, &format!("render body.yaml {with}")).output();
        TestCommand::new(&directory, &format!("render headers.yaml {with}")).prints_error(
            1,
            "error: `/rules/1/graphql/hold` is `headers`, which takes a switch of Envoy's that these \
             resources do not have, so its requests would hang: write `body`\n",
        );
    }
    let with = format!("--to ecds --wasm {}", wasm());
    TestCommand::new(&directory, &format!("render headers.yaml {with}")).output();
}
