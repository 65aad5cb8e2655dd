//! The steps of a decision, in their order, told from the [`Decision`]: what it carries, and what
//! the policy says at the rule and the key that it names. Nothing is judged here.

use std::cmp::Ordering;

use latchkey::{Access, Ambiguity, Decision, Reason, Verdict};

use crate::cases::{CaseRequest, Observation};
use crate::document::{self, Document, Fields};
use crate::place;
use crate::policy::Policy;
use crate::time;

/// One step and what came of it.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) mark: Mark,
    pub(super) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The request was let through here.
    Allowed,
    /// The request was refused here.
    Denied,
    /// It was decided before, or a session stands for the key.
    NotReached,
    /// The request went on to the next step.
    Passed,
}

pub(super) fn steps(
    policy: &Policy,
    decision: &Decision<'_>,
    observation: &Observation,
    request: &CaseRequest,
    now: i64,
) -> Vec<Step> {
    let mark = |step: latchkey::Step| match step.cmp(&decision.step) {
        _ if decision.session().is_some() && step.is_of_keys() => Mark::NotReached,
        Ordering::Less => Mark::Passed,
        Ordering::Greater => Mark::NotReached,
        Ordering::Equal => match decision.verdict {
            Verdict::Allow(Access::Preflight | Access::Public) => Mark::Allowed,
            Verdict::Allow(_) | Verdict::Hold(_) => Mark::Passed,
            Verdict::Deny(_) => Mark::Denied,
        },
    };
    let told = |step| {
        let mark = mark(step);
        let story = Story { policy, decision, observation, request, now, mark };
        let text = if mark == Mark::NotReached { String::new() } else { story.tell(step) };
        Step { name: step.as_str(), mark, text }
    };
    latchkey::Step::ALL.map(told).into()
}

/// What there is to tell a step from.
struct Story<'a> {
    policy: &'a Policy,
    decision: &'a Decision<'a>,
    observation: &'a Observation,
    request: &'a CaseRequest,
    now: i64,
    mark: Mark,
}

