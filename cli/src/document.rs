//! Documents as people write them, YAML or JSON, read without losing anything: the order of
//! fields is kept, a field written twice is an error, and every error names its place.

mod yaml;

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::place::{self, Place};

/// Any JSON value, its fields in the order in which they were written.
///
/// `serde_json::Value` keeps that order only with a feature that Cargo would then switch on in
/// the core as well, so that tests of the core would no longer run what the filter runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A list.
    Array(Vec<Document>),
    /// `true` or `false`.
    Boolean(bool),
    /// Nothing: `null`, or a YAML field without a value.
    Null,
    /// A finite number.
    Number(serde_json::Number),
    /// Fields and their values.
    Object(Fields<Document>),
    /// A text.
    String(String),
}

impl Document {
    /// This document as compact JSON.
    ///
    /// # Errors
    /// None that a document can cause; serializing is fallible by type.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).context("cannot write JSON")
    }

    /// The value of `name`, where this is an object that has such a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Document> {
        match self {
            Document::Object(fields) => fields.value(name),
            _ => None,
        }
    }

    /// What a JSON pointer (RFC 6901) names in this document.
    pub(crate) fn pointer(&self, pointer: &str) -> Option<&Document> {
        let mut steps = pointer.split('/');
        steps.next();
        steps.try_fold(self, |document, step| match document {
            Document::Array(items) => items.get(step.parse::<usize>().ok()?),
            document => document.field(&step.replace("~1", "/").replace("~0", "~")),
        })
    }

    /// The point in time that this is in a policy, in Unix seconds.
    #[must_use]
    pub fn instant(&self) -> Option<i64> {
        let instant: latchkey::Instant = serde_json::from_str(&self.to_json().ok()?).ok()?;
        Some(instant.0)
    }

    /// The text, where this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Document::String(text) => Some(text),
            _ => None,
        }
    }
}

/// The fields of an object: names that differ, in the order in which they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields<V>(pub Vec<(String, V)>);

impl<V> Fields<V> {
    /// The value of `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&V> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

impl<V> Default for Fields<V> {
    fn default() -> Self {
        Fields(Vec::new())
    }
}

/// Reads and parses `file`, as [`parse`] does.
///
/// # Errors
/// The file cannot be read, or [`parse`] fails.
pub fn load(file: &Path) -> Result<Document> {
    parse(file, &read(file)?)
}

/// Reads and parses `file` into a type of its own, as [`parse_as`] does.
///
/// # Errors
/// The file cannot be read, or [`parse_as`] fails.
pub fn load_as<T: DeserializeOwned>(file: &Path) -> Result<T> {
    parse_as(file, &read(file)?)
}

/// The text of `file`, or of standard input if that is `-`, without a byte order mark.
///
/// # Errors
/// It cannot be read: one line with its name; or it is not UTF-8: a `Malformed`.
pub(crate) fn read(file: &Path) -> Result<String> {
    let mut text = read_marked(file)?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// The same with the byte order mark, if there is one.
pub(crate) fn read_marked(file: &Path) -> Result<String> {
    // Read once, since places are looked for in the same text.
    static INPUT: OnceLock<Vec<u8>> = OnceLock::new();
    let unreadable = || format!("cannot read `{}`", file.display());
    let bytes = if file == Path::new("-") {
        match INPUT.get() {
            Some(input) => input.clone(),
            None => {
                let mut input = Vec::new();
                io::stdin().read_to_end(&mut input).context("cannot read standard input")?;
                INPUT.get_or_init(|| input).clone()
            }
        }
    } else {
        std::fs::read(file).with_context(unreadable)?
    };
    Ok(String::from_utf8(bytes).map_err(|error| Malformed::not_utf8(file, error))?)
}

/// The byte order mark that editors on Windows put before a text.
pub(crate) const MARK: char = '\u{feff}';

/// Parses `text`, which came from `file`: as JSON if the file's name ends in `.json`, as YAML if it ends in
/// `.yaml` or `.yml`, else as JSON if it starts with a brace or a bracket, and a quote behind those.
///
/// # Errors
/// `text` is not such a document: a `Malformed`, in one line `FILE:LINE:COLUMN: message`.
pub fn parse(file: &Path, text: &str) -> Result<Document> {
    if is_json(file, text) {
        return parse_json(file, text);
    }
    yaml::read(text).map_err(|yaml::Mistake { place, code, message }| {
        let (file, place) = (file.to_owned(), Some(place));
        Malformed { file, place, pointer: String::new(), code, message }.into()
    })
}

/// Parses `text`, which came from `file`, into a type of its own.
///
/// # Errors
/// `text` is not such a document, or the document is not of that type: a `Malformed`.
pub fn parse_as<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T> {
    if is_json(file, text) {
        return parse_json(file, text);
    }
    let json = parse(file, text)?.to_json()?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&json)).map_err(
        |error| {
            let pointer = pointer_to(error.path());
            let place = place::find(file, text, [pointer.as_str()]).remove(pointer.as_str());
            let inner = error.inner();
            let at = Place { line: inner.line(), column: inner.column() };
            Malformed::new(file, place, &without_place(&inner.to_string(), at), "invalid_yaml")
                .into()
        },
    )
}

