//! Requests that wait for their bodies while something else happens.

use std::env;

use serde_json::{Value, json};

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Connection, Gateway, Key, Setup, until};

const BODY: &str = r#"{"query":"{ allowed }"}"#;

#[test]
fn a_key_that_is_revoked_while_bodies_are_awaited_is_refused() {
    for hold in ["body", "headers"] {
        let key = Key::new("good");
        let gateway = Gateway::start(policy(&key, hold));
        // The next policy serves others already, or nobody yet.
        for serves_others in [false, true] {
            gateway.push(policy(&key, hold));
            let mut waiting: Vec<Connection> =
                (0..15).map(|_| gateway.begun(&key, BODY.len())).collect();
            until_held(&gateway, 15);
            let mut revoked = policy(&key, hold);
            revoked["keys"][0]["disabled"] = json!(true);
            gateway.push(revoked);
            if serves_others {
                assert_eq!(gateway.get("/", &[]).decision(), "deny missing_credential");
            }
            for connection in &mut waiting {
                connection.write(BODY.as_bytes()).unwrap();
                assert_eq!(connection.response(false).unwrap().status, 401, "{hold}");
                let log = gateway.log_line(connection.client());
                assert_eq!(log.latchkey.as_deref(), Some("deny revoked_key key:good"));
            }
        }
        assert!(gateway.reports().is_empty());
    }
}

/// Its headers have gone ahead without an identity.
#[test]
fn what_waits_as_public_is_nobodys_by_a_policy_that_knows_its_key() {
    let key = Key::new("good");
    let mut with_key = policy(&key, "body");
    with_key["rules"] = json!([
        {"paths": ["/graphql"], "query": {"hydrate": ["1"]}},
        {"paths": ["/graphql"], "access": "public"},
    ]);
    let mut without_keys = with_key.clone();
    without_keys["keys"] = json!([]);
    let gateway = Gateway::start(without_keys);
    let mut waiting: Vec<Connection> = (0..4).map(|_| gateway.begun(&key, BODY.len())).collect();
    until_held(&gateway, 4);
    let answer = |connection: &mut Connection| {
        connection.write(BODY.as_bytes()).unwrap();
        connection.response(false).unwrap().status
    };
    assert_eq!(answer(&mut waiting[0]), 200);
    gateway.push(with_key);
    assert_eq!(gateway.get("/", &[]).decision(), "deny missing_credential");
    // The module asks the policy before as well, by whose word it is public still.
    let is_module = env::var_os("LATCHKEY_AS").is_some_and(|own| own == "module");
    let expected = if is_module { 200 } else { 503 };
    for connection in &mut waiting[1..] {
        assert_eq!(answer(connection), expected);
    }
    assert_eq!(gateway.reports().len(), if is_module { 4 } else { 1 });
}

/// Envoy answers 408 itself, and logs what the request still has.
#[test]
fn a_held_request_that_nobody_decides_is_counted_and_told_without_its_credential() {
    for hold in ["body", "headers"] {
        let key = Key::new("good");
        let gateway = Setup::new(policy(&key, hold))
            .change_bootstrap(|bootstrap| {
                let chain = "                stat_prefix: ingress\n";
                let timeout = "                request_timeout: 0.5s\n";
                replaced(bootstrap, chain, &format!("{chain}{timeout}"))
            })
            .log_left()
            .start();
        let mut late = gateway.begun(&key, BODY.len());
        assert_eq!(late.response(false).unwrap().status, 408, "{hold}");
        let log = gateway.log_line(late.client());
        let left: Vec<String> = log.left().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [":path"], "{hold}");
        drop(gateway.begun(&key, BODY.len()));
        until("both to be counted", || {
            let names =
                ["wasmcustom.latchkey.undecided", "dynamicmodulescustom.latchkey_undecided"];
            let stats = gateway.stats();
            names.iter().any(|name| stats.get(*name) == Some(&2)).then_some(())
        });
        let text = gateway.log_text();
        let line = "undecided key:good: the request ended before its body";
        assert_eq!(text.matches(line).count(), 2, "{text}");
        assert!(!text.contains(&key.token) && !gateway.access_log_text().contains(&key.token));
    }
}

fn policy(key: &Key, hold: &str) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["allowed:read"]}],
        "rules": [{"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}", "hold": hold}}],
    })
}

/// Waits until so many requests have reached the front's filters.
fn until_held(gateway: &Gateway, count: u64) {
    until("the requests to be held", || {
        let active = gateway.stats().get("http.ingress.downstream_rq_active").copied();
        (active == Some(count)).then_some(())
    });
}
