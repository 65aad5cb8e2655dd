//! The policy's reading of a request beside what real servers make of it: seeded generators send what parsers,
//! routers and frameworks could read in two ways, and no resolver and no handler may run that the policy forbids.
//!
//! `make differential` runs this; `docs/differential.md` says how to run a long round and what was found.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

mod graphql;
mod round;
mod routers;
mod server;
