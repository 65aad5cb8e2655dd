//! What goes wrong with a module: panics, refused configurations, files that are gone, and Envoys that it was not tested on.
//! Nobody is let in by it, and the next request is served.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use http::HeaderMap;
use latchkey_cli::cases::{self, CaseRequest};
use latchkey_cli::command::render::Code;
use serde_json::{Value, json};

use latchkey_testing::gateway::{as_module, front_bootstrap, replaced};
use latchkey_testing::{Connection, Envoy, Gateway, Key, Load, Scratch, Setup};
use latchkey_testing::{ecds_of, inline, module, until};

/// A request that is held, of which every callback is called.
fn request(key: &Key) -> CaseRequest {
    CaseRequest {
        method: "POST".to_owned(),
        path: Some("/graphql".to_owned()),
        headers: [("authorization", &*key.bearer()), ("content-type", "application/json")]
            .map(|(name, value)| (name.to_owned(), cases::Value(value.as_bytes().to_vec())))
            .to_vec(),
        chunks: vec![BODY[..9].to_owned(), BODY[9..].to_owned()],
        http2: true,
        ..CaseRequest::default()
    }
}

const BODY: &str = r#"{"query":"{ allowed }"}"#;

#[test]
fn a_panic_refuses_the_request_in_which_it_is_and_no_other() {
    let key = Key::new("good");
    for (place, status, reaches_upstream) in [
        // Envoy's own answer where it gets no filter.
        ("filter_new", 500, false),
        ("request_headers", 503, false),
        ("request_body", 503, false),
        ("request_trailers", 503, false),
        ("response_headers", 503, true),
    ] {
        let gateway = faulty(&policy(&key), place);
        let exchange = gateway.exchange_with_trailers(&request(&key), trailers());
        assert_eq!(exchange.response.status, status, "{place}");
        assert_eq!(gateway.reports().len(), usize::from(reaches_upstream), "{place}");
        is_well_after(&gateway, &key, place);
    }
}

#[test]
fn a_panic_after_a_request_harms_nobody() {
    let key = Key::new("good");
    for place in ["stream_complete", "filter_destroy"] {
        let gateway = faulty(&policy(&key), place);
        let exchange = gateway.exchange_with_trailers(&request(&key), trailers());
        assert_eq!(exchange.outcome(), ("allow key:good", 200), "{place}");
        gateway.report();
        is_well_after(&gateway, &key, place);
    }
}

#[test]
fn a_panic_in_a_configuration_refuses_or_ends_that_one_only() {
    let key = Key::new("good");
    let setup = Setup::new(policy(&key)).module();
    let mut gateway = setup.environment("LATCHKEY_PANIC_IN", "config_new").start();
    gateway.set_module(faulty_module());
    gateway.push_ecds(&gateway.ecds(changed(policy(&key)))).unwrap_err();
    is_well_after(&gateway, &key, "config_new");

    let gateway = faulty(&policy(&key), "config_scheduled");
    gateway.get("/", &[]);
    until("the panic", || gateway.log_text().contains("panic at ").then_some(()));
    gateway.get("/", &[]);
    until("what was counted after it", || {
        gateway.admin("/stats/prometheus").contains("missing_credential\"} 2").then_some(())
    });
    is_well_after(&gateway, &key, "config_scheduled");

    let gateway = faulty(&policy(&key), "config_destroy");
    gateway.push(changed(policy(&key)));
    until("the panic", || gateway.log_text().contains("panic at ").then_some(()));
    is_well_after(&gateway, &key, "config_destroy");
}

#[test]
fn a_module_that_cannot_start_is_not_loaded() {
    let key = Key::new("good");
    let gateway = faulty(&policy(&key), "program_init");
    assert_eq!(gateway.get("/", &[("authorization", &key.bearer())]).outcome(), ("", 500));
    assert!(gateway.reports().is_empty());
}

#[test]
fn an_envoy_that_was_not_tested_is_told_so() {
    let key = Key::new("good");
    for (version, minor) in [("1.37.2", "37"), ("1.41.0", "41")] {
        let told = format!("envoy  version: 0123/{version}/Clean/RELEASE/BoringSSL");
        let setup = Setup::new(policy(&key)).module_at(faulty_module());
        let gateway = setup.environment("LATCHKEY_ENVOY_VERSION", &told).start();
        assert_eq!(gateway.get("/", &[("authorization", &key.bearer())]).outcome(), ("", 500));
        let line =
            format!("this is Envoy 1.{minor}, and the module was tested on 1.38 to 1.40 only");
        let log = gateway.log_text();
        assert!(log.contains(&line), "`{line}` in {log}");
    }
}

