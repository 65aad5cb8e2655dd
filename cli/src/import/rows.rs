//! Tables: CSV with a head, and JSON objects, one on each line.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use super::{Entry, Found, Id, Secret};
use crate::document::{Document, Fields};
use crate::time;

/// Which field of a key stands in which column. Empty: each in the column of its own name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map(Vec<(Field, String)>);

/// A field of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Attribute(String),
    Hash,
    Id,
    Other(&'static str, Kind),
    Token,
}

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    List,
    Text,
    Time,
}

const FIELDS: [(&str, Kind); 12] = [
    ("addresses", Kind::List),
    ("account", Kind::Text),
    ("created", Kind::Time),
    ("disabled", Kind::Flag),
    ("expires_at", Kind::Time),
    ("hint", Kind::Text),
    ("name", Kind::Text),
    ("not_before", Kind::Time),
    ("origins", Kind::List),
    ("scopes", Kind::List),
    ("suspended", Kind::Flag),
    ("type", Kind::Text),
];

impl Field {
    fn parse(name: &str) -> Option<Field> {
        match name {
            "hash" => Some(Field::Hash),
            "id" => Some(Field::Id),
            "token" => Some(Field::Token),
            _ => match name.strip_prefix("attributes.") {
                Some(name) => Some(Field::Attribute(name.to_owned())),
                None => {
                    let known = FIELDS.into_iter().find(|(known, _)| *known == name);
                    known.map(|(name, kind)| Field::Other(name, kind))
                }
            },
        }
    }
}

impl Map {
    /// Reads `id=COLUMN,token=COLUMN,…`.
    ///
    /// # Errors
    /// That names something that is not a field of a key, or one twice.
    pub(crate) fn parse(text: &str) -> Result<Map, String> {
        let mut map: Vec<(Field, String)> = Vec::new();
        for pair in text.split(',') {
            let Some((name, column)) = pair.split_once('=') else {
                return Err("expected `FIELD=COLUMN,…`".to_owned());
            };
            let Some(field) = Field::parse(name.trim()) else {
                return Err(format!("`{}` is not a field of a key", name.trim()));
            };
            if map.iter().any(|(mapped, _)| *mapped == field) {
                return Err(format!("`{}` is mapped twice", name.trim()));
            }
            map.push((field, column.trim().to_owned()));
        }
        Ok(Map(map))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a table whose first line names its columns.
pub(super) fn csv(file: &Path, text: &str, map: &Map) -> Result<Found> {
    let head = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let delimiter = b",;\t".iter().copied().max_by_key(|delimiter| {
        // Of equals the last one counts, and a comma is the likeliest.
        (head.bytes().filter(|byte| byte == delimiter).count(), *delimiter == b',')
    });
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut lines = Lines { text, byte: 0, line: 1 };
    let columns = match reader.headers() {
        Ok(columns) => columns.clone(),
        Err(_) => bail!("{}:1: the first line does not name the columns", file.display()),
    };
    let head = format!("{}:{}", file.display(), lines.of(columns.position()));
    let mut fields: Vec<(Field, usize)> = Vec::new();
    for (field, name) in &map.0 {
        let Some(index) = columns.iter().position(|column| column == name) else {
            bail!("{head}: there is no column `{name}`");
        };
        fields.push((field.clone(), index));
    }
    let mut unknown = Names::default();
    if map.is_empty() {
        for (index, name) in columns.iter().enumerate() {
            match Field::parse(name) {
                Some(field) => fields.push((field, index)),
                None => unknown.add(name),
            }
        }
    }
    // One of them would count without a word.
    let is_twice = |name: &str| columns.iter().filter(|column| *column == name).count() > 1;
    let mut names = fields.iter().filter_map(|(_, index)| columns.get(*index));
    if let Some(name) = names.find(|name| is_twice(name)) {
        bail!("{head}: the column `{name}` stands twice");
    }
    if !fields.iter().any(|(field, _)| matches!(field, Field::Hash | Field::Token)) {
        bail!("{head}: no column has the token (name it with `--map token=COLUMN`)");
    }
    let mut found = Found::default();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = lines.of(record.position());
                let values = fields.iter().filter_map(|(field, index)| {
                    let value = record.get(*index).filter(|value| !value.is_empty())?;
                    Some((field, Document::String(value.to_owned())))
                });
                found.row(line, values);
            }
            Err(error) => {
                let message = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("{len} columns where the first line names {expected_len}")
                    }
                    _ => "it cannot be read as a line of a table".to_owned(),
                };
                found.mistake(lines.of(error.position()), message);
            }
        }
    }
    found.notes.extend(unknown.note());
    Ok(found)
}

