//! What is rendered, held against the custom resource definitions of Istio and Envoy Gateway and their CEL rules.

use std::fs;
use std::process::Command;

use latchkey_testing::{Scratch, repository};

use super::process::built;
use super::site::latchkey;

#[test]
#[ignore = "make mesh-test"]
fn every_system_for_every_target_is_valid() {
    let scratch = Scratch::new();
    let systems = repository("envoy/systems");
    let systems = systems.display();
    let image = format!("--wasm registry.example.com/latchkey:0.1.0 --sha256 {}", "0".repeat(64));
    let targets = [
        "istio --target ingress:istio=front",
        "istio --target gateway/web",
        "istio --target gateway/web --mesh-version 1.23",
        "istio --target sidecar:app=orders",
        "istio --target waypoint/orders",
        "envoy-gateway --target gateway/eg",
        "envoy-gateway --target gateway/eg/http",
        "envoy-gateway --target route/orders",
        "envoy-gateway --target route/orders --guard rule",
        "envoy-gateway --target gateway/eg/http --guard patch --port 80",
    ];
    let mut count = 0;
    for system in ["flokit", "flora", "flotiq", "flowyte", "fluenzr"] {
        let policy = format!("{systems}/{system}.yaml");
        let inline = format!(
            "--issuer https://auth.example.com --jwks {systems}/flowyte.jwks.json --audience a"
        );
        let fetched =
            "--issuer https://auth.example.com --jwks https://auth.example.com/keys".to_owned();
        let sessions =
            if system == "flowyte" { vec![inline, fetched] } else { vec![String::new()] };
        for target in targets {
            for sessions in &sessions {
                let text = fs::read_to_string(&policy).unwrap();
                // A switch that neither mesh has.
                scratch.write("policy.yaml", &text.replace("hold: headers", "hold: body"));
                let rendered = latchkey(
                    &scratch,
                    &format!("render policy.yaml --to {target} {image} {sessions}"),
                );
                count += 1;
                scratch.write(&format!("rendered/{system}-{count}.yaml"), &rendered);
            }
        }
    }
    let ran = Command::new(built("crds"))
        .args(["-test.v"])
        .current_dir(repository("tests/mesh/envoy-gateway/crds"))
        .env("RENDERED", scratch.file("rendered"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}");
    assert!(told.contains(&format!("{count} files")), "{told}");
    println!("{count} renders are valid");
}