#[test]
fn an_invalid_policy_in_the_bootstrap_keeps_envoy_from_starting() {
    let key = Key::new("good");
    let scratch = Scratch::new();
    let path = module();
    let mut policy = policy(&key);
    policy["name"] = json!("orders");
    let ecds = ecds_of(&scratch, &policy.to_string(), Code::Module(path.to_str().unwrap()));
    let broken = replaced(&ecds, "\"scopes\":", "\"scope\":");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let bootstrap = as_module(&front_bootstrap(&scratch, nowhere, None));
    let (status, log) = Envoy::run_to_end(&scratch, "front", &inline(&bootstrap, &broken), &[]);
    assert!(!status.success(), "{status}");
    assert!(log.contains("orders: /keys/0/scope: unknown field `scope`"), "{log}");
    assert!(!log.contains(&key.hash()[7..]), "{log}");
}

#[test]
fn pushes_under_load_let_everybody_in_who_may_be_and_nobody_else() {
    let (key, stranger) = (Key::new("good"), Key::new("stranger"));
    let gateway = Setup::new(policy(&key)).module().start();
    let load = Load::start(gateway.address, &[&key.bearer(), &stranger.bearer()]);
    for round in 0..20 {
        let mut policy = policy(&key);
        policy["realm"] = json!(format!("round {round}"));
        gateway.push(policy);
        if round % 4 == 0 {
            // A refused one in between changes nothing.
            gateway.push_ecds(&gateway.ecds(json!({"round": round}))).unwrap_err();
        }
        load.goes_on();
    }
    let statuses = load.stop();
    assert!(statuses[0].iter().all(|status| *status == 200));
    assert!(statuses[1].iter().all(|status| *status == 401));
    assert!(gateway.is_running());
}

#[test]
fn a_configuration_may_end_on_a_worker() {
    let key = Key::new("good");
    let gateway = Setup::new(policy(&key)).module().start();
    for round in 0..10 {
        let mut connection = gateway.begun(&key, BODY.len());
        until("the request to be held", || {
            let active = gateway.stats().get("http.ingress.downstream_rq_active").copied();
            (active == Some(1)).then_some(())
        });
        let mut policy = policy(&key);
        policy["realm"] = json!(format!("round {round}"));
        gateway.push(policy);
        // The last stream of the configuration before.
        connection.write(BODY.as_bytes()).unwrap();
        assert_eq!(connection.response(false).unwrap().status, 200);
        gateway.log_line(connection.client());
    }
    assert_eq!(gateway.reports().len(), 10);
    until("all to be counted", || {
        let stats = gateway.admin("/stats/prometheus");
        stats.contains("latchkey_key_allowed{key=\"good\"} 10\n").then_some(())
    });
    is_well(&gateway, &key);
}

#[test]
fn a_file_that_is_gone_keeps_serving_until_envoy_ends() {
    let key = Key::new("good");
    let scratch = Scratch::new();
    let own = copy_of(&module(), &scratch, "liblatchkey-0.1.0.so");
    let gateway = Setup::new(policy(&key)).module_at(&own).start();
    fs::remove_file(&own).unwrap();
    is_well(&gateway, &key);
    // What is loaded Envoy finds by its name.
    gateway.push(changed(policy(&key)));
    is_well(&gateway, &key);
}

#[test]
fn a_new_version_comes_under_a_new_name() {
    let key = Key::new("good");
    let scratch = Scratch::new();
    let old = copy_of(&module(), &scratch, "liblatchkey-0.1.0.so");
    let new = copy_of(faulty_module(), &scratch, "liblatchkey-0.2.0.so");
    let setup = Setup::new(policy(&key)).module_at(&old);
    let mut gateway = setup.environment("LATCHKEY_PANIC_IN", "request_headers").start();
    is_well(&gateway, &key);
    let mut waiting = gateway.begun(&key, BODY.len());
    gateway.set_module(&new);
    gateway.push(changed(policy(&key)));
    // It is the new one's code that runs, for new requests.
    assert_eq!(gateway.get("/", &[("authorization", &key.bearer())]).response.status, 503);
    is_well(&gateway, &key);
    waiting.write(BODY.as_bytes()).unwrap();
    assert_eq!(waiting.response(false).unwrap().status, 200);
    gateway.set_module(&old);
    gateway.push(policy(&key));
    is_well(&gateway, &key);
}

