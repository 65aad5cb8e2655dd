//! What a refused client gets, and what every response carries.

use std::borrow::Cow;

use crate::decision::Found;
use crate::effect::{Reply, grpc_status};
use crate::limits;
use crate::reading::Reading;
use crate::reason::{Class, PerReason, Reason};
use crate::rule::RuleWording;
use crate::template::{Template, Variable};

/// The words of refusals.
#[derive(Clone, Debug)]
pub(crate) struct Wordings {
    content_type: Box<str>,
    body: Body,
    refusals: PerReason<Refusal>,
    challenges: Challenges,
}

/// How a client is told by what schemes it may present a token (RFC 9110 section 11.6.1).
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    /// Scheme and realm of each.
    each: Vec<Box<str>>,
    /// All of them, for who presented nothing.
    missing: Box<str>,
    /// The same for who presented what is not good.
    invalid: Box<str>,
}

impl Challenges {
    /// Those of some schemes, or of `ApiKey` if there are none.
    pub(crate) fn new<'s>(schemes: impl Iterator<Item = &'s str>, realm: &str) -> Challenges {
        let mut names: Vec<&str> = Vec::new();
        for scheme in schemes {
            if !names.iter().any(|name| name.eq_ignore_ascii_case(scheme)) {
                names.push(if scheme.eq_ignore_ascii_case("bearer") { "Bearer" } else { scheme });
            }
        }
        if names.is_empty() {
            names.push("ApiKey");
        }
        let each = names.iter().map(|name| [name, " realm=\"", realm, "\""].concat().into());
        let each: Vec<Box<str>> = each.collect();
        let missing = each.join(", ").into();
        let challenges = Challenges { each, missing, invalid: Box::default() };
        let invalid = challenges.with(", error=\"invalid_token\"").into();
        Challenges { invalid, ..challenges }
    }

    /// All of them with what the scheme `Bearer` and its like tell besides (RFC 6750 section 3). `Basic` tells its
    /// realm only (RFC 7617 section 2).
    fn with(&self, parameters: &str) -> String {
        let mut text = String::new();
        for challenge in &self.each {
            let separator = if text.is_empty() { "" } else { ", " };
            let parameters = if challenge.starts_with("Basic ") { "" } else { parameters };
            text.extend([separator, challenge, parameters]);
        }
        text
    }
}

/// The body of refusals.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) template: Template,
    /// Whether it is JSON, so that what placeholders stand for must be escaped.
    pub(crate) is_json: bool,
}

/// What a request gets that is refused for one reason.
#[derive(Clone, Debug)]
struct Refusal {
    wording: Wording,
    /// The body, where it is the same for every request.
    body: Option<Box<str>>,
}

/// What one kind of refusal says.
#[derive(Clone, Debug)]
pub(crate) struct Wording {
    pub(crate) status: u16,
    pub(crate) code: Box<str>,
    pub(crate) message: Template,
}

impl Wordings {
    pub(crate) fn new(
        challenges: Challenges,
        content_type: Box<str>,
        body: Body,
        wordings: &PerReason<Wording>,
    ) -> Wordings {
        let refusals = PerReason::new(|reason| {
            let wording = wordings[reason].clone();
            let body = body.fixed(&wording, reason);
            Refusal { wording, body }
        });
        Wordings { content_type, body, refusals, challenges }
    }

