//! What `render` prints, on the real control planes: Istio's pilot and Envoy Gateway, each driving a real Envoy.
//! `make mesh-test` builds them and runs this. Of each control plane there is one at a time, since its ports are fixed; those
//! that wait for it wait in threads of their own.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

#[path = "mesh/crds.rs"]
mod crds;
#[path = "mesh/deploy.rs"]
mod deploy;
#[path = "mesh/envoy_gateway.rs"]
mod envoy_gateway;
#[path = "mesh/files.rs"]
mod files;
#[path = "mesh/istio.rs"]
mod istio;
#[path = "mesh/process.rs"]
mod process;
#[path = "mesh/site.rs"]
mod site;
