//! Requests whose body decides.

use http::{HeaderMap, HeaderValue};
use latchkey_cli::cases::{self, CaseRequest};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};

use latchkey_testing::{Exchange, Gateway, Key, until};

/// A document over an allowed field, made this long by a comment.
fn query(field: &str, bytes: usize) -> String {
    let query = json!({"query": format!("{{ {field} }} #{}", "x".repeat(bytes))});
    query.to_string()
}

fn policy(key: &Key, hold: &str) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["allowed:read"]}],
        "rules": [{"paths": ["/graphql"], "graphql": {
            "require": "{field}:{operation}", "max_bytes": 65536, "hold": hold,
        }}],
        "upstream_headers": {"x-key-id": "{key.id}"},
    })
}

/// A gateway for each way to hold a request, and what it must do alike.
fn each_hold(law: impl Fn(&Gateway, &Key)) {
    let key = Key::new("good");
    for hold in ["body", "headers"] {
        law(&Gateway::start(policy(&key, hold)), &key);
    }
}

fn head(key: &Key, more: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\
         content-type: application/json\r\n{more}\r\n",
        key.bearer()
    )
}

/// Sends a request in pieces, and reads its response.
fn in_pieces<'p>(
    gateway: &Gateway,
    head: &str,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Exchange {
    let mut connection = gateway.connect();
    connection.write(head.as_bytes()).unwrap();
    for piece in pieces {
        // A refusal may come before the last piece, which Envoy then does not take.
        if connection.write(piece).is_err() {
            break;
        }
    }
    let response = connection.response(false).unwrap();
    Exchange { response, log: gateway.log_line(connection.client()) }
}

fn with_length(gateway: &Gateway, key: &Key, body: &str, more: &str) -> Exchange {
    let head = head(key, &format!("content-length: {}\r\n{more}", body.len()));
    in_pieces(gateway, &head, body.as_bytes().chunks(1000))
}

#[test]
fn a_good_body_arrives_byte_for_byte() {
    let mut random = ChaCha8Rng::from_seed([1; 32]);
    let mut text = |length: usize| -> String {
        (0..length).map(|_| char::from(b' ' + (random.next_u32() % 95) as u8)).collect()
    };
    let bodies = [0, 3000, 5000, 50_000].map(|length| {
        json!({"query": "{ allowed }", "variables": {"text": text(length)}}).to_string()
    });
    each_hold(|gateway, key| {
        for body in &bodies {
            let exchange = with_length(gateway, key, body, "");
            assert_eq!(exchange.outcome(), ("allow key:good", 200));
            check_arrival(gateway, body);
        }
    });
}

/// An upstream that reads a document in the URL need not wait for the body.
#[test]
fn a_document_in_the_url_is_judged_before_the_body_has_come() {
    each_hold(|gateway, key| {
        for (start, decision, status) in [
            ("GET /graphql?query={secret}", "deny insufficient_scope key:good", 403),
            ("POST /graphql?query={secret}", "deny insufficient_scope key:good", 403),
            ("GET /graphql?queryId=1&query={allowed}", "deny malformed_graphql key:good", 400),
            ("GET /graphql", "deny malformed_graphql key:good", 400),
        ] {
            // The body never comes.
            let head = format!(
                "{start} HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\
                 transfer-encoding: chunked\r\n\r\n",
                key.bearer()
            );
            let exchange = gateway.raw(head.as_bytes());
            assert_eq!(exchange.outcome(), (decision, status), "{start}");
        }
        assert!(gateway.reports().is_empty());
    });
}

/// The body of the one request that reached the upstream is this one.
fn check_arrival(gateway: &Gateway, body: &str) {
    let report = gateway.report();
    assert_eq!(report.body_bytes, body.len());
    assert_eq!(report.body_adler32, adler2::adler32_slice(body.as_bytes()));
    assert!(report.body.is_none_or(|arrived| arrived == body));
}

#[test]
fn a_body_in_many_frames_with_trailers_is_judged() {
    let trailers =
        || HeaderMap::from_iter([("x-trailer".parse().unwrap(), HeaderValue::from_static("a"))]);
    each_hold(|gateway, key| {
        for (field, outcome) in [
            ("allowed", ("allow key:good", 200)),
            ("secret", ("deny insufficient_scope key:good", 403)),
        ] {
            let body = query(field, 10_000);
            let value = |text: &str| cases::Value(text.as_bytes().to_vec());
            let request = CaseRequest {
                method: "POST".to_owned(),
                path: Some("/graphql".to_owned()),
                headers: vec![
                    ("authorization".to_owned(), value(&key.bearer())),
                    ("content-type".to_owned(), value("application/json")),
                ],
                chunks: body
                    .as_bytes()
                    .chunks(100)
                    .map(|piece| str::from_utf8(piece).unwrap().to_owned())
                    .collect(),
                http2: true,
                ..CaseRequest::default()
            };
            for trailers in [HeaderMap::new(), trailers()] {
                let exchange = gateway.exchange_with_trailers(&request, trailers);
                assert_eq!(exchange.outcome(), outcome);
                if exchange.response.status == 200 {
                    check_arrival(gateway, &body);
                } else {
                    assert!(gateway.reports().is_empty());
                }
            }
        }
    });
}

