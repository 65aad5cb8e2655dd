//! The order of decision.

/// A step of a decision. They are taken in their order, which is part of the contract: a request that fails
/// several is refused at the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Whether it is a CORS preflight, which is let through.
    Preflight,
    /// Whether upstreams read its path in one way only.
    Path,
    /// The same of its host.
    Host,
    /// The same of the parameters of its query.
    Query,
    /// Which rule decides; a public one lets it through.
    Rule,
    /// Whether a verified session says who asks. Then the next five have nothing to look at.
    Session,
    /// Whether one credential is presented, in one way.
    Credential,
    /// Whether it is a key's.
    Key,
    /// Whether the key is good now.
    State,
    /// Whether the request comes from where the key may be used.
    Origin,
    /// The same of the client's address.
    Address,
    /// Whether the rule lets anybody through.
    Access,
    /// Whether who asks is as the policy and the rule want it.
    Conditions,
    /// Whether the method is one that the policy or the rule knows.
    Method,
    /// Whether the scopes of who asks cover what is asked.
    Scopes,
    /// Whether the body asks for nothing else.
    Body,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 16] = [
        Step::Preflight,
        Step::Path,
        Step::Host,
        Step::Query,
        Step::Rule,
        Step::Session,
        Step::Credential,
        Step::Key,
        Step::State,
        Step::Origin,
        Step::Address,
        Step::Access,
        Step::Conditions,
        Step::Method,
        Step::Scopes,
        Step::Body,
    ];

    /// What explanations call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Preflight => "preflight",
            Step::Path => "path",
            Step::Host => "host",
            Step::Query => "query",
            Step::Rule => "rule",
            Step::Session => "session",
            Step::Credential => "credential",
            Step::Key => "key",
            Step::State => "state",
            Step::Origin => "origin",
            Step::Address => "address",
            Step::Access => "access",
            Step::Conditions => "conditions",
            Step::Method => "method",
            Step::Scopes => "scopes",
            Step::Body => "body",
        }
    }

    /// Whether it is about a key, so that a session has no need of it.
    pub fn is_of_keys(self) -> bool {
        (Step::Credential..=Step::Address).contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_stand_in_order() {
        assert!(Step::ALL.is_sorted());
    }
}
