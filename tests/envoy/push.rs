//! A policy replaced while requests flow.

use serde_json::{Value, json};

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Gateway, Key, Load};

#[test]
fn a_pushed_policy_takes_over_without_a_wrong_answer() {
    let (old, new, steady, unknown) =
        (Key::new("old"), Key::new("new"), Key::new("steady"), Key::new("unknown"));
    let before = policy(&[(&old, false), (&steady, false)]);
    let after = policy(&[(&old, true), (&steady, false), (&new, false)]);
    let gateway = Gateway::start(&before);

    let bearers = [&old, &new, &steady, &steady, &unknown].map(Key::bearer);
    let load = Load::start(gateway.address, &bearers.each_ref().map(String::as_str));
    load.goes_on();
    gateway.push(&after);
    load.goes_on();
    // The new policy serves on while a broken one is refused.
    let broken = replaced(&gateway.ecds(&after), "\"keys\":", "\"kees\":");
    let refusal = gateway.push_ecds(&broken).unwrap_err();
    assert!(refusal.contains("did you mean `keys`?"), "{refusal}");
    load.goes_on();
    let refusal = gateway.push_ecds("resources: [").unwrap_err();
    assert!(refusal.contains("Filesystem config update failure"), "{refusal}");
    load.goes_on();

    let mut statuses = load.stop();
    statuses.iter_mut().for_each(Vec::dedup);
    assert_eq!(statuses, [vec![200, 401], vec![401, 200], vec![200], vec![200], vec![401]]);
    assert!(gateway.is_running());
}

#[test]
fn a_push_counts_from_the_next_request_on() {
    let (one, other) = (Key::new("one"), Key::new("other"));
    let policies = [policy(&[(&one, false)]), policy(&[(&other, false)])];
    let gateway = Gateway::start(&policies[0]);
    for policy in policies.iter().cycle().skip(1).take(20) {
        gateway.push(policy);
        let is_first = policy == &policies[0];
        let statuses = [&one, &other]
            .map(|key| gateway.get("/", &[("authorization", &key.bearer())]).response.status);
        assert_eq!(statuses, if is_first { [200, 401] } else { [401, 200] });
    }
}

#[test]
fn after_a_refused_push_a_good_one_is_taken() {
    let (one, other) = (Key::new("one"), Key::new("other"));
    let gateway = Gateway::start(policy(&[(&one, false)]));
    let next = policy(&[(&other, false)]);
    let hash = other.hash();
    let broken = replaced(&gateway.ecds(&next), &hash, "sha256:no-hash");
    gateway.push_ecds(&broken).unwrap_err();
    assert_eq!(gateway.get("/", &[("authorization", &one.bearer())]).response.status, 200);
    gateway.push(&next);
    assert_eq!(gateway.get("/", &[("authorization", &one.bearer())]).response.status, 401);
    assert_eq!(gateway.get("/", &[("authorization", &other.bearer())]).response.status, 200);
}

/// Keys, and whether they are revoked.
fn policy(keys: &[(&Key, bool)]) -> Value {
    let key = |(key, disabled): &(&Key, bool)| json!({"id": key.id, "hash": key.hash(), "scopes": ["read"], "disabled": disabled});
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
    })
}
