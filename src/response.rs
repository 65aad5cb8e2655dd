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
    /// What a client is told who presented nothing: scheme and realm (RFC 6750 section 3).
    challenge: Box<str>,
    /// What one is told whose credential is not good.
    invalid_token: Box<str>,
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
    /// `scheme` is that of challenges, `Bearer` or `ApiKey`.
    pub(crate) fn new(
        scheme: &str,
        realm: &str,
        content_type: Box<str>,
        body: Body,
        wordings: &PerReason<Wording>,
    ) -> Wordings {
        let challenge = [scheme, " realm=\"", realm, "\""].concat();
        let invalid_token = [&challenge, ", error=\"invalid_token\""].concat().into();
        let refusals = PerReason::new(|reason| {
            let wording = wordings[reason].clone();
            let body = body.fixed(&wording, reason);
            Refusal { wording, body }
        });
        Wordings { content_type, body, refusals, challenge: challenge.into(), invalid_token }
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
        let request_id = reading.id().unwrap_or_default();
        let said = Said { wording, of_rule, reason, scopes: &scopes, request_id };

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

    /// The `WWW-Authenticate` of a refusal (RFC 6750 section 3).
    fn challenge(
        &self,
        status: u16,
        found: &Found<'_>,
        reason: Reason,
        scopes: &str,
    ) -> Option<Cow<'_, str>> {
        match (status, reason) {
            (401, _) if reason.class() == Class::Unauthorized && found.presented => {
                Some(Cow::Borrowed(&self.invalid_token))
            }
            (401, _) => Some(Cow::Borrowed(&self.challenge)),
            (403, Reason::InsufficientScope) => {
                let mut challenge = [&self.challenge, ", error=\"insufficient_scope\""].concat();
                if !scopes.is_empty() && scopes.len() <= limits::CHALLENGE_BYTES {
                    challenge += ", scope=\"";
                    challenge += scopes;
                    challenge += "\"";
                }
                Some(Cow::Owned(challenge))
            }
            _ => None,
        }
    }
}

impl Body {
    fn of<'s>(&'s self, said: &'s Said<'s>) -> Cow<'s, str> {
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
        let said = Said { wording, of_rule: None, reason, scopes: "", request_id: "" };
        Some(self.of(&said).into())
    }
}

/// What a refusal's placeholders stand for.
#[derive(Debug)]
struct Said<'a> {
    wording: &'a Wording,
    /// The rule's own wording, which goes before.
    of_rule: Option<&'a RuleWording>,
    reason: Reason,
    scopes: &'a str,
    request_id: &'a str,
}

impl<'a> Said<'a> {
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
            Variable::RequestId => self.request_id,
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
