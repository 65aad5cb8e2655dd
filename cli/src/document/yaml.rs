//! YAML 1.2 by its core schema (<https://yaml.org/spec/1.2.2/#103-core-schema>): what is not a number, a
//! boolean or nothing there is a text, such as `2026-01-01T00:00:00Z`, `on` and `yes`.
//!
//! Everything else that reads YAML here, for places and for edits, reads the events of the same parser.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Document, Fields, NOT_FINITE, duplicate};
use crate::place::Place;

/// So many lists and objects may stand within each other, as in JSON.
const DEPTH: usize = 128;

/// So many values may all aliases together stand for, so that a few lines cannot fill the memory.
const COPIES: usize = 4_000_000;

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) place: Place,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The one document of a text.
pub(super) fn read(text: &str) -> Result<Document, Mistake> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), depth: 0, anchors: HashMap::new(), copies: 0 };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, _) => {
                let (code, message) = ("invalid_yaml", super::EMPTY.to_owned());
                return Err(Mistake { place: Place::START, code, message });
            }
            (event, span) => {
                let document = reader.node(event, span)?;
                reader.end()?;
                return Ok(document);
            }
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    depth: usize,
    /// What aliases stand for, by the number of their anchor.
    anchors: HashMap<usize, Document>,
    /// How many values aliases have stood for.
    copies: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Mistake> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Sees to it that nothing follows the document.
    fn end(&mut self) -> Result<(), Mistake> {
        loop {
            match self.next()? {
                (Event::DocumentStart(_), span) => {
                    return Err(mistake(span, "a second document starts here: a file has one"));
                }
                (Event::StreamEnd, _) => return Ok(()),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Document, Mistake> {
        let (anchor, document) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(text, style, tag, span)?),
            Event::SequenceStart(anchor, tag) => {
                collection_tag("seq", tag, span)?;
                (anchor, self.inside(span, Self::list)?)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag("map", tag, span)?;
                (anchor, self.inside(span, Self::object)?)
            }
            _ => return Err(mistake(span, "a value is missing")),
        };
        // Anchors are numbered from one.
        if anchor > 0 {
            self.anchors.insert(anchor, document.clone());
        }
        Ok(document)
    }

    fn inside(
        &mut self,
        span: Span,
        read: impl FnOnce(&mut Self) -> Result<Document, Mistake>,
    ) -> Result<Document, Mistake> {
        if self.depth == DEPTH {
            return Err(mistake(span, "more than 128 lists and objects stand within each other"));
        }
        self.depth += 1;
        let document = read(self);
        self.depth -= 1;
        document
    }

    fn list(&mut self) -> Result<Document, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Document::Array(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn object(&mut self) -> Result<Document, Mistake> {
        let mut fields = Fields::default();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Document::Object(fields));
            }
            let name = self.name(event, span)?;
            if fields.value(&name).is_some() {
                let (place, message) = (start(span), duplicate(&name));
                return Err(Mistake { place, code: "duplicate", message });
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            fields.0.push((name, value));
        }
    }

    fn name(&mut self, event: Event<'t>, span: Span) -> Result<String, Mistake> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => {
                let message = "unknown field `<<`: YAML 1.2 has no merge keys; write the fields out, or let \
                               an alias stand for a whole value";
                let (place, message) = (start(span), message.to_owned());
                Err(Mistake { place, code: "unknown_field", message })
            }
            Event::Scalar(text, _, anchor, _) => {
                if anchor > 0 {
                    self.anchors.insert(anchor, Document::String(text.to_string()));
                }
                Ok(text.into_owned())
            }
            Event::Alias(anchor) => match self.alias(anchor, span)? {
                Document::String(name) => Ok(name),
                _ => Err(mistake(span, NAMES)),
            },
            _ => Err(mistake(span, NAMES)),
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Document, Mistake> {
        let Some(document) = self.anchors.get(&anchor) else {
            return Err(mistake(span, "an alias stands within what it stands for"));
        };
        self.copies = self.copies.saturating_add(size(document));
        if self.copies > COPIES {
            let message = "aliases up to here stand for more than 4,000,000 values";
            return Err(mistake(span, message));
        }
        Ok(document.clone())
    }
}

const NAMES: &str = "a field's name must be a text";

