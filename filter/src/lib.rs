//! Latchkey as a proxy-wasm HTTP filter: a request's bytes in, the decision's effect out.
//!
//! All that is decided is decided in the `latchkey` crate. This one tells its
//! [`Exchange`](latchkey::Exchange) what happens, does what is [`Next`](latchkey::Next), and counts. The SDK takes a call of the proxy to
//! `plugin`, which is configured, or to `stream`, which serves a request by what `policy` has in force; what
//! they ask of the proxy goes through `host`.

#![deny(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod configuration;
mod host;
mod metrics;
mod pairs;
mod plugin;
mod policy;
mod stream;

/// The standard one takes most of the time of a request, and more room (see `docs/benchmarks`).
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
