//! What holds at the border between the built filter and its host: which calls it makes and when,
//! what it logs, what it counts, and how it fails. What it decides is the matter of `cases.rs`.

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use latchkey::{Engine, Environment};
use latchkey_testing::host::{Headers, Host, Metric, Outcome, export_names, import_names, values};
use latchkey_testing::wasm;
use serde_json::{Value, json};

/// 2026-06-01T00:00:00Z.
const NOW: i64 = 1_780_272_000;

/// The token of the key `open`, and `sha256:` of it.
const OPEN: &str = "lk_open";
const OPEN_HASH: &str = "592c68294bdaa03bcde2240d825c16bff6c004845d6f55212f4e31bb5b12471c";

/// The token of the key `window`, which expires a second after [`NOW`], and `sha256:` of it.
const WINDOW: &str = "lk_window";
const WINDOW_HASH: &str = "b6503081e81f201cd1b49da10ad932e9ee5d41b22745c8ff62b1e76fdb4b33a9";

/// The only clock that the module has.
const CLOCK: &str = "proxy_get_current_time_nanoseconds";

/// What asks for a property of the request or of the plugin.
const PROPERTY: &str = "proxy_get_property";

#[test]
fn the_module_imports_what_it_needs_and_nothing_else() {
    assert_eq!(import_names(), IMPORTS);
}

#[test]
fn the_module_exports_what_a_policy_can_need_and_nothing_else() {
    assert_eq!(export_names(), EXPORTS);
}

#[test]
fn the_module_is_small() {
    let size = std::fs::metadata(wasm()).unwrap().len();
    assert!(size <= 500_000, "{size} bytes");
}

#[test]
fn an_allowed_request_makes_at_most_four_host_calls() {
    let mut configuration = policy();
    configuration["upstream_headers"] = json!({"x-key-id": "{key.id}", "x-account": "{key.account}", "x-plan": "{key.attributes.plan}"});
    let mut host = configured(&configuration);
    let in_query = format!("/things?a=b&api_key={OPEN}");
    let requests = [
        ("header", get("/things?a=b", &[("authorization", &bearer(OPEN))])),
        ("query", get(&in_query, &[])),
        ("cookie", get("/things?a=b", &[("cookie", &format!("a=b; api_key={OPEN}"))])),
    ];
    for (place, mut request) in requests {
        request.push(("x-plan".to_owned(), b"forged".to_vec()));
        let exchange = host.exchange(&request);
        assert_eq!(exchange.decision(), "allow key:open", "{place}");
        assert!(exchange.calls.len() <= 4, "{place}: {:?}", exchange.calls);
        let reads = exchange.calls.iter().filter(|call| call.starts_with("proxy_get_")).count();
        assert_eq!(reads, 1, "{place}: {:?}", exchange.calls);
        let upstream = exchange.upstream();
        assert_eq!(values(upstream, ":path"), [b"/things?a=b"], "{place}");
        assert_eq!(values(upstream, "x-key-id"), [b"open"], "{place}");
        assert_eq!(values(upstream, "x-account"), [b"ws_1"], "{place}");
        assert_eq!(values(upstream, "x-plan"), [b"pro"], "{place}");
        let token = OPEN.as_bytes();
        let leaks =
            upstream.iter().any(|(_, value)| value.windows(token.len()).any(|w| w == token));
        assert!(!leaks, "{place}: the upstream sees the token");
    }
}

