//! `latchkey usage`, with an admin port that answers what it is told to.

use std::net::TcpListener;

use super::support::listening;
use super::{Directory, TestCommand};

/// An admin port on loopback of an Envoy that has the Wasm filter, and no module.
fn admin(answer: &str) -> String {
    let answer = answer.to_owned();
    listening(move |path| match path.starts_with("/stats?format=json&filter=%5Ewasmcustom") {
        true => answer.clone(),
        false => r#"{"stats": []}"#.to_owned(),
    })
}

const STATS: &str = r#"{"stats": [
    {"name": "wasmcustom.latchkey.allowed", "value": 14},
    {"name": "wasmcustom.latchkey.denied.unknown_key", "value": 3},
    {"name": "wasmcustom.latchkey.denied.insufficient_scope", "value": 20},
    {"name": "wasmcustom.latchkey.denied.revoked_key", "value": 0},
    {"name": "wasmcustom.latchkey.keys", "value": 3},
    {"name": "wasmcustom.latchkey.key.ci.2026.allowed", "value": 12},
    {"name": "wasmcustom.latchkey.key.ci.2026.denied", "value": 20},
    {"name": "wasmcustom.latchkey.key.ci.2026.last_used", "value": 1780272000},
    {"name": "wasmcustom.latchkey.key.spare.allowed", "value": 0},
    {"name": "wasmcustom.latchkey.key.spare.denied", "value": 0},
    {"name": "wasmcustom.latchkey.key.spare.last_used", "value": 0},
    {"name": "wasmcustom.latchkey.key.gone.allowed", "value": 2},
    {"name": "wasmcustom.latchkey.key.gone.last_used", "value": 1780272001},
    {"histograms": {"supported_quantiles": []}}
]}"#;

fn keys() -> Directory {
    let directory = Directory::new();
    directory.write(
        "keys.yaml",
        "keys:\n- {id: spare, name: In reserve, created: 2026-05-01T00:00:00Z}\n\
         - {id: ci.2026, name: CI, created: 1777593600}\n- {id: new}\n",
    );
    directory
}

#[test]
fn usage_joins_what_envoy_counted_to_the_keys() {
    let command = format!("usage --admin {}/ --keys keys.yaml", admin(STATS));
    TestCommand::new(&keys(), &command).prints(
        0,
        "\
KEY      NAME        CREATED               LAST USED             REQUESTS  REFUSED
spare    In reserve  2026-05-01T00:00:00Z  never                        0        0
ci.2026  CI          2026-05-01T00:00:00Z  2026-06-01T00:00:00Z        32       20
new      -           -                     not served                   0        0
gone     -           -                     2026-06-01T00:00:01Z         2        0

3 keys served; 14 requests allowed, 23 refused
  insufficient_scope  20
  unknown_key         3
",
        "",
    );
}

#[test]
fn usage_prints_json() {
    let command = format!("usage --admin {} --keys keys.yaml --format json", admin(STATS));
    let usage = TestCommand::new(&keys(), &command).output();
    let usage: serde_json::Value = serde_json::from_str(&usage).unwrap();
    let key = |id, name, created, last_used, requests: u64, denied: u64, state| {
        serde_json::json!({
            "id": id, "name": name, "created": created, "last_used": last_used,
            "requests": requests, "denied": denied, "state": state,
        })
    };
    let may = Some("2026-05-01T00:00:00Z");
    assert_eq!(
        usage,
        serde_json::json!({
            "allowed": 14,
            "denied": {"insufficient_scope": 20, "unknown_key": 3},
            "served_keys": 3,
            "keys": [
                key("spare", Some("In reserve"), may, None, 0, 0, "never_used"),
                key("ci.2026", Some("CI"), may, Some("2026-06-01T00:00:00Z"), 32, 20, "used"),
                key("new", None, None, None::<&str>, 0, 0, "not_served"),
                key("gone", None, None, Some("2026-06-01T00:00:01Z"), 2, 0, "used"),
            ],
        })
    );
}

#[test]
fn usage_tells_policies_apart() {
    let stats = |policies: &[&str]| {
        let stats = policies.iter().map(|policy| {
            format!(
                r#"{{"name": "wasmcustom.latchkey.{policy}keys", "value": 1}},
                   {{"name": "wasmcustom.latchkey.{policy}allowed", "value": {}}}"#,
                policy.len()
            )
        });
        let stats: Vec<_> = stats.collect();
        admin(&format!(r#"{{"stats": [{}]}}"#, stats.join(",")))
    };
    let both = || stats(&["policy.billing.", "policy.search."]);
    let directory = keys();
    let run = |admin: String, name: &str| {
        TestCommand::new(&directory, &format!("usage --admin {admin} --format json{name}"))
    };
    let allowed = |command: TestCommand| {
        serde_json::from_str::<serde_json::Value>(&command.output()).unwrap()["allowed"].clone()
    };
    assert_eq!(allowed(run(both(), " --name billing")), 15);
    assert_eq!(allowed(run(both(), " --name search")), 14);
    assert_eq!(allowed(run(stats(&["policy.billing."]), "")), 15);
    assert_eq!(allowed(run(stats(&["", "policy.billing."]), " --name=")), 0);
    run(both(), "").prints_error(
        1,
        "error: several policies were served: say which with `--name`, `billing` or `search`\n",
    );
    run(both(), " --name serach").prints_error(1, "error: no policy named `serach` was served\n");
}

#[test]
fn usage_says_what_is_not_counted() {
    let stats = r#"{"stats": [{"name": "wasmcustom.latchkey.keys", "value": 2000}]}"#;
    TestCommand::new(&keys(), &format!("usage --admin {}", admin(stats))).prints(
        0,
        "\
KEY  NAME  CREATED  LAST USED  REQUESTS  REFUSED

nothing is counted per key: the policy needs `metrics: {per_key: true}`

2000 keys served; 0 requests allowed, 0 refused
",
        "",
    );
    let stats = r#"{"stats": [
        {"name": "wasmcustom.latchkey.allowed", "value": 1}, {"name": "wasmcustom.latchkey.keys", "value": 1}
    ]}"#;
    let output = TestCommand::new(&keys(), &format!("usage --admin {}", admin(stats))).output();
    assert!(output.ends_with("\n1 key served; 1 request allowed, 0 refused\n"), "{output}");
    TestCommand::new(&keys(), &format!("usage --admin {}", admin(r#"{"stats": []}"#))).prints(
        0,
        "this Envoy serves no Latchkey policy\n",
        "",
    );
}

#[test]
fn what_is_no_envoy_is_named() {
    let directory = keys();
    TestCommand::new(&directory, "usage --admin 127.0.0.1:9901").prints(
        2,
        "",
        "error: `--admin` is an address such as `http://127.0.0.1:9901`, not `127.0.0.1:9901`\n",
    );
    let address = admin("hello");
    let output = TestCommand::new(&directory, &format!("usage --admin {address}")).everything();
    let expected = format!("error: `{address}` is not an admin port of Envoy: expected value");
    assert!(output.starts_with(&expected), "{output}");
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let command = format!("usage --admin http://{unused}");
    let output = TestCommand::new(&directory, &command).everything();
    let expected = format!("error: cannot read the statistics of Envoy at `http://{unused}`: ");
    assert!(output.starts_with(&expected), "{output}");
}
