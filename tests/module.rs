//! The native module in real Envoys: the corpus, and what only a real Envoy can show.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

#[path = "module/corpus.rs"]
mod corpus;
#[path = "module/faults.rs"]
mod faults;
#[path = "module/library.rs"]
mod library;
#[path = "module/metrics.rs"]
mod metrics;