/// Columns, or members of objects, that no field of a key has the name of.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn add(&mut self, name: &str) {
        if !name.is_empty() && !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    fn note(&self) -> Option<String> {
        /// So many are named.
        const SHOWN: usize = 10;
        let names: Vec<String> =
            self.0.iter().take(SHOWN).map(|name| format!("`{}`", name.escape_debug())).collect();
        let more = match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => String::new(),
            Some(number) => format!(" and {number} more"),
        };
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("{names}{more} left out: no field of a key has such a name (`--map` tells which is which)")
        })
    }
}

/// The lines of a table that is read from its beginning to its end.
struct Lines<'t> {
    text: &'t str,
    /// Up to here they are counted,
    byte: usize,
    /// and this is the line there, from 1.
    line: usize,
}

impl Lines<'_> {
    /// The line of a record. Its position, and the line of that, may be before line ends that are no part of it: of
    /// `\r\n` the second byte, and empty lines.
    fn of(&mut self, position: Option<&csv::Position>) -> usize {
        let byte = position.and_then(|position| usize::try_from(position.byte()).ok());
        let rest = |byte| self.text.get(byte..);
        let Some((byte, rest)) = byte.and_then(|byte| Some((byte, rest(byte)?))) else {
            return self.line;
        };
        let start = byte + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        let passed = self.text.get(self.byte..start).unwrap_or_default();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.byte = start;
        self.line
    }
}

/// Reads a JSON object on each line.
pub(super) fn jsonl(file: &Path, text: &str, map: &Map) -> Result<Found> {
    let mut found = Found::default();
    let mut unknown = Names::default();
    // Those of the map that no object has had yet.
    let mut missing: Vec<&str> = map.0.iter().map(|(_, path)| path.as_str()).collect();
    let mut objects = 0;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let object = match serde_json::from_str(line) {
            Ok(object @ Document::Object(_)) => object,
            Ok(_) => {
                found.mistake(index + 1, NO_OBJECT);
                continue;
            }
            Err(error) => {
                found.mistake(
                    index + 1,
                    member_twice(&error).unwrap_or_else(|| NO_OBJECT.to_owned()),
                );
                continue;
            }
        };
        objects += 1;
        missing.retain(|path| at(&object, path).is_none());
        let values: Vec<(Field, Document)> = if map.is_empty() {
            own_fields(&object, &mut unknown)
        } else {
            let value = |(field, path): &(Field, String)| {
                let value = at(&object, path)?;
                Some((field.clone(), value.clone()))
            };
            map.0.iter().filter_map(value).collect()
        };
        let values = values.iter().filter(|(_, value)| !is_nothing(value));
        found.row(index + 1, values.map(|(field, value)| (field, value.clone())));
    }
    if found.entries.is_empty() && found.mistakes.is_empty() {
        bail!("{}: there is no JSON object in it", file.display());
    }
    if let Some(path) = missing.first().filter(|_| objects > 0) {
        bail!("{}: no object has `{path}`", file.display());
    }
    found.notes.extend(unknown.note());
    Ok(found)
}

const NO_OBJECT: &str = "it is not a JSON object";

/// What is wrong with an object of which a member stands twice.
fn member_twice(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let name = text.strip_prefix("duplicate field")?.rsplit_once(" at line ")?.0;
    let member = if name.is_empty() { "a member" } else { "the member" };
    Some(format!("{member}{name} stands twice"))
}

/// The field `path`, or where there is none of that name, what its dots lead to.
fn at<'d>(object: &'d Document, path: &str) -> Option<&'d Document> {
    let steps = || path.split('.').try_fold(object, |value, step| value.field(step));
    object.field(path).or_else(steps)
}

