//! What is counted of the requests to a policy. Names hold configured ids only, never anything that a client sent.

use crate::decision::{Decision, Verdict};
use crate::engine::Engine;
use crate::reason::Reason;

/// A metric of a policy; those of a key hold its place among the configuration's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A counter: requests that were let in.
    Allowed,
    /// A counter: requests that were refused, for a reason.
    Denied(Reason),
    /// A counter: a key's requests that were let in.
    KeyAllowed(usize),
    /// A counter: a key's requests that were refused.
    KeyDenied(usize),
    /// A gauge: when a request was last decided about that a key came with, in Unix seconds.
    KeyLastUsed(usize),
    /// A gauge: how many keys there are.
    Keys,
    /// A counter: requests that were held, and ended before anything was decided.
    Undecided,
}

impl Metric {
    /// Its name: `latchkey.WHAT`, or `latchkey.policy.NAME.WHAT` of a policy with a name.
    pub fn name(self, engine: &Engine) -> String {
        let mut words = vec!["latchkey"];
        if let Some(name) = engine.name() {
            words.extend(["policy", name]);
        }
        let key = |index| engine.key_id(index).unwrap_or_default();
        match self {
            Metric::Allowed => words.push("allowed"),
            Metric::Denied(reason) => words.extend(["denied", reason.as_str()]),
            Metric::KeyAllowed(index) => words.extend(["key", key(index), "allowed"]),
            Metric::KeyDenied(index) => words.extend(["key", key(index), "denied"]),
            Metric::KeyLastUsed(index) => words.extend(["key", key(index), "last_used"]),
            Metric::Keys => words.push("keys"),
            Metric::Undecided => words.push("undecided"),
        }
        words.join(".")
    }
}

impl Decision<'_> {
    /// The counters to which it adds one: that of the policy, and that of the key, if there is one. None of a
    /// request that is held. Metrics of keys are for policies that [keep them](Engine::metrics_per_key).
    pub fn counted(&self) -> impl Iterator<Item = Metric> {
        let key = self.key().map(|key| key.index());
        let counters = match self.verdict {
            Verdict::Allow(_) => [Some(Metric::Allowed), key.map(Metric::KeyAllowed)],
            Verdict::Deny(reason) => [Some(Metric::Denied(reason)), key.map(Metric::KeyDenied)],
            Verdict::Hold(_) => [None, None],
        };
        counters.into_iter().flatten()
    }
}
