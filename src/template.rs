//! Texts with placeholders: scopes that depend on the request, conditions, headers, refusals.

use std::borrow::Cow;
use std::fmt;

use crate::limits;
use crate::path::is_parameter_name;

/// A text with placeholders, `{variable}` or `{variable|fallback}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Placeholder { variable: Variable, fallback: Option<Box<str>> },
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Action,
    Code,
    Field,
    Header(Box<str>),
    KeyAccount,
    KeyAttribute(Box<str>),
    KeyId,
    KeyName,
    KeyScopes,
    KeyType,
    Message,
    Method,
    Operation,
    Parameter(Box<str>),
    Query(Box<str>),
    Reason,
    RequestId,
    RequiredScope,
    RuleName,
    Status,
}

/// Which variables may stand in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vocabulary {
    /// What a GraphQL operation asks for: `{field}` and `{operation}`, beside [`Self::Request`].
    GraphQl,
    /// Who is let through: `{key.id}` and its kin, `{rule.name}`, `{request_id}`.
    Identity,
    /// What a refusal says: `{code}`, `{message}`, `{status}`, `{reason}`, `{request_id}`,
    /// `{required_scope}`. Braces that cannot be a placeholder stand for themselves, since such a text
    /// may be JSON.
    Refusal,
    /// What a request holds: path parameters, `{action}`, `{method}`, `{query.NAME}`,
    /// `{header.NAME}`.
    Request,
}

impl Vocabulary {
    /// The placeholders of fixed name.
    fn words(self) -> &'static [&'static str] {
        match self {
            Vocabulary::GraphQl => &["field", "operation", "action", "method"],
            Vocabulary::Identity => &[
                "key.id",
                "key.account",
                "key.type",
                "key.name",
                "key.scopes",
                "rule.name",
                "request_id",
            ],
            Vocabulary::Refusal => {
                &["code", "message", "status", "reason", "request_id", "required_scope"]
            }
            Vocabulary::Request => &["action", "method"],
        }
    }

    fn variable(self, name: &str) -> Option<Variable> {
        let dotted = name.split_once('.');
        match (self, name, dotted) {
            (Vocabulary::Identity, "key.account", _) => Some(Variable::KeyAccount),
            (Vocabulary::Identity, "key.id", _) => Some(Variable::KeyId),
            (Vocabulary::Identity, "key.name", _) => Some(Variable::KeyName),
            (Vocabulary::Identity, "key.scopes", _) => Some(Variable::KeyScopes),
            (Vocabulary::Identity, "key.type", _) => Some(Variable::KeyType),
            (Vocabulary::Identity, "rule.name", _) => Some(Variable::RuleName),
            (Vocabulary::Identity, _, Some(("key", attribute))) => attribute
                .strip_prefix("attributes.")
                .filter(|attribute| crate::finding::is_identifier(attribute))
                .map(|attribute| Variable::KeyAttribute(attribute.into())),
            (Vocabulary::Identity | Vocabulary::Refusal, "request_id", _) => {
                Some(Variable::RequestId)
            }
            (Vocabulary::Refusal, "code", _) => Some(Variable::Code),
            (Vocabulary::Refusal, "message", _) => Some(Variable::Message),
            (Vocabulary::Refusal, "reason", _) => Some(Variable::Reason),
            (Vocabulary::Refusal, "required_scope", _) => Some(Variable::RequiredScope),
            (Vocabulary::Refusal, "status", _) => Some(Variable::Status),
            (Vocabulary::GraphQl, "field", _) => Some(Variable::Field),
            (Vocabulary::GraphQl, "operation", _) => Some(Variable::Operation),
            (Vocabulary::GraphQl, name, _) => Vocabulary::Request.variable(name),
            (Vocabulary::Request, "action", _) => Some(Variable::Action),
            (Vocabulary::Request, "method", _) => Some(Variable::Method),
            (Vocabulary::Request, _, Some(("query", name))) if !name.is_empty() => {
                Some(Variable::Query(name.into()))
            }
            (Vocabulary::Request, _, Some(("header", name))) if !name.is_empty() => {
                Some(Variable::Header(name.to_ascii_lowercase().into()))
            }
            (Vocabulary::Request, name, None) if is_parameter_name(name) => {
                Some(Variable::Parameter(name.into()))
            }
            _ => None,
        }
    }
}

