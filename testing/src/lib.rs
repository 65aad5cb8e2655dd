//! What the tests and benchmarks of all packages share, shipped nowhere: real Envoys, the built filter in this
//! process (`host`, if that feature is asked for), policies of any size ([`policies`]).
//!
//! Real Envoys on loopback: start with [`Gateway::start`], send with
//! [`Gateway::exchange`] or over connections of your own, and see what the client got, what the
//! access log says and what the upstream saw.
//!
//! Everything is `envoy/envoy.yaml` and `envoy/upstream.yaml` as they are, but for ports, places
//! and what a [`Setup`] says. Nothing sleeps to let things happen: [`until`] polls a condition.
//! An Envoy is killed when its handle is dropped, which a failing test does as well.
//!
//! The filter is `dist/latchkey.wasm`, or by [`Setup::module`], or everywhere by `LATCHKEY_AS=module`, the native module
//! `dist/liblatchkey-VERSION.so`; the environment variables `LATCHKEY_WASM` and `LATCHKEY_MODULE` name others.

#![allow(
    missing_debug_implementations,
    missing_docs,
    reason = "only tests use this, and they print and read less of it than users would"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

pub mod access_log;
pub mod corpus;
mod envoy;
pub mod gateway;
#[cfg(feature = "host")]
pub mod host;
pub mod http1;
pub mod http2;
mod load;
pub mod policies;
mod policy;
mod repository;
mod scratch;

use std::thread;
use std::time::{Duration, Instant};

pub use access_log::{LogLine, Report};
pub use envoy::{Envoy, Stats};
pub use gateway::{Exchange, Gateway, Setup};
pub use http1::{Connection, Response};
pub use load::{Client, Load};
pub use policy::{Key, as_struct, ecds, ecds_of, inline, policy_of, system};
pub use repository::{envoy, module, repository, wasm};
pub use scratch::Scratch;

/// How long anything may take before a test fails: far more than it ever does.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until `condition` gives a value; a test fails with `what` when that takes too long.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
