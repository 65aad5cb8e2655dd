//! What a refused client gets, and what every response carries.

use std::borrow::Cow;

use crate::decision::{Class, Decision, Reason};
use crate::limits;
use crate::request::Request;
use crate::template::{Template, Variable};

/// The words of refusals.
#[derive(Clone, Debug)]
pub(crate) struct Wordings {
    pub(crate) realm: Box<str>,
    /// The scheme of challenges: `Bearer` or `ApiKey`.
    pub(crate) scheme: &'static str,
    pub(crate) content_type: Box<str>,
    pub(crate) body: Template,
    /// Whether the body is JSON, so that what placeholders stand for must be escaped.
    pub(crate) json: bool,
    /// One for each of [`Reason::ALL`], in its order.
    pub(crate) reasons: Vec<Wording>,
}

/// What one kind of refusal says.
#[derive(Clone, Debug)]
pub(crate) struct Wording {
    pub(crate) status: u16,
    pub(crate) code: Box<str>,
    pub(crate) message: Template,
}

/// What a rule says of its own refusals; what it leaves out stands in the reason's [`Wording`].
#[derive(Clone, Debug)]
pub(crate) struct RuleWording {
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<Box<str>>,
    pub(crate) message: Option<Template>,
}

/// A response in the proxy's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) body: Vec<u8>,
}

impl Wordings {
    pub(crate) fn reply<'a>(
        &'a self,
        request: Request<'_>,
        decision: &Decision<'_>,
        reason: Reason,
    ) -> Option<Reply<'a>> {
        let wording = self.reasons.get(reason as usize)?;
        let own =
            decision.rule.filter(|_| decision.own_wording).and_then(|rule| rule.wording.as_ref());
        let status = own.and_then(|own| own.status).unwrap_or(wording.status);
        let code = own.and_then(|own| own.code.as_deref()).unwrap_or(&wording.code);
        let message = own.and_then(|own| own.message.as_ref()).unwrap_or(&wording.message);

        let scopes: Vec<&str> = decision.required.iter().map(|scope| scope.as_str()).collect();
        let scopes = scopes.join(" ");
        let status_text = status.to_string();
        let word = |variable: &Variable| -> Option<Cow<'_, str>> {
            match variable {
                Variable::Code => Some(code.into()),
                Variable::Reason => Some(reason.as_str().into()),
                Variable::RequestId => Some(request.id().unwrap_or_default().into()),
                Variable::RequiredScope => Some(scopes.as_str().into()),
                Variable::Status => Some(status_text.as_str().into()),
                _ => None,
            }
        };
        let message = message.render(word).unwrap_or_default();

        let mut headers = vec![("content-type", Cow::Borrowed(&*self.content_type))];
        if let Some(challenge) = self.challenge(status, decision, reason, &scopes) {
            headers.push(("www-authenticate", Cow::Owned(challenge)));
        }
        let body = if request.method() == "HEAD" {
            Cow::Borrowed("")
        } else if request.is_grpc() {
            message
        } else {
            let escaped = |text: Cow<'_, str>| {
                if self.json {
                    Cow::Owned(json_escaped(&text))
                } else {
                    Cow::Owned(text.into_owned())
                }
            };
            let in_body = |variable: &Variable| match variable {
                Variable::Message => Some(escaped(Cow::Borrowed(&*message))),
                variable => word(variable).map(escaped),
            };
            self.body.render(in_body).unwrap_or_default()
        };
        Some(Reply { status, headers, body: body.into_owned().into_bytes() })
    }

    /// The `WWW-Authenticate` of a refusal (RFC 6750 section 3).
    fn challenge(
        &self,
        status: u16,
        decision: &Decision<'_>,
        reason: Reason,
        scopes: &str,
    ) -> Option<String> {
        let mut challenge = format!("{} realm=\"{}\"", self.scheme, self.realm);
        match (status, reason) {
            (401, _) if reason.class() == Class::Unauthorized && decision.presented => {
                challenge.push_str(", error=\"invalid_token\"");
            }
            (401, _) => {}
            (403, Reason::InsufficientScope) => {
                challenge.push_str(", error=\"insufficient_scope\"");
                if !scopes.is_empty() && scopes.len() <= limits::CHALLENGE_BYTES {
                    challenge.push_str(&format!(", scope=\"{scopes}\""));
                }
            }
            _ => return None,
        }
        Some(challenge)
    }
}

/// A text as it stands between the quotes of a JSON string.
pub(crate) fn json_escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}