#[test]
fn the_address_is_asked_for_only_where_the_key_has_some() {
    let mut policy = policy();
    policy["key_types"] = json!({"pinned": {"addresses": ["203.0.113.0/24"]}, "free": {}});
    policy["rules"] =
        json!([{"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}"}}]);
    for (of_type, of_key, is_asked) in [
        (None, None, false),
        (Some("free"), None, false),
        (Some("pinned"), None, true),
        (None, Some("203.0.113.5"), true),
        (Some("pinned"), Some("203.0.113.5"), true),
    ] {
        let mut policy = policy.clone();
        let key = &mut policy["keys"][0];
        assert_eq!(key["id"], "open");
        key["scopes"] = json!(["*:*"]);
        key.as_object_mut().unwrap().extend(of_type.map(|own| ("type".to_owned(), json!(own))));
        let addresses = of_key.map(|own| ("addresses".to_owned(), json!([own])));
        key.as_object_mut().unwrap().extend(addresses);
        let mut host = configured(&policy);
        let asked = |calls: &[String]| calls.iter().filter(|call| *call == PROPERTY).count();
        let request = get("/", &[("authorization", &bearer(OPEN))]);
        for (client, is_allowed) in [
            (Some("203.0.113.5:443"), true),
            (Some("[2001:db8::1]:443"), !is_asked),
            (Some("/run/client.sock"), !is_asked),
            (None, !is_asked),
        ] {
            host.set_client(client.map(Into::into));
            let exchange = host.exchange(&request);
            assert_eq!(
                exchange.decision() == "allow key:open",
                is_allowed,
                "{}",
                exchange.decision()
            );
            assert_eq!(asked(&exchange.calls), usize::from(is_asked), "{of_type:?} {of_key:?}");
        }
        // Once when the headers come, and once when they are judged with the body.
        host.set_client(Some(b"203.0.113.5:443".to_vec()));
        let mut request = get("/graphql", &[("authorization", &bearer(OPEN))]);
        request[0].1 = b"POST".to_vec();
        request.push(("content-type".to_owned(), b"application/graphql".to_vec()));
        let exchange = host.exchange_with_body(&request, &[b"{ items }"]);
        assert_eq!(exchange.decision(), "allow key:open");
        assert_eq!(asked(&exchange.calls), 2 * usize::from(is_asked), "{of_type:?} {of_key:?}");
        let exchange = host.exchange(&get("/", &[("authorization", &bearer("lk_unknown"))]));
        assert_eq!(asked(&exchange.calls), 0);
    }
}

#[test]
fn the_clock_is_asked_only_for_a_key_with_a_window() {
    let mut host = configured(&policy());
    let asked = |calls: &[String]| calls.iter().filter(|call| *call == CLOCK).count();
    for token in [OPEN, "lk_unknown"] {
        let exchange = host.exchange(&get("/", &[("authorization", &bearer(token))]));
        assert_eq!(asked(&exchange.calls), 0, "{token}");
    }
    let exchange = host.exchange(&get("/", &[("authorization", &bearer(WINDOW))]));
    assert_eq!((exchange.decision().as_str(), asked(&exchange.calls)), ("allow key:window", 1));
    host.set_clock(NOW + 1);
    let exchange = host.exchange(&get("/", &[("authorization", &bearer(WINDOW))]));
    assert_eq!(exchange.decision(), "deny expired_key key:window");
}

#[test]
fn configuring_depends_on_the_bytes_and_the_environment_only() {
    const PURE: [&str; 9] = [
        "environ_get",
        "environ_sizes_get",
        "proxy_define_metric",
        "proxy_get_buffer_bytes",
        "proxy_get_log_level",
        "proxy_get_property",
        "proxy_log",
        "proxy_record_metric",
        "proxy_set_tick_period_milliseconds",
    ];
    let mut host = Host::load();
    for configuration in [policy(), json!({"keys": "broken"})] {
        host.configure(configuration.to_string().as_bytes());
        let calls = host.take_calls();
        let impure: Vec<_> = calls.iter().filter(|call| !PURE.contains(&call.as_str())).collect();
        assert!(impure.is_empty(), "{impure:?}");
    }
}

#[test]
fn the_pepper_comes_from_the_environment_of_the_vm() {
    let mut configuration = policy();
    // HMAC-SHA-256 of the token `lk_open` under the key `pepper`.
    let peppered = "hmac-sha256:a88b8aee51da726006fcdb96544cbf1cc81f109d61725a9b800a57e57075f171";
    configuration["keys"][0]["hash"] = json!(peppered);
    let mut host = Host::load_with_environment(&[("LATCHKEY_PEPPER", "pepper")]);
    assert!(host.configure(configuration.to_string().as_bytes()), "{:?}", host.logs());
    let exchange = host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    assert_eq!(exchange.decision(), "allow key:open");
    assert!(!Host::load().configure(configuration.to_string().as_bytes()), "without a pepper");
}

