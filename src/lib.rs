//! Latchkey's core: API-key authentication and authorization as one pure call.
//!
//! A configuration becomes an [`Engine`], or a list of [`Finding`]s. The engine takes a [`Request`]
//! and gives a [`Decision`], which holds the [`Effect`] that the proxy carries out and the [`Step`] at
//! which it ended. There is no other evaluator: the filter, the command line and the tests all read
//! the same decision.
//!
//! ```text
//! headers (bytes) -> Request -> preflight? -> path, host, query -> rule -> session, or credential -> key ring
//!                 -> key state -> origin -> conditions -> scopes -> body -> Decision with its Effect
//! ```
//!
//! This crate calls no host, reads no clock, file or environment, draws no randomness and writes no
//! log. What it needs of these it is handed.
//!
//! ```
//! use latchkey::{Engine, Environment, Request};
//!
//! let policy = br#"{
//!     "credentials": [{"header": "authorization", "scheme": "Bearer"}],
//!     "keys": [{
//!         "id": "reporting",
//!         "hash": "sha256:9aae5d7abe4bbc464fcc6ab2ff57e7b5ad4d61ed3e0ed8ea3b2fa0d2c9ab7d0e",
//!         "scopes": ["read"]
//!     }]
//! }"#;
//! let engine = Engine::compile(policy, &Environment::default()).expect("a good policy");
//!
//! let headers = [(":method", &b"GET"[..]), (":path", b"/v1/reports")];
//! let request = Request::new(&headers, &|| None);
//! assert_eq!(engine.decide(&request).to_string(), "deny missing_credential");
//! ```

#![deny(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![forbid(unsafe_code)]

mod authenticate;
mod authorize;
mod charset;
mod compile;
mod condition;
mod config;
mod connection;
mod credential;
mod decision;
mod effect;
mod engine;
mod finding;
#[doc(hidden)]
pub mod fuzzing;
mod graphql;
mod host;
mod http;
mod identity;
mod key_type;
mod keyring;
pub mod limits;
mod lint;
mod memory;
mod method;
mod origin;
mod path;
mod query;
mod reading;
mod reason;
mod request;
mod response;
mod rule;
mod scope;
mod session;
mod spelling;
mod step;
mod target;
mod template;
mod view;

pub use compile::Environment;
pub use config::{Instant, Json, display_timestamp, parse_timestamp};
pub use credential::Ambiguity;
pub use decision::{Access, Decision, Hold, Verdict};
pub use effect::{Changes, Effect, Reply};
pub use engine::Engine;
pub use finding::{Code, Finding, Severity};
pub use http::is_token;
pub use key_type::{Charset, Format, KeyType};
pub use keyring::Key;
pub use lint::{Remark, lint};
pub use memory::{Memory, has_room};
pub use origin::Origin;
pub use reason::{Class, PerReason, Reason};
pub use request::{Body, Claim, Claims, Request};
pub use rule::Rule;
pub use scope::{Scope, ScopeError};
pub use session::Session;
pub use step::Step;
pub use view::{Source, UnmetCondition};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_can_share_an_engine() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Engine>();
        shared::<Finding>();
    }
}