#[test]
fn two_filters_have_policies_of_their_own() {
    let (one, other) = (Key::new("one"), Key::new("other"));
    let scratch = Scratch::new();
    let path = module();
    let rendered = |key: &Key| {
        ecds_of(&scratch, &policy(key).to_string(), Code::Module(path.to_str().unwrap()))
    };
    let second = rendered(&other);
    let gateway = Setup::new(policy(&one)).module().change_bootstrap(move |text| {
        let (start, rest) = text.split_once("    - name: ingress\n").unwrap();
        let (listener, clusters) = rest.split_once("\n  clusters:\n").unwrap();
        let own = inline(&format!("    - name: second\n{listener}\n"), &second);
        format!("{start}    - name: ingress\n{listener}\n{own}\n  clusters:\n{clusters}")
    });
    let gateway = gateway.start();
    let second = listener(&gateway, "second");
    let status = |address: SocketAddr, key: &Key| {
        let mut connection = Connection::open(address).unwrap();
        let request =
            format!("GET / HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\r\n", key.bearer());
        connection.write(request.as_bytes()).unwrap();
        connection.response(false).unwrap().status
    };
    let first = listener(&gateway, "ingress");
    let all = || [(first, &one), (first, &other), (second, &one), (second, &other)];
    assert_eq!(all().map(|(address, key)| status(address, key)), [200, 401, 401, 200]);
    // A push to one of them does not touch the other.
    gateway.push(policy(&other));
    assert_eq!(all().map(|(address, key)| status(address, key)), [401, 200, 401, 200]);
}

fn listener(gateway: &Gateway, name: &str) -> SocketAddr {
    let listeners: Value = serde_json::from_str(&gateway.admin("/listeners?format=json")).unwrap();
    let statuses = listeners["listener_statuses"].as_array().unwrap();
    let own = statuses.iter().find(|status| status["name"] == name).unwrap();
    let port = &own["local_address"]["socket_address"]["port_value"];
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port.as_u64().unwrap()).unwrap()))
}

fn is_well_after(gateway: &Gateway, key: &Key, place: &str) {
    is_well(gateway, key);
    let log = gateway.log_text();
    assert_eq!(log.matches("panic at module/src/fault.rs:").count(), 1, "{place}: {log}");
    assert!(!log.contains(&key.token) && !log.contains("as asked for"), "{log}");
}

fn is_well(gateway: &Gateway, key: &Key) {
    assert!(gateway.is_running());
    gateway.reports();
    let exchange = gateway.exchange_with_trailers(&request(key), trailers());
    assert_eq!(exchange.outcome(), (format!("allow key:{}", key.id).as_str(), 200));
    assert_eq!(gateway.report().body.as_deref(), Some(BODY));
    assert_eq!(gateway.get("/", &[]).outcome(), ("deny missing_credential", 401));
    assert!(gateway.reports().is_empty());
}

/// A gateway with a module that panics there once.
fn faulty(policy: &Value, place: &str) -> Gateway {
    Setup::new(policy).module_at(faulty_module()).environment("LATCHKEY_PANIC_IN", place).start()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())])
}

fn policy(key: &Key) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["allowed:read", "read"]}],
        "rules": [{"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}"}}],
    })
}

/// A policy that means the same and is not the same.
fn changed(mut policy: Value) -> Value {
    let realm = policy["realm"].as_str().unwrap_or("api").to_owned();
    policy["realm"] = json!(format!("{realm}, again"));
    policy
}

fn copy_of(file: &Path, scratch: &Scratch, name: &str) -> PathBuf {
    let copy = scratch.file(name);
    fs::copy(file, &copy).unwrap();
    copy
}

/// The module built to fail on demand, which is no build to ship: it stands in a folder of its own.
fn faulty_module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "latchkey-module", "--features", "faults"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "the failing module cannot be built");
        target.join("debug/liblatchkey_module.so")
    })
}
