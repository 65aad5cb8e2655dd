//! What was decided about a request, and why.

use std::fmt;

use crate::identity::Identity;
use crate::key::Key;
use crate::rule::Rule;
use crate::scope::Scope;
use crate::session::Session;

/// The decision about one request. Its `Display` is the filter state that others in the proxy read:
/// `allow key:ID`, `allow session:ID`, `allow public`, `allow preflight`, `deny REASON` or
/// `deny REASON key:ID`.
#[derive(Clone, Debug)]
pub struct Decision<'e> {
    /// Whether the request goes on, and as what.
    pub verdict: Verdict,
    /// The rule that decided; `None` for the default rule, or where no rule was reached.
    pub rule: Option<&'e Rule>,
    /// The key whose token was presented, where there is one.
    pub key: Option<Key<'e>>,
    /// The verified session, where there is one and it was looked at.
    pub session: Option<Session>,
    /// The scopes that the request needed, as far as they could be told.
    pub required: Vec<Scope>,
    /// Whether a credential was presented at all.
    pub presented: bool,
    /// Whether the refusal is the rule's own, and so speaks with the rule's `deny` wording.
    pub(crate) own_wording: bool,
    /// The path to forward in place of the request's.
    pub(crate) path: Option<String>,
}

/// Whether a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Allow(Access),
    /// It is refused.
    Deny(Reason),
    /// It goes on if its body is good: the decision must be asked for again with the body read.
    Hold(Hold),
}

/// How a request waits for its body to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// As what it goes on if its body is good.
    pub access: Access,
    /// Whether its headers wait, too, or go ahead.
    pub headers: bool,
    /// The largest body that is judged; a larger one is [`Body::TooLarge`](crate::Body::TooLarge).
    pub max_bytes: usize,
}

/// As what a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the holder of a key.
    Key,
    /// As a CORS preflight (WHATWG Fetch section 3.2.2).
    Preflight,
    /// As anybody.
    Public,
    /// As the holder of a verified session.
    Session,
}

impl Decision<'_> {
    /// Why the request is refused, if it is.
    pub fn reason(&self) -> Option<Reason> {
        match self.verdict {
            Verdict::Allow(_) | Verdict::Hold(_) => None,
            Verdict::Deny(reason) => Some(reason),
        }
    }

    /// The account of who asks, where it is known.
    pub fn account(&self) -> Option<&str> {
        self.identity()?.account()
    }

    /// Who asks.
    pub(crate) fn identity(&self) -> Option<Identity<'_>> {
        let key = self.key.map(Identity::Key);
        self.session.as_ref().map(Identity::Session).or(key)
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.identity().map(Identity::id).unwrap_or_default();
        match self.verdict {
            Verdict::Allow(access) | Verdict::Hold(Hold { access, .. }) => match access {
                Access::Key => both(formatter, "allow key:", id),
                Access::Preflight => formatter.write_str("allow preflight"),
                Access::Public => formatter.write_str("allow public"),
                Access::Session => both(formatter, "allow session:", id),
            },
            Verdict::Deny(reason) => {
                both(formatter, "deny ", reason.as_str())?;
                self.key.map_or(Ok(()), |key| both(formatter, " key:", key.id()))
            }
        }
    }
}

fn both(formatter: &mut fmt::Formatter<'_>, one: &str, other: &str) -> fmt::Result {
    formatter.write_str(one)?;
    formatter.write_str(other)
}

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
    /// The key is disabled.
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