#[test]
fn a_body_that_comes_slowly_is_held_until_it_is_whole() {
    each_hold(|gateway, key| {
        let received = || {
            let name = "http.ingress.downstream_cx_rx_bytes_total";
            gateway.stats().get(name).copied().unwrap_or_default()
        };
        let slow = |body: &str, piece: usize| {
            let head = head(key, &format!("content-length: {}\r\n", body.len()));
            let mut connection = gateway.connect();
            for bytes in std::iter::once(head.as_bytes()).chain(body.as_bytes().chunks(piece)) {
                let goal = received() + bytes.len() as u64;
                connection.write(bytes).unwrap();
                until("Envoy to read what was sent", || (received() >= goal).then_some(()));
            }
            let response = connection.response(false).unwrap();
            Exchange { response, log: gateway.log_line(connection.client()) }
        };
        for (field, outcome) in [
            ("allowed", ("allow key:good", 200)),
            ("secret", ("deny insufficient_scope key:good", 403)),
        ] {
            // The last bytes decide.
            let body = json!({"variables": {}, "query": format!("{{ {field} }}")}).to_string();
            assert_eq!(slow(&body, 1).outcome(), outcome);
            let body = query(field, 3000);
            assert_eq!(slow(&body, 1000).outcome(), outcome);
        }
        let arrived: Vec<usize> =
            gateway.reports().iter().map(|report| report.body_bytes).collect();
        assert_eq!(arrived.len(), 2, "{arrived:?}");
    });
}

#[test]
fn a_field_that_is_not_allowed_is_refused_wherever_it_stands() {
    each_hold(|gateway, key| {
        for document in [
            "{ secret }",
            "{ allowed: secret }",
            "{ allowed ...F } fragment F on Query { secret }",
            "query A { allowed } query B { secret }",
            "mutation { allowed }",
            "{ __schema { types { name } } }",
        ] {
            let body = json!({"query": document}).to_string();
            let exchange = with_length(gateway, key, &body, "");
            assert_eq!(exchange.outcome(), ("deny insufficient_scope key:good", 403), "{document}");
            assert_eq!(
                exchange.response.text(),
                r#"{"error":"forbidden","message":"This operation is not allowed for this key"}"#
            );
        }
        let batch = json!([{"query": "{ allowed }"}, {"query": "{ secret }"}]).to_string();
        let exchange = with_length(gateway, key, &batch, "");
        assert_eq!(exchange.outcome(), ("deny insufficient_scope key:good", 403));
        assert_eq!(gateway.reports().len(), 0);
    });
}

#[test]
fn a_body_without_length_is_judged_when_it_ends() {
    each_hold(|gateway, key| {
        for (field, outcome) in [
            ("allowed", ("allow key:good", 200)),
            ("secret", ("deny insufficient_scope key:good", 403)),
        ] {
            let body = query(field, 40_000);
            let mut chunks: Vec<u8> = Vec::new();
            for piece in body.as_bytes().chunks(777) {
                chunks.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                chunks.extend(piece);
                chunks.extend(b"\r\n");
            }
            // With trailers as well: they end a body without telling its last piece so.
            for end in ["0\r\n\r\n", "0\r\nx-trailer: a\r\n\r\n"] {
                let whole = [&chunks, end.as_bytes()].concat();
                let head = head(key, "transfer-encoding: chunked\r\n");
                let exchange = in_pieces(gateway, &head, whole.chunks(500));
                assert_eq!(exchange.outcome(), outcome, "{end:?}");
            }
        }
    });
}

#[test]
fn what_cannot_be_read_is_refused_and_the_next_request_is_served() {
    each_hold(|gateway, key| {
        let good = query("allowed", 10);
        let large = query("allowed", 70_000);
        for (body, more) in [
            (large.as_str(), ""),
            ("{", ""),
            ("{}", ""),
            (good.as_str(), "content-encoding: gzip\r\n"),
            ("", ""),
        ] {
            let exchange = with_length(gateway, key, body, more);
            assert_eq!(exchange.outcome(), ("deny malformed_graphql key:good", 400), "{body:.40}");
            let exchange = with_length(gateway, key, &good, "");
            assert_eq!(exchange.outcome(), ("allow key:good", 200));
        }
        // Too large, and not saying so.
        let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
        let head = head(key, "transfer-encoding: chunked\r\n");
        let exchange = in_pieces(gateway, &head, chunk.as_bytes().chunks(10_000));
        assert_eq!(exchange.outcome(), ("deny malformed_graphql key:good", 400));
    });
}

#[test]
fn a_get_carries_its_document_in_the_url() {
    each_hold(|gateway, key| {
        let bearer = key.bearer();
        let headers = [("authorization", bearer.as_str())];
        for (target, outcome) in [
            ("/graphql?query=%7Ballowed%7D", ("allow key:good", 200)),
            ("/graphql?query=%7Bsecret%7D", ("deny insufficient_scope key:good", 403)),
            ("/graphql?qu%65ry=%7Bsecret%7D", ("deny insufficient_scope key:good", 403)),
            ("/graphql?Query=%7Bsecret%7D", ("deny ambiguous_query", 400)),
            ("/graphql", ("deny malformed_graphql key:good", 400)),
        ] {
            assert_eq!(gateway.get(target, &headers).outcome(), outcome, "{target}");
        }
    });
}
