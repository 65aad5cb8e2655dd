//! A form in parts, as curl is told of one (RFC 7578).

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What may stand behind a part's value, after a `;`.
const SETTINGS: [&str; 4] = ["encoder=", "filename=", "headers=", "type="];

/// What parts a form.
pub(super) const BOUNDARY: &str = "------------------------latchkey";

/// The body that these parts make, and those whose values are taken as they are.
pub(super) fn body(parts: &[String], plain_parts: &[String]) -> Result<String> {
    let mut body = String::new();
    let parts = parts.iter().map(|text| part(text));
    for part in parts.chain(plain_parts.iter().map(|text| plain(text))) {
        body.push_str(&format!("--{BOUNDARY}\r\n{}\r\n", part?));
    }
    Ok(format!("{body}--{BOUNDARY}--\r\n"))
}

/// A part by `name=value`, `name=@FILE` or `name=<FILE`, with what is said of it behind a `;`.
fn part(text: &str) -> Result<String> {
    let (name, rest) = named(text)?;
    let (value, settings) = settings(rest);
    let said = |name: &str| settings.iter().find_map(|setting| setting.strip_prefix(name));
    let (value, file) = match value.split_at_checked(1) {
        Some(("@", path)) => {
            let base = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            (content(path)?, Some(base.into_owned()))
        }
        Some(("<", path)) => (content(path)?, None),
        _ => (unquoted(value), None),
    };
    let file = said("filename=").map(unquoted).or(file);
    let kind = said("type=").map(unquoted).or(file.is_some().then(|| OCTETS.to_owned()));
    Ok(written(name, file.as_deref(), kind.as_deref(), &value))
}

const OCTETS: &str = "application/octet-stream";

/// A part by `name=value`, the value as it is.
fn plain(text: &str) -> Result<String> {
    let (name, value) = named(text)?;
    Ok(written(name, None, None, value))
}

fn named(text: &str) -> Result<(&str, &str)> {
    let (name, rest) = text.split_once('=').context("a part of a form is `name=value`")?;
    ensure!(!name.contains(['\r', '\n']), "the name of a form's part has a line end");
    Ok((name, rest))
}

/// The value, which goes up to the first `;` at least, and what is said of it.
fn settings(text: &str) -> (&str, Vec<&str>) {
    let is_one = |piece: &str| SETTINGS.iter().any(|name| piece.trim_start().starts_with(name));
    let (mut value, mut settings) = (text, Vec::new());
    while let Some((before, setting)) = value.rsplit_once(';').filter(|(_, last)| is_one(last)) {
        settings.push(setting.trim());
        value = before;
    }
    (value, settings)
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// What is no text in a file counts for its length only.
fn content(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn written(name: &str, file: Option<&str>, kind: Option<&str>, value: &str) -> String {
    let quoted = |text: &str| text.replace('"', "%22");
    let file = file.map(|file| format!("; filename=\"{}\"", quoted(file))).unwrap_or_default();
    let kind = kind.map(|kind| format!("content-type: {kind}\r\n")).unwrap_or_default();
    let name = quoted(name);
    format!("content-disposition: form-data; name=\"{name}\"{file}\r\n{kind}\r\n{value}")
}
