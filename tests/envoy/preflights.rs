//! A preflight is known by its content: what a proxy does while nobody knows if a body comes.

use latchkey_testing::{Connection, Gateway, Key, until};
use serde_json::json;

const HEAD: &str = "OPTIONS /things HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\n\
                    access-control-request-method: GET\r\n";

#[test]
fn few_preflights_go_ahead_of_a_body_that_does_not_come() {
    const MOST: usize = 64;
    let gateway = gateway("body");
    let waiting: Vec<Connection> = (0..MOST).map(|_| begun(&gateway)).collect();
    until("all of them to be ahead", || (active(&gateway) == MOST as u64).then_some(()));

    let mut one_more = begun(&gateway);
    assert_eq!(one_more.response(false).unwrap().status, 401);
    assert_eq!(
        gateway.log_line(one_more.client()).latchkey.as_deref(),
        Some("deny missing_credential")
    );
    // Those that end with their headers are as many as there are.
    let whole = gateway.raw(format!("{HEAD}\r\n").as_bytes());
    assert_eq!(whole.outcome(), ("allow preflight", 200));

    for mut connection in waiting {
        connection.write(b"0\r\n\r\n").unwrap();
        assert_eq!(connection.response(false).unwrap().status, 200);
    }
    let mut next = begun(&gateway);
    next.write(b"0\r\n\r\n").unwrap();
    assert_eq!(next.response(false).unwrap().status, 200);
}

#[test]
fn a_preflight_that_is_given_up_makes_room_for_another() {
    let gateway = gateway("body");
    for _ in 0..3 {
        let waiting: Vec<Connection> = (0..50).map(|_| begun(&gateway)).collect();
        until("all of them to be ahead", || (active(&gateway) == 50).then_some(()));
        drop(waiting);
        until("all of them to be gone", || (active(&gateway) == 0).then_some(()));
    }
}

#[test]
fn a_body_that_comes_late_does_not_reach_the_upstream() {
    for hold in ["body", "headers"] {
        let gateway = gateway(hold);
        let mut connection = begun(&gateway);
        if hold == "body" {
            until("its headers to be ahead", || (active(&gateway) == 1).then_some(()));
        }
        connection.write(b"1\r\nx\r\n").unwrap();
        assert_eq!(connection.response(false).unwrap().status, 401, "{hold}");
        let line = gateway.log_line(connection.client());
        assert_eq!(line.latchkey.as_deref(), Some("deny missing_credential"), "{hold}");
        assert!(gateway.reports().is_empty(), "{hold}");
        if hold == "headers" {
            assert_eq!(gateway.stats()["cluster.upstream.upstream_rq_total"], 0);
        }
    }
}

fn gateway(hold: &str) -> Gateway {
    let key = Key::new("good");
    Gateway::start(json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read"]}],
        "rules": [{
            "paths": ["/graphql"],
            "graphql": {"require": "{field}:{operation}", "hold": hold},
        }],
    }))
}

/// A preflight of which only the headers have come.
fn begun(gateway: &Gateway) -> Connection {
    let mut connection = gateway.connect();
    connection.write(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    connection
}

/// How many requests the upstream has not answered.
fn active(gateway: &Gateway) -> u64 {
    gateway.stats()["cluster.upstream.upstream_rq_active"]
}
