//! The command line beside a real Envoy: what is pushed takes effect, and what was done is counted.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../../tests/harness/mod.rs"]
mod harness;
mod support;

use harness::{Connection, Gateway, Key, until};
use support::Directory;

/// So many keys are revoked one after the other.
const ROUNDS: usize = 20;

#[test]
fn a_revoked_key_is_refused_once_it_is_pushed_and_no_answer_is_wrong() {
    let (steady, unknown, spare) = (Key::new("steady"), Key::new("unknown"), Key::new("spare"));
    let keys: Vec<Key> = (0..ROUNDS).map(|index| Key::new(&format!("k{index}"))).collect();
    let directory = Directory::new();
    let credentials = json!([{"header": "authorization", "scheme": "Bearer"}]);
    let policy = directory
        .write("policy.json", &json!({"credentials": credentials, "keys": []}).to_string());
    let mut file = "keys:\n".to_owned();
    for key in keys.iter().chain([&steady, &spare]) {
        let (id, hash) = (&key.id, key.hash());
        writeln!(file, "  - {{id: {id}, hash: \"{hash}\", scopes: [read]}}").unwrap();
    }
    let keys_file = directory.write("keys.yaml", &file);
    let gateway = Gateway::start(json!({"credentials": credentials, "keys": []}));
    // The gateway itself stays on this thread.
    let (wasm, ecds) = (gateway.wasm().to_owned(), gateway.ecds_file());
    let push = || {
        let files = [path(&policy), "--keys", path(&keys_file), "--ecds", path(&ecds)];
        latchkey(&[&["push"], &files[..], &["--wasm", path(&wasm)]].concat());
    };
    gateway.pushed_by(push).unwrap();

    let stop = AtomicBool::new(false);
    let mut waits: Vec<Duration> = Vec::new();
    let address = gateway.address;
    let answers = thread::scope(|scope| {
        // Whatever fails in here, the clients stop.
        let _stop = StopOnDrop(&stop);
        let load = [(&steady, 200), (&steady, 200), (&unknown, 401)].map(|(key, status)| {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = Client::new(address, key);
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.status(), status, "{} under load", key.id);
                    answers += 1;
                }
                answers
            })
        });
        for key in &keys {
            let mut client = Client::new(address, key);
            assert_eq!(client.status(), 200, "{} before it is revoked", key.id);
            latchkey(&["key", "revoke", &key.id, "--keys", path(&keys_file)]);
            assert_eq!(client.status(), 200, "{} before the push", key.id);
            let start = Instant::now();
            let pushed = scope.spawn(push);
            until("a refusal", || match client.status() {
                200 => None,
                401 => Some(()),
                status => panic!("{status} while {} is revoked", key.id),
            });
            waits.push(start.elapsed());
            pushed.join().unwrap();
            for _ in 0..50 {
                assert_eq!(client.status(), 401, "{} after it was refused", key.id);
            }
        }
        stop.store(true, Ordering::Relaxed);
        load.map(|client| client.join().unwrap())
    });
    waits.sort_unstable();
    println!(
        "push to refusal under load, {ROUNDS} rounds: median {:?}, worst {:?}; {} answers to \
         others, none wrong",
        waits[ROUNDS / 2],
        waits[ROUNDS - 1],
        answers.iter().sum::<usize>()
    );

    let admin = format!("http://{}", gateway.admin_address());
    let usage = ["usage", "--admin", &admin, "--keys", path(&keys_file), "--format", "json"];
    let counted = until("the counts of every request", || {
        let usage: Value = serde_json::from_slice(&latchkey(&usage).stdout).unwrap();
        // The filter hands its counts over about once a second.
        let requests = key_usage(&usage, "steady")["requests"].as_u64();
        (requests == Some((answers[0] + answers[1]) as u64)).then_some(usage)
    });
    assert_eq!(key_usage(&counted, "steady")["state"], "used");
    assert_eq!(key_usage(&counted, "steady")["denied"], 0);
    assert_eq!(key_usage(&counted, "spare")["state"], "never_used");
    assert_eq!(key_usage(&counted, "k0")["denied"], 51);
    assert_eq!(counted["denied"]["unknown_key"], answers[2]);
    assert_eq!(counted["denied"]["revoked_key"], 51 * ROUNDS);
    assert_eq!(counted["served_keys"], ROUNDS + 2);
}

fn key_usage<'u>(usage: &'u Value, id: &str) -> &'u Value {
    usage["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `latchkey`, which must go well.
fn latchkey(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    let output = command.args(arguments).env_remove("LATCHKEY_PEPPER").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Asks with one key, over one connection.
struct Client {
    connection: Connection,
    request: String,
}

impl Client {
    fn new(address: SocketAddr, key: &Key) -> Client {
        let bearer = key.bearer();
        let request =
            format!("GET / HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {bearer}\r\n\r\n");
        Client { connection: Connection::open(address).unwrap(), request }
    }

    fn status(&mut self) -> u16 {
        self.connection.write(self.request.as_bytes()).unwrap();
        self.connection.response(false).unwrap().status
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