#[test]
fn a_broken_configuration_is_refused_with_one_line_for_each_finding() {
    let mut configuration = policy();
    configuration["credential"] = json!([]);
    configuration["keys"][1]["hash"] = json!(OPEN_HASH);
    configuration["keys"][0]["scopes"] = json!(["no scope at all"]);
    let configuration = configuration.to_string();
    let findings =
        Engine::compile(configuration.as_bytes(), &Environment { pepper: None }).unwrap_err();

    let mut host = Host::load();
    assert!(!host.configure(configuration.as_bytes()));
    let logged: Vec<&str> = host.logs().iter().map(|line| line.text.as_str()).collect();
    for finding in &findings {
        let line = finding.to_string();
        let times = logged.iter().filter(|text| text.contains(&line)).count();
        assert_eq!(times, 1, "`{line}` in {logged:#?}");
    }
    assert!(logged.len() <= findings.len() + 1, "{logged:#?}");
    assert!(logged.iter().all(|text| !text.contains('\n')), "{logged:#?}");
}

#[test]
fn no_line_of_the_log_holds_key_material() {
    let mut duplicate = policy();
    duplicate["keys"][1]["hash"] = duplicate["keys"][0]["hash"].clone();
    let mut plaintext = policy();
    plaintext["keys"][0]["hash"] = json!(OPEN);
    let mut long = policy();
    long["keys"][0]["hash"] = json!(format!("sha256:{OPEN_HASH}0"));
    let whole = policy().to_string();
    let truncated = whole.split_inclusive(OPEN_HASH).next().unwrap().to_owned();
    let broken = [duplicate.to_string(), plaintext.to_string(), long.to_string(), truncated];

    let mut host = Host::load();
    for configuration in &broken {
        assert!(!host.configure(configuration.as_bytes()), "{configuration}");
    }
    assert!(host.configure(policy().to_string().as_bytes()));
    for token in [OPEN, WINDOW, "lk_unknown"] {
        host.exchange(&get("/", &[("authorization", &bearer(token))]));
    }
    host.tick();
    for line in host.logs() {
        for secret in [OPEN, OPEN_HASH, WINDOW, WINDOW_HASH, "lk_unknown"] {
            assert!(!line.text.contains(secret), "`{secret}` in `{}`", line.text);
        }
    }
}

#[test]
fn before_a_good_configuration_every_request_is_refused() {
    let request = get("/", &[("authorization", &bearer(OPEN))]);
    let mut host = Host::load();
    let unconfigured = host.exchange(&request);
    assert!(matches!(unconfigured.outcome, Outcome::Reply { .. }), "{}", unconfigured.outcome);
    assert!(!unconfigured.decision().starts_with("allow"));
    assert!(!host.configure(b"{"));
    let misconfigured = host.exchange(&request);
    assert!(matches!(misconfigured.outcome, Outcome::Reply { .. }), "{}", misconfigured.outcome);
    assert!(!misconfigured.decision().starts_with("allow"));
}

#[test]
fn header_values_that_are_not_text_never_trap() {
    let names = [
        ":authority",
        ":method",
        ":path",
        ":scheme",
        "access-control-request-method",
        "authorization",
        "content-type",
        "cookie",
        "host",
        "origin",
        "x-api-key",
        "x-http-method-override",
        "x-key-id",
        "x-request-id",
        "x-unheard-of",
    ];
    let mut configuration = policy();
    configuration["response_headers"] = json!({"request-id": "req_{request_id}"});
    configuration["rules"] = json!([{
        "hosts": ["api.example.com"],
        "paths": ["/things/{thing}"],
        "require": ["{header.x-unheard-of|*}:{action}"],
    }]);
    let mut host = configured(&configuration);
    for name in names {
        let mut bad = get("/things/1", &[("authorization", &bearer(OPEN))]);
        bad.retain(|(candidate, _)| candidate != name);
        bad.push((name.to_owned(), b"Bearer \xff\xfe".to_vec()));
        host.exchange(&bad);
        let good = get("/things/1", &[("authorization", &bearer(OPEN))]);
        assert_eq!(host.exchange(&good).decision(), "allow key:open", "after a bad `{name}`");
    }
}

