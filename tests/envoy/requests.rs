//! What the upstream gets.

use serde_json::json;

use latchkey_testing::access_log::bytes;
use latchkey_testing::{Gateway, Key, Report};

#[test]
fn a_request_arrives_unchanged_but_for_what_the_policy_changes() {
    let key = Key::new("good");
    // Header, query and cookie to take out and two headers to set: the filter writes the whole map.
    let gateway = Gateway::start(json!({
        "credentials": [{"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}],
        "keys": [{"id": key.id, "hash": key.hash(), "account": "ws_1", "scopes": ["*:*"]}],
        "rules": [{"paths": ["/public/**"], "access": "public"}, {"paths": ["/**"]}],
        "upstream_headers": {"x-key-id": "{key.id}", "x-workspace-id": "{key.account}"},
    }));
    let mut others: Vec<u8> = b"accept: a/b\r\nx-twice: 1\r\nX-Other: Mixed Case\r\nx-twice: 2\r\n\
        accept: c/d\r\nx-bytes: \xff\xfe\x80\r\nx-empty:\r\nx-latin: caf\xe9\r\nx-twice: 1\r\n\
        cookie: a=b; c=\"d\"\r\nuser-agent: test\r\nx-last: %00%zz;,\\\r\n"
        .to_vec();
    for number in 0..70 {
        others.extend(format!("x-many-{}: {number}\r\n", number % 35).into_bytes());
    }
    let send = |target: &str, more: &[u8]| {
        let line = format!("POST {target} HTTP/1.1\r\nhost: api.example.com:8443\r\n");
        let end = b"content-length: 4\r\n\r\nbody";
        let exchange = gateway.raw(&[line.as_bytes(), more, &others, end].concat());
        assert_eq!(exchange.response.status, 200, "{:?}", exchange.decision());
        gateway.report()
    };
    let query = "a=%2F&&b&c=%zz&d=a+b";
    // Nothing is to change on a public path.
    let untouched = send(&format!("/public/x?{query}"), b"");
    assert_eq!(untouched.path, Some(format!("/public/x?{query}")));
    assert_eq!(untouched.values("x-bytes").concat().chars().count(), 3);
    assert_eq!(bytes(untouched.values("x-bytes")[0]), b"\xff\xfe\x80");
    assert_eq!(untouched.values("x-empty"), [""]);

    let in_header = format!(
        "x-api-key: {}\r\nX-Key-Id: forged\r\nx-workspace-id: a\r\nx-workspace-id: b\r\n",
        key.token
    );
    let in_query = format!("/things?{query}&api_key={}", key.token);
    let in_cookie = format!("cookie: api_key={}\r\n", key.token);
    for changed in [
        send(&format!("/things?{query}"), in_header.as_bytes()),
        send(&in_query, b"x_key_id: forged\r\n"),
    ] {
        assert_eq!(changed.path, Some(format!("/things?{query}")));
        assert_eq!(changed.authority, untouched.authority);
        assert_eq!(changed.method, "POST");
        assert_eq!(changed.body.as_deref(), Some("body"));
        assert_eq!(changed.values("x-key-id"), ["good"]);
        assert_eq!(changed.values("x-workspace-id"), ["ws_1"]);
        assert_eq!(others_of(&changed), others_of(&untouched));
        no_token(&changed, &key);
    }
    let changed = send(&format!("/things?{query}"), in_cookie.as_bytes());
    assert_eq!(changed.values("cookie"), ["a=b; c=\"d\""]);
    no_token(&changed, &key);
    let without_cookie = |report: &Report| {
        let mut others = others_of(report);
        others.retain(|(name, _)| name != "cookie");
        others
    };
    assert_eq!(without_cookie(&changed), without_cookie(&untouched));
}

#[test]
fn a_chunked_body_arrives_whole_behind_rewritten_headers() {
    let key = Key::new("good");
    let gateway = Gateway::start(json!({
        "credentials": [{"header": "x-api-key"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:*"]}],
        "upstream_headers": {"x-key-id": "{key.id}"},
    }));
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        key.token
    );
    assert_eq!(gateway.raw(request.as_bytes()).outcome(), ("allow key:good", 200));
    let report = gateway.report();
    assert_eq!(report.body.as_deref(), Some("abcdefg"));
    assert_eq!(report.values("x-api-key"), [""; 0]);
    assert_eq!(report.values("x-key-id"), ["good"]);
}

/// All headers but those that tell one request from another and those that the policy sets.
fn others_of(report: &Report) -> Vec<(String, String)> {
    let own = ["x-request-id", "x-key-id", "x-workspace-id"];
    let others = report.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    others.cloned().collect()
}

fn no_token(report: &Report, key: &Key) {
    assert!(!format!("{report:?}").contains(&key.token), "{report:#?}");
}
