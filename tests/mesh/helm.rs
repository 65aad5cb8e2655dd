//! The Helm chart: the same resources as `render` prints.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use latchkey_testing::{Scratch, repository};

use super::process::built;
use super::site::latchkey;

/// The resources of a stream, by kind.
fn resources(text: &str) -> BTreeMap<String, Value> {
    let documents = text.split("---\n").filter(|document| document.contains("apiVersion"));
    let parsed = documents.map(|document| yaml_serde::from_str::<Value>(document).unwrap());
    parsed.map(|resource| (resource["kind"].as_str().unwrap().to_owned(), resource)).collect()
}

fn helm(scratch: &Scratch, arguments: &str) -> (bool, String) {
    let ran = Command::new(built("helm"))
        .args(["template", "orders"])
        .arg(repository("deploy/helm/latchkey"))
        .args(["--namespace", "shop"])
        .args(arguments.split(' '))
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8(if ran.status.success() { ran.stdout } else { ran.stderr });
    (ran.status.success(), text.unwrap())
}

#[test]
#[ignore = "make mesh-test"]
fn the_chart_is_what_render_prints() {
    let scratch = Scratch::new();
    let policy = repository("envoy/systems/flokit.yaml").display().to_string();
    let json = latchkey(&scratch, &format!("render {policy} --to json"));
    scratch.write("policy.json", &json);
    let digest = "0".repeat(64);
    for (mesh, targets) in [
        (
            "istio",
            &["ingress:istio=front,a.b/c=d", "sidecar:app=orders", "gateway/web", "waypoint/w"][..],
        ),
        ("envoy-gateway", &["gateway/eg", "gateway/eg/http", "route/orders"]),
    ] {
        let images =
            ["registry.example.com/latchkey:1", "oci://r/l:1", "https://example.com/l.wasm"];
        for (target, image) in targets.iter().zip(images.iter().cycle()) {
            let named = format!("--target {target} --namespace shop --name orders --wasm {image}");
            let rendered = latchkey(
                &scratch,
                &format!("render {policy} --to {mesh} {named} --sha256 {digest}"),
            );
            let escaped = target.replace(',', "\\,");
            let given = format!("--set mesh={mesh} --set target={escaped} --set image={image}");
            let (is_fine, text) = helm(
                &scratch,
                &format!("{given} --set-string sha256={digest} --set-file policy=policy.json"),
            );
            assert!(is_fine, "{target}: {text}");
            assert_eq!(resources(&text), resources(&rendered), "{target} {image}");
        }
        let given = format!("--set mesh={mesh} --set image=x --set-file policy=policy.json");
        let (is_fine, error) = helm(&scratch, &given);
        assert!(!is_fine && error.contains("target is "), "{error}");
    }
    let (is_fine, error) = helm(&scratch, "--set target=gateway/a");
    assert!(!is_fine && error.contains("mesh is istio or envoy-gateway"), "{error}");
}