#[test]
fn a_stream_keeps_the_configuration_it_began_with() {
    let mut first = policy();
    first["response_headers"] = json!({"x-policy": "first"});
    let mut second = policy();
    second["keys"][0]["disabled"] = json!(true);
    second["response_headers"] = json!({"x-policy": "second"});
    let request = get("/", &[("authorization", &bearer(OPEN))]);

    let mut host = configured(&first);
    let (mut begun, mut opened) = (host.open(), host.open());
    host.request(&mut begun, &request);
    assert!(host.configure(second.to_string().as_bytes()));
    let newer = host.exchange(&request);
    assert_eq!(newer.decision(), "deny revoked_key key:open");
    assert_eq!(values(&newer.response, "x-policy"), [b"second"]);

    host.request(&mut opened, &request);
    for mut stream in [begun, opened] {
        host.respond(&mut stream, &[(":status".to_owned(), b"200".to_vec())]);
        let older = host.close(stream);
        assert_eq!(older.decision(), "allow key:open");
        assert_eq!(values(&older.response, "x-policy"), [b"first"]);
    }

    host.retire_old_configurations();
    assert_eq!(host.exchange(&request).decision(), "deny revoked_key key:open");
}

#[test]
fn a_refused_configuration_leaves_the_old_one_serving() {
    let mut host = configured(&policy());
    assert!(!host.configure(b"{}"));
    let exchange = host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    assert_eq!(exchange.decision(), "allow key:open");
}

#[test]
fn metrics_are_flushed_by_the_tick_only() {
    let mut host = configured(&policy());
    for token in [OPEN, OPEN, WINDOW, "lk_unknown"] {
        let exchange = host.exchange(&get("/", &[("authorization", &bearer(token))]));
        assert!(!exchange.calls.iter().any(|call| call.contains("metric")), "{:?}", exchange.calls);
    }
    host.set_clock(NOW + 7);
    host.exchange(&get("/", &[("authorization", &bearer(WINDOW))]));
    host.exchange(&get("/", &[]));
    assert_eq!(counted(&host), [("latchkey.keys", Metric::Gauge(2))]);

    host.tick();
    let seconds = u64::try_from(NOW + 7).unwrap();
    let expected = [
        ("latchkey.allowed", Metric::Counter(3)),
        ("latchkey.denied.expired_key", Metric::Counter(1)),
        ("latchkey.denied.missing_credential", Metric::Counter(1)),
        ("latchkey.denied.unknown_key", Metric::Counter(1)),
        ("latchkey.key.open.allowed", Metric::Counter(2)),
        ("latchkey.key.open.last_used", Metric::Gauge(seconds)),
        ("latchkey.key.window.allowed", Metric::Counter(1)),
        ("latchkey.key.window.denied", Metric::Counter(1)),
        ("latchkey.key.window.last_used", Metric::Gauge(seconds)),
        ("latchkey.keys", Metric::Gauge(2)),
    ];
    assert_eq!(counted(&host), expected);

    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    host.tick();
    host.tick();
    assert_eq!(host.metrics()["latchkey.allowed"], Metric::Counter(4));
    assert_eq!(host.metrics()["latchkey.key.open.allowed"], Metric::Counter(3));
}

#[test]
fn a_tick_with_nothing_new_makes_no_call() {
    let mut host = configured(&policy());
    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    host.tick();
    host.take_calls();
    host.tick();
    assert_eq!(host.take_calls(), [""; 0]);
}

