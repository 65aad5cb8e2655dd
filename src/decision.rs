//! What was decided about a request, and why.

use std::fmt;

use crate::identity::Identity;
use crate::keyring::Key;
use crate::reason::Reason;
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
    /// Whether its headers wait, too, or go ahead. Those of a preflight wait where any rule's do, since
    /// then the proxy knows how to.
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
    /// A decision about nobody in particular.
    pub(crate) fn new(verdict: Verdict) -> Self {
        Decision {
            verdict,
            rule: None,
            key: None,
            session: None,
            required: Vec::new(),
            presented: false,
            own_wording: false,
            path: None,
        }
    }

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
