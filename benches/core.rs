//! What the core costs on this machine: `cargo bench --bench core`. See `docs/benchmarks/core.md`.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use divan::{AllocProfiler, Bencher, black_box};
use latchkey::{Body, Engine, Environment, Request};
use latchkey_testing::policies;

/// Tells, beside the time, what each benchmark allocates.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 10_000], max_time = 2)]
fn parse_and_compile(bencher: Bencher<'_, '_>, keys: usize) {
    let json = policies::with_keys(keys);
    bencher.bench(|| engine(black_box(&json)));
}

#[divan::bench(args = [10, 10_000], max_time = 2)]
fn parse_only_into_a_value(bencher: Bencher<'_, '_>, keys: usize) {
    let json = policies::with_keys(keys);
    bencher.bench(|| serde_json::from_str::<serde_json::Value>(black_box(&json)).unwrap());
}

#[divan::bench(args = [10, 10_000], max_time = 1)]
fn look_up_hit(bencher: Bencher<'_, '_>, keys: usize) {
    let engine = engine(&policies::with_keys(keys));
    let token = policies::token(keys / 2);
    decide(bencher, &engine, ["GET", "/", &token], "allow key:");
}

#[divan::bench(args = [10, 10_000], max_time = 1)]
fn look_up_miss(bencher: Bencher<'_, '_>, keys: usize) {
    let engine = engine(&policies::with_keys(keys));
    decide(bencher, &engine, ["GET", "/", "lk_live_unknown"], "deny unknown_key");
}

#[divan::bench(args = [1, 100, 10_000], max_time = 1)]
fn rule_match(bencher: Bencher<'_, '_>, rules: usize) {
    let engine = engine(&policies::with(10, rules));
    let path = format!("/v1/service{}/items/7", rules - 1);
    decide(bencher, &engine, ["GET", &path, &policies::token(0)], "allow key:");
}

#[divan::bench(max_time = 1)]
fn insufficient_scope(bencher: Bencher<'_, '_>) {
    let engine = engine(&policies::with_keys(10));
    let token = policies::token(0);
    decide(bencher, &engine, ["POST", "/", &token], "deny insufficient_scope");
}

/// Decides about a request, given as method, path and token.
fn decide(bencher: Bencher<'_, '_>, engine: &Engine, request: [&str; 3], expected: &str) {
    let [method, path, token] = request;
    let authorization = format!("Bearer {token}");
    let headers = headers(method, path, &authorization);
    let request = Request { body: Body::Whole(b""), ..Request::new(&headers, &|| None) };
    let decision = engine.decide(&request).to_string();
    assert!(decision.starts_with(expected), "{decision}");
    bencher.bench_local(|| black_box(engine.decide(black_box(&request))).reason());
}

fn engine(json: &str) -> Engine {
    Engine::compile(json.as_bytes(), &Environment::default()).unwrap()
}

fn headers<'a>(method: &'a str, path: &'a str, authorization: &'a str) -> [(&'a str, &'a [u8]); 5] {
    [
        (":method", method.as_bytes()),
        (":path", path.as_bytes()),
        (":authority", b"api.example.com"),
        ("user-agent", b"curl/8.0"),
        ("authorization", authorization.as_bytes()),
    ]
}
