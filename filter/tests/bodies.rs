//! Requests that are held until their body is judged, and sessions, at the border to the host.

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use latchkey::{Claim, Claims};
use latchkey_testing::host::{Headers, Host, Metric, Outcome, Stream, values};
use serde_json::{Value, json};

/// The token of the only key, and `sha256:` of it.
const TOKEN: &str = "lk_open";
const HASH: &str = "sha256:592c68294bdaa03bcde2240d825c16bff6c004845d6f55212f4e31bb5b12471c";

#[test]
fn a_body_in_pieces_is_held_and_goes_on_whole() {
    for hold in ["body", "headers"] {
        let mut host = configured(&policy(hold));
        let mut stream = begun(&mut host, hold);
        for piece in [r#"{"query":"#, r#""{ "#, "allowed"] {
            let held = host.request_body(&mut stream, piece.as_bytes(), false);
            assert_eq!(held, Outcome::Hang, "{hold}");
        }
        let end = host.request_body(&mut stream, br#" }"}"#, true);
        assert!(matches!(end, Outcome::Continue(_)), "{hold}: {end}");
        let exchange = host.close(stream);
        assert_eq!(exchange.decision(), "allow key:open", "{hold}");
        assert_eq!(exchange.body, br#"{"query":"{ allowed }"}"#, "{hold}");
    }
}

#[test]
fn a_document_in_the_url_is_judged_before_the_body_has_come() {
    for hold in ["body", "headers"] {
        for (method, query, refused) in [
            ("GET", "query=%7Bsecret%7D", Some(403)),
            ("POST", "query=%7Bsecret%7D", Some(403)),
            ("GET", "queryId=1", Some(400)),
            ("GET", "query=%7B", Some(400)),
            ("GET", "a=b", Some(400)),
            ("GET", "query=%7Ballowed%7D", None),
            ("POST", "a=b", None),
        ] {
            let mut host = configured(&policy(hold));
            let mut stream = host.open();
            let mut headers = request();
            headers[0].1 = method.as_bytes().to_vec();
            headers[1].1 = format!("/graphql?{query}").into_bytes();
            match host.request_headers(&mut stream, &headers, false) {
                Outcome::Reply { status, .. } => assert_eq!(Some(status), refused, "{query}"),
                _ => assert_eq!(refused, None, "{hold}: {method} {query}"),
            }
        }
    }
}

/// Envoy answers 408 to a body that takes too long.
#[test]
fn an_answer_of_the_proxy_to_a_held_request_has_the_policys_headers() {
    for hold in ["body", "headers"] {
        let mut policy = policy(hold);
        policy["response_headers"] = json!({"x-own": "always"});
        let mut host = configured(&policy);
        let mut stream = begun(&mut host, hold);
        host.respond(&mut stream, &[(":status".to_owned(), b"408".to_vec())]);
        let exchange = host.close(stream);
        assert_eq!(values(&exchange.response, "x-own"), [b"always"], "{hold}");
    }
}

#[test]
fn requests_that_never_end_do_not_fill_the_vm() {
    const LARGE: usize = 60_000;
    for hold in ["body", "headers"] {
        let mut host = configured(&policy(hold));
        let mut large = request();
        large.push(("x-large".to_owned(), vec![b'x'; LARGE]));
        let mut held = Vec::new();
        let refusal = loop {
            let mut stream = host.open();
            let outcome = host.request_headers(&mut stream, &large, false);
            held.push(stream);
            if matches!(outcome, Outcome::Reply { .. }) || held.len() * LARGE > 128 << 20 {
                break outcome;
            }
        };
        assert!(matches!(refusal, Outcome::Reply { status: 503, .. }), "{hold}: {refusal}");
        assert!(held.len() > 1_000, "{hold}: {}", held.len());
        // One that needs no body is decided, and once they have ended, all are.
        assert_eq!(host.exchange(&request()).decision(), "deny malformed_graphql key:open");
        held.into_iter().for_each(|stream| drop(host.close(stream)));
        begun(&mut host, hold);
    }
}

#[test]
fn trailers_end_a_body() {
    for hold in ["body", "headers"] {
        for (field, decision) in
            [("allowed", "allow key:open"), ("secret", "deny insufficient_scope key:open")]
        {
            let mut host = configured(&policy(hold));
            let mut stream = begun(&mut host, hold);
            let body = format!(r#"{{"query":"{{ {field} }}"}}"#);
            assert_eq!(host.request_body(&mut stream, body.as_bytes(), false), Outcome::Hang);
            let (end, _) = host.request_trailers(&mut stream, &trailers(&["x-trailer"]));
            assert_eq!(matches!(end, Outcome::Continue(_)), field == "allowed", "{end}");
            assert_eq!(host.close(stream).decision(), decision, "{hold}");
        }
    }
}

fn trailers(names: &[&str]) -> Headers {
    names.iter().map(|name| ((*name).to_owned(), b"evil".to_vec())).collect()
}

/// Some upstreams take trailers for headers: what a policy sets, removes or reads in headers is not in them,
/// of a request that was decided by its headers, and of one that was held.
#[test]
fn no_header_of_ours_stands_in_trailers() {
    for hold in ["body", "headers"] {
        let mut policy = policy(hold);
        policy["upstream_headers"] =
            json!({"x-account-id": "{key.account}", "x-key-id": "{key.id}"});
        let mut host = configured(&policy);
        let mut decided = request();
        decided[0].1 = b"GET".to_vec();
        decided[1].1 = b"/other".to_vec();
        for headers in [decided, request()] {
            let mut stream = host.open();
            host.request_headers(&mut stream, &headers, false);
            host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, false);
            let sent = trailers(&[
                "grpc-status",
                "x-account-id",
                "x_key_id",
                "x.account.id",
                "authorization",
                "x-http-method-override",
                "script_name",
                "x-account",
            ]);
            let (_, left) = host.request_trailers(&mut stream, &sent);
            assert_eq!(left, trailers(&["grpc-status", "x-account"]));
            host.close(stream);
        }
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_its_end() {
    for hold in ["body", "headers"] {
        let mut host = configured(&policy(hold));
        let mut stream = begun(&mut host, hold);
        let large = host.request_body(&mut stream, &[b' '; 101], false);
        assert!(matches!(large, Outcome::Reply { status: 400, .. }), "{hold}: {large}");
        assert_eq!(host.close(stream).decision(), "deny malformed_graphql key:open");
    }
}

/// Envoy refuses one itself, unless `upgrade_configs` allow it.
#[test]
fn an_upgrade_is_refused_since_nobody_judges_what_follows() {
    let mut host = configured(&policy("body"));
    let mut headers = request();
    headers[0].1 = b"GET".to_vec();
    headers[1].1 = b"/graphql?query=%7Ballowed%7D".to_vec();
    assert_eq!(host.exchange(&headers).decision(), "allow key:open");
    headers.push(("upgrade".to_owned(), b"websocket".to_vec()));
    assert_eq!(host.exchange(&headers).decision(), "deny malformed_graphql key:open");
}

#[test]
fn a_body_that_cannot_be_read_lets_nobody_in() {
    for hold in ["body", "headers"] {
        let mut host = configured(&policy(hold));
        let mut stream = host.open();
        let mut headers = request();
        headers[1].1 = b"/graphql?query=%7Ballowed%7D".to_vec();
        host.request_headers(&mut stream, &headers, false);
        host.fail_calls_to("proxy_get_buffer_bytes");
        let end = host.request_body(&mut stream, br#"{"query":"{ secret }"}"#, true);
        assert!(matches!(end, Outcome::Trap(_)), "{hold}: {end}");
    }
}

/// As the proxy tells of a body of which nothing came.
#[test]
fn trailers_without_a_body_end_an_empty_one() {
    for (path, decision) in [
        ("/graphql", "deny malformed_graphql key:open"),
        ("/graphql?query=%7Ballowed%7D", "allow key:open"),
    ] {
        let mut host = configured(&policy("body"));
        let mut stream = host.open();
        let mut headers = request();
        headers[1].1 = path.as_bytes().to_vec();
        host.request_headers(&mut stream, &headers, false);
        host.request_trailers(&mut stream, &trailers(&["x-trailer"]));
        assert_eq!(host.close(stream).decision(), decision, "{path}");
    }
}

#[test]
fn a_held_request_is_judged_by_the_policy_in_force_when_its_body_is_whole() {
    let changes = [
        ("deny revoked_key key:open", "/keys/0/disabled", json!(true)),
        ("deny unknown_key", "/keys", json!([])),
        (
            "deny insufficient_scope key:open",
            "/rules/0/graphql/fields/allowed",
            json!("secret:write"),
        ),
        ("allow key:open", "/keys/0/disabled", json!(false)),
    ];
    for (hold, (expected, place, value)) in ["body", "headers"]
        .into_iter()
        .flat_map(|hold| changes.clone().map(|change| (hold, change)))
    {
        let mut host = configured(&policy(hold));
        let mut stream = begun(&mut host, hold);
        let mut changed = policy(hold);
        changed["keys"][0]["disabled"] = json!(false);
        *changed.pointer_mut(place).unwrap() = value;
        assert!(host.configure(changed.to_string().as_bytes()), "{:#?}", host.logs());
        host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, true);
        let exchange = host.close(stream);
        assert_eq!(exchange.decision(), expected, "{hold}");
        let is_allowed = matches!(exchange.outcome, Outcome::Continue(_));
        assert_eq!(is_allowed, expected.starts_with("allow"), "{hold}: {}", exchange.outcome);
    }
}

/// Two listeners, whose policies have different names, and one VM.
#[test]
fn a_held_request_is_not_judged_by_the_policy_of_another_name() {
    let mut host = configured(&policy("body"));
    let mut stream = begun(&mut host, "body");
    let mut other = policy("body");
    other["name"] = json!("other");
    other["keys"][0]["disabled"] = json!(true);
    assert!(host.configure(other.to_string().as_bytes()), "{:#?}", host.logs());
    host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, true);
    assert_eq!(host.close(stream).decision(), "allow key:open");
}

#[test]
fn a_held_request_that_ends_without_a_decision_is_counted_and_told_with_its_key() {
    for hold in ["body", "headers"] {
        let mut named = policy(hold);
        named["name"] = json!("billing");
        let mut host = configured(&named);
        let stream = begun(&mut host, hold);
        host.close(stream);
        let mut stream = begun(&mut host, hold);
        host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, true);
        host.close(stream);
        host.tick();
        let count = |name: &str| host.metrics()[&format!("latchkey.policy.billing.{name}")];
        assert_eq!(count("undecided"), Metric::Counter(1), "{hold}");
        assert_eq!(count("allowed"), Metric::Counter(1), "{hold}");
        let line = "policy billing: undecided key:open: the request ended before its body";
        let lines: Vec<_> = host.logs().iter().map(|line| line.text.as_str()).collect();
        assert_eq!(lines.iter().filter(|text| **text == line).count(), 1, "{lines:#?}");
        assert!(lines.iter().all(|text| !text.contains(TOKEN)), "{lines:#?}");
    }
}

/// Envoy writes what is left of them into its access log, if it answers itself: 408, say.
#[test]
fn headers_that_wait_hold_no_credential_and_get_back_what_the_upstream_is_to_have() {
    for forward in [false, true] {
        let mut policy = policy("headers");
        policy["forward_credential"] = json!(forward);
        policy["credentials"] =
            json!([{"header": "authorization", "scheme": "Bearer"}, {"query": "key"}]);
        let mut host = configured(&policy);
        let in_query = ("/graphql?a=b&key=lk_open", "/graphql?a=b");
        let in_header = ("/graphql?a=b", "/graphql?a=b");
        for (is_query, (path, without)) in [(true, in_query), (false, in_header)] {
            let mut headers = request();
            headers[1].1 = path.as_bytes().to_vec();
            if is_query {
                headers.retain(|(name, _)| name != "authorization");
            }
            let mut left = host.open();
            host.request_headers(&mut left, &headers, false);
            let left = host.close(left).request;
            assert_eq!(values(&left, "authorization"), [b""; 0]);
            assert_eq!(values(&left, ":path"), [without.as_bytes()]);

            let mut stream = host.open();
            host.request_headers(&mut stream, &headers, false);
            host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, true);
            let exchange = host.close(stream);
            let upstream = exchange.upstream();
            if forward {
                let sorted = |headers: &Headers| {
                    let mut headers = headers.clone();
                    headers.sort();
                    headers
                };
                assert_eq!(sorted(upstream), sorted(&headers));
            } else {
                assert_eq!(values(upstream, "authorization"), [b""; 0]);
                assert_eq!(values(upstream, ":path"), [without.as_bytes()]);
                assert_eq!(values(upstream, ":authority"), [b"api.example.com"]);
            }
        }
    }
}

#[test]
fn a_session_costs_one_call_and_only_where_the_policy_has_sessions() {
    let reads = |calls: &[String]| calls.iter().filter(|call| call.contains("property")).count();
    let mut with = policy("body");
    with["sessions"] = json!({"payload": "session", "id": "sub", "scopes": "scope"});
    let mut get = request();
    get[0].1 = b"GET".to_vec();
    get[1].1 = b"/things".to_vec();

    let mut host = configured(&policy("body"));
    let without = host.exchange(&get);
    assert_eq!(without.decision(), "allow key:open");
    let mut host = configured(&with);
    let beside = host.exchange(&get);
    assert_eq!(beside.decision(), "allow key:open");
    // One call sets filter state; the other asks for the claims.
    assert_eq!((reads(&without.calls), reads(&beside.calls)), (1, 2));
    assert!(without.calls.len() <= 4, "{:?}", without.calls);
    assert!(beside.calls.len() <= 5, "{:?}", beside.calls);

    let claims = claims();
    host.set_claims("session", Some(&claims));
    assert_eq!(host.exchange(&get).decision(), "deny ambiguous_credential");
    get.retain(|(name, _)| name != "authorization");
    assert_eq!(host.exchange(&get).decision(), "allow session:u1");
    host.set_claims("another", Some(&claims));
    assert_eq!(host.exchange(&get).decision(), "deny missing_credential");
}

#[test]
fn a_held_request_keeps_the_session_that_it_began_with() {
    for hold in ["body", "headers"] {
        let mut policy = policy(hold);
        policy["sessions"] = json!({"payload": "session", "id": "sub", "scopes": "scope"});
        let mut host = configured(&policy);
        host.set_claims("session", Some(&claims()));
        let mut stream = host.open();
        let mut headers = request();
        headers.retain(|(name, _)| name != "authorization");
        host.request_headers(&mut stream, &headers, false);
        host.set_claims("session", None);
        let end = host.request_body(&mut stream, br#"{"query":"{ allowed }"}"#, true);
        assert!(matches!(end, Outcome::Continue(_)), "{hold}: {end}");
        assert_eq!(host.close(stream).decision(), "allow session:u1", "{hold}");
    }
}

fn claims() -> Claims {
    let claims = [("sub", "u1"), ("scope", "*:read allowed:read")];
    claims.map(|(name, value)| (name.to_owned(), Claim::Text(value.to_owned()))).to_vec()
}

fn policy(hold: &str) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": "open", "hash": HASH, "scopes": ["allowed:read", "*:read"]}],
        "rules": [{"paths": ["/graphql"], "graphql": {
            "require": "{operation}:{field}", "max_bytes": 100, "hold": hold,
            "fields": {"allowed": "allowed:read", "secret": "secret:write"},
        }}],
    })
}

fn configured(policy: &Value) -> Host {
    let mut host = Host::load();
    assert!(host.configure(policy.to_string().as_bytes()), "{:#?}", host.logs());
    host
}

/// A stream whose headers have come, and wait or have gone ahead.
fn begun(host: &mut Host, hold: &str) -> Stream {
    let mut stream = host.open();
    let headers = host.request_headers(&mut stream, &request(), false);
    assert_eq!(headers == Outcome::Hang, hold == "headers", "{headers}");
    stream
}

fn request() -> Headers {
    let authorization = format!("Bearer {TOKEN}");
    let pairs = [
        (":method", "POST"),
        (":path", "/graphql"),
        (":authority", "api.example.com"),
        ("content-type", "application/json"),
        ("authorization", &authorization),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec()
}
