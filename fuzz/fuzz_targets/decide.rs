//! Any request is decided, and a key that is disabled lets nobody in.
#![no_main]

use std::sync::LazyLock;

use latchkey::{Body, Engine, Environment, Request};
use libfuzzer_sys::fuzz_target;

fn engine(more_keys: &str) -> Engine {
    // The tokens are `a` and `b`.
    let policy = format!(
        r#"{{"credentials": [{{"header": "authorization", "scheme": "Bearer"}}, {{"query": "k"}}, {{"cookie": "k"}}],
            "keys": [{{"id": "a", "hash": "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
                       "scopes": ["x:read"]}}{more_keys}],
            "rules": [{{"paths": ["/{{r}}/**"], "require": ["{{r}}:{{action}}", "{{query.q|x}}:read"]}},
                      {{"paths": ["/graphql"], "graphql": {{"require": "{{field}}:{{operation}}"}}}}]}}"#
    );
    Engine::compile(policy.as_bytes(), &Environment::default()).expect("a good policy")
}

static ONE: LazyLock<Engine> = LazyLock::new(|| engine(""));
static TWO: LazyLock<Engine> = LazyLock::new(|| {
    engine(
        r#", {"id": "b", "hash": "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", "disabled": true}"#,
    )
});

fuzz_target!(|bytes: &[u8]| {
    let names =
        [":method", ":path", ":authority", "authorization", "cookie", "content-type", "origin"];
    let mut parts = bytes.split(|byte| *byte == b'\n');
    let headers: Vec<_> = names.into_iter().zip(&mut parts).collect();
    let body = parts.next().unwrap_or_default();
    let mut request = Request::new(&headers, &|| Some(0));
    request.body = Body::Whole(body);
    let (one, two) = (ONE.decide(&request), TWO.decide(&request));
    let _ = ONE.effect(&request, &one);
    assert_eq!(one.reason().is_none(), two.reason().is_none());
});
