//! What is doubtful in a policy that is served all the same: rules that never match or refuse each
//! other's requests, and rules that let everybody in. The command line tells of it; the filter has none of it.

mod parameters;
mod rules;

use crate::engine::Engine;

/// One thing that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What kind of doubt it is; stable across releases.
    pub code: &'static str,
    /// Its place in the configuration, as a JSON pointer.
    pub pointer: String,
    /// What is doubtful, in one line.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

/// Looks through a policy.
pub fn lint(engine: &Engine) -> Vec<Remark> {
    let mut remarks = Vec::new();
    rules::look(engine.rules(), &mut remarks);
    parameters::look(engine, &mut remarks);
    remarks
}
