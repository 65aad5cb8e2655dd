//! Headers and refusals.

use serde_json::value::RawValue;

use super::Compiler;
use crate::config::{Entries, Json, Object, Whole, parse};
use crate::credential::Sources;
use crate::finding::{Code, Place};
use crate::http::{is_field_value, is_token};
use crate::limits;
use crate::reason::{Class, Reason};
use crate::response::{Wording, Wordings, json_escaped};
use crate::rule::RuleWording;
use crate::template::{Part, Template, Variable, Vocabulary};

/// Headers that belong to the message's framing or routing (RFC 9110 section 7.6.1), or to the client.
const RESERVED: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Compiler {
    /// Compiles `upstream_headers` or `response_headers`.
    pub(super) fn headers(
        &mut self,
        policy: &Object<'_>,
        field: &str,
    ) -> Vec<(Box<str>, Template)> {
        let place = Place::ROOT.field(field);
        let raw: Option<Entries<&RawValue>> = self.value(policy, field);
        let raw = raw.map(|raw| raw.0).unwrap_or_default();
        if raw.len() > limits::HEADERS {
            self.too_many("headers", limits::HEADERS, place);
            return Vec::new();
        }
        let mut headers: Vec<(Box<str>, Template)> = Vec::new();
        for (name, raw) in raw {
            let place = place.field(&name);
            let Some(text) = parse::<String>(raw, place, &mut self.findings) else { continue };
            let lower = name.to_ascii_lowercase();
            if !is_token(&lower) || RESERVED.contains(&lower.as_str()) {
                let message = format!("`{name}` is no header that can be set");
                self.findings.error(place, Code::InvalidHeader, message);
            }
            if headers.iter().any(|(own, _)| **own == *lower) {
                let message = format!("header `{name}` stands twice");
                self.findings.error(place, Code::Duplicate, message);
            }
            if !is_field_value(&text) {
                let message =
                    "a header's value has no control characters and no blanks at its ends";
                self.findings.error(place, Code::InvalidHeader, message);
            }
            if let Some(template) = self.template(&text, Vocabulary::Identity, place, &[]) {
                for variable in template.variables() {
                    if let Variable::KeyAttribute(attribute) = variable {
                        self.known_attribute(attribute, place);
                    }
                }
                headers.push((lower.into(), template));
            }
        }
        headers
    }

    pub(super) fn errors(
        &mut self,
        policy: &Object<'_>,
        realm: Box<str>,
        sources: &Sources,
    ) -> Wordings {
        const FIELDS: [&str; 6] =
            ["content_type", "body", "unauthorized", "forbidden", "bad_request", "reasons"];
        let place = Place::ROOT.field("errors");
        let raw = policy.raw("errors");
        let raw = raw
            .and_then(|raw| Object::parse(raw, place, &FIELDS, &mut self.findings))
            .unwrap_or_default();
        let content_type: Option<String> = raw.field("content_type", place, &mut self.findings);
        let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
        if content_type.is_empty() || !is_field_value(&content_type) || !content_type.is_ascii() {
            let message = "a content type is visible ASCII";
            self.findings.error(place.field("content_type"), Code::InvalidHeader, message);
        }
        let body: Option<Json> = raw.field("body", place, &mut self.findings);
        let body = self.body(body, &content_type, place.field("body"));
        let unauthorized = self.class(&raw, Class::Unauthorized, place);
        let forbidden = self.class(&raw, Class::Forbidden, place);
        let bad_request = self.class(&raw, Class::BadRequest, place);
        let mut reasons: Vec<Wording> = Reason::ALL
            .iter()
            .map(|reason| match reason.class() {
                Class::BadRequest => bad_request.clone(),
                Class::Forbidden => forbidden.clone(),
                Class::Unauthorized => unauthorized.clone(),
            })
            .collect();
        self.reasons(&raw, &mut reasons, place);
        let scheme = if sources.has_bearer() { "Bearer" } else { "ApiKey" };
        Wordings::new(scheme, &realm, content_type.into(), body, reasons)
    }

    fn reasons(&mut self, errors: &Object<'_>, wordings: &mut [Wording], place: Place<'_>) {
        let raw: Option<Entries<&RawValue>> = errors.field("reasons", place, &mut self.findings);
        let place = place.field("reasons");
        for (name, raw) in raw.into_iter().flat_map(|raw| raw.0) {
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == name);
            let wording = reason.and_then(|reason| wordings.get_mut(*reason as usize));
            let Some(wording) = wording else {
                let known = Reason::ALL.iter().map(|reason| reason.as_str());
                let message = format!("`{name}` is no reason for a refusal");
                self.findings
                    .error(place.field(&name), Code::UnknownReason, message)
                    .did_you_mean(&name, known);
                continue;
            };
            self.reword(wording, raw, place.field(&name));
        }
    }

    /// The wording of a class: what stands in the configuration over what stands here.
    fn class(&mut self, errors: &Object<'_>, class: Class, place: Place<'_>) -> Wording {
        let (name, status, code, message) = match class {
            Class::BadRequest => ("bad_request", 400, "bad_request", "The request is malformed"),
            Class::Forbidden => {
                ("forbidden", 403, "forbidden", "This operation is not allowed for this key")
            }
            Class::Unauthorized => {
                ("unauthorized", 401, "unauthorized", "Invalid or missing API key")
            }
        };
        let message = Template { parts: vec![Part::Literal(message.into())] };
        let mut wording = Wording { status, code: code.into(), message };
        if let Some(raw) = errors.raw(name) {
            self.reword(&mut wording, raw, place.field(name));
        }
        wording
    }

    fn reword(&mut self, wording: &mut Wording, raw: &RawValue, place: Place<'_>) {
        let Some(own) = self.wording(raw, 400..=599, place) else { return };
        wording.status = own.status.unwrap_or(wording.status);
        wording.code = own.code.unwrap_or_else(|| wording.code.clone());
        if let Some(message) = own.message {
            wording.message = message;
        }
    }

    /// The wording of a rule's own refusals.
    pub(super) fn rule_wording(
        &mut self,
        rule: &Object<'_>,
        place: Place<'_>,
    ) -> Option<RuleWording> {
        self.wording(rule.raw("deny")?, 400..=499, place.field("deny"))
    }

    fn wording(
        &mut self,
        raw: &RawValue,
        statuses: std::ops::RangeInclusive<u16>,
        place: Place<'_>,
    ) -> Option<RuleWording> {
        const FIELDS: [&str; 3] = ["status", "code", "message"];
        let findings = &mut self.findings;
        let raw = Object::parse(raw, place, &FIELDS, findings)?;
        if !FIELDS.iter().any(|name| raw.has(name)) {
            findings.error(place, Code::Empty, "a wording without words");
        }
        let status: Option<Whole> = raw.field("status", place, findings);
        let code: Option<String> = raw.field("code", place, findings);
        let message: Option<String> = raw.field("message", place, findings);
        let status = status.and_then(|Whole(status)| {
            let status = u16::try_from(status).ok().filter(|status| statuses.contains(status));
            if status.is_none() {
                let (least, most) = (statuses.start(), statuses.end());
                let message = format!("a refusal's status is {least} to {most}");
                self.findings.error(place.field("status"), Code::InvalidValue, message);
            }
            status
        });
        let message = message.and_then(|text| {
            let place = place.field("message");
            let template = self.template(&text, Vocabulary::Refusal, place, &[])?;
            if template.variables().any(|variable| *variable == Variable::Message) {
                let message = "a message cannot hold itself";
                self.findings.error(place, Code::UnknownParameter, message);
            }
            Some(template)
        });
        Some(RuleWording { status, code: code.map(Into::into), message })
    }

    /// The body of refusals, and whether it is JSON.
    fn body(
        &mut self,
        raw: Option<Json>,
        content_type: &str,
        place: Place<'_>,
    ) -> (Template, bool) {
        let default = || {
            let field = |name: &str| (name.to_owned(), Json::String(format!("{{{name}}}")));
            let (_, code) = field("code");
            Json::Object(vec![("error".to_owned(), code), field("message")])
        };
        let is_json =
            content_type.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json"));
        match raw.unwrap_or_else(default) {
            Json::String(text) => {
                let template = self.template(&text, Vocabulary::Refusal, place, &[]);
                (template.unwrap_or(Template { parts: Vec::new() }), is_json)
            }
            json => {
                let mut parts = Vec::new();
                self.json_body(&json, place, &mut parts);
                (Template { parts: merged(parts) }, true)
            }
        }
    }

    /// Writes JSON as the parts of a template: its strings are templates themselves.
    fn json_body(&mut self, json: &Json, place: Place<'_>, parts: &mut Vec<Part>) {
        let literal = |text: &str, parts: &mut Vec<Part>| parts.push(Part::Literal(text.into()));
        match json {
            Json::String(text) => {
                literal("\"", parts);
                let template = self.template(text, Vocabulary::Refusal, place, &[]);
                parts.extend(template.into_iter().flat_map(|template| template.parts).map(
                    |part| match part {
                        Part::Literal(text) => Part::Literal(json_escaped(&text).into()),
                        placeholder @ Part::Placeholder { .. } => placeholder,
                    },
                ));
                literal("\"", parts);
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    literal(if index == 0 { "[" } else { "," }, parts);
                    self.json_body(item, place.item(index), parts);
                }
                literal(if items.is_empty() { "[]" } else { "]" }, parts);
            }
            Json::Object(entries) => {
                for (index, (name, value)) in entries.iter().enumerate() {
                    let before = if index == 0 { "{" } else { "," };
                    literal(&format!("{before}\"{}\":", json_escaped(name)), parts);
                    self.json_body(value, place.field(name), parts);
                }
                literal(if entries.is_empty() { "{}" } else { "}" }, parts);
            }
            scalar => literal(&serde_json::to_string(scalar).unwrap_or_default(), parts),
        }
    }
}

/// The same parts, neighbouring literals as one.
fn merged(parts: Vec<Part>) -> Vec<Part> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match (merged.last_mut(), part) {
            (Some(Part::Literal(before)), Part::Literal(text)) => {
                *before = format!("{before}{text}").into();
            }
            (_, part) => merged.push(part),
        }
    }
    merged
}
