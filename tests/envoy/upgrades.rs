//! Requests that ask for another protocol.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Gateway, Key, Setup};

/// An upstream that switches protocols whenever it is asked; its port, and the heads of the requests.
fn upstream() -> (u16, Receiver<String>) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = head_of(&mut stream);
            stream.write_all(ANSWER).unwrap();
            if heads.send(head).is_err() {
                return;
            }
        }
    });
    (port, received)
}

/// The head of a request, in lower case.
fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// An Envoy that lets requests ask for a WebSocket, before that upstream.
fn gateway(policy: &Value, port: u16) -> Gateway {
    const ADDRESS: &str = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ";
    const CHAIN: &str = "                stat_prefix: ingress\n";
    let setup = Setup::new(policy.clone()).change_bootstrap(move |bootstrap| {
        let upgrades = "                upgrade_configs: [{upgrade_type: websocket}]\n";
        let bootstrap = replaced(bootstrap, CHAIN, &format!("{CHAIN}{upgrades}"));
        let (before, after) = bootstrap.split_once(ADDRESS).unwrap();
        let (_, after) = after.split_once('}').unwrap();
        format!("{before}{ADDRESS}{port}}}{after}")
    });
    setup.start()
}

/// What follows an upgrade is no body, whatever a length says.
#[test]
fn a_preflight_opens_no_tunnel() {
    let (port, _heads) = upstream();
    let gateway = gateway(&json!({"credentials": [{"header": "x-api-key"}], "keys": []}), port);
    for length in ["content-length: 0\r\n", ""] {
        let mut connection = gateway.connect();
        let request = format!(
            "OPTIONS /socket HTTP/1.1\r\nhost: api.example.com\r\norigin: https://a.example\r\n\
             access-control-request-method: GET\r\nconnection: Upgrade\r\nupgrade: websocket\r\n{length}\r\n"
        );
        connection.write(request.as_bytes()).unwrap();
        assert_eq!(connection.response(false).unwrap().status, 401, "{length}");
        let line = gateway.log_line(connection.client());
        assert_eq!(line.latchkey.as_deref(), Some("deny missing_credential"), "{length}");
    }
}

/// The next proxy behind Envoy, Apache httpd say, takes out what `connection` names.
#[test]
fn an_upgrade_nominates_no_header_of_ours() {
    let key = Key::new("good");
    let (port, heads) = upstream();
    let policy = json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "account": "org_1", "scopes": ["*:*"]}],
        "upstream_headers": {"x-account-id": "{key.account}", "x-key-id": "{key.id}"},
    });
    let gateway = gateway(&policy, port);
    for (nominated, left) in [
        ("Upgrade", "upgrade"),
        ("Upgrade, x-account-id", "upgrade"),
        ("X_Account_Id, Upgrade, x-key-id, authorization", "upgrade"),
        ("Upgrade, x-theirs", "upgrade, x-theirs"),
        ("keep-alive, Upgrade, x-theirs, script_name", "keep-alive, upgrade, x-theirs"),
    ] {
        let mut connection = gateway.connect();
        let request = format!(
            "GET /socket HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\
             connection: {nominated}\r\nupgrade: websocket\r\nx-account-id: evil\r\n\r\n",
            key.bearer()
        );
        connection.write(request.as_bytes()).unwrap();
        let head = heads.recv().unwrap();
        for line in [
            &format!("connection: {left}"),
            "upgrade: websocket",
            "x-account-id: org_1",
            "x-key-id: good",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{nominated}: {head}");
        }
        assert!(!head.contains("authorization") && !head.contains("evil"), "{nominated}: {head}");
    }
}
