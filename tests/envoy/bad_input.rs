//! Whatever a client sends gets its documented answer, and the next request is served as usual.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use latchkey_cli::cases::CaseRequest;
use serde_json::{Value, json};

use latchkey_testing::{Exchange, Gateway, Key, until};

#[test]
fn header_values_that_are_not_text_are_no_trouble() {
    let probe = Probe::new();
    let bad = b"Bearer \xff\xfe\x80";
    for (name, answer) in [
        ("authorization", ("deny malformed_credential", 401)),
        ("x-api-key", ("deny malformed_credential", 401)),
    ] {
        probe.is_answered(&request("GET /things", &[(name, bad)]), answer);
    }
    let cookie = request("GET /things", &[("cookie", b"a=b; api_key=\xff\xfe")]);
    probe.is_answered(&cookie, ("deny malformed_credential", 401));

    let good = probe.key.bearer();
    for name in [
        "accept",
        "access-control-request-method",
        "content-type",
        "cookie",
        "origin",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-key-id",
        "x-request-id",
        "x-unheard-of",
    ] {
        let headers: [(&str, &[u8]); 2] = [("authorization", good.as_bytes()), (name, bad)];
        probe.is_answered(&request("GET /things", &headers), ("allow key:good", 200));
    }
    for name in ["x-http-method", "x-http-method-override", "x-method-override"] {
        let headers: [(&str, &[u8]); 2] = [("authorization", good.as_bytes()), (name, bad)];
        let answer = ("deny method_not_allowed key:good", 403);
        probe.is_answered(&request("GET /things", &headers), answer);
    }
    // Where a template reads the header.
    let headers: [(&str, &[u8]); 2] = [("authorization", good.as_bytes()), ("x-tenant", bad)];
    let answer = ("deny insufficient_scope key:good", 403);
    probe.is_answered(&request("GET /tenants", &headers), answer);
    probe.finish();
}

#[test]
fn a_token_of_any_length_is_answered() {
    let mut probe = Probe::new();
    for length in [1, 2, 511, 512, 513, 4_096, 30_000, 60_000] {
        let token = "t".repeat(length);
        let reason = if length <= 512 { "deny unknown_key" } else { "deny malformed_credential" };
        for request in [
            request("GET /things", &[("authorization", format!("Bearer {token}").as_bytes())]),
            request("GET /things", &[("x-api-key", token.as_bytes())]),
            request("GET /things", &[("cookie", format!("api_key={token}").as_bytes())]),
            request(&format!("GET /things?api_key={token}"), &[]),
        ] {
            probe.is_answered(&request, (reason, 401));
        }
    }
    // More than Envoy takes as headers.
    let token = "t".repeat(70_000);
    let request = request("GET /things", &[("x-api-key", token.as_bytes())]);
    probe.is_answered(&request, ("", 431));
    probe.secrets.push("t".repeat(500));
    probe.finish();
}

#[test]
fn more_than_one_credential_is_ambiguous_wherever_they_stand() {
    let probe = Probe::new();
    let token = probe.key.token.as_str();
    let bearer = probe.key.bearer();
    let (joined, half_joined) = (format!("{bearer}, {bearer}"), format!("{bearer},{token}"));
    let cookie = format!("api_key={token}");
    let cookies = format!("{cookie}; {cookie}");
    let (query, queries) =
        (format!("/things?api_key={token}"), format!("/things?api_key={token}&api_key={token}"));
    let headers: [(&str, &[(&str, &str)]); 11] = [
        ("/things", &[("authorization", &bearer), ("authorization", &bearer)]),
        ("/things", &[("authorization", &bearer), ("authorization", "Bearer other")]),
        ("/things", &[("authorization", &joined)]),
        ("/things", &[("authorization", &half_joined)]),
        ("/things", &[("x-api-key", token), ("x-api-key", token)]),
        ("/things", &[("x-api-key", "one,two")]),
        ("/things", &[("cookie", &cookies)]),
        ("/things", &[("cookie", &cookie), ("cookie", &cookie)]),
        (&queries, &[]),
        (&query, &[("authorization", &bearer)]),
        ("/things", &[("x-api-key", token), ("cookie", &cookie)]),
    ];
    for (path, headers) in headers {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = request(&format!("GET {path}"), &headers);
        probe.is_answered(&request, ("deny ambiguous_credential", 401));
    }
    probe.finish();
}

