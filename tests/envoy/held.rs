//! Requests that wait for their bodies while something else happens.

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
