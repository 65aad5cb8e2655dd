//! Apollo Client and urql, which first ask for a query by its hash alone, before a real GraphQL server.
//!
//! It takes Node.js with npm: `envoy/install-tools node`. What `tests/clients/package-lock.json` pins goes to
//! `.tools/clients`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use latchkey_testing::{Gateway, Key, Setup, repository};
use serde_json::{Value, json};

/// What `docs/configuration.md` shows: clients send the text of a query whose hash was not found.
#[test]
fn clients_send_the_text_when_the_hash_is_not_found() {
    let key = Key::new("good");
    let mut clients = Clients::start();
    let policy = policy(&key, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound");
    let gateway = Setup::new(policy).upstream(clients.upstream).start();
    for question in clients.ask(&gateway, &key) {
        let hash = &question["seen"][0]["persisted"];
        match question["kind"].as_str().unwrap() {
            "SECRET" => {
                assert_eq!(question["statuses"], json!([400, 403]), "{question}");
                assert_eq!(question["seen"], json!([]), "{question}");
                assert!(question["answer"]["error"].is_string(), "{question}");
            }
            _ => {
                assert_eq!(question["statuses"], json!([400, 200]), "{question}");
                check_answer(&question);
                assert_eq!(hash["version"], 1, "{question}");
                assert_eq!(hash["sha256Hash"].as_str().unwrap().len(), 64, "{question}");
                let client = question["client"].as_str().unwrap();
                assert_eq!(hash["miss"] == true, client.starts_with("urql"), "{question}");
                // Its text comes in the URL as well; Apollo Client sends a text in a body only.
                let is_get = client == "urql, GET" && question["kind"] != "MUTATION";
                let method = if is_get { "GET" } else { "POST" };
                assert_eq!(question["seen"][0]["method"], method, "{question}");
            }
        }
    }
}

/// Told that hashes are not supported, they send none any more.
#[test]
fn clients_send_no_hash_when_hashes_are_not_supported() {
    let key = Key::new("good");
    let mut clients = Clients::start();
    let policy = policy(&key, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported");
    let gateway = Setup::new(policy).upstream(clients.upstream).start();
    for question in clients.ask(&gateway, &key) {
        match question["kind"].as_str().unwrap() {
            "SECRET" => assert_eq!(question["statuses"], json!([403]), "{question}"),
            kind => {
                let statuses = if kind == "QUERY" { json!([400, 200]) } else { json!([200]) };
                assert_eq!(question["statuses"], statuses, "{question}");
                check_answer(&question);
                assert_eq!(question["seen"][0]["persisted"], Value::Null, "{question}");
            }
        }
    }
}

/// The upstream saw one request, with its text, and the client has the data.
fn check_answer(question: &Value) {
    let seen = question["seen"].as_array().unwrap();
    assert_eq!(seen.len(), 1, "{question}");
    assert_eq!(seen[0]["hasText"], true, "{question}");
    let item = &question["answer"]["data"]["item"];
    assert!(item["id"] == "1" || item["name"] == "one", "{question}");
}

/// A policy that words a hash without its text as such a server does that knows of none.
fn policy(key: &Key, code: &str, message: &str) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["item:read", "item:write"]}],
        "rules": [{"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}"}}],
        "errors": {
            "body": {"errors": [{"message": "{message}", "extensions": {"code": "{code}"}}]},
            "reasons": {"malformed_graphql": {"code": code, "message": message}},
        },
    })
}

/// `tests/clients/persisted.mjs`, killed when dropped.
struct Clients {
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Where its GraphQL server listens.
    upstream: SocketAddr,
}

impl Clients {
    fn start() -> Clients {
        let mut process = Command::new("node")
            .arg(installed().join("persisted.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("no `node` ({error}): run `envoy/install-tools node`"));
        let input = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Clients { process, input, lines, upstream }
    }

    /// What became of each question of each client: four of four.
    fn ask(&mut self, gateway: &Gateway, key: &Key) -> Vec<Value> {
        writeln!(self.input, "http://{}/graphql {}", gateway.address, key.token).unwrap();
        let lines = self.lines.by_ref().map(Result::unwrap);
        let answers = lines.take_while(|line| line != "done");
        let answers: Vec<_> = answers.map(|line| serde_json::from_str(&line).unwrap()).collect();
        assert_eq!(answers.len(), 16, "{answers:#?}");
        answers
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder with the clients and what they need, brought by npm unless they are there.
fn installed() -> PathBuf {
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // A test that panicked has left nothing that the next does not see to.
    let _guard = INSTALLING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (source, home) = (repository("tests/clients"), repository(".tools/clients"));
    fs::create_dir_all(&home).unwrap();
    fs::copy(source.join("persisted.mjs"), home.join("persisted.mjs")).unwrap();
    let lock = fs::read_to_string(source.join("package-lock.json")).unwrap();
    let mark = home.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == lock) {
        return home;
    }
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), home.join(name)).unwrap();
    }
    let status = Command::new("npm")
        .args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&home)
        .status()
        .unwrap_or_else(|error| panic!("no `npm` ({error}): run `envoy/install-tools node`"));
    assert!(status.success(), "npm cannot install what `tests/clients/package-lock.json` names");
    fs::write(&mark, lock).unwrap();
    home
}