#[test]
fn a_path_that_an_upstream_could_read_differently_is_refused() {
    let probe = Probe::new();
    let bearer = probe.key.bearer();
    for path in [
        "/things/../public",
        "/..",
        "/./things",
        "/things/.",
        "/%2e%2e/things",
        "/things/%2E%2e/public",
        "/public/.%2e/things",
        "/things%2fx",
        "/things%2F..%2Fpublic",
        "/things%5cx",
        "/things\\x",
        "/public/..\\things",
        "/..;/things",
        "/public/..;x=1/things",
        "/.;/things",
        "//things",
        "/things//x",
        "/public//",
        "/%zz",
        "/things%",
        "/things%4",
        "/things%00",
        "/things%0a",
        "/%c0%ae%c0%ae/things",
        "/%252e%252e/things",
    ] {
        let headers: [(&str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        let request = request(&format!("GET {path}"), &headers);
        probe.is_answered(&request, ("deny malformed_path", 400));
    }
    probe.finish();
}

#[test]
fn normalizing_sends_on_the_path_that_was_judged() {
    let mut policy = policy(&Key::new("good"));
    policy["path_normalization"] = json!("normalize");
    let probe = Probe::with_policy(&policy);
    for (path, decision, forwarded) in [
        ("/things/../public/x", "allow public", "/public/x"),
        ("/public/%2e%2e/things", "deny missing_credential", ""),
        ("//public///x/./y/", "allow public", "/public/x/y/"),
        ("/public/x?a=/../b", "allow public", "/public/x?a=/../b"),
        ("/things%2f..%2fpublic", "deny malformed_path", ""),
        ("/..;/public/x", "deny malformed_path", ""),
    ] {
        probe.gateway.reports();
        let exchange = probe.gateway.raw(&request(&format!("GET {path}"), &[]));
        assert_eq!(exchange.decision(), decision, "{path}");
        let reports = probe.gateway.reports();
        let forwarded_paths: Vec<&str> =
            reports.iter().filter_map(|report| report.path.as_deref()).collect();
        let expected: &[&str] = if forwarded.is_empty() { &[] } else { &[forwarded] };
        assert_eq!(forwarded_paths, expected, "{path}");
        probe.next_request_is_served();
    }
    probe.finish();
}

#[test]
fn connect_without_a_path_is_judged_like_any_request() {
    let probe = Probe::new();
    let bearer = probe.key.bearer();
    for http2 in [false, true] {
        let mut request = CaseRequest {
            method: "CONNECT".to_owned(),
            path: None,
            authority: "api.example.com:443".to_owned(),
            http2,
            ..CaseRequest::default()
        };
        let answer = probe.gateway.exchange(&request);
        assert_eq!(answer.outcome(), ("deny missing_credential", 401), "HTTP/2: {http2}");
        probe.next_request_is_served();
        let value = latchkey_cli::cases::Value(bearer.clone().into_bytes());
        request.headers.push(("authorization".to_owned(), value));
        let answer = probe.gateway.exchange(&request);
        assert_eq!(answer.outcome(), ("deny method_not_allowed key:good", 403), "HTTP/2: {http2}");
        probe.next_request_is_served();
    }
    probe.finish();
}

#[test]
fn options_of_the_whole_server_is_answered_by_envoy() {
    let probe = Probe::new();
    let bearer = probe.key.bearer();
    probe.is_answered(&request("OPTIONS *", &[]), ("", 404));
    let headers: [(&str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
    probe.is_answered(&request("OPTIONS *", &headers), ("", 404));
    probe.finish();
}

#[test]
fn an_absolute_target_is_judged_by_its_own_host_and_path() {
    let key = Key::new("good");
    let mut policy = policy(&key);
    policy["rules"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"hosts": ["open.example.com"], "access": "public"}));
    let probe = Probe::with_policy(&policy);
    for (target, answer) in [
        ("http://api.example.com/things", ("deny missing_credential", 401)),
        ("http://api.example.com/public/x", ("allow public", 200)),
        ("http://api.example.com", ("deny missing_credential", 401)),
        ("http://api.example.com/public/../things", ("deny malformed_path", 400)),
        ("http://open.example.com/things", ("allow public", 200)),
        ("http://OPEN.example.com:8443/things?a=b", ("allow public", 200)),
        // Not over a connection without TLS.
        ("https://open.example.com/things", ("", 403)),
    ] {
        // The `host` header is `api.example.com`, which must not count.
        probe.is_answered(&request(&format!("GET {target}"), &[]), answer);
    }
    // Envoy joins them, and what comes of it is not a host.
    let twice = b"GET /x HTTP/1.1\r\nhost: open.example.com\r\nhost: open.example.com\r\n\r\n";
    probe.is_answered(twice, ("deny malformed_host", 400));
    let smuggled = b"GET http://api.example.com/things HTTP/1.1\r\nhost: open.example.com\r\n\r\n";
    probe.is_answered(smuggled, ("deny missing_credential", 401));
    probe.finish();
}

#[test]
fn an_odd_method_needs_more_than_a_good_key() {
    let probe = Probe::new();
    let good = ("authorization".to_owned(), probe.key.bearer().into_bytes());
    for method in ["BREW", "get", "Get", "M-SEARCH", "!#$%&'*+-.^_`|~1", "TRACE", "PRI"] {
        let headers = vec![(good.0.clone(), latchkey_cli::cases::Value(good.1.clone()))];
        let request = CaseRequest {
            method: method.to_owned(),
            path: Some("/things".to_owned()),
            headers,
            http2: true,
            ..CaseRequest::default()
        };
        let answer = probe.gateway.exchange(&request);
        assert_eq!(answer.outcome(), ("deny method_not_allowed key:good", 403), "{method}");
        probe.next_request_is_served();
    }
    // Envoy knows what methods HTTP/1 has.
    probe.is_answered(&request("BREW /things", &[]), ("", 400));
    probe.finish();
}

#[test]
fn ninety_headers_are_served_and_too_many_are_envoys_to_refuse() {
    let probe = Probe::new();
    let bearer = probe.key.bearer();
    let names: Vec<String> = (0..120).map(|number| format!("x-header-{number}")).collect();
    let with = |count: usize| {
        let mut headers: Vec<(&str, &[u8])> =
            names.iter().take(count).map(|name| (name.as_str(), &b"value"[..])).collect();
        headers.push(("authorization", bearer.as_bytes()));
        request("GET /things", &headers)
    };
    probe.is_answered(&with(90), ("allow key:good", 200));
    probe.is_answered(&with(120), ("", 431));
    probe.gateway.reports();
    probe.gateway.raw(&with(90));
    let report = probe.gateway.report();
    for name in &names[..90] {
        assert_eq!(report.values(name), ["value"]);
    }
    probe.finish();
}

#[test]
fn a_refused_head_has_no_body_and_its_connection_goes_on() {
    let probe = Probe::new();
    let mut connection = probe.gateway.connect();
    connection.write(&request("HEAD /things", &[])).unwrap();
    let refusal = connection.response(true).unwrap();
    assert_eq!(refusal.status, 401);
    assert_eq!(refusal.values("www-authenticate"), ["Bearer realm=\"api\""]);
    let line = probe.gateway.log_line(connection.client());
    assert_eq!(line.latchkey.as_deref(), Some("deny missing_credential"));

    let bearer = probe.key.bearer();
    connection.write(&request("GET /things", &[("authorization", bearer.as_bytes())])).unwrap();
    assert_eq!(connection.response(false).unwrap().status, 200);
    probe.finish();
}

#[test]
fn a_body_of_10_megabytes_is_refused_before_it_is_read() {
    const LENGTH: usize = 10 * 1024 * 1024;
    let probe = Probe::new();
    let head = format!(
        "POST /things HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: {LENGTH}\r\n\r\n"
    );
    // Not a byte of the body is needed for the answer.
    probe.is_answered(head.as_bytes(), ("deny missing_credential", 401));

    // A client that sends it all the same.
    let mut connection = TcpStream::connect(probe.gateway.address).unwrap();
    let client = connection.local_addr().unwrap();
    let sender = thread::spawn(move || {
        // Envoy may close the connection in the middle of it.
        let _ = connection.write_all(head.as_bytes());
        let _ = connection.write_all(&vec![b'x'; LENGTH]);
    });
    let line = probe.gateway.log_line(client);
    assert_eq!(line.latchkey.as_deref(), Some("deny missing_credential"));
    sender.join().unwrap();
    probe.next_request_is_served();
    assert!(probe.gateway.reports().iter().all(|report| report.method == "GET"));

    // With a good key it arrives whole.
    let bearer = probe.key.bearer();
    let head = format!(
        "POST /things HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {bearer}\r\ncontent-length: {LENGTH}\r\n\r\n"
    );
    probe.gateway.raw(&[head.as_bytes(), &vec![b'x'; LENGTH]].concat());
    assert_eq!(probe.gateway.report().body_bytes, LENGTH);
    probe.finish();
}

#[test]
fn what_envoy_cannot_parse_never_reaches_the_filter() {
    let probe = Probe::new();
    for bytes in [
        &b"GET /things HTTP/1.1\r\n\r\n"[..],
        b"GET /th\xffings HTTP/1.1\r\nhost: api.example.com\r\n\r\n",
        b"GET /things HTTP/1.1\r\nhost: api.example.com\r\nx-nul: a\0b\r\n\r\n",
        b"GET /things#fragment HTTP/1.1\r\nhost: api.example.com\r\n\r\n",
        b"GET /things HTTP/1.1\r\nhost: api.example.com\r\nbad name: x\r\n\r\n",
        b"GET\r\n\r\n",
    ] {
        let mut connection = probe.gateway.connect();
        connection.write(bytes).unwrap();
        let response = connection.response(false).unwrap();
        assert_eq!(response.status, 400, "{}", bytes.escape_ascii());
        probe.next_request_is_served();
    }
    assert!(probe.gateway.access_log_text().lines().all(|line| {
        !line.contains("\"latchkey\":\"") || line.contains("\"latchkey\":\"allow key:good\"")
    }));
    probe.finish();
}

#[test]
fn a_request_that_breaks_off_leaves_nothing_behind() {
    let probe = Probe::new();
    let whole = request("GET /things", &[("authorization", probe.key.bearer().as_bytes())]);
    for length in (1..whole.len()).step_by(7) {
        let mut connection = probe.gateway.connect();
        connection.write(&whole[..length]).unwrap();
    }
    until("the broken connections to be gone", || {
        let active = probe.gateway.stats()["http.ingress.downstream_cx_active"];
        (active == 0).then_some(())
    });
    probe.next_request_is_served();
    probe.finish();
}

/// A gateway, its one good key, and what must never stand in a log.
struct Probe {
    gateway: Gateway,
    key: Key,
    secrets: Vec<String>,
}

impl Probe {
    fn new() -> Probe {
        Probe::with_policy(&policy(&Key::new("good")))
    }

    fn with_policy(policy: &Value) -> Probe {
        let key = Key::new("good");
        let secrets = vec![key.token.clone()];
        Probe { gateway: Gateway::start(policy), key, secrets }
    }

    /// Sends these bytes, and an ordinary request after them.
    fn is_answered(&self, request: &[u8], answer: (&str, u16)) -> Exchange {
        let exchange = self.gateway.raw(request);
        let shown = &request[..request.len().min(200)];
        assert_eq!(exchange.outcome(), answer, "{}", shown.escape_ascii());
        self.next_request_is_served();
        exchange
    }

    fn next_request_is_served(&self) {
        let exchange = self.gateway.get("/things", &[("authorization", &self.key.bearer())]);
        assert_eq!(exchange.outcome(), ("allow key:good", 200));
    }

    /// No request took the filter down, and no log holds what clients sent.
    fn finish(self) {
        let log = self.gateway.log_text();
        let trouble: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("panic") || line.contains("][critical]"))
            .collect();
        assert!(trouble.is_empty(), "{trouble:#?}");
        for secret in &self.secrets {
            assert!(!log.contains(secret.as_str()), "Envoy's log holds `{secret}`");
            let access_log = self.gateway.access_log_text();
            assert!(!access_log.contains(secret.as_str()), "the access log holds `{secret}`");
        }
    }
}

/// One key, which may stand in any kind of place, and rules that look at paths.
fn policy(key: &Key) -> Value {
    json!({
        "credentials": [
            {"header": "authorization", "scheme": "Bearer"},
            {"header": "x-api-key"},
            {"query": "api_key"},
            {"cookie": "api_key"},
        ],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read", "*:write"]}],
        "rules": [
            {"paths": ["/public/**"], "access": "public"},
            {"paths": ["/tenants"], "require": ["{header.x-tenant}:read"]},
        ],
        "upstream_headers": {"x-key-id": "{key.id}"},
        "response_headers": {"request-id": "req_{request_id}"},
    })
}

/// A request to `api.example.com` in HTTP/1's words.
fn request(line: &str, headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nhost: api.example.com\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}
