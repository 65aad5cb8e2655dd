//! Large policies pushed again and again, while streams of each stay open.

use std::fmt::Write as _;

use serde_json::{Value, json};

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Connection, Gateway, Key};

/// 60,000 keys with ten attributes of about 250 bytes, 160 MiB: the second push once ended the worker.
#[test]
fn a_large_policy_is_replaced_while_streams_of_each_before_stay_open() {
    let key = Key::new("good");
    let keys = keys(60_000, |key, index| {
        let attribute = |at| format!(r#""a{at}":"{:0250}""#, index * 10 + at);
        let attributes: Vec<String> = (0..10).map(attribute).collect();
        write!(key, r#","attributes":{{{}}}"#, attributes.join(",")).unwrap();
    });
    let gateway = Gateway::start(policy(&key));
    let mut open: Vec<Connection> = Vec::new();
    for generation in ["one", "two"] {
        open.push(left_open(&gateway, &key));
        let mut policy = policy(&key);
        policy["realm"] = json!(generation);
        let policy = gateway.ecds(policy);
        let marked = format!("\"keys\": [\n{keys}");
        gateway.push_ecds(&replaced(&policy, "\"keys\": [", &marked)).unwrap();
        assert_eq!(gateway.get("/", &[]).outcome(), ("deny missing_credential", 401));
        let good = gateway.get("/", &[("authorization", &key.bearer())]);
        assert_eq!(good.outcome(), ("allow key:good", 200));
    }
    gateway.push(policy(&key));
    assert_eq!(gateway.get("/", &[("authorization", &key.bearer())]).outcome().1, 200);
    let log = gateway.log_text();
    let alarms = ["no memory left", "memory allocation", "[critical]"];
    assert!(alarms.iter().all(|alarm| !log.contains(alarm)), "{log}");
}

#[test]
fn a_policy_that_could_not_be_replaced_is_refused_and_the_old_one_serves() {
    let key = Key::new("good");
    let gateway = Gateway::start(policy(&key));
    let mut large = policy(&key);
    large["name"] = json!("n".repeat(64));
    large["metrics"] = json!({"per_key": true});
    let large = gateway.ecds(large);
    let keys = keys(700_000, |_, _| {});
    let refusal =
        gateway.push_ecds(&replaced(&large, "\"keys\": [", &format!("\"keys\": [\n{keys}")));
    let refusal = refusal.unwrap_err();
    let finding = "/metrics: a policy of this size cannot be replaced while it serves: that takes more \
                   than the 1024 MiB of memory that a VM has";
    assert!(refusal.contains(finding), "{refusal}");
    let good = gateway.get("/", &[("authorization", &key.bearer())]);
    assert_eq!(good.outcome(), ("allow key:good", 200));
}

fn policy(key: &Key) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:*"]}],
    })
}

/// So many keys as they stand in an ECDS file, each with what `more` adds.
fn keys(count: usize, more: impl Fn(&mut String, usize)) -> String {
    let mut keys = String::new();
    for index in 0..count {
        write!(keys, r#"              {{"id":"k{index}","hash":"sha256:{index:064x}""#).unwrap();
        more(&mut keys, index);
        keys.push_str("},\n");
    }
    keys
}

/// A request that was let through, and whose body never ends.
fn left_open(gateway: &Gateway, key: &Key) -> Connection {
    let mut connection = gateway.connect();
    let head = format!(
        "POST /open HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\
         content-length: 1000\r\n\r\n",
        key.bearer()
    );
    connection.write(head.as_bytes()).unwrap();
    connection
}