fn parse_json<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        if text.trim().is_empty() {
            return Malformed::new(file, Some(Place::START), EMPTY, "invalid_json").into();
        }
        let place = Place { line: error.line(), column: error.column() };
        let message = without_place(&error.to_string(), place);
        Malformed::new(file, (place.line > 0).then_some(place), &message, "invalid_json").into()
    })
}

const EMPTY: &str = "there is nothing in it";

/// The parser puts the place into its message; it is wanted once, in front.
fn without_place(message: &str, Place { line, column }: Place) -> String {
    message.replacen(&format!(" at line {line} column {column}"), "", 1)
}

fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", place::escaped(key))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(step).collect()
}

/// Why a file is not the document that it should be.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) file: PathBuf,
    pub(crate) place: Option<Place>,
    /// Where in the document, as a JSON pointer; empty where it does not parse.
    pub(crate) pointer: String,
    /// What kind of mistake it is, as findings name it.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// The code of a file that cannot be read.
pub(crate) const UNREADABLE: &str = "missing_file";

impl Malformed {
    /// A document that parses, with something else at `pointer` than there should be.
    pub(crate) fn wrong_type(file: &Path, pointer: &str, message: &str) -> Malformed {
        let text = read(file).unwrap_or_default();
        let place = place::find(file, &text, [pointer]).remove(pointer);
        let (file, pointer, message) = (file.to_owned(), pointer.to_owned(), message.to_owned());
        Malformed { file, place, pointer, code: "wrong_type", message }
    }

    fn not_utf8(file: &Path, error: FromUtf8Error) -> Malformed {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let message = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16: save it as UTF-8",
            _ => "it is not UTF-8 from here on",
        };
        let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let code = if is_json(file, &before) { "invalid_json" } else { "invalid_yaml" };
        let (file, place) = (file.to_owned(), Some(Place { line, column }));
        Malformed { file, place, pointer: String::new(), code, message: message.to_owned() }
    }

    /// What is not one of the mistakes that findings know is `otherwise`.
    fn new(file: &Path, place: Option<Place>, message: &str, otherwise: &'static str) -> Malformed {
        let code = [
            ("duplicate field", "duplicate"),
            ("invalid type: ", "wrong_type"),
            ("missing field `", "missing_field"),
            ("unknown field `", "unknown_field"),
            (NOT_FINITE, "invalid_value"),
        ];
        let code = code.into_iter().find(|(mistake, _)| message.starts_with(mistake));
        let code = code.map_or(otherwise, |(_, code)| code);
        let (file, message) = (file.to_owned(), message.to_owned());
        Malformed { file, place, pointer: String::new(), code, message }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { file, place, message, .. } = self;
        write!(formatter, "{}", file.display())?;
        if let Some(Place { line, column }) = place {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {message}")
    }
}

impl std::error::Error for Malformed {}

/// JSON as YAML of every version reads it: the characters that JSON lets stand in texts, and YAML
/// forbids or takes for line ends, are escaped.
pub(crate) fn json_for_yaml(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, character| {
        match u32::from(character) {
            code @ (0x7f..0xa0 | 0x2028 | 0x2029 | 0xfeff | 0xfffe | 0xffff) => {
                text.push_str(&format!("\\u{code:04x}"));
            }
            _ => text.push(character),
        }
        text
    })
}

pub(crate) fn is_json(file: &Path, text: &str) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "json" => true,
        "yaml" | "yml" => false,
        _ => {
            let behind = text.trim_start_matches(|c: char| c.is_whitespace() || "{[".contains(c));
            // `{a: b}` is YAML.
            text.trim_start().starts_with(['{', '['])
                && behind.chars().next().is_none_or(|first| "\"}]".contains(first))
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Document::Array(items) => items.serialize(serializer),
            Document::Boolean(value) => serializer.serialize_bool(*value),
            Document::Null => serializer.serialize_unit(),
            Document::Number(number) => number.serialize(serializer),
            Document::Object(fields) => fields.serialize(serializer),
            Document::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<V: Serialize> Serialize for Fields<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

/// What is wrong with a field whose name stands there already. A long one may be a token in the wrong place.
fn duplicate(name: &str) -> String {
    match name.len() {
        ..=24 => format!("duplicate field `{name}`"),
        _ => "duplicate field".to_owned(),
    }
}

const NOT_FINITE: &str = "a number must be finite";

struct DocumentVisitor;

impl<'de> de::Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Document::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Document, E> {
        serde_json::Number::from_f64(value)
            .map(Document::Number)
            .ok_or_else(|| E::custom(NOT_FINITE))
    }

    fn visit_str<E>(self, value: &str) -> Result<Document, E> {
        Ok(Document::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Document, E> {
        Ok(Document::String(value))
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Document::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
        FieldsVisitor(PhantomData).visit_map(map).map(Document::Object)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Fields<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> de::Visitor<'de> for FieldsVisitor<V> {
    type Value = Fields<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<V>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key_seed(NewName(&fields))? {
            let value = map.next_value()?;
            fields.0.push((name, value));
        }
        Ok(fields)
    }
}

/// Reads a field's name and refuses one that was there before. Done while the name is read, so
/// that the parser puts the name's place into the error, not the place of the whole object.
struct NewName<'a, V>(&'a Fields<V>);

