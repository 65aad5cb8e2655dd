//! What operators see in Envoy's statistics: metrics with labels, which count on when the policy changes.

use serde_json::json;

use latchkey_testing::{Gateway, Key, Setup, policy_of, until};

#[test]
fn decisions_are_counted_by_reason_and_by_key() {
    for release in [None, Some("1.39"), Some("1.38")] {
        let (used, revoked, unused) =
            (Key::new("team.web-1"), Key::new("old_one"), Key::new("idle"));
        let setup = Setup::new(policy_of(&[&used, &revoked, &unused])).module();
        let gateway = release.into_iter().fold(setup, Setup::release).start();
        for path in ["/a", "/b", "/public/x"] {
            gateway.get(path, &[("x-api-key", &used.token)]);
        }
        let post = format!("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\n\r\n", used.token);
        gateway.raw(post.as_bytes());
        gateway.get("/", &[("x-api-key", &revoked.token)]);
        gateway.get("/", &[("x-api-key", "unknown-1")]);
        gateway.get("/", &[("x-api-key", "unknown-2")]);
        gateway.get("/", &[]);
        if release == Some("1.38") {
            // It counts on behalf of requests only, at most once a second.
            until("a request that brings the others along", || {
                gateway.get("/public/y", &[]);
                has(&gateway, "latchkey_denied{reason=\"unknown_key\"} 2").then_some(())
            });
        }
        let mut expected = vec![
            "latchkey_denied{reason=\"insufficient_scope\"} 1",
            "latchkey_denied{reason=\"missing_credential\"} 1",
            "latchkey_denied{reason=\"revoked_key\"} 1",
            "latchkey_denied{reason=\"unknown_key\"} 2",
            "latchkey_key_allowed{key=\"team.web-1\"} 2",
            "latchkey_key_denied{key=\"old_one\"} 1",
            "latchkey_key_denied{key=\"team.web-1\"} 1",
            "latchkey_keys{} 3",
        ];
        if release != Some("1.38") {
            expected.extend(["latchkey_allowed{} 3", "latchkey_key_allowed{key=\"idle\"} 0"]);
        }
        for line in expected {
            until(line, || has(&gateway, line).then_some(()));
        }
        let text = gateway.admin("/stats/prometheus");
        let last_used = "latchkey_key_last_used{key=\"team.web-1\"} ";
        assert!(text.contains(last_used), "{text}");
    }
}

#[test]
fn counts_go_on_where_they_were_when_the_policy_changes() {
    let (kept, added) = (Key::new("kept"), Key::new("added"));
    let gateway = Setup::new(policy_of(&[&kept])).module().start();
    gateway.get("/", &[("x-api-key", &kept.token)]);
    gateway.get("/", &[]);
    // What was counted since the last tick is not lost, nor what only the old policy has counted.
    gateway.push(policy_of(&[&kept, &added]));
    gateway.get("/", &[("x-api-key", &kept.token)]);
    gateway.get("/", &[("x-api-key", &added.token)]);
    for line in [
        "latchkey_allowed{} 3",
        "latchkey_denied{reason=\"missing_credential\"} 1",
        "latchkey_key_allowed{key=\"kept\"} 2",
        "latchkey_key_allowed{key=\"added\"} 1",
        "latchkey_keys{} 2",
    ] {
        until(line, || has(&gateway, line).then_some(()));
    }
}

#[test]
fn a_policy_with_a_name_has_that_as_a_label() {
    let key = Key::new("team.web-1");
    let mut policy = policy_of(&[&key]);
    policy["name"] = json!("billing");
    let gateway = Setup::new(policy).module().start();
    gateway.get("/", &[("x-api-key", &key.token)]);
    gateway.get("/", &[]);
    for line in [
        "latchkey_allowed{policy=\"billing\"} 1",
        "latchkey_denied{policy=\"billing\",reason=\"missing_credential\"} 1",
        "latchkey_key_allowed{policy=\"billing\",key=\"team.web-1\"} 1",
    ] {
        until(line, || has(&gateway, line).then_some(()));
    }
}

/// Whether Envoy tells that, behind the name that it gives the metrics of modules.
fn has(gateway: &Gateway, line: &str) -> bool {
    let line = format!("envoy_dynamicmodulescustom_{line}");
    gateway.admin("/stats/prometheus").lines().any(|own| own == line)
}
