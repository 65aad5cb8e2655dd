//! Why a request is refused.

use std::ops::{Index, IndexMut};

use crate::step::Step;

/// What kind of refusal a reason is; it says which of the configuration's wordings the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request cannot be read in one way only: 400.
    BadRequest,
    /// The key is good, and not for this: 403.
    Forbidden,
    /// No good key: 401.
    Unauthorized,
}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $class:ident, $step:ident;)+) => {
        /// Why a request is refused: what the operator learns. What the client learns is the
        /// configuration's wording, by default one for each [`Class`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        // As wide as what it stands in place of in a `Result`, which is then handed on in one piece.
        #[repr(usize)]
        pub enum Reason { $($(#[$doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in alphabetical order, which is also the order of `as usize`.
            pub const ALL: [Reason; [$(Reason::$name),+].len()] = [$(Reason::$name),+];

            /// The reason's name in filter state, logs, metrics and `errors.reasons`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// The reason's class.
            pub fn class(self) -> Class {
                match self { $(Reason::$name => Class::$class,)+ }
            }

            /// The step at which a request is refused for it.
            pub fn step(self) -> Step {
                match self { $(Reason::$name => Step::$step,)+ }
            }
        }
    };
}

/// One `T` for each reason.
#[derive(Clone, Debug)]
pub struct PerReason<T>([T; Reason::ALL.len()]);

impl<T> PerReason<T> {
    /// Makes each of its reason.
    pub fn new(of: impl FnMut(Reason) -> T) -> PerReason<T> {
        PerReason(Reason::ALL.map(of))
    }

    /// All of them, in the order of [`Reason::ALL`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

#[expect(clippy::indexing_slicing, reason = "a reason's number is its place in `Reason::ALL`")]
impl<T> Index<Reason> for PerReason<T> {
    type Output = T;

    fn index(&self, reason: Reason) -> &T {
        &self.0[reason as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "a reason's number is its place in `Reason::ALL`")]
impl<T> IndexMut<Reason> for PerReason<T> {
    fn index_mut(&mut self, reason: Reason) -> &mut T {
        &mut self.0[reason as usize]
    }
}

reasons! {
    /// The key is for listed addresses, and the client's is none of them, or cannot be told.
    AddressNotAllowed = "address_not_allowed", Forbidden, Address;
    /// A form or a JSON body decides, and upstreams could read it differently, or it goes beyond a limit.
    AmbiguousBody = "ambiguous_body", BadRequest, Body;
    /// More than one credential was presented, or some upstream could read another.
    AmbiguousCredential = "ambiguous_credential", Unauthorized, Credential;
    /// An upstream could read a parameter of the query differently.
    AmbiguousQuery = "ambiguous_query", BadRequest, Query;
    /// The key does not meet a `where`.
    ConditionFailed = "condition_failed", Forbidden, Conditions;
    /// The rule says `access: deny`.
    DeniedByRule = "denied_by_rule", Forbidden, Access;
    /// The key's `expires_at` has passed, or no clock could say that it has not.
    ExpiredKey = "expired_key", Unauthorized, State;
    /// The key's scopes do not cover what the request needs.
    InsufficientScope = "insufficient_scope", Forbidden, Scopes;
    /// The key's type is switched off.
    KeyTypeDisabled = "key_type_disabled", Unauthorized, State;
    /// What was presented cannot be a token, or a session does not say whose it is.
    MalformedCredential = "malformed_credential", Unauthorized, Credential;
    /// The GraphQL request cannot be read in one way only, or goes beyond a limit.
    MalformedGraphql = "malformed_graphql", BadRequest, Body;
    /// The host is neither a name nor an address, and some rule looks at hosts.
    MalformedHost = "malformed_host", BadRequest, Host;
    /// An upstream could read the path differently.
    MalformedPath = "malformed_path", BadRequest, Path;
    /// The method stands for no action and the rule does not list it, or it carries no GraphQL.
    MethodNotAllowed = "method_not_allowed", Forbidden, Method;
    /// No credential was presented.
    MissingCredential = "missing_credential", Unauthorized, Credential;
    /// The key's `not_before` lies ahead, or no clock could say that it does not.
    NotYetValid = "not_yet_valid", Unauthorized, State;
    /// The key is for listed browser origins, and the request comes from none of them.
    OriginNotAllowed = "origin_not_allowed", Forbidden, Origin;
    /// The key is disabled or suspended.
    RevokedKey = "revoked_key", Unauthorized, State;
    /// No key has that token.
    UnknownKey = "unknown_key", Unauthorized, Key;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_order() {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn each_reason_has_its_own() {
        let mut names = PerReason::new(Reason::as_str);
        assert!(Reason::ALL.iter().all(|reason| names[*reason] == reason.as_str()));
        names[Reason::UnknownKey] = "other";
        assert_eq!(names.iter_mut().filter(|name| **name == "other").count(), 1);
    }
}