impl<'de, V> DeserializeSeed<'de> for NewName<'_, V> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<V> de::Visitor<'_> for NewName<'_, V> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        if self.0.value(name).is_some() {
            return Err(E::custom(duplicate(name)));
        }
        Ok(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &str, text: &str) -> Document {
        parse(Path::new(file), text).unwrap()
    }

    fn error(file: &str, text: &str) -> String {
        parse(Path::new(file), text).unwrap_err().to_string()
    }

    #[test]
    fn order_of_fields_is_kept() {
        let json = r#"{"z":1,"a":{"y":[2,{"x":3,"b":null}],"c":1.5},"m":true}"#;
        assert_eq!(document("p.json", json).to_json().unwrap(), json);
        let yaml = "z: 1\na: {y: [2, {x: 3, b: }], c: 1.5}\nm: true\n";
        assert_eq!(document("p.yaml", yaml).to_json().unwrap(), json);
    }

    #[test]
    fn an_instant_is_what_the_core_takes_for_one() {
        for (text, seconds) in [
            ("a: 2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("a: 1767225600", Some(1_767_225_600)),
            ("a: 1767225600.0", Some(1_767_225_600)),
            ("a: '1767225600'", Some(1_767_225_600)),
            ("a: 1767225600000", None),
            ("a: 2026-01-01", None),
            ("a: true", None),
        ] {
            let document = document("p.yaml", text);
            assert_eq!(document.field("a").unwrap().instant(), seconds, "{text}");
        }
    }

    #[test]
    fn timestamps_and_yaml_1_1_booleans_stay_strings() {
        let yaml = "expires_at: 2026-01-01T00:00:00Z\nno: on\nyes: off\n";
        assert_eq!(
            document("p.yaml", yaml).to_json().unwrap(),
            r#"{"expires_at":"2026-01-01T00:00:00Z","no":"on","yes":"off"}"#
        );
    }

    #[test]
    fn a_field_written_twice_is_refused_where_it_stands() {
        assert_eq!(error("p.yaml", "a: 1\nb: 2\na: 3\n"), "p.yaml:3:1: duplicate field `a`");
        assert_eq!(
            error("p.yaml", "keys:\n  - id: x\n    id: y\n"),
            "p.yaml:3:5: duplicate field `id`"
        );
        assert_eq!(error("p.json", "{\"a\": 1,\n \"a\": 2}"), "p.json:2:4: duplicate field `a`");
        let token = "lk_live_0123456789abcdefghij";
        let twice = format!("{token}: 1\n{token}: 2\n");
        assert_eq!(error("p.yaml", &twice), "p.yaml:2:1: duplicate field");
    }

    #[test]
    fn errors_name_file_line_and_column() {
        assert_eq!(
            error("p.yaml", "a: [1\nb: 2\n"),
            "p.yaml:2:2: illegal placement of ':' indicator"
        );
        assert_eq!(error("p.json", "{\"a\": }"), "p.json:1:7: expected value");
        assert_eq!(error("p.yaml", "a: .nan\n"), "p.yaml:1:4: a number must be finite");
    }

    #[test]
    fn a_mistake_has_the_code_of_its_kind() {
        for (file, text, code) in [
            ("p.yaml", "a: 1\na: 2\n", "duplicate"),
            ("p.json", r#"{"a": {"b": 1, "b": 2}}"#, "duplicate"),
            ("p.yaml", "a: [1\n", "invalid_yaml"),
            ("p.json", "{", "invalid_json"),
            ("p.yaml", "a: {b: .inf}\n", "invalid_value"),
        ] {
            let error = parse(Path::new(file), text).unwrap_err();
            assert_eq!(error.downcast::<Malformed>().unwrap().code, code, "{text}");
        }
    }

    #[test]
    fn the_extension_decides_and_else_the_content() {
        assert_eq!(document("policy", "{\"a\": 1}"), document("policy", "a: 1"));
        assert_eq!(document("policy", "\n[{a: 1}]"), document("p.yaml", "- a: 1"));
        for text in ["{", "{}", " [\"a\"", "[[]", "{\"a\": }"] {
            assert!(is_json(Path::new("-"), text), "{text}");
        }
        assert_eq!(document("policy.yml", "{a: 1}").to_json().unwrap(), r#"{"a":1}"#);
    }
}
