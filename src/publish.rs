//! What is told to others in a proxy besides a decision, each where a guard, a filter or an access log needs not take it
//! out of the decision's text.

use crate::config::Word;
use crate::decision::Decision;

/// One thing that is told, in filter state of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Account,
    Key,
    Reason,
    Rule,
}

impl Word for Published {
    const WORDS: &'static [(&'static str, Published)] = &[
        ("account", Published::Account),
        ("key", Published::Key),
        ("reason", Published::Reason),
        ("rule", Published::Rule),
    ];
}

impl Published {
    /// The name of the filter state.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Published::Account => "latchkey.account",
            Published::Key => "latchkey.key",
            Published::Reason => "latchkey.reason",
            Published::Rule => "latchkey.rule",
        }
    }

    /// What a decision says of it, if it does.
    pub(crate) fn of(self, decision: &Decision<'_>) -> Option<String> {
        let text = match self {
            Published::Account => decision.account(),
            Published::Key => match decision.session() {
                // Its id is its issuer's to choose, and must not pass for a key's, which has no colon.
                Some(session) => return Some(["session:", session.id()].concat()),
                None => decision.key().map(|key| key.id()),
            },
            Published::Reason => {
                decision.reason().or(decision.observed()).map(|reason| reason.as_str())
            }
            Published::Rule => decision.rule().map(|rule| rule.name()),
        };
        text.map(str::to_owned)
    }
}
