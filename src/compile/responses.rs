//! Headers and refusals.

use super::{Known, template};
use crate::config::{Fields, Json, Node, Object, Whole};
use crate::finding::{Code, Place};
use crate::http::{is_field_value, is_token};
use crate::limits;
use crate::reason::{Class, PerReason, Reason};
use crate::response::{Body, Challenges, Wording, Wordings, json_escaped};
use crate::rule::RuleWording;
use crate::source::Source;
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

impl Known {
    /// Compiles `upstream_headers` or `response_headers`.
    pub(super) fn headers(
        &self,
        policy: &Object<'_, '_>,
        field: &str,
    ) -> Vec<(Box<str>, Template)> {
        let Some(fields) = policy.entries(field) else { return Vec::new() };
        if fields.len() > limits::HEADERS {
            fields.node.place.too_many("headers", limits::HEADERS);
            return Vec::new();
        }
        let mut headers: Vec<(Box<str>, Template)> = Vec::new();
        for (name, node) in fields.iter() {
            let Some(text) = node.read::<String>() else { continue };
            let lower = name.to_ascii_lowercase();
            if !is_token(&lower) || RESERVED.contains(&lower.as_str()) {
                let message = format!("`{name}` is not a header that can be set");
                node.place.error(Code::InvalidHeader, message);
            }
            if headers.iter().any(|(other, _)| **other == *lower) {
                node.place.error(Code::Duplicate, format!("header `{name}` is listed twice"));
            }
            if !is_field_value(&text) {
                let message =
                    "a header's value has no control characters and no spaces at its ends";
                node.place.error(Code::InvalidHeader, message);
            }
            if let Some(template) = template(&text, Vocabulary::Identity, node.place, &[]) {
                for variable in template.variables() {
                    if let Variable::KeyAttribute(attribute) = variable {
                        self.attribute(attribute, node.place);
                    }
                }
                headers.push((lower.into(), template));
            }
        }
        headers
    }
}

pub(super) fn errors(policy: &Object<'_, '_>, realm: &str, sources: &[Source]) -> Wordings {
    const FIELDS: [&str; 6] =
        ["content_type", "body", "unauthorized", "forbidden", "bad_request", "reasons"];
    let errors = policy.node("errors");
    let errors = errors.as_ref().and_then(|node| node.object(&FIELDS));
    let errors = errors.as_ref();
    let content_type: Option<String> = errors.and_then(|errors| errors.field("content_type"));
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    if (content_type.is_empty() || !is_field_value(&content_type) || !content_type.is_ascii())
        && let Some(errors) = errors
    {
        let message = "a content type is visible ASCII";
        errors.place.field("content_type").error(Code::InvalidHeader, message);
    }
    let body = body(errors.and_then(|errors| errors.node("body")), &content_type);
    let unauthorized = class(errors, Class::Unauthorized);
    let forbidden = class(errors, Class::Forbidden);
    let bad_request = class(errors, Class::BadRequest);
    let mut wordings = PerReason::new(|reason| match reason.class() {
        Class::BadRequest => bad_request.clone(),
        Class::Forbidden => forbidden.clone(),
        Class::Unauthorized => unauthorized.clone(),
    });
    if let Some(fields) = errors.and_then(|errors| errors.entries("reasons")) {
        reword_reasons(&fields, &mut wordings);
    }
    let schemes = sources.iter().filter_map(Source::scheme);
    Wordings::new(Challenges::new(schemes, realm), content_type.into(), body, &wordings)
}

fn reword_reasons(fields: &Fields<'_, '_>, wordings: &mut PerReason<Wording>) {
    for (name, node) in fields.iter() {
        let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.as_str() == name) else {
            let known = Reason::ALL.iter().map(|reason| reason.as_str());
            let message = format!("`{name}` is not a reason for a refusal");
            node.place.error(Code::UnknownReason, message).did_you_mean(name, known);
            continue;
        };
        reword(&mut wordings[reason], node);
    }
}

/// The wording of a class: what stands in the configuration over what stands here.
fn class(errors: Option<&Object<'_, '_>>, class: Class) -> Wording {
    let (name, status, code, message) = match class {
        Class::BadRequest => ("bad_request", 400, "bad_request", "The request is malformed"),
        Class::Forbidden => {
            ("forbidden", 403, "forbidden", "This operation is not allowed for this key")
        }
        Class::Unauthorized => ("unauthorized", 401, "unauthorized", "Invalid or missing API key"),
    };
    let message = Template { parts: vec![Part::Literal(message.into())] };
    let mut wording = Wording { status, code: code.into(), message };
    if let Some(node) = errors.and_then(|errors| errors.node(name)) {
        reword(&mut wording, node);
    }
    wording
}