/// How many values a document is.
fn size(document: &Document) -> usize {
    match document {
        Document::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Document::Object(Fields(fields)) => {
            1 + fields.iter().map(|(_, value)| size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<Cow<'_, Tag>>,
    span: Span,
) -> Result<Document, Mistake> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain {
            resolved(text, span)
        } else {
            Ok(Document::String(text.into_owned()))
        };
    };
    if is_non_specific(&tag) || (tag.is_yaml_core_schema() && tag.suffix == "str") {
        return Ok(Document::String(text.into_owned()));
    }
    let kind = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
    let value = resolved(text, span)?;
    match (kind, &value) {
        ("null", Document::Null)
        | ("bool", Document::Boolean(_))
        | ("int" | "float", Document::Number(_)) => Ok(value),
        ("null" | "bool" | "int" | "float", _) => {
            Err(mistake(span, &format!("this is not what its tag `!!{kind}` says")))
        }
        _ => Err(unknown_tag(&tag, span)),
    }
}

fn collection_tag(kind: &str, tag: Option<Cow<'_, Tag>>, span: Span) -> Result<(), Mistake> {
    match tag {
        Some(tag)
            if !(is_non_specific(&tag) || tag.is_yaml_core_schema() && tag.suffix == kind) =>
        {
            Err(unknown_tag(&tag, span))
        }
        _ => Ok(()),
    }
}

/// Whether a tag is a bare `!`.
fn is_non_specific(tag: &Tag) -> bool {
    tag.handle.is_empty() && tag.suffix == "!"
}

fn unknown_tag(tag: &Tag, span: Span) -> Mistake {
    let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
    mistake(span, &format!("the tag `{handle}{}` is not known here", tag.suffix))
}

/// What a plain scalar stands for.
fn resolved(text: Cow<'_, str>, span: Span) -> Result<Document, Mistake> {
    Ok(match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Document::Null,
        "true" | "True" | "TRUE" => Document::Boolean(true),
        "false" | "False" | "FALSE" => Document::Boolean(false),
        _ => match number(&text) {
            None => Document::String(text.into_owned()),
            Some(Some(number)) => Document::Number(number),
            Some(None) => {
                let (place, message) = (start(span), NOT_FINITE.to_owned());
                return Err(Mistake { place, code: "invalid_value", message });
            }
        },
    })
}

/// A number as the core schema has it; `Some(None)` for one that JSON does not have.
fn number(text: &str) -> Option<Option<serde_json::Number>> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'.' | b'+' | b'-')) {
        return None;
    }
    for (prefix, base) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
            return is_number.then(|| u64::from_str_radix(digits, base).ok().map(Into::into));
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    if !are_digits(whole)
        || !are_digits(fraction)
        || whole.len() + fraction.len() == 0
        || exponent.is_some_and(|exponent| exponent.is_empty() || !are_digits(exponent))
    {
        return None;
    }
    let signed = text.strip_prefix('+').unwrap_or(text);
    if unsigned == whole {
        if let Ok(number) = signed.parse::<u64>() {
            return Some(Some(number.into()));
        }
        if let Ok(number) = signed.parse::<i64>() {
            return Some(Some(number.into()));
        }
    }
    Some(signed.parse::<f64>().ok().and_then(serde_json::Number::from_f64))
}

fn syntax(error: &ScanError) -> Mistake {
    let marker = error.marker();
    let place = Place { line: marker.line(), column: marker.col() + 1 };
    Mistake { place, code: "invalid_yaml", message: error.info().to_owned() }
}

fn mistake(span: Span, message: &str) -> Mistake {
    Mistake { place: start(span), code: "invalid_yaml", message: message.to_owned() }
}

