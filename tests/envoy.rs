//! The filter in a real Envoy: the corpus, and what only a real Envoy can show.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

#[path = "envoy/addresses.rs"]
mod addresses;
#[path = "envoy/bad_input.rs"]
mod bad_input;
#[path = "envoy/bodies.rs"]
mod bodies;
#[path = "envoy/configuration.rs"]
mod configuration;
#[path = "envoy/corpus.rs"]
mod corpus;
#[path = "envoy/guard.rs"]
mod guard;
#[path = "envoy/held.rs"]
mod held;
#[path = "envoy/memory.rs"]
mod memory;
#[path = "envoy/metrics.rs"]
mod metrics;
#[path = "envoy/preflights.rs"]
mod preflights;
#[path = "envoy/push.rs"]
mod push;
#[path = "envoy/quota.rs"]
mod quota;
#[path = "envoy/readme.rs"]
mod readme;
#[path = "envoy/refusals.rs"]
mod refusals;
#[path = "envoy/requests.rs"]
mod requests;
#[path = "envoy/responses.rs"]
mod responses;
#[path = "envoy/sessions.rs"]
mod sessions;
#[path = "envoy/trailers.rs"]
mod trailers;
#[path = "envoy/upgrades.rs"]
mod upgrades;
