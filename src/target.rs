//! Headers by which an upstream takes another target than the one that was judged.
//!
//! | header | who obeys it unless told otherwise |
//! | --- | --- |
//! | `script_name` | gunicorn, from an address that it trusts, its own machine's by default: the path loses what the header says |
//! | `daphne-root-path` | Daphne, from anybody: the same |
//! | `x-original-url`, `x-rewrite-url` | Yii, WordPress, Zend, Symfony before 2018, as IIS' rewriting leaves them: they stand for the whole target |
//!
//! Others, such as `x-forwarded-prefix`, are obeyed where somebody configured it only, and stay.

use crate::config::Word;

/// A header that a client's request loses, unless the policy keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TargetHeader(pub(crate) &'static str);

impl Word for TargetHeader {
    const WORDS: &'static [(&'static str, TargetHeader)] = &[
        ("daphne-root-path", TargetHeader("daphne-root-path")),
        ("script_name", TargetHeader("script_name")),
        ("x-original-url", TargetHeader("x-original-url")),
        ("x-rewrite-url", TargetHeader("x-rewrite-url")),
    ];
}

impl TargetHeader {
    /// Each of them.
    pub(crate) fn all() -> impl Iterator<Item = TargetHeader> {
        Self::WORDS.iter().map(|(_, header)| *header)
    }
}