impl Variable {
    /// Whether it stands for something else in another refusal of the same reason.
    pub(crate) fn depends_on_request(&self) -> bool {
        matches!(self, Variable::RequestId | Variable::RequiredScope)
    }
}

impl Template {
    pub(crate) fn parse(text: &str, vocabulary: Vocabulary) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            rest = after;
            let inner = after.split_once('}');
            let could_be_placeholder = inner.is_some_and(|(inner, _)| {
                let name = inner.split('|').next().unwrap_or_default();
                crate::finding::is_identifier(name)
            });
            if vocabulary == Vocabulary::Refusal && !could_be_placeholder {
                literal.push('{');
                continue;
            }
            let (inner, after) = inner.ok_or(TemplateError::Unclosed)?;
            rest = after;
            let (name, fallback) = match inner.split_once('|') {
                Some((name, fallback)) => (name, Some(fallback.into())),
                None => (inner, None),
            };
            let variable = vocabulary
                .variable(name)
                .ok_or_else(|| TemplateError::Unknown { name: name.into(), vocabulary })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Placeholder { variable, fallback });
        }
        if matches!(vocabulary, Vocabulary::Request | Vocabulary::GraphQl)
            && (literal.contains('}') || rest.contains('}'))
        {
            return Err(TemplateError::Unclosed);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Template { parts })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder { variable, .. } => Some(variable),
            Part::Literal(_) => None,
        })
    }

    /// The headers among its variables.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.variables().filter_map(|variable| match variable {
            Variable::Header(name) => Some(&**name),
            _ => None,
        })
    }

    /// The query parameters among its variables.
    pub(crate) fn query_names(&self) -> impl Iterator<Item = &str> {
        self.variables().filter_map(|variable| match variable {
            Variable::Query(name) => Some(&**name),
            _ => None,
        })
    }

    /// The text of a template without placeholders.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with one value for each variable, or `None` if one has neither value nor fallback.
    pub(crate) fn render<'v>(
        &'v self,
        value: impl Fn(&'v Variable) -> Option<Cow<'v, str>>,
    ) -> Option<Cow<'v, str>> {
        let text = |part: &'v Part| match part {
            Part::Literal(literal) => Some(Cow::Borrowed(&**literal)),
            Part::Placeholder { variable, fallback } => {
                value(variable).or(fallback.as_deref().map(Cow::Borrowed))
            }
        };
        match self.parts.as_slice() {
            [part] => text(part),
            parts => parts.iter().map(text).collect::<Option<String>>().map(Cow::Owned),
        }
    }

    /// The text of a template that depends on nothing but the action, as most do that are a scope.
    pub(crate) fn of_action(&self, action: Option<&str>) -> Option<String> {
        let mut text = String::with_capacity(EXPANDED);
        for part in &self.parts {
            text.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Placeholder { variable: Variable::Action, fallback } => {
                    action.or(fallback.as_deref())?
                }
                Part::Placeholder { .. } => return None,
            });
        }
        Some(text)
    }

    /// Every text that the template stands for, where a variable may have several values; or `None`
    /// if one has an unusable value, or neither value nor fallback, or if there are too many.
    #[inline(never)]
    pub(crate) fn expand<'v>(
        &'v self,
        values: &dyn Fn(&Variable) -> Values<'v>,
    ) -> Option<Vec<String>> {
        let mut texts = vec![String::with_capacity(EXPANDED)];
        for part in &self.parts {
            let value = match part {
                Part::Literal(literal) => Values::One(Cow::Borrowed(literal)),
                Part::Placeholder { variable, fallback } => match (values(variable), fallback) {
                    (Values::Absent, Some(fallback)) => Values::One(Cow::Borrowed(fallback)),
                    (Values::Missable(mut values), Some(fallback)) => {
                        values.push(Cow::Borrowed(fallback));
                        Values::Several(values)
                    }
                    (value, _) => value,
                },
            };
            match value {
                Values::Absent | Values::Missable(_) | Values::Unusable => return None,
                Values::One(value) => texts.iter_mut().for_each(|text| text.push_str(&value)),
                Values::Several(values) => {
                    if texts.len().saturating_mul(values.len()) > limits::REQUIRED_SCOPES {
                        return None;
                    }
                    let each = |text: &String| {
                        values.iter().map(|value| text.clone() + value).collect::<Vec<_>>()
                    };
                    texts = texts.iter().flat_map(each).collect();
                }
            }
        }
        Some(texts)
    }
}

