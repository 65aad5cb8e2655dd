//! A policy replaced while requests flow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::gateway::replaced;
use crate::harness::{Connection, Gateway, Key, until};

#[test]
fn a_pushed_policy_takes_over_without_a_wrong_answer() {
    let (old, new, steady, unknown) =
        (Key::new("old"), Key::new("new"), Key::new("steady"), Key::new("unknown"));
    let before = policy(&[(&old, false), (&steady, false)]);
    let after = policy(&[(&old, true), (&steady, false), (&new, false)]);
    let gateway = Gateway::start(&before);

    let clients = [&old, &new, &steady, &steady, &unknown].map(Client::new);
    let stop = AtomicBool::new(false);
    let statuses = thread::scope(|scope| {
        // Whatever fails in here, the clients stop.
        let _stop = StopOnDrop(&stop);
        let threads = clients.each_ref().map(|client| {
            let (address, stop) = (gateway.address, &stop);
            scope.spawn(move || client.run(address, stop))
        });
        let some_more = || {
            let goals = clients.each_ref().map(|client| client.count() + 30);
            until("requests from every client", || {
                let mut clients = clients.iter().zip(goals);
                clients.all(|(client, goal)| client.count() >= goal).then_some(())
            });
        };
        some_more();
        gateway.push(&after);
        some_more();
        // The new policy serves on while a broken one is refused.
        let broken = replaced(&gateway.ecds(&after), "\"keys\":", "\"kees\":");
        let refusal = gateway.push_ecds(&broken).unwrap_err();
        assert!(refusal.contains("did you mean `keys`?"), "{refusal}");
        some_more();
        let refusal = gateway.push_ecds("resources: [").unwrap_err();
        assert!(refusal.contains("Filesystem config update failure"), "{refusal}");
        some_more();
        stop.store(true, Ordering::Relaxed);
        threads.map(|thread| thread.join().unwrap())
    });

    let runs = statuses.map(runs);
    assert_eq!(
        runs.each_ref().map(Vec::as_slice),
        [[200, 401].as_slice(), &[401, 200], &[200], &[200], &[401],]
    );
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

/// A client that sends one request after the other over one connection.
struct Client {
    authorization: String,
    answered: AtomicUsize,
}

impl Client {
    fn new(key: &Key) -> Client {
        Client { authorization: key.bearer(), answered: AtomicUsize::new(0) }
    }

    /// The status of every answer, until told to stop.
    fn run(&self, address: SocketAddr, stop: &AtomicBool) -> Vec<u16> {
        let request = format!(
            "GET /things HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\r\n",
            self.authorization
        );
        let mut connection = Connection::open(address).unwrap();
        let mut statuses = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            connection.write(request.as_bytes()).unwrap();
            statuses.push(connection.response(false).unwrap().status);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        statuses
    }

    fn count(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The statuses, each once for as long as it stays the same.
fn runs(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.dedup();
    statuses
}

/// Keys, and whether they are revoked.
fn policy(keys: &[(&Key, bool)]) -> Value {
    let key = |(key, disabled): &(&Key, bool)| json!({"id": key.id, "hash": key.hash(), "scopes": ["read"], "disabled": disabled});
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
    })
}
