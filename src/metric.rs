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
    /// Tells of each counter to which it adds one: that of the policy, that of the key, if there is one, and that of
    /// what a rule only observed. None of a request that is held. Metrics of keys are for policies that
    /// [keep them](Engine::metrics_per_key).
    pub fn count(&self, mut add: impl FnMut(Metric)) {
        let (is_let_in, observed) = match (self.verdict, self.is_observed) {
            (Verdict::Hold(_), _) => return,
            (Verdict::Allow(_), false) => {
                add(Metric::Allowed);
                (true, self.observed())
            }
            (Verdict::Allow(_), true) => {
                add(Metric::ObservedAllowed);
                (true, None)
            }
            (Verdict::Deny(reason), false) => {
                add(Metric::Denied(reason));
                (false, None)
            }
            (Verdict::Deny(reason), true) => (true, Some(reason)),
        };
        if let Some(key) = self.key() {
            let index = key.index();
            add(if is_let_in { Metric::KeyAllowed(index) } else { Metric::KeyDenied(index) });
        }
        if let Some(reason) = observed {
            add(Metric::ObservedDenied(reason));
        }
    }
}
