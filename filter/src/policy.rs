//! A policy in force.

use std::cell::RefCell;

use latchkey::Engine;

use crate::metrics::Metrics;

/// An engine, and what is counted of its decisions.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) engine: Engine,
    pub(crate) metrics: RefCell<Metrics>,
}
