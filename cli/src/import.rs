//! Keys as other systems keep them: what each format's file says, line by line.
//!
//! A token that is read is hashed and dropped: nothing here prints one, nor an id that may be one.

mod gateways;
mod lines;
mod rows;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use latchkey::limits;

use crate::document::Document;
use crate::token;

pub(crate) use rows::Map;

/// A format that keys are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Consumers of Apache APISIX with the plugin `key-auth`: `apisix.yaml`, ADC, or the Admin API's answer
    Apisix,
    /// A table with a head, its columns separated by commas, semicolons or tabs
    Csv,
    /// A configuration of Envoy with the filter `api_key_auth`
    Envoy,
    /// Secrets that Envoy Gateway's `apiKeyAuth` names, a key for each client id
    EnvoyGateway,
    /// `ID HASH` on each line
    Hashes,
    /// A JSON object on each line
    Jsonl,
    /// A declarative file of Kong: consumers, `keyauth_credentials`, and `acls` as scopes
    Kong,
    /// `TOKEN` or `ID TOKEN` on each line
    Tokens,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The line of the file.
    pub(crate) line: usize,
    pub(crate) id: Id,
    pub(crate) secret: Secret,
    /// Its other fields.
    pub(crate) fields: KeyFields,
}

impl Entry {
    /// Whether in a list of `ID TOKEN` they may stand the other way round: then the token would be kept and told as the id.
    pub(crate) fn may_be_swapped(&self) -> bool {
        const LONG: usize = 16;
        match (&self.id, &self.secret) {
            (Id::Exact(id), Secret::Token(token)) => id.len() > LONG && id.len() > token.len(),
            _ => false,
        }
    }
}

/// Fields of a key as a policy names them.
pub(crate) type KeyFields = Vec<(&'static str, Document)>;

/// What the key is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// This and nothing else.
    Exact(String),
    /// After this name, which may have characters that no id has; a second one is counted on.
    Like(String),
    /// By its number.
    Numbered,
}

/// What the key is known by.
pub(crate) enum Secret {
    /// As a policy has it, `sha256:` or `hmac-sha256:` and 64 hex digits.
    Hash(String),
    Token(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// # Errors
    /// That cannot be a token; the message does not have it.
    fn token(text: &str) -> Result<Secret, String> {
        if !token::is_possible(text) {
            return Err(format!(
                "a token is 1 to {} visible ASCII characters",
                limits::TOKEN_BYTES
            ));
        }
        // As Envoy's admin interface tells whatever is a secret.
        if text == "[redacted]" {
            return Err("`[redacted]` stands in the token's place, as in Envoy's `/config_dump`: import the \
                        configuration that Envoy was given"
                .to_owned());
        }
        Ok(Secret::Token(text.to_owned()))
    }

    /// # Errors
    /// That is not a hash; the message does not have it, as it may be a token.
    fn hash(text: &str) -> Result<Secret, String> {
        let (algorithm, digits) = text.rsplit_once(':').unwrap_or(("sha256", text));
        let is_hash = matches!(algorithm, "hmac-sha256" | "sha256")
            && digits.len() == 64
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err("a hash is `sha256:` or `hmac-sha256:` and 64 hex digits".to_owned());
        }
        Ok(Secret::Hash(format!("{algorithm}:{}", digits.to_ascii_lowercase())))
    }
}

/// Something wrong on a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    pub(crate) mistakes: Vec<Mistake>,
    /// What was left out, and what may surprise.
    pub(crate) notes: Vec<String>,
}

impl Found {
    fn mistake(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { line, message: message.into() });
    }
}

/// Reads `text`, which came from `file`.
///
/// # Errors
/// It is not of that format at all: one line with the file, and the place where there is one.
pub(crate) fn read(format: Format, file: &Path, text: &str, map: &Map) -> Result<Found> {
    match format {
        Format::Csv => rows::csv(file, text, map),
        Format::Hashes => Ok(lines::hashes(text)),
        Format::Jsonl => rows::jsonl(file, text, map),
        Format::Tokens => Ok(lines::tokens(text)),
        Format::Apisix => gateways::read(file, text, &gateways::APISIX),
        Format::Envoy => gateways::read(file, text, &gateways::ENVOY),
        Format::EnvoyGateway => gateways::read(file, text, &gateways::ENVOY_GATEWAY),
        Format::Kong => gateways::read(file, text, &gateways::KONG),
    }
}

