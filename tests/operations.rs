//! What `ops/` ships, on a real Prometheus that asks real Envoys: `make test`, with Debian's package of Prometheus in `.tools`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

#[path = "operations/alerts.rs"]
mod alerts;
#[path = "operations/picture.rs"]
mod picture;
#[path = "operations/prometheus.rs"]
mod prometheus;
#[path = "operations/rules.rs"]
mod rules;
