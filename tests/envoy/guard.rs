//! What happens when the filter fails in a worker only: Envoy leaves it out there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use latchkey_testing::{Gateway, Key, Setup};

#[test]
fn where_a_worker_left_the_filter_out_the_guard_refuses_everything() {
    let key = Key::new("good");
    let gateway = Setup::new(policy(&key)).wasm(failing_wasm()).start();
    let bearer = key.bearer();
    for (path, headers) in requests(&bearer) {
        let exchange = gateway.get(path, &headers);
        assert_eq!(exchange.outcome(), ("", 403), "{path}");
        let details = exchange.log.details.unwrap_or_default();
        assert!(details.starts_with("rbac_access_denied"), "{details}");
    }
    assert!(gateway.reports().is_empty());
}

#[test]
fn without_the_guard_everything_would_pass() {
    let key = Key::new("good");
    let setup = Setup::new(policy(&key)).wasm(failing_wasm());
    let gateway = setup.change_bootstrap(without_guard).start();
    let bearer = key.bearer();
    for (path, headers) in requests(&bearer) {
        assert_eq!(gateway.get(path, &headers).outcome(), ("", 200), "{path}");
        assert_eq!(gateway.report().path.as_deref(), Some(path));
    }
}

#[test]
fn no_request_can_forge_what_the_guard_asks_for() {
    let key = Key::new("good");
    let gateway = Setup::new(policy(&key)).wasm(failing_wasm()).start();
    for name in ["latchkey", "wasm.latchkey", "x-envoy-wasm-latchkey"] {
        let exchange = gateway.get("/", &[(name, "allow key:good")]);
        assert_eq!(exchange.outcome(), ("", 403), "{name}");
    }
    assert!(gateway.reports().is_empty());
}

#[test]
fn the_guard_lets_through_what_the_filter_allows() {
    let key = Key::new("good");
    let gateway = Gateway::start(policy(&key));
    assert_eq!(gateway.get("/public", &[]).outcome(), ("allow public", 200));
    let good = gateway.get("/", &[("authorization", &key.bearer())]);
    assert_eq!(good.outcome(), ("allow key:good", 200));
    assert!(gateway.stats()["http.ingress.rbac.latchkey_guard.allowed"] >= 2);
}

/// Requests that the policy would let through, and that it would not.
fn requests(bearer: &str) -> [(&'static str, Vec<(&'static str, &str)>); 4] {
    [
        ("/", vec![]),
        ("/public", vec![]),
        ("/", vec![("authorization", bearer)]),
        ("/", vec![("authorization", "Bearer wrong")]),
    ]
}

fn policy(key: &Key) -> Value {
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["read"]}],
        "rules": [{"paths": ["/public"], "access": "public"}],
    })
}

fn without_guard(bootstrap: &str) -> String {
    let (start, rest) = bootstrap.split_once("                  - name: guard\n").unwrap();
    let (_, rest) = rest.split_once("\n\n").unwrap();
    format!("{start}{rest}")
}

/// The filter built to fail in a worker only, which is not a build to ship: it stands in a folder of
/// its own.
fn failing_wasm() -> &'static Path {
    static WASM: OnceLock<PathBuf> = OnceLock::new();
    WASM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fail-in-worker");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip1"])
            .args(["--package", "latchkey-filter", "--features", "fail-in-worker"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "the failing filter cannot be built: run `make tools`");
        target.join("wasm32-wasip1/release/latchkey_filter.wasm")
    })
}
