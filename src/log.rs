//! The lines that a host writes to its log. They name keys by their ids, and hold nothing that a client sent.

use std::fmt;

use crate::decision::Decision;
use crate::engine::Engine;
use crate::finding::{Finding, Severity};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a mistake.
    Debug,
    /// For the record.
    Info,
    /// Something may be other than it was meant.
    Warn,
    /// Something does not work.
    Error,
}

/// A line of a host's log. It begins with the name of its policy, where that has one.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// A policy is in force.
    Configured(&'a Engine),
    /// What was decided about a request by a policy.
    Decided(&'a Engine, &'a Decision<'a>),
    /// Something is wrong with a configuration, or doubtful, of a policy of that name.
    Finding(Option<&'a str>, &'a Finding),
    /// A configuration of a policy of that name is refused, for so many findings.
    Refused(Option<&'a str>, usize),
    /// A request with a key was held by a policy, or one that has been given up since, and never decided about.
    Undecided(Option<&'a Engine>, &'a str),
    /// A configuration of a policy of that name cannot be served.
    Unserved(Option<&'a str>),
}

impl Line<'_> {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Line::Configured(_) | Line::Undecided(..) => Level::Info,
            Line::Decided(..) => Level::Debug,
            Line::Finding(_, finding) => match finding.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warn,
            },
            Line::Refused(..) | Line::Unserved(_) => Level::Error,
        }
    }

    fn policy(&self) -> Option<&str> {
        match self {
            Line::Configured(engine) | Line::Decided(engine, _) => engine.name(),
            Line::Undecided(engine, _) => engine.and_then(Engine::name),
            Line::Finding(name, _) | Line::Refused(name, _) | Line::Unserved(name) => *name,
        }
    }
}

/// The version, as a log tells it, and as `latchkey check --wasm` finds it in the bytes of a module.
const BUILD: &str = concat!("(latchkey_build ", env!("CARGO_PKG_VERSION"), ")");

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.policy() {
            write!(formatter, "policy {name}: ")?;
        }
        match self {
            Line::Configured(engine) => {
                let (keys, rules) = (engine.key_count(), engine.rule_count());
                write!(formatter, "configured: {keys} keys, {rules} rules {BUILD}")
            }
            Line::Decided(_, decision) => fmt::Display::fmt(decision, formatter),
            Line::Finding(_, finding) => write!(formatter, "{finding} [{}]", finding.code.as_str()),
            Line::Refused(_, findings) => {
                write!(formatter, "configuration refused, findings: {findings}")
            }
            Line::Undecided(_, key) => {
                write!(formatter, "undecided key:{key}: the request ended before its body")
            }
            Line::Unserved(_) => {
                formatter.write_str("every request is answered with 503 until the next push")
            }
        }
    }
}
