//! What clients get.

use std::net::TcpListener;

use latchkey_cli::cases::{CaseRequest, Value};
use serde_json::json;

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Exchange, Gateway, Key, Setup, repository};

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
        check_request_id(&exchange, path);
        let own: &[&str] =
            if status == 200 && headers.contains(&wants) { &["b", "d"] } else { &[] };
        assert_eq!(exchange.response.values("x-own"), own, "{path}");
    }
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
        let exchange = gateway.exchange(&grpc("/things.Things/Make", authorization));
        assert_eq!(exchange.response.status, 200);
        assert_eq!(exchange.response.values("content-type"), ["application/grpc"]);
        assert_eq!(exchange.response.values("grpc-status"), [status]);
        assert_eq!(exchange.response.values("grpc-message"), [message]);
        assert!(exchange.response.body.is_empty());
    }
}

/// FLORA's policy on Envoy.
fn flora() -> Setup {
    Setup::of_system("flora")
}

const STUDIO: &str = "Bearer sk_live_demoStudio00000000000000";
const AGENCY: &str = "Bearer sk_live_demoAgency00000000000000";
const SANDBOX: &str = "Bearer sk_test_demoStudio00000000000000";

/// The one `request-id` of a response, which the access log names, too.
fn check_request_id(exchange: &Exchange, what: &str) {
    let expected = format!("req_{}", exchange.log.request_id.as_deref().unwrap());
    assert_eq!(exchange.response.values("request-id"), [expected.as_str()], "{what}");
    assert_eq!(exchange.log.response_request_id, Some(expected), "{what}");
}

#[test]
fn an_error_of_envoys_own_has_a_request_id() {
    let without_route =
        |text: &str| replaced(text, "match: {prefix: \"/\"}", "match: {prefix: \"/x\"}");
    // A port that was free a moment ago, and that nobody listens on.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let without_upstream = move |text: &str| {
        let (_, rest) = text.split_once("- name: upstream\n      type: STATIC").unwrap();
        let (_, port) = rest.split_once("port_value: ").unwrap();
        let (port, _) = port.split_once('}').unwrap();
        replaced(text, &format!("port_value: {port}}}"), &format!("port_value: {nobody}}}"))
    };
    for (gateway, status) in [
        (flora().change_bootstrap(without_route).start(), 404),
        (flora().change_bootstrap(without_upstream).start(), 503),
    ] {
        let exchange = gateway.get("/api/v1/models", &[("authorization", STUDIO)]);
        assert_eq!(exchange.outcome(), ("allow key:studio", status));
        check_request_id(&exchange, &status.to_string());
        assert_eq!(exchange.log.account.as_deref(), Some("ws_studio"));
        // A gRPC caller gets the error as trailers only.
        let exchange = gateway.exchange(&grpc("/api/v1/assets", STUDIO));
        assert_eq!(exchange.outcome(), ("allow key:studio", 200));
        assert!(!exchange.response.values("grpc-status").is_empty());
        check_request_id(&exchange, "gRPC");
    }
}

#[test]
fn a_grpc_answer_that_is_trailers_only_has_the_request_id_in_place_of_its_own() {
    let gateway = flora().start();
    let mut request = grpc("/api/v1/assets", STUDIO);
    let wanted = "request-id=own&content-type=application%2Fgrpc&grpc-status=5";
    request.headers.push(("x-upstream-response-headers".to_owned(), value(wanted)));
    let exchange = gateway.exchange(&request);
    assert_eq!(exchange.outcome(), ("allow key:studio", 200));
    assert_eq!(exchange.response.values("grpc-status"), ["5"]);
    assert!(exchange.response.body.is_empty());
    check_request_id(&exchange, "trailers only");
}

#[test]
fn the_access_log_joins_request_id_key_and_account_on_refusals_too() {
    let gateway = flora().start();
    let forged = [("x-workspace-id", "ws_forged"), ("x-account-id", "ws_forged")];
    let (studio, agency) = (Some("ws_studio"), Some("ws_agency"));
    let old = "Bearer sk_live_demoRevoked0000000000000";
    for (method, path, authorization, decision, account) in [
        ("GET", "/api/v1/models", STUDIO, "allow key:studio", studio),
        ("POST", "/api/v1/projects", STUDIO, "allow key:studio", studio),
        ("POST", "/api/v1/projects", AGENCY, "deny condition_failed key:agency", agency),
        ("DELETE", "/api/v1/models/m", STUDIO, "deny insufficient_scope key:studio", studio),
        ("TRACE", "/api/v1/models", STUDIO, "deny method_not_allowed key:studio", studio),
        ("GET", "/api/v1/billing", AGENCY, "deny denied_by_rule key:agency", agency),
        ("GET", "/api/v1/models", old, "deny revoked_key key:studio-2025", studio),
        ("GET", "/api/v1/models", SANDBOX, "deny key_type_disabled key:studio-sandbox", studio),
        ("GET", "/api/v1/models", "Bearer sk_live_unknown", "deny unknown_key", None),
        ("GET", "/api/v1/models", "Bearer else", "deny malformed_credential", None),
        ("GET", "/api/v1/models", "Basic dTpw", "deny missing_credential", None),
        ("GET", "/api/v1/../models", STUDIO, "deny malformed_path", None),
    ] {
        let exchange = gateway.exchange(&CaseRequest {
            method: method.to_owned(),
            path: Some(path.to_owned()),
            headers: forged
                .into_iter()
                .chain([("authorization", authorization)])
                .map(|(name, text)| (name.to_owned(), value(text)))
                .collect(),
            ..CaseRequest::default()
        });
        assert_eq!(exchange.decision(), decision, "{method} {path}");
        assert_eq!(exchange.log.account.as_deref(), account, "{decision}");
        check_request_id(&exchange, decision);
    }
    // A preflight is nobody's, whatever its headers say.
    let preflight = format!(
        "OPTIONS /api/v1/models HTTP/1.1\r\nhost: a\r\norigin: https://a.example\r\n\
         access-control-request-method: GET\r\n{}\r\n",
        forged.map(|(name, text)| format!("{name}: {text}\r\n")).concat()
    );
    let exchange = gateway.raw(preflight.as_bytes());
    assert_eq!(exchange.decision(), "allow preflight");
    assert_eq!(exchange.log.account, None);
    check_request_id(&exchange, "preflight");
}