fn own_fields(object: &Document, unknown: &mut Names) -> Vec<(Field, Document)> {
    let Document::Object(Fields(fields)) = object else { return Vec::new() };
    let mut values = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("attributes", Document::Object(Fields(attributes))) => {
                let attributes = attributes.iter();
                values.extend(
                    attributes.map(|(name, value)| (Field::Attribute(name.clone()), value.clone())),
                );
            }
            (_, value) if is_nothing(value) => {}
            (name, value) => match Field::parse(name) {
                Some(field) => values.push((field, value.clone())),
                None => unknown.add(name),
            },
        }
    }
    values
}

fn is_nothing(value: &Document) -> bool {
    matches!(value, Document::Null) || value.as_str() == Some("")
}

impl Found {
    /// Adds the key that a row tells of, or says what is wrong with it.
    fn row<'f>(&mut self, line: usize, values: impl Iterator<Item = (&'f Field, Document)>) {
        match row(line, values) {
            Ok(entry) => self.entries.push(entry),
            Err(message) => self.mistake(line, message),
        }
    }
}

fn row<'f>(
    line: usize,
    values: impl Iterator<Item = (&'f Field, Document)>,
) -> Result<Entry, String> {
    let (mut id, mut secret) = (Id::Numbered, None);
    let mut fields = Vec::new();
    let mut attributes = Vec::new();
    for (field, value) in values {
        let word = |what: &str| word(&value).ok_or_else(|| format!("{what} is not a text"));
        match field {
            Field::Attribute(name) => {
                attributes.push((name.clone(), Document::String(word("an attribute")?)));
            }
            Field::Id => id = Id::Exact(word("the id")?),
            Field::Hash | Field::Token if secret.is_some() => {
                return Err("it has a token and a hash".to_owned());
            }
            Field::Hash => secret = Some(Secret::hash(&word("the hash")?)?),
            Field::Token => secret = Some(Secret::token(&word("the token")?)?),
            Field::Other(name, kind) => {
                let value = typed(*kind, &value).ok_or_else(|| {
                    let what = match kind {
                        Kind::Flag => "`true` or `false`",
                        Kind::List => "a list of texts",
                        Kind::Text => "a text",
                        Kind::Time => "an RFC 3339 time, a date or Unix seconds",
                    };
                    format!("`{name}` is not {what}")
                })?;
                fields.push((*name, value));
            }
        }
    }
    if !attributes.is_empty() {
        fields.push(("attributes", Document::Object(Fields(attributes))));
    }
    let secret = secret.ok_or("it has neither token nor hash")?;
    Ok(Entry { line, id, secret, fields })
}

/// A plain value as a text.
fn word(value: &Document) -> Option<String> {
    match value {
        Document::Boolean(value) => Some(value.to_string()),
        Document::Number(value) => Some(value.to_string()),
        Document::String(value) => Some(value.clone()),
        Document::Array(_) | Document::Null | Document::Object(_) => None,
    }
}

/// A value as a policy has it.
fn typed(kind: Kind, value: &Document) -> Option<Document> {
    match (kind, value) {
        (Kind::Flag, Document::Boolean(_)) => Some(value.clone()),
        (Kind::Flag, _) => match word(value)?.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" => Some(Document::Boolean(true)),
            "0" | "false" | "no" => Some(Document::Boolean(false)),
            _ => None,
        },
        (Kind::List, Document::Array(items)) => {
            let items: Option<Vec<_>> =
                items.iter().map(|item| word(item).map(Document::String)).collect();
            items.map(Document::Array)
        }
        (Kind::List, _) => {
            let text = word(value)?;
            let items = text.split([' ', ',', ';', '|']).filter(|item| !item.is_empty());
            Some(Document::Array(items.map(super::text).collect()))
        }
        (Kind::Text, _) => word(value).map(Document::String),
        (Kind::Time, _) => {
            let text = word(value)?;
            match text.parse::<i64>() {
                Ok(seconds) => Some(Document::Number(seconds.into())),
                Err(_) => {
                    time::parse(&text).ok().map(|seconds| super::text(&time::display(seconds)))
                }
            }
        }
    }
}
