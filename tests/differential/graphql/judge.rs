//! The policy, and what it allows.

use latchkey::{Body, Engine, Environment, Request};
use serde_json::json;

use latchkey_testing::Key;

/// The fields that the key may have run. All else that a server can run is forbidden.
const ALLOWED: [&str; 7] = ["ok", "ok2", "q", "__typename", "mutation.__typename", ".ok", ".q"];

/// The core under the round's policy.
pub(crate) struct Judge {
    engine: Engine,
    authorization: String,
}

impl Judge {
    pub(crate) fn new() -> Judge {
        let key = Key::new("reader");
        let policy = json!({
            "credentials": [{"header": "authorization", "scheme": "Bearer"}],
            "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["ok:read", "ok2:read", "q:read"]}],
            "rules": [{"paths": ["/"], "graphql": {"require": "{field}:{operation}", "nested": {"ok": "ok", "q": "q"}}}],
        });
        let engine = Engine::compile(policy.to_string().as_bytes(), &Environment::default());
        Judge { engine: engine.unwrap(), authorization: key.bearer() }
    }

    /// Whether a request with this document is let in.
    pub(crate) fn allows(&self, document: &str) -> bool {
        self.allows_body(json!({"query": document}).to_string().as_bytes())
    }

    /// Whether a request with this JSON as its body is let in.
    pub(crate) fn allows_body(&self, body: &[u8]) -> bool {
        let headers = [
            (":method", &b"POST"[..]),
            (":path", b"/"),
            (":authority", b"localhost"),
            ("authorization", self.authorization.as_bytes()),
            ("content-type", b"application/json"),
        ];
        let request = Request { body: Body::Whole(body), ..Request::new(&headers, &|| None) };
        self.engine.decide(&request).reason().is_none()
    }
}

/// Whether a server's answer holds a field that the policy forbids. The end of an allowed name is none: graphql-go
/// reads it again behind a comment of other letters than ASCII, and no schema has such fields beside each other.
pub(crate) fn is_forbidden(answer: &str) -> bool {
    let is_allowed = |field: &str| ALLOWED.iter().any(|name| name.ends_with(field));
    answer.split(' ').skip(1).any(|field| !is_allowed(field))
}
