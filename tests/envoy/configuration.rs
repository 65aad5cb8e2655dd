//! The ways in which a policy reaches the filter.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use latchkey_testing::gateway::{front_bootstrap, replaced};
use latchkey_testing::{Envoy, Gateway, Key, Scratch, Setup, as_struct, ecds, inline, wasm};

#[test]
fn a_policy_may_come_as_a_struct() {
    let key = Key::new("good");
    let mut policy = policy(&key);
    // Numbers of a `Struct` are doubles. Those beyond 32 bits Envoy makes texts of, when it reads YAML.
    policy["keys"][0]["not_before"] = json!(1_700_000_000);
    policy["errors"] = json!({"unauthorized": {"status": 418}});
    let gateway = Setup::new(policy).change_ecds(as_struct).start();
    assert!(gateway.ecds(self::policy(&key)).contains("google.protobuf.Struct"));
    let good = gateway.get("/", &[("authorization", &key.bearer())]);
    assert_eq!(good.outcome(), ("allow key:good", 200));
    assert_eq!(gateway.get("/", &[]).outcome(), ("deny missing_credential", 418));
}

#[test]
fn a_policy_may_stand_in_the_bootstrap() {
    let key = Key::new("good");
    let gateway = Setup::new(policy(&key)).inline().start();
    let good = gateway.get("/", &[("authorization", &key.bearer())]);
    assert_eq!(good.outcome(), ("allow key:good", 200));
    assert_eq!(gateway.get("/", &[]).outcome(), ("deny missing_credential", 401));
}

#[test]
fn an_invalid_policy_in_the_bootstrap_keeps_envoy_from_starting() {
    let key = Key::new("good");
    let scratch = Scratch::new();
    let ecds = ecds(&scratch, &policy(&key).to_string(), &wasm());
    let broken = replaced(&ecds, "\"scopes\":", "\"scope\":");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let bootstrap = inline(&front_bootstrap(&scratch, nowhere, None), &broken);
    let (status, log) = Envoy::run_to_end(&scratch, "front", &bootstrap, &[]);
    assert!(!status.success(), "{status}");
    let finding = "/keys/0/scope: unknown field `scope`";
    assert!(log.contains(finding), "`{finding}` in {log}");
    assert!(log.contains("did you mean `scopes`?"), "{log}");
    assert!(!log.contains(&key.hash()[7..]), "{log}");
}

#[test]
fn an_invalid_policy_in_the_watched_file_serves_nobody_until_it_is_replaced() {
    let key = Key::new("good");
    let gateway = Setup::new(json!({"keys": "none"})).start();
    let bearer = key.bearer();
    for headers in [vec![], vec![("authorization", bearer.as_str())]] {
        let exchange = gateway.get("/", &headers);
        assert_eq!(exchange.outcome(), ("", 500));
        assert_eq!(exchange.log.flags.as_deref(), Some("NFCF"));
    }
    assert!(gateway.reports().is_empty());
    gateway.push(policy(&key));
    assert_eq!(gateway.get("/", &[("authorization", &bearer)]).outcome(), ("allow key:good", 200));
}

#[test]
fn a_peppered_hash_needs_the_pepper_of_envoys_environment() {
    let (key, pepper) = (Key::new("good"), "a pepper of this test");
    let mut digest = Hmac::<Sha256>::new_from_slice(pepper.as_bytes()).unwrap();
    digest.update(key.token.as_bytes());
    let digits = hex::encode(digest.finalize().into_bytes());
    let mut policy = policy(&key);
    policy["keys"][0]["hash"] = json!(format!("hmac-sha256:{digits}"));
    let get = |gateway: &Gateway| gateway.get("/", &[("authorization", &key.bearer())]);

    let seasoned = Setup::new(&policy).pepper(pepper).start();
    assert_eq!(get(&seasoned).outcome(), ("allow key:good", 200));
    let wrong = Setup::new(&policy).pepper("another pepper").start();
    assert_eq!(get(&wrong).outcome(), ("deny unknown_key", 401));
    let bland = Gateway::start(&policy);
    assert_eq!(get(&bland).outcome(), ("", 500));
    for gateway in [&seasoned, &wrong, &bland] {
        assert!(!gateway.log_text().contains(pepper));
    }
}

#[test]
fn a_refused_policys_findings_are_logged_without_key_material() {
    let (key, other) = (Key::new("good"), Key::new("other"));
    let gateway = Gateway::start(policy(&key));
    let mut broken = policy(&other);
    broken["keys"][0]["hash"] = json!(other.token);
    broken["rules"] = json!([{"paths": ["v1"]}]);
    let refusal = gateway.push_ecds(&gateway.ecds(broken)).unwrap_err();
    for pointer in ["/keys/0/hash: ", "/rules/0/paths/0: "] {
        let lines = refusal.lines().filter(|line| line.contains(pointer)).count();
        assert_eq!(lines, 1, "`{pointer}` in {refusal}");
    }
    assert!(!refusal.contains(&other.token), "{refusal}");
}

fn policy(key: &Key) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["read"]}],
    })
}
