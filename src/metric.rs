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
    /// A counter: requests that a policy which only observes would have let in.
    ObservedAllowed,
    /// A counter: requests that were let in, and would have been refused for a reason if what is only observed
    /// were enforced.
    ObservedDenied(Reason),
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
            Metric::ObservedAllowed => words.extend(["observed", "allowed"]),
            Metric::ObservedDenied(reason) => {
                words.extend(["observed", "denied", reason.as_str()]);
            }
            Metric::Undecided => words.push("undecided"),
        }
        words.join(".")
    }
}

impl Decision<'_> {
    /// The counters to which it adds one: that of the policy, that of the key, if there is one, and that of what a
    /// rule only observed. None of a request that is held. Metrics of keys are for policies that [keep them](Engine::metrics_per_key).
    pub fn counted(&self) -> impl Iterator<Item = Metric> {
        let key = self.key().map(|key| key.index());
        let observed = self.observed().map(Metric::ObservedDenied);
        let counters = match self.verdict {
            Verdict::Hold(_) => [None, None, None],
            Verdict::Allow(_) if self.is_observed => {
                [Some(Metric::ObservedAllowed), key.map(Metric::KeyAllowed), None]
            }
            // The key's request was let in.
            Verdict::Deny(_) if self.is_observed => [observed, key.map(Metric::KeyAllowed), None],
            Verdict::Allow(_) => [Some(Metric::Allowed), key.map(Metric::KeyAllowed), observed],
            Verdict::Deny(reason) => {
                [Some(Metric::Denied(reason)), key.map(Metric::KeyDenied), None]
            }
        };
        counters.into_iter().flatten()
    }
}