    /// The response in the proxy's own name.
    pub(crate) fn reply<'a>(
        &'a self,
        reading: &Reading<'_>,
        found: &Found<'_>,
        reason: Reason,
    ) -> Reply<'a> {
        let Refusal { wording, body: fixed } = &self.refusals[reason];
        let of_rule =
            found.rule.filter(|_| found.own_wording).and_then(|rule| rule.wording.as_ref());
        let scopes: Vec<&str> = found.required.iter().map(|scope| scope.as_str()).collect();
        let scopes = scopes.join(" ");
        let said = Said { wording, of_rule, reason, scopes: &scopes, reading: Some(reading) };

        let mut headers = vec![("content-type", Cow::Borrowed(&*self.content_type))];
        if let Some(challenge) = self.challenge(said.status(), found, reason, &scopes) {
            headers.push(("www-authenticate", challenge));
        }
        let is_grpc = reading.is_grpc();
        let body = match fixed {
            _ if reading.method == "HEAD" => Cow::Borrowed(""),
            _ if is_grpc => Cow::Owned(said.message().into_owned()),
            Some(body) if of_rule.is_none() => Cow::Borrowed(&**body),
            _ => Cow::Owned(self.body.of(&said).into_owned()),
        };
        let grpc_status = is_grpc.then(|| grpc_status(said.status()));
        Reply { status: said.status(), headers, body, grpc_status }
    }

    /// The `WWW-Authenticate` of a refusal.
    fn challenge(
        &self,
        status: u16,
        found: &Found<'_>,
        reason: Reason,
        scopes: &str,
    ) -> Option<Cow<'_, str>> {
        match (status, reason) {
            (401, _) if reason.class() == Class::Unauthorized && found.presented => {
                Some(Cow::Borrowed(&self.challenges.invalid))
            }
            (401, _) => Some(Cow::Borrowed(&self.challenges.missing)),
            (403, Reason::InsufficientScope) => {
                let mut parameters = ", error=\"insufficient_scope\"".to_owned();
                if !scopes.is_empty() && scopes.len() <= limits::CHALLENGE_BYTES {
                    parameters.extend([", scope=\"", scopes, "\""]);
                }
                Some(Cow::Owned(self.challenges.with(&parameters)))
            }
            _ => None,
        }
    }
}

impl Body {
    fn of<'s>(&'s self, said: &'s Said<'s, '_>) -> Cow<'s, str> {
        let word = |variable: &Variable| {
            let word = match variable {
                Variable::Message => said.message(),
                variable => said.word(variable)?,
            };
            Some(if self.is_json { Cow::Owned(json_escaped(&word)) } else { word })
        };
        self.template.render(word).unwrap_or_default()
    }

    /// The body of refusals for a reason, if it is the same for every request.
    fn fixed(&self, wording: &Wording, reason: Reason) -> Option<Box<str>> {
        let mut variables = self.template.variables().chain(wording.message.variables());
        if variables.any(Variable::depends_on_request) {
            return None;
        }
        let said = Said { wording, of_rule: None, reason, scopes: "", reading: None };
        Some(self.of(&said).into())
    }
}

/// What a refusal's placeholders stand for.
struct Said<'a, 'r> {
    wording: &'a Wording,
    /// The rule's own wording, which goes before.
    of_rule: Option<&'a RuleWording>,
    reason: Reason,
    scopes: &'a str,
    /// The request; `None` for what is said of any.
    reading: Option<&'a Reading<'r>>,
}

impl<'a> Said<'a, '_> {
    fn status(&self) -> u16 {
        self.of_rule.and_then(|rule| rule.status).unwrap_or(self.wording.status)
    }

    fn message(&self) -> Cow<'_, str> {
        let of_rule = self.of_rule.and_then(|rule| rule.message.as_ref());
        let message = of_rule.unwrap_or(&self.wording.message);
        message.render(|variable| self.word(variable)).unwrap_or_default()
    }

    fn word(&self, variable: &Variable) -> Option<Cow<'a, str>> {
        let word = match variable {
            Variable::Code => {
                let of_rule = self.of_rule.and_then(|rule| rule.code.as_deref());
                of_rule.unwrap_or(&self.wording.code)
            }
            Variable::Reason => self.reason.as_str(),
            Variable::RequestId => self.reading.and_then(Reading::id).unwrap_or_default(),
            Variable::RequiredScope => self.scopes,
            Variable::Status => return Some(Cow::Owned(self.status().to_string())),
            _ => return None,
        };
        Some(Cow::Borrowed(word))
    }
}

/// A text as it stands between the quotes of a JSON string.
pub(crate) fn json_escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}
