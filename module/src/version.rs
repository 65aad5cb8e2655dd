//! Which Envoy this is. Its interface promises to hold for one further version only, and Envoy loads a module of any other
//! with no more than a warning, so the module looks for itself.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::fault;

/// The first and the last minor version of Envoy 1 that the module was tested on.
const TESTED: [u32; 2] = [38, 40];

/// The first in which filter state that a module has set can be set again.
const CHANGES_FILTER_STATE: u32 = 39;

/// The minor version of the Envoy in which this runs; 0 before it is known.
static MINOR: AtomicU32 = AtomicU32::new(0);

/// Whether filter state that was set can be set again.
pub(crate) fn changes_filter_state() -> bool {
    MINOR.load(Relaxed) >= CHANGES_FILTER_STATE
}

/// Whether the Envoy in which this runs is one of those that were tested, else why the module does not start.
pub(crate) fn tested() -> Result<(), String> {
    let [first, last] = TESTED;
    // No function of the interface tells, but the program does: `envoy  version: REVISION/1.40.0/Clean/RELEASE/BoringSSL`.
    let output = Command::new("/proc/self/exe").arg("--version").env_clear().output();
    let told = output.map_err(|error| format!("Envoy did not tell its version: {error}"))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let told = fault::envoy_version().unwrap_or(told);
    let minor = minor(&told).ok_or("Envoy did not tell its version")?;
    MINOR.store(minor, Relaxed);
    if (first..=last).contains(&minor) {
        return Ok(());
    }
    Err(format!("this is Envoy 1.{minor}, and the module was tested on 1.{first} to 1.{last} only"))
}

/// The minor version of an Envoy 1.
fn minor(told: &str) -> Option<u32> {
    let version = told.trim().rsplit("version: ").next()?.split('/').nth(1)?;
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}
