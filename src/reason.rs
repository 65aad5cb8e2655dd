//! Why a request is refused.

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
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $class:ident;)+) => {
        /// Why a request is refused: what the operator learns. What the client learns is the
        /// configuration's wording, by default one for each [`Class`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in alphabetical order, which is also the order of `as usize`.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The reason's name in filter state, logs, metrics and `errors.reasons`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// The reason's class.
            pub fn class(self) -> Class {
                match self { $(Reason::$name => Class::$class,)+ }
            }
        }
    };
}

reasons! {
    /// More than one credential was presented.
    AmbiguousCredential = "ambiguous_credential", Unauthorized;
    /// An upstream could read a parameter of the query differently.
    AmbiguousQuery = "ambiguous_query", BadRequest;
    /// The key does not meet a `where`.
    ConditionFailed = "condition_failed", Forbidden;
    /// The rule says `access: deny`.
    DeniedByRule = "denied_by_rule", Forbidden;
    /// The key's `expires_at` has passed, or no clock could say that it has not.
    ExpiredKey = "expired_key", Unauthorized;
    /// The key's scopes do not cover what the request needs.
    InsufficientScope = "insufficient_scope", Forbidden;
    /// The key's type is switched off.
    KeyTypeDisabled = "key_type_disabled", Unauthorized;
    /// What was presented can be no token, or a session does not say whose it is.
    MalformedCredential = "malformed_credential", Unauthorized;
    /// The GraphQL request cannot be read in one way only, or goes beyond a limit.
    MalformedGraphql = "malformed_graphql", BadRequest;
    /// The host is no name and no address, and some rule looks at hosts.
    MalformedHost = "malformed_host", BadRequest;
    /// An upstream could read the path differently.
    MalformedPath = "malformed_path", BadRequest;
    /// The method stands for no action and the rule does not list it, or it carries no GraphQL.
    MethodNotAllowed = "method_not_allowed", Forbidden;
    /// No credential was presented.
    MissingCredential = "missing_credential", Unauthorized;
    /// The key's `not_before` lies ahead, or no clock could say that it does not.
    NotYetValid = "not_yet_valid", Unauthorized;
    /// The key is for listed browser origins, and the request comes from none of them.
    OriginNotAllowed = "origin_not_allowed", Forbidden;
    /// The key is disabled or suspended.
    RevokedKey = "revoked_key", Unauthorized;
    /// No key has that token.
    UnknownKey = "unknown_key", Unauthorized;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_order() {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.is_sorted());
        assert!(Reason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    }
}
