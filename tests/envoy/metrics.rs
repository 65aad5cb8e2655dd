//! What operators see in Envoy's statistics.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use latchkey_testing::{Gateway, Key, policy_of, until};

#[test]
fn the_counts_of_requests_reach_the_statistics() {
    let (used, revoked, unused) = (Key::new("team.web-1"), Key::new("old_one"), Key::new("idle"));
    let gateway = Gateway::start(policy_of(&[&used, &revoked, &unused]));
    let start = now();
    for path in ["/a", "/b", "/public/x"] {
        gateway.get(path, &[("x-api-key", &used.token)]);
    }
    gateway
        .raw(format!("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\n\r\n", used.token).as_bytes());
    gateway.get("/", &[("x-api-key", &revoked.token)]);
    gateway.get("/", &[("x-api-key", "unknown-1")]);
    gateway.get("/", &[("x-api-key", "unknown-2")]);
    gateway.get("/", &[]);

    let expected = [
        ("allowed", 3),
        ("denied.insufficient_scope", 1),
        ("denied.missing_credential", 1),
        ("denied.revoked_key", 1),
        ("denied.unknown_key", 2),
        ("key.idle.allowed", 0),
        ("key.idle.denied", 0),
        ("key.idle.last_used", 0),
        ("key.old_one.allowed", 0),
        ("key.old_one.denied", 1),
        ("key.team.web-1.allowed", 2),
        ("key.team.web-1.denied", 1),
        ("keys", 3),
    ];
    // The tick hands all of them over at once, so when the last has come, all have.
    until("the tick", || (ours(&gateway).get("allowed") == Some(&3)).then_some(()));
    let stats = ours(&gateway);
    let counted: Vec<(&str, u64)> = expected.map(|(name, _)| (name, stats[name])).to_vec();
    assert_eq!(counted, expected);
    let last_used = stats["key.team.web-1.last_used"];
    assert!((start..=now()).contains(&last_used), "{last_used}");
    let others = stats.iter().filter(|(name, _)| {
        !expected.iter().any(|(own, _)| own == name) && !name.ends_with(".last_used")
    });
    let others: Vec<_> = others.filter(|(_, value)| **value > 0).collect();
    assert!(others.is_empty(), "{others:?}");

    let prometheus = gateway.admin("/stats/prometheus");
    for line in [
        "latchkey_allowed{} 3".to_owned(),
        "latchkey_denied{latchkey_reason=\"unknown_key\"} 2".to_owned(),
        "latchkey_key_allowed{latchkey_key=\"team.web-1\"} 2".to_owned(),
        "latchkey_key_denied{latchkey_key=\"old_one\"} 1".to_owned(),
        format!("latchkey_key_last_used{{latchkey_key=\"team.web-1\"}} {last_used}"),
        "latchkey_keys{} 3".to_owned(),
    ] {
        assert!(prometheus.lines().any(|own| own == line), "`{line}` in {prometheus}");
    }
}

#[test]
fn counts_go_on_where_they_were_when_the_policy_changes() {
    let (kept, added) = (Key::new("kept"), Key::new("added"));
    let gateway = Gateway::start(policy_of(&[&kept]));
    gateway.get("/", &[("x-api-key", &kept.token)]);
    gateway.push(policy_of(&[&kept, &added]));
    gateway.get("/", &[("x-api-key", &kept.token)]);
    gateway.get("/", &[("x-api-key", &added.token)]);
    let is_counted = || {
        let stats = ours(&gateway);
        let value = |name: &str| stats.get(name).copied().unwrap_or_default();
        let counted = (value("key.kept.allowed"), value("key.added.allowed"), value("allowed"));
        (counted == (2, 1, 3) && value("keys") == 2).then_some(())
    };
    until("the counts of both policies", is_counted);
}

#[test]
fn a_policy_with_a_name_counts_under_it() {
    let key = Key::new("team.web-1");
    let mut policy = policy_of(&[&key]);
    policy["name"] = json!("billing");
    let gateway = Gateway::start(policy);
    gateway.get("/", &[("x-api-key", &key.token)]);
    gateway.get("/", &[]);
    let stats = until("the tick", || {
        let stats = ours(&gateway);
        (stats.get("policy.billing.denied.missing_credential") == Some(&1)).then_some(stats)
    });
    assert_eq!(stats["policy.billing.key.team.web-1.allowed"], 1);
    assert!(stats.keys().all(|name| name.starts_with("policy.billing.")), "{stats:?}");
    let prometheus = gateway.admin("/stats/prometheus");
    for line in [
        "latchkey_allowed{latchkey_policy=\"billing\"} 1",
        "latchkey_denied{latchkey_policy=\"billing\",latchkey_reason=\"missing_credential\"} 1",
        "latchkey_key_allowed{latchkey_policy=\"billing\",latchkey_key=\"team.web-1\"} 1",
    ] {
        assert!(prometheus.lines().any(|own| own == line), "`{line}` in {prometheus}");
    }
}

#[test]
fn what_is_only_observed_is_counted_apart() {
    let (key, revoked) = (Key::new("kept"), Key::new("old_one"));
    let mut policy = policy_of(&[&key, &revoked]);
    policy["mode"] = json!("observe");
    let gateway = Gateway::start(policy.clone());
    assert_eq!(gateway.get("/", &[]).response.status, 200);
    gateway.get("/", &[("x-api-key", &key.token)]);
    gateway.get("/", &[("x-api-key", &revoked.token)]);
    let expected = [
        ("key.kept.allowed", 1),
        ("key.old_one.allowed", 1),
        ("keys", 2),
        ("observed.allowed", 1),
        ("observed.denied.missing_credential", 1),
        ("observed.denied.revoked_key", 1),
    ];
    let counted = |expected: &[(&str, u64)]| {
        let mut stats = ours(&gateway);
        stats.retain(|name, value| *value > 0 && !name.ends_with(".last_used"));
        let stats: Vec<_> = stats.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        (stats == expected).then_some(())
    };
    until("the counts of what is observed", || counted(&expected));
    let line = "latchkey_observed_denied{latchkey_reason=\"revoked_key\"} 1";
    let prometheus = gateway.admin("/stats/prometheus");
    assert!(prometheus.lines().any(|own| own == line), "`{line}` in {prometheus}");

    policy["mode"] = json!("enforce");
    policy["rules"] = json!([{"require": ["other:create"], "mode": "observe"}]);
    gateway.push(policy);
    assert_eq!(gateway.get("/", &[]).response.status, 401);
    assert_eq!(gateway.get("/", &[("x-api-key", &key.token)]).response.status, 200);
    let more = [
        ("allowed", 1),
        ("denied.missing_credential", 1),
        ("key.kept.allowed", 2),
        ("key.old_one.allowed", 1),
        ("keys", 2),
        ("observed.allowed", 1),
        ("observed.denied.insufficient_scope", 1),
        ("observed.denied.missing_credential", 1),
        ("observed.denied.revoked_key", 1),
    ];
    until("the counts of a rule that is observed", || counted(&more));
}

/// The filter's metrics by the names it gave them.
fn ours(gateway: &Gateway) -> std::collections::BTreeMap<String, u64> {
    let stats = gateway.stats().into_iter();
    stats
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("wasmcustom.latchkey.")?.to_owned(), value))
        })
        .collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
