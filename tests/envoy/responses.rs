//! What clients get.

use latchkey_cli::cases::{CaseRequest, Value};
use latchkey_cli::policy::Policy;
use serde_json::json;

use crate::harness::gateway::replaced;
use crate::harness::{Gateway, Key, Setup, repository};

#[test]
fn every_response_has_exactly_one_request_id() {
    let key = Key::new("good");
    let gateway = Gateway::start(json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["read"]}],
        "rules": [{"paths": ["/public/**"], "access": "public"}, {"paths": ["/**"]}],
        "response_headers": {"request-id": "req_{request_id}"},
    }));
    let (bearer, several) = (key.bearer(), "request-id=a&x-own=b&request-id=c&x-own=d");
    let wants = ("x-upstream-response-headers", several);
    for (path, headers, status) in [
        ("/things", vec![("authorization", bearer.as_str())], 200),
        ("/things", vec![("authorization", &bearer), wants], 200),
        ("/public/x", vec![wants], 200),
        ("/public/x", vec![("x-request-id", "mine"), ("request-id", "mine")], 200),
        ("/things", vec![], 401),
        ("/things", vec![("authorization", "Bearer wrong"), wants], 401),
        ("/things/../x", vec![("authorization", bearer.as_str())], 400),
    ] {
        let exchange = gateway.get(path, &headers);
        assert_eq!(exchange.response.status, status, "{path}");
        let expected = format!("req_{}", exchange.log.request_id.as_deref().unwrap());
        assert_eq!(exchange.response.values("request-id"), [expected.as_str()], "{path}");
        assert_eq!(exchange.log.response_request_id, Some(expected), "{path}");
        let own: &[&str] =
            if status == 200 && headers.contains(&wants) { &["b", "d"] } else { &[] };
        assert_eq!(exchange.response.values("x-own"), own, "{path}");
    }
}

#[test]
fn an_error_of_envoys_own_has_a_request_id() {
    let policy = Policy::load(&repository("envoy/systems/flora.yaml"), None).unwrap();
    let policy = String::from_utf8(policy.to_json().unwrap()).unwrap();
    let without_route =
        |text: &str| replaced(text, "match: {prefix: \"/\"}", "match: {prefix: \"/x\"}");
    let gateway = Setup::new(policy).change_bootstrap(without_route).start();
    let bearer = "Bearer sk_live_demoStudio00000000000000";
    let exchange = gateway.get("/api/v1/models", &[("authorization", bearer)]);
    assert_eq!(exchange.outcome(), ("allow key:studio", 404));
    let expected = format!("req_{}", exchange.log.request_id.as_deref().unwrap());
    assert_eq!(exchange.response.values("request-id"), [expected]);
    assert_eq!(exchange.log.account.as_deref(), Some("ws_studio"));
}

#[test]
fn a_refused_grpc_caller_gets_a_status_and_the_plain_message() {
    let key = Key::new("good");
    let gateway = Gateway::start(json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["read"]}],
        "errors": {"forbidden": {"message": "not with this key, 100 % sure"}},
    }));
    let bearer = key.bearer();
    for (authorization, status, message) in [
        ("Bearer wrong", "16", "Invalid or missing API key"),
        (bearer.as_str(), "7", "not with this key, 100 %25 sure"),
    ] {
        let value = |text: &str| Value(text.as_bytes().to_vec());
        let exchange = gateway.exchange(&CaseRequest {
            method: "POST".to_owned(),
            path: Some("/things.Things/Make".to_owned()),
            headers: vec![
                ("content-type".to_owned(), value("application/grpc")),
                ("te".to_owned(), value("trailers")),
                ("authorization".to_owned(), value(authorization)),
            ],
            body: Some("\0\0\0\0\0".to_owned()),
            http2: true,
            ..CaseRequest::default()
        });
        assert_eq!(exchange.response.status, 200);
        assert_eq!(exchange.response.values("content-type"), ["application/grpc"]);
        assert_eq!(exchange.response.values("grpc-status"), [status]);
        assert_eq!(exchange.response.values("grpc-message"), [message]);
        assert!(exchange.response.body.is_empty());
    }
}
