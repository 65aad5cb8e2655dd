//! What was decided about a request, and why.

use std::fmt;

use crate::condition::Condition;
use crate::credential::Ambiguity;
use crate::identity::Identity;
use crate::keyring::Key;
use crate::reason::Reason;
use crate::rule::Rule;
use crate::scope::Scope;
use crate::session::Session;
use crate::step::Step;
use crate::upstream::Deviation;

/// The decision about one request. Its `Display` is the filter state that others in the proxy read: `allow key:ID`,
/// `allow session:ID`, `allow public`, `allow preflight`, `deny REASON` or `deny REASON key:ID`. Of a policy that only
/// observes it is that behind `allow observed `; of a rule that does, ` observed deny REASON` stands behind it.
#[derive(Clone, Debug)]
pub struct Decision<'e> {
    /// Whether the request goes on, and as what.
    pub verdict: Verdict,
    /// The step at which that was decided: the last one, [`Step::Body`], for a request that passed them all.
    pub step: Step,
    /// Whether the policy only observes, so that the request goes on as it came, whatever the verdict.
    pub is_observed: bool,
    pub(crate) found: Found<'e>,
}

/// What is found out on the way to a decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found<'e> {
    pub(crate) rule: Option<&'e Rule>,
    pub(crate) key: Option<Key<'e>>,
    /// A pointer away, since few requests have one, and this is handed on with every request.
    pub(crate) session: Option<Box<Session>>,
    pub(crate) required: Vec<Scope>,
    /// Whether a credential was presented where one counts.
    pub(crate) presented: bool,
    pub(crate) ambiguity: Option<Ambiguity>,
    /// Whether a credential was presented where none counts on the rule.
    pub(crate) is_elsewhere: bool,
    /// Whether a filter before this one has verified a session, and the policy looks for one.
    pub(crate) has_claims: bool,
    /// Why a rule that only observes would have refused the request.
    pub(crate) observed: Option<Reason>,
    pub(crate) unmet_condition: Option<&'e Condition>,
    /// The method that the request is refused for.
    pub(crate) refused_method: Option<Box<str>>,
    /// Whether the refusal is the rule's own, and so speaks with the rule's `deny` wording.
    pub(crate) own_wording: bool,
    /// The path to forward in place of the request's.
    pub(crate) path: Option<String>,
    /// How many readings were allowed before.
    pub(crate) admitted: usize,
    /// The place among all readings of the one that is not allowed.
    pub(crate) refused: Option<usize>,
}

/// A request as an upstream could read it, and the rule that decides about that.
#[derive(Clone, Debug)]
pub struct ReadAs<'e> {
    /// How it comes to that; `None` where it reads what the request says first.
    pub by: Option<Deviation>,
    /// Its method.
    pub method: String,
    /// Its path, decoded; `None` where no rule looks at paths.
    pub path: Option<String>,
    /// The rule; `None` for the default rule.
    pub rule: Option<&'e Rule>,
}

/// Why a request goes no further, and the step at which that came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) step: Step,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal { reason, step: reason.step() }
    }
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

impl Verdict {
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Verdict::Allow(_) | Verdict::Hold(_) => None,
            Verdict::Deny(reason) => Some(reason),
        }
    }
}

impl<'e> Decision<'e> {
    /// Why the request is refused, if it is.
    pub fn reason(&self) -> Option<Reason> {
        self.verdict.reason().filter(|_| !self.is_observed)
    }

    /// Why it would be refused, if what is only observed were enforced.
    pub fn observed(&self) -> Option<Reason> {
        self.verdict.reason().filter(|_| self.is_observed).or(self.found.observed)
    }

    /// The rule that decided; `None` for the default rule, or where no rule was reached.
    pub fn rule(&self) -> Option<&'e Rule> {
        self.found.rule
    }

    /// The key whose token was presented, where there is one.
    pub fn key(&self) -> Option<Key<'e>> {
        self.found.key
    }

    /// The verified session, where there is one and it was looked at.
    pub fn session(&self) -> Option<&Session> {
        self.found.session.as_deref()
    }

    /// The scopes that the request needed, as far as they could be told.
    pub fn required(&self) -> &[Scope] {
        &self.found.required
    }

    /// The place of the one among [`Engine::readings`](crate::Engine::readings) that is not allowed, where the
    /// request is refused for it.
    pub fn refused_reading(&self) -> Option<usize> {
        self.found.refused
    }

    /// How the credential was ambiguous, where the request is refused for that. `None` beside a verified
    /// session means that a key of the policy's is presented, too.
    pub fn ambiguity(&self) -> Option<Ambiguity> {
        self.found.ambiguity
    }

    /// Whether a filter before this one has verified a session that the policy looks for, good or not.
    pub fn has_claims(&self) -> bool {
        self.found.has_claims
    }

    /// The method for which the request is refused, if it is: its own, or one that it asks for in that one's
    /// place. Empty if it asks for more of them than are looked at.
    pub fn refused_method(&self) -> Option<&str> {
        self.found.refused_method.as_deref()
    }

    /// Whether a credential is presented where none counts on the rule, so that it is missing.
    pub fn is_elsewhere(&self) -> bool {
        self.found.is_elsewhere
    }

    /// The account of who asks, where it is known.
    pub fn account(&self) -> Option<&str> {
        self.found.identity()?.account()
    }
}

impl Found<'_> {
    pub(crate) fn refuse_method(&mut self, method: &str) -> Reason {
        self.refused_method = Some(method.into());
        Reason::MethodNotAllowed
    }

    /// Notes the reading that is not allowed, by its place among those that are judged.
    pub(crate) fn refuse_reading(&mut self, place: usize) {
        self.refused = Some(self.admitted.saturating_add(place));
    }

    /// Who asks.
    pub(crate) fn identity(&self) -> Option<Identity<'_>> {
        let key = self.key.map(Identity::Key);
        self.session.as_deref().map(Identity::Session).or(key)
    }
}

impl Decision<'_> {
    /// What its `Display` shows, in pieces.
    fn pieces(&self) -> [&str; 5] {
        let id = self.found.identity().map(Identity::id).unwrap_or_default();
        let is_observed = if self.is_observed { "allow observed " } else { "" };
        let (verdict, id) = match self.verdict {
            Verdict::Allow(access) | Verdict::Hold(Hold { access, .. }) => match access {
                Access::Key => ("allow key:", id),
                Access::Preflight => ("allow preflight", ""),
                Access::Public => ("allow public", ""),
                Access::Session => ("allow session:", id),
            },
            Verdict::Deny(reason) => {
                let (separator, key) = match self.key() {
                    Some(key) => (" key:", key.id()),
                    None => ("", ""),
                };
                return [is_observed, "deny ", reason.as_str(), separator, key];
            }
        };
        match self.found.observed {
            Some(reason) => [is_observed, verdict, id, " observed deny ", reason.as_str()],
            None => [is_observed, verdict, id, "", ""],
        }
    }

    /// What its `Display` shows, without the machinery of formats, which costs as much as the rest.
    pub(crate) fn text(&self) -> String {
        self.pieces().concat()
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces().into_iter().try_for_each(|piece| formatter.write_str(piece))
    }
}