fn reword(wording: &mut Wording, node: Node<'_, '_>) {
    let Some(other) = self::wording(node, 400..=599) else { return };
    wording.status = other.status.unwrap_or(wording.status);
    if let Some(code) = other.code {
        wording.code = code;
    }
    if let Some(message) = other.message {
        wording.message = message;
    }
}

/// The wording of a rule's own refusals.
pub(super) fn rule_wording(rule: &Object<'_, '_>) -> Option<RuleWording> {
    wording(rule.node("deny")?, 400..=499)
}

fn wording(node: Node<'_, '_>, statuses: std::ops::RangeInclusive<u16>) -> Option<RuleWording> {
    const FIELDS: [&str; 3] = ["status", "code", "message"];
    let wording = node.object(&FIELDS)?;
    if !FIELDS.iter().any(|name| wording.has(name)) {
        node.place.error(Code::Empty, "this wording says nothing");
    }
    let status: Option<Whole> = wording.field("status");
    let code: Option<String> = wording.field("code");
    let message: Option<String> = wording.field("message");
    let status = status.and_then(|Whole(status)| {
        let status = u16::try_from(status).ok().filter(|status| statuses.contains(status));
        if status.is_none() {
            let (least, most) = (statuses.start(), statuses.end());
            let message = format!("a refusal's status is {least} to {most}");
            node.place.field("status").error(Code::InvalidValue, message);
        }
        status
    });
    let message = message.and_then(|text| {
        let place = node.place.field("message");
        let template = template(&text, Vocabulary::Refusal, place, &[])?;
        if template.variables().any(|variable| *variable == Variable::Message) {
            place.error(Code::UnknownParameter, "a message cannot contain itself");
        }
        Some(template)
    });
    Some(RuleWording { status, code: code.map(Into::into), message })
}

/// The body of refusals.
fn body(node: Option<Node<'_, '_>>, content_type: &str) -> Body {
    let is_json = content_type.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json"));
    let Some((json, place)) = node.and_then(|node| Some((node.read()?, node.place))) else {
        let literal = |text: &str| Part::Literal(text.into());
        let placeholder = |variable| Part::Placeholder { variable, fallback: None };
        let parts = vec![
            literal("{\"error\":\""),
            placeholder(Variable::Code),
            literal("\",\"message\":\""),
            placeholder(Variable::Message),
            literal("\"}"),
        ];
        return Body { template: Template { parts }, is_json: true };
    };
    match json {
        Json::String(text) => {
            let template = template(&text, Vocabulary::Refusal, place, &[]);
            Body { template: template.unwrap_or(Template { parts: Vec::new() }), is_json }
        }
        json => {
            let mut parts = Vec::new();
            json_body(&json, place, &mut parts);
            Body { template: Template { parts: merged(parts) }, is_json: true }
        }
    }
}

/// Writes JSON as the parts of a template: its strings are templates themselves.
fn json_body(json: &Json, place: Place<'_>, parts: &mut Vec<Part>) {
    let literal = |text: &str, parts: &mut Vec<Part>| parts.push(Part::Literal(text.into()));
    match json {
        Json::String(text) => {
            literal("\"", parts);
            let template = self::template(text, Vocabulary::Refusal, place, &[]);
            parts.extend(template.into_iter().flat_map(|template| template.parts).map(|part| {
                match part {
                    Part::Literal(text) => Part::Literal(json_escaped(&text).into()),
                    placeholder @ Part::Placeholder { .. } => placeholder,
                }
            }));
            literal("\"", parts);
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                literal(if index == 0 { "[" } else { "," }, parts);
                json_body(item, place.item(index), parts);
            }
            literal(if items.is_empty() { "[]" } else { "]" }, parts);
        }
        Json::Object(entries) => {
            for (index, (name, value)) in entries.iter().enumerate() {
                let before = if index == 0 { "{" } else { "," };
                literal(&format!("{before}\"{}\":", json_escaped(name)), parts);
                json_body(value, place.field(name), parts);
            }
            literal(if entries.is_empty() { "{}" } else { "}" }, parts);
        }
        scalar => literal(&serde_json::to_string(scalar).unwrap_or_default(), parts),
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