#[test]
fn counts_of_an_old_configuration_are_not_lost() {
    let mut host = configured(&policy());
    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    assert!(host.configure(policy().to_string().as_bytes()));
    host.retire_old_configurations();
    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    host.tick();
    assert_eq!(host.metrics()["latchkey.allowed"], Metric::Counter(2));
    assert_eq!(host.metrics()["latchkey.key.open.allowed"], Metric::Counter(2));
    assert_eq!(host.metrics()["latchkey.keys"], Metric::Gauge(2));
}

#[test]
fn without_per_key_no_metric_names_a_key() {
    let mut configuration = policy();
    configuration["metrics"] = json!({"per_key": false});
    let mut host = configured(&configuration);
    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    host.tick();
    let expected = [("latchkey.allowed", Metric::Counter(1)), ("latchkey.keys", Metric::Gauge(2))];
    assert_eq!(counted(&host), expected);
    assert!(host.metrics().keys().all(|name| !name.starts_with("latchkey.key.")));
}

#[test]
fn a_response_header_is_set_once_in_place_of_the_upstreams() {
    let mut configuration = policy();
    configuration["response_headers"] = json!({"request-id": "req_{request_id}"});
    let mut host = configured(&configuration);
    let id = ("x-request-id", "7");

    let mut stream = host.open();
    host.request(&mut stream, &get("/", &[("authorization", &bearer(OPEN)), id]));
    let upstream = [(":status", "200"), ("request-id", "a"), ("x-own", "b"), ("request-id", "c")];
    host.respond(&mut stream, &headers(&upstream));
    let exchange = host.close(stream);
    assert_eq!(values(&exchange.response, "request-id"), [b"req_7"]);
    assert_eq!(values(&exchange.response, "x-own"), [b"b"]);

    let refused = host.exchange(&get("/", &[id]));
    assert_eq!(refused.decision(), "deny missing_credential");
    assert_eq!(values(&refused.response, "request-id"), [b"req_7"]);
    assert_eq!(values(&refused.response, ":status"), [b"401"]);
}

#[test]
fn without_response_headers_a_response_costs_no_call() {
    let mut host = configured(&policy());
    let mut stream = host.open();
    host.request(&mut stream, &get("/", &[("authorization", &bearer(OPEN))]));
    let unanswered = host.close(stream);
    assert_eq!(unanswered.decision(), "allow key:open");
    let whole = host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    assert_eq!(unanswered.calls, whole.calls);
}

#[test]
fn a_grpc_caller_gets_the_plain_message() {
    let mut host = configured(&policy());
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let exchange = host.exchange(&get("/", &[("content-type", content_type)]));
        assert_eq!(exchange.reply(), (401, "Invalid or missing API key"), "{content_type}");
    }
    let exchange = host.exchange(&get("/", &[("content-type", "application/json")]));
    let json = r#"{"error":"unauthorized","message":"Invalid or missing API key"}"#;
    assert_eq!(exchange.reply(), (401, json));
}

/// The SDK panics at what no proxy answers. Envoy then answers 503, until the plugin is configured anew or
/// `failure_policy: FAIL_RELOAD` has made a new VM.
#[test]
fn where_the_proxy_fails_nobody_is_let_in() {
    let mut configuration = policy();
    configuration["response_headers"] = json!({"request-id": "req_{request_id}"});
    let allowed = get("/", &[("authorization", &bearer(WINDOW))]);
    let refused = get("/", &[]);
    for request in [allowed, refused] {
        let calls = configured(&configuration).exchange(&request).calls;
        assert!(calls.len() > 3, "{calls:?}");
        for call in calls.iter().filter(|call| *call != "proxy_log") {
            let mut host = configured(&configuration);
            let lines = host.logs().len();
            host.fail_calls_to(call);
            let exchange = host.exchange(&request);
            assert!(matches!(exchange.outcome, Outcome::Trap(_)), "{call}: {}", exchange.outcome);
            let line = host.logs()[lines..].last().unwrap();
            assert!(line.text.starts_with("panic at "), "{call}: `{}`", line.text);
        }
    }
}

