//! The steps of a decision, in their order, told from the [`Decision`]: what it carries, and what
//! the engine says of the rule and the key that it names. Nothing is judged here.

use std::cmp::Ordering;
use std::fmt::Display;

use latchkey::{Access, Ambiguity, Decision, Demand, Engine, Key, Reason, Rule, Verdict};

use crate::cases::{CaseRequest, Observation};
use crate::document;
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
    engine: &Engine,
    decision: &Decision<'_>,
    observation: &Observation,
    request: &CaseRequest,
    now: i64,
) -> Vec<Step> {
    let mark = |step: latchkey::Step| match step.cmp(&decision.step) {
        _ if decision.session().is_some() && step.is_of_keys() => Mark::NotReached,
        // What a rule only observes ends nothing.
        Ordering::Less if decision.observed().is_some_and(|reason| reason.step() == step) => {
            Mark::Denied
        }
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
        let story = Story { policy, engine, decision, observation, request, now, mark };
        let text = if mark == Mark::NotReached { String::new() } else { story.tell(step) };
        Step { name: step.as_str(), mark, text }
    };
    latchkey::Step::ALL.map(told).into()
}

/// What there is to tell a step from.
struct Story<'a> {
    /// Knows the places of what it names.
    policy: &'a Policy,
    engine: &'a Engine,
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
                match self.observation.upstream.as_ref().and_then(|upstream| upstream.path.as_ref())
                {
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
                None if self.decision.has_claims() => "one is verified".to_owned(),
                None => "none is verified".to_owned(),
                Some(session) => {
                    let account = session.account();
                    let account =
                        account.map_or(String::new(), |account| format!(", account `{account}`"));
                    format!("`{}`{account}", session.id())
                }
            },
            Step::Credential => self.credential(),
            Step::Key if denied => "no key has this token".to_owned(),
            Step::Key => self.key(),
            Step::State => self.state(),
            Step::Origin => self.origin(),
            Step::Address => self.address(),
            Step::Access if denied => "the rule says `access: deny`".to_owned(),
            Step::Access => match self.decision.rule().map(Rule::access) {
                Some("authenticated") => "any good key".to_owned(),
                Some("optional") => {
                    "anybody without a credential, or a good key with the scopes".to_owned()
                }
                _ => "a good key with the scopes".to_owned(),
            },
            Step::Conditions => self.conditions(),
            Step::Method if denied => self.method_denied(),
            Step::Method => format!("`{}`", self.request.method),
            Step::Body if self.decision.reason() == Some(Reason::AmbiguousBody) => {
                "an upstream could read parameters in it, and it cannot be judged, or it is too large"
                    .to_owned()
            }
            Step::Body if denied => {
                "it is not GraphQL that can be judged, or it is too large".to_owned()
            }
            Step::Body if self.is_graphql() => {
                "GraphQL, and all of its root fields are covered".to_owned()
            }
            Step::Body => "not looked at".to_owned(),
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

    fn is_graphql(&self) -> bool {
        self.decision.rule().is_some_and(Rule::is_graphql)
    }

    fn method_denied(&self) -> String {
        let why = match self.is_graphql() {
            true => "does not carry GraphQL",
            false => "stands for no action, and the rule does not list it",
        };
        match self.decision.refused_method().unwrap_or_default() {
            "" => "the request asks for too many other methods".to_owned(),
            method if method == self.request.method => format!("`{method}` {why}"),
            method => {
                let sent = &self.request.method;
                format!("`{method}`, for which a header asks in place of `{sent}`, {why}")
            }
        }
    }

    /// Why the request is refused, or would be.
    fn reason(&self) -> Option<Reason> {
        self.decision.reason().or(self.decision.observed())
    }

    fn credential(&self) -> String {
        let counting = self.decision.rule().and_then(Rule::credentials);
        if self.decision.is_elsewhere()
            && let Some(names) = counting
        {
            return format!(
                "none is presented in {}, where alone one counts on this rule",
                listed(names, " or ")
            );
        }
        match self.mark {
            Mark::Allowed => return "none is presented: `access: optional`".to_owned(),
            Mark::Denied if self.reason() == Some(Reason::MethodNotAllowed) => {
                return format!("none is presented, and {}", self.method_denied());
            }
            _ => {}
        }
        match (self.reason(), self.decision.ambiguity()) {
            (Some(Reason::AmbiguousCredential), Some(Ambiguity::Spelling)) => {
                "an upstream could read another, by a name that is spelt like a credential's"
            }
            (Some(Reason::AmbiguousCredential), Some(Ambiguity::Unclear)) => {
                "there are so many cookies or parameters, or in such an encoding, that none is looked for"
            }
            (Some(Reason::AmbiguousCredential), _) if self.decision.has_claims() => {
                "a key, or more than one credential, is presented beside the session"
            }
            (Some(Reason::AmbiguousCredential), _) => "more than one is presented",
            (Some(Reason::MalformedCredential), _) if self.decision.has_claims() => {
                "the session has no `id`, or no `account`, as the policy's `sessions` name them"
            }
            (Some(Reason::MissingCredential), _) => "none is presented",
            (Some(Reason::MalformedCredential), _) => {
                "what is presented cannot be a token, by its scheme, encoding, length, characters, prefix or format"
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
        let key = self.decision.key();
        let expires_at = key.and_then(|key| key.expires_at()).map(time::display);
        let not_before = key.and_then(|key| key.not_before()).map(time::display);
        match self.reason() {
            Some(Reason::ExpiredKey) => format!("it expired at {}", expires_at.unwrap_or_default()),
            Some(Reason::NotYetValid) => {
                format!("it is not valid before {}", not_before.unwrap_or_default())
            }
            Some(Reason::RevokedKey) => match key.is_some_and(|key| key.is_suspended()) {
                true => "it is suspended".to_owned(),
                false => "it is disabled".to_owned(),
            },
            Some(Reason::KeyTypeDisabled) => "its type is disabled".to_owned(),
            _ => match expires_at {
                None => "good".to_owned(),
                Some(end) => format!("good at {}, until {end}", time::display(self.now)),
            },
        }
    }

    fn origin(&self) -> String {
        match (self.decision.key().and_then(|key| key.origins()), self.mark) {
            (None, _) => "the key is for any caller".to_owned(),
            (Some(origins), Mark::Denied) => {
                format!("the key is for pages of {} only", listed(origins, ", "))
            }
            (Some(origins), _) => format!("one of {}", listed(origins, ", ")),
        }
    }

    fn address(&self) -> String {
        let networks = self.decision.key().and_then(|key| key.addresses());
        let Some(networks) = networks.map(|networks| listed(networks, ", ")) else {
            return "the key is for any address".to_owned();
        };
        match (self.mark, self.request.address) {
            (Mark::Denied, Some(address)) => {
                format!("the key is for {networks} only, and not for `{address}`")
            }
            (Mark::Denied, None) => {
                format!(
                    "the key is for {networks} only, and nobody tells the client's (`--address`)"
                )
            }
            _ => format!("one of {networks}"),
        }
    }

    fn conditions(&self) -> String {
        if let Some(unmet) = self.decision.unmet_condition() {
            let who = if self.decision.session().is_some() { "session" } else { "key" };
            let value = unmet.value.map_or("none".to_owned(), |value| format!("`{value}`"));
            let (property, choices) = (unmet.demand.property, choices(&unmet.demand));
            return format!("`{property}` must be {choices}; the {who} has {value}");
        }
        let of_rule = self.decision.rule().into_iter().flat_map(Rule::conditions);
        let conditions = self.engine.conditions().chain(of_rule);
        let met: Vec<String> = conditions
            .map(|demand| format!("`{}` is {}", demand.property, choices(&demand)))
            .collect();
        if met.is_empty() { "none".to_owned() } else { met.join(", ") }
    }

    fn scopes(&self) -> String {
        let required = self.decision.required();
        if required.is_empty() {
            return match self.mark {
                Mark::Denied => "what is needed cannot be told from the request",
                _ => "none is needed",
            }
            .to_owned();
        }
        let is_any = required.len() > 1 && self.decision.rule().is_some_and(Rule::requires_any);
        let any = if is_any { "one of " } else { "" };
        let (who, granted) = match (self.decision.session(), self.decision.key()) {
            (Some(session), _) => ("session", listed(session.scopes(), ", ")),
            (None, key) => ("key", listed(key.into_iter().flat_map(Key::granted), ", ")),
        };
        format!("needs {any}{}; the {who} has {granted}", listed(required, ", "))
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

/// What a property must be.
fn choices(demand: &Demand<'_>) -> String {
    let not = if demand.is_negated { "other than " } else { "" };
    format!("{not}{}", listed(&demand.choices, " or "))
}

/// Words as they are told one after another.
fn listed<T: Display>(words: impl IntoIterator<Item = T>, separator: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(separator) }
}