/// Room for most expanded texts, in bytes.
const EXPANDED: usize = 32;

/// What a request holds for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Values<'a> {
    /// Nothing.
    Absent,
    /// One value.
    One(Cow<'a, str>),
    /// One value for each occurrence.
    Several(Vec<Cow<'a, str>>),
    /// The same, but some upstream does not see them.
    Missable(Vec<Cow<'a, str>>),
    /// Something that is not text.
    Unusable,
}

impl Values<'_> {
    /// Whether every value is such a one.
    pub(crate) fn all(&self, is_good: impl Fn(&str) -> bool) -> bool {
        match self {
            Values::Absent | Values::Unusable => true,
            Values::One(value) => is_good(value),
            Values::Several(values) | Values::Missable(values) => {
                values.iter().all(|value| is_good(value))
            }
        }
    }
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    Unclosed,
    Unknown { name: Box<str>, vocabulary: Vocabulary },
}

impl TemplateError {
    /// The words that may stand where an unknown one stood.
    pub(crate) fn known(&self) -> &'static [&'static str] {
        match self {
            TemplateError::Unclosed => &[],
            TemplateError::Unknown { vocabulary, .. } => vocabulary.words(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Unclosed => formatter.write_str("a brace is unmatched"),
            TemplateError::Unknown { name, .. } => {
                write!(formatter, "`{{{name}}}` stands for nothing here")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, values: impl Fn(&Variable) -> Values<'static>) -> Option<Vec<String>> {
        Template::parse(text, Vocabulary::Request).unwrap().expand(&|variable| values(variable))
    }

    #[test]
    fn a_variable_with_several_values_stands_for_several_texts() {
        let values = |variable: &Variable| match variable {
            Variable::Query(_) => Values::Several(vec!["a".into(), "b".into()]),
            _ => Values::One("read".into()),
        };
        let expanded = expand("{query.content_type[]}:{action}", values).unwrap();
        assert_eq!(expanded, ["a:read", "b:read"]);
    }

    #[test]
    fn a_fallback_is_for_absence_only() {
        assert_eq!(expand("{x|*}:read", |_| Values::Absent).unwrap(), ["*:read"]);
        assert_eq!(expand("{x|*}:read", |_| Values::Unusable), None);
        assert_eq!(expand("{x}:read", |_| Values::Absent), None);
    }

    #[test]
    fn the_number_of_texts_is_bounded() {
        let many = |_: &Variable| Values::Several(vec!["a".into(); 17]);
        assert!(expand("{x}", many).is_some());
        assert!(expand("{x}{y}", many).is_none());
    }

    #[test]
    fn a_refusal_may_be_json() {
        let text = r#"{"error":{"code":"{code}"},"x":{}}"#;
        let template = Template::parse(text, Vocabulary::Refusal).unwrap();
        let rendered = template.render(|_| Some("gone".into())).unwrap();
        assert_eq!(rendered, r#"{"error":{"code":"gone"},"x":{}}"#);
    }

    #[test]
    fn what_stands_for_nothing_is_an_error() {
        for (text, vocabulary) in [
            ("{cod}", Vocabulary::Refusal),
            ("{code}", Vocabulary::Identity),
            ("{key.attributes.}", Vocabulary::Identity),
            ("{key.secret}", Vocabulary::Identity),
            ("{key.id}", Vocabulary::Request),
            ("{query.}", Vocabulary::Request),
            ("{a b}", Vocabulary::Request),
        ] {
            let error = Template::parse(text, vocabulary).unwrap_err();
            assert!(matches!(error, TemplateError::Unknown { .. }), "{text}");
        }
        for text in ["{a", "a}", "{a}}"] {
            let error = Template::parse(text, Vocabulary::Request).unwrap_err();
            assert_eq!(error, TemplateError::Unclosed, "{text}");
        }
    }
}
