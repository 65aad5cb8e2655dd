//! What a rule wants of a query parameter or a header.

/// How something fits a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    No,
    /// By some occurrences of a repeated parameter or header only, or to some upstreams.
    Partly,
    /// Whatever occurrence an upstream reads.
    Surely,
}

/// A name, and the values of which it must have one.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// Of a header, in lower case.
    pub(crate) name: Box<str>,
    /// `None` for any value.
    pub(crate) values: Option<Vec<Box<str>>>,
}

impl Pattern {
    pub(crate) fn takes(&self, value: &[u8]) -> bool {
        let is_own = |values: &Vec<Box<str>>| values.iter().any(|known| known.as_bytes() == value);
        self.values.as_ref().is_none_or(is_own)
    }
}