/// Gives each entry an id that no other has, `taken` included.
///
/// An id that was to be exact and is there already is the mistake of its line.
pub(crate) fn name(found: &mut Found, taken: &[&str], file: &Path) -> Vec<String> {
    // The line of the source, or none for the keys file.
    let mut lines: HashMap<String, Option<usize>> =
        taken.iter().map(|id| ((*id).to_owned(), None)).collect();
    let mut ids = vec![String::new(); found.entries.len()];
    let mut mistakes = Vec::new();
    for (entry, chosen) in found.entries.iter().zip(&mut ids) {
        let Id::Exact(id) = &entry.id else { continue };
        let message = if !is_id(id) {
            INVALID_ID.to_owned()
        } else {
            match lines.insert(id.clone(), Some(entry.line)) {
                None => {
                    chosen.clone_from(id);
                    continue;
                }
                Some(None) => format!("{} has a key {} already", file.display(), quoted(id)),
                Some(Some(line)) => format!("the id {} stands on line {line} already", quoted(id)),
            }
        };
        mistakes.push(Mistake { line: entry.line, message });
    }
    let mut next: HashMap<String, usize> = HashMap::new();
    for (entry, chosen) in found.entries.iter().zip(&mut ids) {
        let (stem, first) = match &entry.id {
            Id::Exact(_) => continue,
            Id::Like(name) => (plain(name), 1),
            Id::Numbered => ("imported".to_owned(), 0),
        };
        let number = next.entry(stem.clone()).or_insert(first);
        loop {
            *chosen = match *number {
                1 if first == 1 => stem.clone(),
                number => format!("{stem}-{}", number.max(1)),
            };
            *number = (*number).max(1) + 1;
            if !lines.contains_key(chosen) {
                break;
            }
        }
        lines.insert(chosen.clone(), Some(entry.line));
    }
    found.mistakes.extend(mistakes);
    ids
}

const INVALID_ID: &str = "an id has 1 to 64 letters, digits, `_`, `.` and `-`";

fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=limits::IDENTIFIER_BYTES).contains(&id.len()) && id.bytes().all(is_plain)
}

/// A name as an id may have it, short enough to be counted on.
fn plain(name: &str) -> String {
    const ROOM: usize = "-1000000".len();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .take(limits::IDENTIFIER_BYTES - ROOM)
        .collect();
    if plain.is_empty() { "imported".to_owned() } else { plain }
}

/// An id in backticks; a long one may be a token in the wrong place.
fn quoted(id: &str) -> String {
    match id.len() {
        ..=24 => format!("`{id}`"),
        _ => "of this line".to_owned(),
    }
}

fn text(text: &str) -> Document {
    Document::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: usize, id: Id) -> Entry {
        Entry { line, id, secret: Secret::Token("x".to_owned()), fields: Vec::new() }
    }

    #[test]
    fn every_key_has_an_id_of_its_own() {
        let exact = |id: &str| Id::Exact(id.to_owned());
        let like = |id: &str| Id::Like(id.to_owned());
        let ids = [
            like("alice"),
            Id::Numbered,
            exact("alice-2"),
            like("alice"),
            like("al ice@example.com"),
            Id::Numbered,
            like(""),
        ];
        let entries = ids.into_iter().enumerate().map(|(line, id)| entry(line, id)).collect();
        let mut found = Found { entries, ..Found::default() };
        assert_eq!(
            name(&mut found, &["imported-2"], Path::new("keys.yaml")),
            [
                "alice",
                "imported-1",
                "alice-2",
                "alice-3",
                "al-ice-example.com",
                "imported-3",
                "imported-4"
            ]
        );
        assert_eq!(found.mistakes, []);
    }

    #[test]
    fn an_id_that_stands_twice_is_told_with_both_lines() {
        let exact = |id: &str| Id::Exact(id.to_owned());
        let ids = [exact("a"), exact("b"), exact("a"), exact("a b"), exact("")];
        let entries = ids.into_iter().enumerate().map(|(line, id)| entry(line + 1, id)).collect();
        let mut found = Found { entries, ..Found::default() };
        name(&mut found, &["b"], Path::new("keys.yaml"));
        let told: Vec<_> =
            found.mistakes.iter().map(|mistake| (mistake.line, mistake.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "keys.yaml has a key `b` already"),
                (3, "the id `a` stands on line 1 already"),
                (4, INVALID_ID),
                (5, INVALID_ID),
            ]
        );
    }

    #[test]
    fn a_secret_is_not_told() {
        assert_eq!(format!("{:?}", entry(1, Id::Numbered).secret), "Secret(…)");
    }
}
