//! What a refused client gets, and what every response carries.

use std::borrow::Cow;

use crate::decision::Found;
use crate::effect::{Reply, grpc_status};
use crate::limits;
use crate::reading::Reading;
use crate::reason::{Class, Reason};
use crate::rule::RuleWording;
use crate::template::{Template, Variable};

/// The words of refusals.
#[derive(Clone, Debug)]
pub(crate) struct Wordings {
    content_type: Box<str>,
    body: Template,
    /// Whether the body is JSON, so that what placeholders stand for must be escaped.
    json: bool,
    /// One for each of [`Reason::ALL`], in its order.
    reasons: Vec<Wording>,
    /// The body of each reason, where it is the same for every request.
    bodies: Vec<Option<Box<str>>>,
    /// What a client is told who presented nothing: scheme and realm (RFC 6750 section 3).
    challenge: Box<str>,
    /// What one is told whose credential is not good.
    invalid_token: Box<str>,
}

/// What one kind of refusal says.
#[derive(Clone, Debug)]
pub(crate) struct Wording {
    pub(crate) status: u16,
    pub(crate) code: Box<str>,
    pub(crate) message: Template,
}

impl Wordings {
    /// `scheme` is that of challenges, `Bearer` or `ApiKey`; `reasons` has one wording for each of
    /// [`Reason::ALL`].
    pub(crate) fn new(
        scheme: &str,
        realm: &str,
        content_type: Box<str>,
        (body, json): (Template, bool),
        reasons: Vec<Wording>,
    ) -> Wordings {
        let challenge = [scheme, " realm=\"", realm, "\""].concat();
        let invalid_token = [&challenge, ", error=\"invalid_token\""].concat().into();
        let bodies = Vec::new();
        let challenge = challenge.into();
        let mut wordings =
            Wordings { content_type, body, json, reasons, bodies, challenge, invalid_token };
        let body = |(wording, reason): (&Wording, &Reason)| {
            let said = Said { wording, own: None, reason: *reason, scopes: "", request_id: "" };
            let parts = || wordings.body.variables().chain(wording.message.variables());
            let is_fixed = !parts().any(Variable::depends_on_request);
            is_fixed.then(|| wordings.body(&said).into_owned().into())
        };
        let bodies = wordings.reasons.iter().zip(Reason::ALL).map(body).collect();
        wordings.bodies = bodies;
        wordings
    }

    /// The response in the proxy's own name.
    pub(crate) fn reply<'a>(
        &'a self,
        reading: &Reading<'_>,
        found: &Found<'_>,
        reason: Reason,
    ) -> Option<Reply<'a>> {
        let wording = self.reasons.get(reason as usize)?;
        let own = found.rule.filter(|_| found.own_wording).and_then(|rule| rule.wording.as_ref());
        let scopes: Vec<&str> = found.required.iter().map(|scope| scope.as_str()).collect();
        let scopes = scopes.join(" ");
        let request_id = reading.id().unwrap_or_default();
        let said = Said { wording, own, reason, scopes: &scopes, request_id };

        let mut headers = vec![("content-type", Cow::Borrowed(&*self.content_type))];
        if let Some(challenge) = self.challenge(said.status(), found, reason, &scopes) {
            headers.push(("www-authenticate", challenge));
        }
        let is_grpc = reading.is_grpc();
        let fixed = self.bodies.get(reason as usize).and_then(Option::as_deref);
        let body = match fixed {
            _ if reading.method == "HEAD" => Cow::Borrowed(""),
            _ if is_grpc => Cow::Owned(said.message().into_owned()),
            Some(body) if own.is_none() => Cow::Borrowed(body),
            _ => Cow::Owned(self.body(&said).into_owned()),
        };
        let grpc_status = is_grpc.then(|| grpc_status(said.status()));
        Some(Reply { status: said.status(), headers, body, grpc_status })
    }

    fn body<'s>(&'s self, said: &'s Said<'s>) -> Cow<'s, str> {
        let word = |variable: &Variable| {
            let word = match variable {
                Variable::Message => said.message(),
                variable => said.word(variable)?,
            };
            Some(if self.json { Cow::Owned(json_escaped(&word)) } else { word })
        };
        self.body.render(word).unwrap_or_default()
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

/// What a refusal's placeholders stand for.
#[derive(Debug)]
struct Said<'a> {
    wording: &'a Wording,
    /// The rule's own wording.
    own: Option<&'a RuleWording>,
    reason: Reason,
    scopes: &'a str,
    request_id: &'a str,
}

impl<'a> Said<'a> {
    fn status(&self) -> u16 {
        self.own.and_then(|own| own.status).unwrap_or(self.wording.status)
    }

    fn message(&self) -> Cow<'_, str> {
        let own = self.own.and_then(|own| own.message.as_ref());
        let message = own.unwrap_or(&self.wording.message);
        message.render(|variable| self.word(variable)).unwrap_or_default()
    }

    fn word(&self, variable: &Variable) -> Option<Cow<'a, str>> {
        let word = match variable {
            Variable::Code => {
                let own = self.own.and_then(|own| own.code.as_deref());
                own.unwrap_or(&self.wording.code)
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
