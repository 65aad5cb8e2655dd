//! A request's trailers before an upstream that speaks HTTP/2. Some take them for headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use latchkey_cli::cases::{CaseRequest, Value};
use serde_json::json;

use latchkey_testing::gateway::replaced;
use latchkey_testing::http2::Upstream;
use latchkey_testing::{Gateway, Key, Setup};

/// What the policy sets, reads and removes, in several spellings, and a parameter that a header may pass for.
const OWN: [&str; 12] = [
    "x-account-id",
    "x_account_id",
    "x-account.id",
    "x_key_id",
    "authorization",
    "x-api-key",
    "cookie",
    "x-type",
    "x-http-method-override",
    "script_name",
    "query",
    "operation-name",
];

/// What is theirs.
const OTHER: [&str; 2] = ["x-checksum", "x-account"];

#[test]
fn no_header_of_ours_reaches_an_upstream_in_trailers() {
    let key = Key::new("good");
    let query = json!({"query": "{ allowed }"}).to_string();
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let bearer = key.bearer();
    let presented = [("authorization", &*bearer), ("content-type", "application/json")];
    for hold in ["body", "headers"] {
        let upstream = Upstream::start();
        let gateway = gateway(&upstream, &key, hold);
        for (decision, method, path, headers, body) in [
            ("allow key:good", "GET", "/things", &presented[..], None),
            ("allow key:good", "POST", "/things", &presented, Some("x")),
            ("allow key:good", "GET", "/graphql?query=%7Ballowed%7D", &presented, None),
            ("allow key:good", "POST", "/graphql", &presented, Some(&*query)),
            ("allow public", "GET", "/public", &[], None),
            ("allow public", "POST", "/public", &presented, Some("x")),
            ("allow preflight", "OPTIONS", "/things", &preflight, None),
            ("allow preflight", "OPTIONS", "/graphql", &preflight, None),
        ] {
            let value = |text: &str| Value(text.as_bytes().to_vec());
            let request = CaseRequest {
                method: method.to_owned(),
                path: Some(path.to_owned()),
                headers: headers
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), value(text)))
                    .collect(),
                body: body.map(str::to_owned),
                ..CaseRequest::default()
            };
            for (sent, expected) in [
                (trailers(&[&OWN[..], &OTHER].concat()), trailers(&OTHER)),
                (trailers(&OWN), trailers(&[])),
            ] {
                let exchange = gateway.exchange_with_trailers(&request, sent);
                assert_eq!(exchange.outcome(), (decision, 200), "{hold} {method} {path}");
                let arrivals = upstream.arrivals();
                assert_eq!(arrivals.len(), 1, "{hold} {method} {path}: {arrivals:#?}");
                assert_eq!(arrivals[0].trailers, expected, "{hold} {method} {path}");
                assert_eq!(arrivals[0].body, body.unwrap_or_default().as_bytes());
                let account = arrivals[0].head.headers().get("x-account-id");
                assert_eq!(
                    account.is_some(),
                    decision == "allow key:good",
                    "{hold} {method} {path}"
                );
            }
        }
    }
}

/// Envoy takes them from HTTP/1 only where it is told to.
#[test]
fn trailers_of_a_chunked_body_are_cleaned_as_well() {
    let key = Key::new("good");
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, &key, "body");
    let exchange = gateway.raw(
        format!(
            "POST /things HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\
             X-Account.Id: evil\r\nX_KEY_ID: evil\r\nAuthorization: evil\r\nX-Checksum: evil\r\nX-Checksum: evil\r\n\r\n",
            key.bearer()
        )
        .as_bytes(),
    );
    assert_eq!(exchange.outcome(), ("allow key:good", 200));
    assert_eq!(upstream.arrivals()[0].trailers, trailers(&["x-checksum"]));
}

fn gateway(upstream: &Upstream, key: &Key, hold: &str) -> Gateway {
    const CHAIN: &str = "                stat_prefix: ingress\n";
    const PROTOCOL: &str =
        "use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}";
    Setup::new(json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}, {"header": "x-api-key"}, {"cookie": "key"}],
        "keys": [{"id": key.id, "hash": key.hash(), "account": "org_1", "scopes": ["*:*"]}],
        "upstream_headers": {"x-account-id": "{key.account}", "x-key-id": "{key.id}"},
        "rules": [
            {"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}", "hold": hold}},
            {"paths": ["/public"], "access": "public"},
            {"paths": ["/typed"], "require": ["{header.x-type}:read"]},
        ],
    }))
    .upstream(upstream.address)
    .change_bootstrap(|text| {
        let trailers = "                http_protocol_options: {enable_trailers: true}\n";
        let text = replaced(text, CHAIN, &format!("{CHAIN}{trailers}"));
        replaced(&text, PROTOCOL, "explicit_http_config: {http2_protocol_options: {}}")
    })
    .start()
}

/// Trailers of these names, each of them twice.
fn trailers(names: &[&str]) -> HeaderMap {
    let pair =
        |name: &&str| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("evil"));
    let mut trailers = HeaderMap::new();
    for (name, value) in names.iter().chain(names).map(pair) {
        trailers.append(name, value);
    }
    trailers
}