#[test]
fn an_account_that_the_policy_does_not_publish_is_nobodys_word() {
    let key = Key::new("good");
    let policy = json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read"], "account": "ws_own"}],
        "upstream_headers": {"x-workspace-id": "{key.account}"},
    });
    let gateway = Setup::new(policy).start();
    let headers = [("x-account-id", "ws_forged"), ("authorization", &key.bearer())];
    let exchange = gateway.get("/", &headers);
    assert_eq!(exchange.outcome(), ("allow key:good", 200));
    assert_eq!(exchange.log.account, None);
    let upstream = gateway.report();
    assert_eq!(upstream.values("x-workspace-id"), ["ws_own"]);
}

/// Which pages CORS lets read answers, and which ones the widget's key is for, are the same.
#[test]
fn the_cors_policy_of_flowyte_fits_its_publishable_key() {
    let jwks = std::fs::read_to_string(repository("envoy/systems/flowyte.jwks.json")).unwrap();
    let gateway = Setup::of_system("flowyte").file("jwks.json", jwks).start();
    let key = ("authorization", "Bearer flowyte_pk_demoWidget0000000000000000000000");
    for (is_listed, origins) in [
        (
            true,
            &[
                "https://shop.example.com",
                "https://eu.shop.example.org",
                "https://a.b.shop.example.org",
                "https://a-1_b.shop.example.org",
            ][..],
        ),
        (
            false,
            &[
                "https://shop.example.org",
                "https://shop.example.org.evil.test",
                "https://eu.shop.example.org.evil.test",
                "https://evilshop.example.org",
                "https://eu.evilshop.example.org",
                "https://eu.shop.example.com",
                "https://eu.shop-example.org",
                "https://eu.shop.exampleworg",
                "https://eu.shop.example.org:8443",
                "http://eu.shop.example.org",
                "http://shop.example.com",
                "https://.shop.example.org",
                "https://a..shop.example.org",
                "https://evil.test/.shop.example.org",
                "https://evil.test?x.shop.example.org",
                "https://evil.test:1.shop.example.org",
                "https://me@eu.shop.example.org",
                "null",
            ],
        ),
    ] {
        for origin in origins {
            let listed: &[&str] = if is_listed { &[origin] } else { &[] };
            let preflight = format!(
                "OPTIONS /v1/agents/ag_demo/chat HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\n\
                 access-control-request-method: POST\r\n\r\n"
            );
            let response = gateway.raw(preflight.as_bytes()).response;
            assert_eq!(response.values("access-control-allow-origin"), listed, "{origin}");
            let exchange = gateway.get("/v1/agents/ag_demo/chat", &[key, ("origin", origin)]);
            let status = if is_listed { 200 } else { 403 };
            assert_eq!(exchange.response.status, status, "{origin}: {}", exchange.decision());
            let response = exchange.response;
            assert_eq!(response.values("access-control-allow-origin"), listed, "{origin}");
        }
    }
}

/// Envoy answers 408 itself to a body that does not come.
#[test]
fn an_answer_of_envoys_to_a_held_request_has_the_policys_headers() {
    let key = Key::new("good");
    for hold in ["body", "headers"] {
        let policy = json!({
            "credentials": [{"header": "authorization", "scheme": "Bearer"}],
            "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read"]}],
            "rules": [{
                "paths": ["/graphql"],
                "graphql": {"require": "{field}:{operation}", "hold": hold},
            }],
            "response_headers": {"request-id": "req_{request_id}"},
        });
        let line = "                generate_request_id: true\n";
        let with_timeout = move |text: &str| {
            replaced(text, line, &format!("{line}                request_timeout: 0.2s\n"))
        };
        let gateway = Setup::new(policy).change_bootstrap(with_timeout).start();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            key.bearer()
        );
        let exchange = gateway.raw(head.as_bytes());
        assert_eq!(exchange.response.status, 408, "{hold}");
        check_request_id(&exchange, hold);
    }
}

fn value(text: &str) -> Value {
    Value(text.as_bytes().to_vec())
}

/// A call over HTTP/2.
fn grpc(path: &str, authorization: &str) -> CaseRequest {
    CaseRequest {
        method: "POST".to_owned(),
        path: Some(path.to_owned()),
        headers: vec![
            ("content-type".to_owned(), value("application/grpc")),
            ("te".to_owned(), value("trailers")),
            ("authorization".to_owned(), value(authorization)),
        ],
        body: Some("\0\0\0\0\0".to_owned()),
        http2: true,
        ..CaseRequest::default()
    }
}