fn start(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        read(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}")).to_json().unwrap()
    }

    fn error(text: &str) -> String {
        let Mistake { place: Place { line, column }, code, message } = read(text).unwrap_err();
        format!("{line}:{column}: {message} [{code}]")
    }

    /// By the examples of the specification, sections 10.2 and 10.3.
    #[test]
    fn scalars_are_those_of_the_core_schema() {
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("null", "null"),
            ("nUll", "\"nUll\""),
            ("True", "true"),
            ("yes", "\"yes\""),
            ("on", "\"on\""),
            ("0", "0"),
            ("-19", "-19"),
            ("+12", "12"),
            ("007", "7"),
            ("0o7", "7"),
            ("0x3A", "58"),
            ("0b1", "\"0b1\""),
            ("-0x3A", "\"-0x3A\""),
            ("0x", "\"0x\""),
            ("12e03", "12000.0"),
            ("-2E+05", "-200000.0"),
            ("+12.3", "12.3"),
            (".5", "0.5"),
            ("5.", "5.0"),
            (".", "\".\""),
            ("1.2.3", "\"1.2.3\""),
            ("1_000", "\"1_000\""),
            ("12e", "\"12e\""),
            ("1:30", "\"1:30\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("'12'", "\"12\""),
            ("\"\\x41\\u00e9\\/\\U0001F511\"", "\"Aé/🔑\""),
            ("|\n  a\n  b\n", "\"a\\nb\\n\""),
            (">-\n  a\n  b\n", "\"a b\""),
            ("!!str 12", "\"12\""),
            ("! 12", "\"12\""),
            ("!!int \"12\"", "12"),
            ("!!float 1", "1"),
            ("!!null ''", "null"),
        ] {
            assert_eq!(json(&format!("a: {text}")), format!("{{\"a\":{expected}}}"), "{text}");
        }
    }

    #[test]
    fn aliases_stand_for_values_and_names() {
        assert_eq!(
            json("a: &a {b: &b [1]}\nc: *a\nd: *b\n&n e: *n\nf: {*n : 2}"),
            r#"{"a":{"b":[1]},"c":{"b":[1]},"d":[1],"e":"e","f":{"e":2}}"#
        );
    }

    #[test]
    fn windows_line_ends_and_marks_are_no_text() {
        assert_eq!(json("a: 1\r\nb:\r\n- x\r\n- |\r\n  y\r\n"), r#"{"a":1,"b":["x","y\n"]}"#);
        assert_eq!(json("%YAML 1.2\n---\na: 1\n...\n"), r#"{"a":1}"#);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_where_it_stands() {
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        let bomb = (1..9).fold("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned(), |bomb, n| {
            let alias = format!("*a{}", n - 1);
            format!("{bomb}a{n}: &a{n} [{}]\n", vec![alias; 10].join(","))
        });
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "3:1: duplicate field `a` [duplicate]"),
            ("k:\n- a: 1\n  'a': 2", "3:3: duplicate field `a` [duplicate]"),
            (
                "b: &b {c: 1}\na:\n  <<: *b",
                "3:3: unknown field `<<`: YAML 1.2 has no merge keys; write the fields out, or let an alias \
                 stand for a whole value [unknown_field]",
            ),
            (
                "a: 1\n---\nb: 2",
                "2:1: a second document starts here: a file has one [invalid_yaml]",
            ),
            ("", "1:1: there is nothing in it [invalid_yaml]"),
            ("# nothing\n\n", "1:1: there is nothing in it [invalid_yaml]"),
            ("a: .nan", "1:4: a number must be finite [invalid_value]"),
            ("a: -.INF", "1:4: a number must be finite [invalid_value]"),
            ("a: 1e999", "1:4: a number must be finite [invalid_value]"),
            ("[a]: 1", "1:1: a field's name must be a text [invalid_yaml]"),
            ("? {a: b}\n: 1", "1:3: a field's name must be a text [invalid_yaml]"),
            ("a: !x 1", "1:4: the tag `!x` is not known here [invalid_yaml]"),
            ("a: !!binary x", "1:4: the tag `!!binary` is not known here [invalid_yaml]"),
            ("a: !!int x", "1:4: this is not what its tag `!!int` says [invalid_yaml]"),
            ("a: !!map [1]", "1:4: the tag `!!map` is not known here [invalid_yaml]"),
            ("a: &a [*a]", "1:8: an alias stands within what it stands for [invalid_yaml]"),
            (
                &deep,
                "1:129: more than 128 lists and objects stand within each other [invalid_yaml]",
            ),
            (&bomb, "7:18: aliases up to here stand for more than 4,000,000 values [invalid_yaml]"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        for (text, start) in [
            ("a: *b", "1:4: "),
            ("a: [1\nb: 2", "2:"),
            ("a:\n\t- b", "2:"),
            ("a: b: c", "1:"),
            ("a: \"x", "1:"),
            ("a: @b", "1:"),
            ("- a\nb: c", "2:"),
        ] {
            assert!(error(text).starts_with(start), "{text}: {}", error(text));
        }
    }
}
