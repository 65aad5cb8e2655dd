//! Plain lists: a token, or an id and a hash, on each line.

use super::{Entry, Found, Id, Secret};

/// `TOKEN` or `ID TOKEN` on each line.
pub(super) fn tokens(text: &str) -> Found {
    each_line(text, |words| match words {
        [token] => Ok((Id::Numbered, Secret::token(token)?)),
        [id, token] => Ok((Id::Exact((*id).to_owned()), Secret::token(token)?)),
        _ => Err("expected `TOKEN` or `ID TOKEN`".to_owned()),
    })
}

/// `ID HASH` on each line.
pub(super) fn hashes(text: &str) -> Found {
    each_line(text, |words| match words {
        [id, hash] => Ok((Id::Exact((*id).to_owned()), Secret::hash(hash)?)),
        _ => Err("expected `ID HASH`".to_owned()),
    })
}

/// Reads every line that is not empty.
fn each_line(text: &str, read: impl Fn(&[&str]) -> Result<(Id, Secret), String>) -> Found {
    let mut found = Found::default();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        match read(&words) {
            Ok((id, secret)) => {
                found.entries.push(Entry { line: line_number, id, secret, fields: Vec::new() });
            }
            Err(message) => found.mistake(line_number, message),
        }
    }
    found
}
