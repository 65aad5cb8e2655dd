//! Latchkey's core: API-key authentication and authorization as one pure call.
//!
//! A configuration becomes an [`Engine`], or a list of [`Finding`]s. The engine takes a [`Request`]
//! and gives a [`Decision`], which holds the [`Step`] at which it ended. An [`Exchange`] is the life of one
//! request: it is told what happens to it, asks the engine, and says what is [`Next`]. There is no other
//! evaluator and no other life: every host and the command line drive the same exchange.
//!
//! ```text
//! headers (bytes) -> Exchange -> preflight? -> path, host, query -> rule -> session, or credential -> key ring
//!                 -> key state -> origin, address -> conditions -> scopes
//!                 -> body -> Decision -> Next
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

mod address;
mod authenticate;
mod authorize;
mod base64;
mod charset;
mod compile;
mod condition;
mod config;
mod connection;
mod credential;
mod decision;
mod effect;
mod engine;
mod exchange;
mod finding;
mod form;
#[doc(hidden)]
pub mod fuzzing;
mod graphql;
mod header;
mod host;
mod http;
mod identity;
mod key_type;
mod keyring;
pub mod limits;
mod lint;
mod log;
mod memory;
mod method;
mod metric;
mod origin;
mod path;
mod pattern;
mod publish;
mod query;
mod reading;
mod reason;
mod request;
mod response;
mod rule;
mod scope;
mod session;
mod source;
mod spelling;
mod step;
mod target;
mod template;
mod upstream;
mod view;

pub use address::Network;
pub use compile::{Environment, policy_name};
pub use config::{Instant, Json, display_timestamp, parse_timestamp};
pub use credential::Ambiguity;
pub use decision::{Access, Decision, Hold, ReadAs, Verdict};
pub use effect::{Changes, Reply};
pub use engine::Engine;
pub use exchange::{End, Exchange, Next, Piece, Publish, Turn, Undecided, Waiting};
pub use finding::{Code, Finding, Severity};
pub use http::is_token;
pub use key_type::{Charset, Format, KeyType};
pub use keyring::Key;
pub use lint::{Remark, lint};
pub use log::{Level, Line};
pub use memory::{Memory, has_room};
pub use metric::Metric;
pub use origin::Origin;
pub use reason::{Class, PerReason, Reason};
pub use request::{Body, Claim, Claims, Request};
pub use rule::Rule;
pub use scope::{Scope, ScopeError};
pub use session::Session;
pub use source::{BasicPart, Source};
pub use step::Step;
pub use upstream::{Deviation, UPSTREAMS, Upstream};
pub use view::{Demand, UnmetCondition};

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
