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
            "rules": [{"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}", "nested": {"ok": "ok", "q": "q"}}}],
        });
        let engine = Engine::compile(policy.to_string().as_bytes(), &Environment::default());
        Judge { engine: engine.unwrap(), authorization: key.bearer() }
    }

    /// Whether a request with this document is let in.
    pub(crate) fn allows(&self, document: &str) -> bool {
        let body = json!({"query": document}).to_string();
        self.allows_request(
            "POST",
            "/graphql",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    }

    /// Whether a request is let in that has these headers beside a good key.
    pub(crate) fn allows_request(
        &self,
        method: &str,
        target: &str,
        own: &[(&str, &str)],
        body: &[u8],
    ) -> bool {
        let mut headers = vec![
            (":method", method.as_bytes()),
            (":path", target.as_bytes()),
            (":authority", b"localhost"),
            ("authorization", self.authorization.as_bytes()),
        ];
        headers.extend(own.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request { body: Body::Whole(body), ..Request::new(&headers, &|| None) };
        self.engine.decide(&request).reason().is_none()
    }
}

/// Whether a server's answer holds a field that the policy forbids. The end of an allowed name is none: graphql-go
/// reads it again behind a comment of other letters than ASCII, and no schema has such fields beside each other.
pub(crate) fn is_forbidden(answer: &str) -> bool {
    // What stands before the name says where the field is.
    let parts = |field: &'static str| field.split_at(field.rfind('.').map_or(0, |dot| dot + 1));
    let is_allowed = |field: &str| {
        let is_end_of = |(place, name): (&str, &str)| {
            field.strip_prefix(place).is_some_and(|end| !end.contains('.') && name.ends_with(end))
        };
        ALLOWED.into_iter().map(parts).any(is_end_of)
    };
    answer.split(' ').skip(1).any(|field| !is_allowed(field))
}

mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_allowed_is_forbidden_however_it_came_about() {
        for forbidden in [
            "ran secret2",
            "ran ok ok2 secret",
            "ran ok .secret",
            "ran __schema",
            "ran mutation.ok2",
            "read ok2 __type",
            "read .ok2",
        ] {
            assert!(is_forbidden(forbidden), "{forbidden}");
        }
        for allowed in [
            "",
            "ran",
            "read",
            "read ok .k k",
            "ran ok ok2 q .q .ok __typename mutation.__typename",
        ] {
            assert!(!is_forbidden(allowed), "{allowed}");
        }
    }

    #[test]
    fn the_policy_allows_some_documents_and_no_others() {
        let judge = Judge::new();
        assert!(judge.allows("{ok2 ok{q{ok2}}}"));
        for document in ["{secret2}", "{ok2 z:secret2}", "mutation{ok2}", "{__schema{__typename}}"]
        {
            assert!(!judge.allows(document), "{document}");
        }
    }
}