impl Story<'_> {
    fn tell(&self, step: latchkey::Step) -> String {
        use latchkey::Step;
        let denied = self.mark == Mark::Denied;
        match step {
            Step::Preflight if self.mark == Mark::Allowed => {
                "a CORS preflight, by which a browser asks before it sends the request".to_owned()
            }
            Step::Preflight => "not a CORS preflight".to_owned(),
            Step::Path if denied => "an upstream could read it in another way".to_owned(),
            Step::Path => {
                match self.observation.upstream.as_ref().and_then(|own| own.path.as_ref()) {
                    Some(path) if Some(path.as_slice()) != self.path() => {
                        "goes on changed, see below".to_owned()
                    }
                    _ => "goes on as it is".to_owned(),
                }
            }
            Step::Host if denied => "it is not a host, with or without a port".to_owned(),
            Step::Query if denied => {
                "an upstream could read a parameter that decides in another way".to_owned()
            }
            Step::Host | Step::Query => "can be read in one way only".to_owned(),
            Step::Rule => self.rule(),
            Step::Session => match self.decision.session() {
                None if self.has_claims() => "one is verified".to_owned(),
                None => "none is verified".to_owned(),
                Some(session) => {
                    let account = session.account();
                    let account = account.map_or(String::new(), |own| format!(", account `{own}`"));
                    format!("`{}`{account}", session.id())
                }
            },
            Step::Credential => self.credential(),
            Step::Key if denied => "no key has this token".to_owned(),
            Step::Key => self.key(),
            Step::State => self.state(),
            Step::Origin => self.origin(),
            Step::Access if denied => "the rule says `access: deny`".to_owned(),
            Step::Access => match self.of_rule("access").and_then(Document::as_str) {
                Some("authenticated") => "any good key".to_owned(),
                Some("optional") => {
                    "anybody without a credential, or a good key with the scopes".to_owned()
                }
                _ => "a good key with the scopes".to_owned(),
            },
            Step::Conditions => self.conditions(),
            Step::Method if denied => self.method_denied(),
            Step::Method => format!("`{}`", self.request.method),
            Step::Body if denied => "it is no GraphQL that can be judged, or too large".to_owned(),
            Step::Body => match self.of_rule("graphql") {
                None => "not looked at".to_owned(),
                Some(_) => "GraphQL, and all of its root fields are covered".to_owned(),
            },
            Step::Scopes => self.scopes(),
        }
    }

    fn path(&self) -> Option<&[u8]> {
        self.request.path.as_deref().map(str::as_bytes)
    }

    fn rule(&self) -> String {
        let Some(rule) = self.decision.rule() else {
            return "none matches: the method's action on `*` is needed".to_owned();
        };
        let outcome = match self.mark {
            Mark::Allowed => ": `access: public`".to_owned(),
            Mark::Denied => format!(": {}", self.method_denied()),
            Mark::NotReached | Mark::Passed => String::new(),
        };
        format!("`{}`, {}{outcome}", rule.name(), self.place(&rule.pointer()))
    }

    /// Whether a filter before this one has verified a session, and the policy looks for one.
    fn has_claims(&self) -> bool {
        self.request.claims.is_some() && self.policy.document().field("sessions").is_some()
    }

    fn method_denied(&self) -> String {
        let is_override = |name: &str| name.to_ascii_lowercase().contains("method");
        let other = match self.request.headers.iter().any(|(name, _)| is_override(name)) {
            true => ", or what a header asks for in its place,",
            false => "",
        };
        let why = match self.of_rule("graphql") {
            Some(_) => "is none that carries GraphQL",
            None => "stands for no action, and the rule does not list it",
        };
        format!("`{}`{other} {why}", self.request.method)
    }

    fn credential(&self) -> String {
        match self.mark {
            Mark::Allowed => return "none is presented: `access: optional`".to_owned(),
            Mark::Denied if self.decision.reason() == Some(Reason::MethodNotAllowed) => {
                return format!("none is presented, and {}", self.method_denied());
            }
            _ => {}
        }
        match (self.decision.reason(), self.decision.ambiguity()) {
            (Some(Reason::AmbiguousCredential), Some(Ambiguity::Spelling)) => {
                "an upstream could read another, by a name that is spelt like a credential's"
            }
            (Some(Reason::AmbiguousCredential), Some(Ambiguity::Unclear)) => {
                "there are so many cookies or parameters, or in such an encoding, that none is looked for"
            }
            (Some(Reason::AmbiguousCredential), _) if self.has_claims() => {
                "a key, or more than one credential, is presented beside the session"
            }
            (Some(Reason::AmbiguousCredential), _) => "more than one is presented",
            (Some(Reason::MalformedCredential), _) if self.has_claims() => {
                "the session has no `id`, or no `account`, as the policy's `sessions` name them"
            }
            (Some(Reason::MissingCredential), _) => "none is presented",
            (Some(Reason::MalformedCredential), _) => {
                "what is presented can be no token: its scheme, length, characters, prefix or format"
            }
            _ => "one is presented",
        }
        .to_owned()
    }

    fn key(&self) -> String {
        let Some(key) = self.decision.key() else { return "known".to_owned() };
        let place = self.place(&format!("/keys/{}", key.index()));
        let mut text = format!("`{}`, {place}", key.id());
        for (what, value) in [("type", key.key_type()), ("account", key.account())] {
            if let Some(value) = value {
                text.push_str(&format!(", {what} `{value}`"));
            }
        }
        text
    }

    fn state(&self) -> String {
        let instant = |field| self.of_key(field)?.instant().map(time::display);
        match self.decision.reason() {
            Some(Reason::ExpiredKey) => {
                format!("it expired at {}", instant("expires_at").unwrap_or_default())
            }
            Some(Reason::NotYetValid) => {
                format!("it is not valid before {}", instant("not_before").unwrap_or_default())
            }
            Some(Reason::RevokedKey) => match self.of_key("disabled") {
                Some(Document::Boolean(true)) => "it is disabled".to_owned(),
                _ => "it is suspended".to_owned(),
            },
            Some(Reason::KeyTypeDisabled) => "its type is disabled".to_owned(),
            _ => match instant("expires_at") {
                None => "good".to_owned(),
                Some(end) => format!("good at {}, until {end}", time::display(self.now)),
            },
        }
    }

    fn origin(&self) -> String {
        match (self.of_key("origins"), self.mark) {
            (None, _) => "the key is for any caller".to_owned(),
            (Some(origins), Mark::Denied) => {
                format!("the key is for pages of {} only", words(origins))
            }
            (Some(origins), _) => format!("one of {}", words(origins)),
        }
    }

    fn conditions(&self) -> String {
        let of_policy = self.policy.document().field("where");
        let conditions: Vec<String> = [of_policy, self.of_rule("where")]
            .into_iter()
            .flatten()
            .filter_map(|conditions| conditions.to_json().ok())
            .collect();
        if conditions.is_empty() {
            return "none".to_owned();
        }
        let conditions = conditions.join(" and ");
        if self.mark != Mark::Denied {
            return format!("{conditions} is met");
        }
        if self.decision.session().is_some() {
            return format!("{conditions} is not met; a session has `id` and `account`");
        }
        let attributes = self.of_key("attributes").and_then(|own| own.to_json().ok());
        let attributes = attributes.unwrap_or_else(|| "none".to_owned());
        format!("{conditions} is not met; the key's attributes: {attributes}")
    }

    fn scopes(&self) -> String {
        let required = self.observation.required_scope.as_deref().unwrap_or_default();
        if required.is_empty() {
            return match self.mark {
                Mark::Denied => "what is needed cannot be told from the request",
                _ => "none is needed",
            }
            .to_owned();
        }
        let required: Vec<String> = required.split(' ').map(|scope| format!("`{scope}`")).collect();
        let any = match self.of_rule("require_any") {
            Some(_) if required.len() > 1 => "one of ",
            _ => "",
        };
        format!("needs {any}{}; {}", required.join(", "), self.own_scopes())
    }

    fn own_scopes(&self) -> String {
        if self.decision.session().is_some() {
            let claimed = self.claimed_scopes().unwrap_or_default();
            return format!("the session has {}", listed(claimed.split_whitespace()));
        }
        let of_type = || {
            let name = self.decision.key()?.key_type()?;
            self.policy.document().field("key_types")?.field(name)?.field("scopes")
        };
        let own = self.of_key("scopes").or_else(of_type).map_or("none".to_owned(), words);
        format!("the key has {own}")
    }

    /// The claim that `sessions.scopes` names.
    fn claimed_scopes(&self) -> Option<String> {
        let name = self.policy.document().field("sessions")?.field("scopes")?.as_str()?;
        Some(self.request.claims.as_ref()?.value(name)?.as_str()?.to_owned())
    }

    fn of_key(&self, field: &str) -> Option<&Document> {
        let index = self.decision.key()?.index();
        self.policy.document().pointer(&format!("/keys/{index}"))?.field(field)
    }

    fn of_rule(&self, field: &str) -> Option<&Document> {
        self.policy.document().pointer(&self.decision.rule()?.pointer())?.field(field)
    }

    /// File, line and column of what a pointer names.
    fn place(&self, pointer: &str) -> String {
        let (file, pointer) = self.policy.source(pointer);
        let name = file.display();
        let place = document::read(file)
            .ok()
            .and_then(|text| place::find(file, &text, [pointer.as_str()]).remove(pointer.as_str()));
        match place {
            None => format!("{name} at {pointer}"),
            Some(place) => format!("{name}:{}:{}", place.line, place.column),
        }
    }
}

/// The texts of a list.
fn words(document: &Document) -> String {
    let items = match document {
        Document::Array(items) => items.as_slice(),
        Document::Object(Fields(_)) => &[],
        single => std::slice::from_ref(single),
    };
    listed(items.iter().filter_map(Document::as_str))
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
