//! Real Envoys on loopback, for tests: start with [`Gateway::start`], send with
//! [`Gateway::exchange`] or over connections of your own, and see what the client got, what the
//! access log says and what the upstream saw.
//!
//! Everything is `envoy/envoy.yaml` and `envoy/upstream.yaml` as they are, but for ports, places
//! and what a [`Setup`] says. Nothing sleeps to let things happen: [`until`] polls a condition.
//! An Envoy is killed when its handle is dropped, which a failing test does as well.
//!
//! The filter is `dist/latchkey.wasm`; the environment variable `LATCHKEY_WASM` names another.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of the harness")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

pub(crate) mod access_log;
mod envoy;
pub(crate) mod gateway;
pub(crate) mod http1;
pub(crate) mod http2;
mod load;
mod policy;
mod repository;
mod scratch;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use access_log::{LogLine, Report};
pub(crate) use envoy::{Envoy, Stats};
pub(crate) use gateway::{Exchange, Gateway, Setup};
pub(crate) use http1::{Connection, Response};
pub(crate) use load::{Client, Load};
pub(crate) use policy::{Key, as_struct, ecds, inline, system};
pub(crate) use repository::{repository, wasm};
pub(crate) use scratch::Scratch;

/// How long anything may take before a test fails: far more than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until `condition` gives a value; a test fails with `what` when that takes too long.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