#[test]
fn a_metric_is_defined_once_however_often_a_policy_is_pushed() {
    let mut host = Host::load();
    assert!(host.configure(policy().to_string().as_bytes()), "{:#?}", host.logs());
    let defined =
        |calls: Vec<String>| calls.into_iter().filter(|call| call == "proxy_define_metric").count();
    assert!(defined(host.take_calls()) > 0);
    assert!(host.configure(policy().to_string().as_bytes()));
    assert_eq!(defined(host.take_calls()), 0);
    host.exchange(&get("/", &[("authorization", &bearer(OPEN))]));
    host.tick();
    assert_eq!(host.metrics()["latchkey.allowed"], Metric::Counter(1));
}

#[test]
fn a_panic_logs_its_place_and_nothing_else() {
    let mut host = configured(&policy());
    let lines = host.logs().len();
    // No request brings a panic about; a proxy that asks for all of the memory does.
    assert_eq!(host.allocate(u32::MAX), None);
    assert!(host.trap().is_some());
    let [line] = &host.logs()[lines..] else { panic!("{:#?}", &host.logs()[lines..]) };
    assert_eq!(line.level, "critical");
    let place = line.text.strip_prefix("panic at ").unwrap();
    let (file, number) = place.rsplit_once(':').unwrap();
    assert!(file.ends_with(".rs"), "`{}`", line.text);
    assert!(number.parse::<u32>().is_ok(), "`{}`", line.text);
}

/// Two keys, `open` and `window`, that may stand in a header, the query or a cookie.
fn policy() -> Value {
    json!({
        "credentials": [
            {"header": "authorization", "scheme": "Bearer"},
            {"header": "x-api-key"},
            {"query": "api_key"},
            {"cookie": "api_key"},
        ],
        "keys": [
            {
                "id": "open",
                "hash": format!("sha256:{OPEN_HASH}"),
                "account": "ws_1",
                "scopes": ["*:*"],
                "attributes": {"plan": "pro"},
            },
            {
                "id": "window",
                "hash": format!("sha256:{WINDOW_HASH}"),
                "scopes": ["*:*"],
                "expires_at": NOW + 1,
            },
        ],
    })
}

/// A host with this configuration, at [`NOW`].
fn configured(configuration: &Value) -> Host {
    let mut host = Host::load();
    host.set_clock(NOW);
    assert!(host.configure(configuration.to_string().as_bytes()), "{:#?}", host.logs());
    host.take_calls();
    host
}

fn get(path: &str, more: &[(&str, &str)]) -> Headers {
    let mut request = vec![
        (":method", "GET"),
        (":path", path),
        (":authority", "api.example.com"),
        (":scheme", "http"),
    ];
    request.extend(more);
    headers(&request)
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The metrics that are not 0.
fn counted(host: &Host) -> Vec<(&str, Metric)> {
    let metrics = host.metrics().iter().map(|(name, metric)| (name.as_str(), *metric));
    metrics.filter(|(_, metric)| !matches!(metric, Metric::Counter(0) | Metric::Gauge(0))).collect()
}

/// All that the module may import: no randomness, and no clock but the proxy's. Its objects have a method
/// for nearly all that the SDK can do; a test that called what the filter does not need would trap, since
/// the host does not have it.
const IMPORTS: [&str; 39] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_close_stream",
    "env.proxy_continue_stream",
    "env.proxy_define_metric",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_log_level",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_resolve_shared_queue",
    "env.proxy_send_local_response",
    "env.proxy_set_buffer_bytes",
    "env.proxy_set_header_map_pairs",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.proc_exit",
];

/// All that the module may export, as `filter/exports.json` has it. Envoy calls what is exported for every
/// request, whether or not it does anything: so no callback for response bodies, trailers of responses,
/// logs or ends of streams.
const EXPORTS: [&str; 12] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];
