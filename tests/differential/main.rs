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

use std::collections::BTreeSet;
use std::fs;

use latchkey_testing::repository;

/// The servers that `.ci/run` leaves to other rounds, as `docs/differential.md` says.
const NOT_IN_CI: [&str; 13] = [
    "actix",
    "axum",
    "chi",
    "echo4",
    "echo5",
    "fiber2",
    "fiber3",
    "gin",
    "hertz",
    "jersey",
    "spring-jetty",
    "spring-undertow",
    "webflux",
];

#[test]
fn ci_runs_every_other_server() {
    let text = fs::read_to_string(repository(".ci/servers")).unwrap();
    let mut others = names();
    for name in NOT_IN_CI {
        assert!(others.remove(name), "{name} is not a server");
    }
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, others.into_iter().collect::<Vec<&str>>());
}

#[test]
#[ignore = "run by make differential"]
fn what_is_selected_are_servers() {
    let names = names();
    for name in round::selected().into_iter().flatten() {
        assert!(names.contains(&*name), "DIFFERENTIAL_SERVERS: `{name}` is not a server");
    }
}

/// All servers, those that share a folder's packages by their own names.
fn names() -> BTreeSet<&'static str> {
    let routers = routers::SERVERS.iter().map(|(name, _)| *name);
    routers.chain(graphql::LIBRARIES).chain(graphql::transport::LAYERS).collect()
}
