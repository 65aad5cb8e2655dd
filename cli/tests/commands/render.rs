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
        let policy = policy.display();
        let command = format!("render {policy} --to envoy --wasm {}", wasm());
        let bootstrap = TestCommand::new(&directory, &command).output();
        let parsed: Value = yaml_serde::from_str(&bootstrap).unwrap();
        assert_eq!(filters(&parsed)[..2], ["latchkey", "guard"], "{policy}");
        assert!(!bootstrap.contains("config_discovery"), "{policy}");
        directory.write("envoy.yaml", &bootstrap);
        envoy_accepts(&directory, "envoy.yaml");
    }
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

#[test]
fn istio_gets_a_plugin_and_the_guard() {
    let digest = "0".repeat(64);
    let yaml = render(&format!(
        "--to istio --wasm oci://example.com/latchkey:1 --sha256 {digest} --gateway front"
    ));
    let [plugin, filter] = documents(&yaml.output()).try_into().unwrap();
    assert_eq!(
        plugin,
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": "latchkey", "namespace": "istio-system"},
            "spec": {
                "selector": {"matchLabels": {"istio": "front"}},
                "url": "oci://example.com/latchkey:1",
                "sha256": digest,
                "phase": "AUTHN",
                "failStrategy": "FAIL_CLOSE",
                "pluginName": "latchkey",
                "vmConfig": {"env": [{"name": "LATCHKEY_PEPPER", "valueFrom": "HOST"}]},
                "pluginConfig": policy(),
            },
        })
    );
    assert_eq!(filter["kind"], "EnvoyFilter");
    assert_eq!(filter["spec"]["workloadSelector"], json!({"labels": {"istio": "front"}}));
    let patch = &filter["spec"]["configPatches"][0];
    assert_eq!(patch["patch"], json!({"operation": "INSERT_BEFORE", "value": guard()}));
    let before = &patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"];
    assert_eq!(before, "envoy.filters.http.router");
}

#[test]
fn envoy_gateway_gets_an_extension_and_the_guard() {
    for (url, code) in [
        (
            "oci://example.com/latchkey@sha256:00",
            json!({"type": "Image", "image": {"url": "example.com/latchkey@sha256:00"}}),
        ),
        (
            "https://example.com/latchkey.wasm",
            json!({"type": "HTTP", "http": {"url": "https://example.com/latchkey.wasm"}}),
        ),
    ] {
        let command = format!("--to envoy-gateway --wasm {url} --namespace web --listener https");
        let [extension, patch] = documents(&render(&command).output()).try_into().unwrap();
        assert_eq!(
            extension,
            json!({
                "apiVersion": "gateway.envoyproxy.io/v1alpha1",
                "kind": "EnvoyExtensionPolicy",
                "metadata": {"name": "latchkey", "namespace": "web"},
                "spec": {
                    "targetRefs": [
                        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}
                    ],
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
        assert_eq!(patch["kind"], "EnvoyPatchPolicy");
        let patch = &patch["spec"]["jsonPatches"][0];
        assert_eq!(patch["name"], "web/eg/https");
        assert_eq!(patch["operation"]["value"], guard());
    }
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
            "--to envoy-gateway --wasm /x",
            "Envoy Gateway fetches the filter: `--wasm` must be an oci:// or https:// URL, not `/x`",
        ),
        (
            "--to istio --wasm ftp://x",
            "`--wasm` is a path or an oci:// or https:// URL, not `ftp://x`",
        ),
        ("--to istio --wasm oci://x --sha256 00", "`--sha256` is 64 hex digits"),
        (
            "--to istio --wasm /none.wasm",
            "cannot read `/none.wasm` for its hash; give it with `--sha256`: No such file or directory (os error 2)",
        ),
    ] {
        render(arguments).prints_error(1, &format!("error: {message}\n"));
    }
    render("--to istio --wasm https://x/y")
        .prints_error(0, "warning: without `--sha256` the proxy runs whatever that URL serves\n");
    let yaml = render(&format!("--to istio --wasm {}", wasm())).output();
    let plugin = &documents(&yaml)[0]["spec"];
    assert_eq!(plugin["url"], format!("file://{}", wasm()));
    assert_eq!(plugin["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn sizes_at_which_a_road_ends_are_named() {
    let directory = directory();
    let image = format!("oci://x/y --sha256 {}", "0".repeat(64));
    for (keys, to, wasm, ends) in [
        (3_000, "istio", image.as_str(), &["kubectl"][..]),
        (3_000, "ecds", "x.wasm", &[]),
        (15_000, "envoy-gateway", &image, &["kubectl", "etcd"]),
        (40_000, "istio", &image, &["kubectl", "etcd", "gRPC"]),
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
        let with = format!("--to {to} --wasm oci://x --sha256 {}", "0".repeat(64));
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
