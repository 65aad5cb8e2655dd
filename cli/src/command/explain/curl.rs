//! A command for curl in one text, as browsers and documents have it.

use std::ffi::OsString;
use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context, Result};

const OPTION: &str = "--curl";

/// The program's arguments with the words of the text behind `--curl` in the place of both, so that they are read as any
/// others. What comes word by word stays as it is.
///
/// # Errors
/// The text cannot be split; no part of it is told, as it may hold a token.
pub(crate) fn spread(mut arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    if arguments.get(1).is_none_or(|command| command != "explain") {
        return Ok(arguments);
    }
    let behind = |argument: &OsString| match argument.to_str()?.strip_prefix(OPTION)? {
        "" => Some(None),
        rest => rest.strip_prefix('=').map(|text| Some(text.to_owned())),
    };
    let mut places = arguments.iter().enumerate();
    let Some((start, attached)) =
        places.find_map(|(place, argument)| Some((place, behind(argument)?)))
    else {
        return Ok(arguments);
    };
    let is_attached = attached.is_some();
    let next = || arguments.get(start + 1).and_then(|text| text.to_str()).map(str::to_owned);
    // Without a text it is for clap to complain.
    let Some(text) = attached.or_else(next) else { return Ok(arguments) };
    let words = split(&text)?.into_iter().map(OsString::from);
    let end = if is_attached { start } else { start + 1 };
    arguments.splice(start..=end, words);
    Ok(arguments)
}

/// The words of a command, as a shell has them that follows POSIX.1-2024. Nothing is put in place of variables.
fn split(text: &str) -> Result<Vec<String>> {
    let text = plainly_quoted(&text.replace("\r\n", "\n"))?;
    shell_words::split(&text).ok().context(OPEN)
}

const OPEN: &str = "`--curl`: a quote in the command is not closed";

/// A command in which `'…'` stands in place of `$'…'`, which browsers write round what has a line end, `'` or `!` in it.
fn plainly_quoted(text: &str) -> Result<String> {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    let mut quote = None;
    while let Some(character) = rest.next() {
        match (quote, character) {
            (None, '$') if rest.next_if_eq(&'\'').is_some() => {
                let inside = unescaped(&mut rest)?;
                plain.push_str(&shell_words::quote(&inside));
                continue;
            }
            (None | Some('"'), '\\') => {
                plain.push(character);
                plain.extend(rest.next());
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
        plain.push(character);
    }
    Ok(plain)
}

/// What the characters up to the next `'` mean, which is taken, too.
fn unescaped(rest: &mut Peekable<Chars<'_>>) -> Result<String> {
    let mut bytes = Vec::new();
    loop {
        let mut character = rest.next().context(OPEN)?;
        match character {
            '\'' => break,
            '\\' => {
                let byte = match number(rest, 8, 3) {
                    None if rest.next_if_eq(&'x').is_some() => {
                        Some(number(rest, 16, 2).context(NO_CHARACTER)?)
                    }
                    octal => octal,
                };
                if let Some(byte) = byte {
                    bytes.push(u8::try_from(byte).ok().context(NO_CHARACTER)?);
                    continue;
                }
                character = match rest.next().context(OPEN)? {
                    'a' => '\x07',
                    'b' => '\x08',
                    'e' | 'E' => '\x1b',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    'u' => number(rest, 16, 4).and_then(char::from_u32).context(NO_CHARACTER)?,
                    'U' => number(rest, 16, 8).and_then(char::from_u32).context(NO_CHARACTER)?,
                    other => other,
                };
            }
            _ => {}
        }
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).ok().context(NO_CHARACTER)
}

const NO_CHARACTER: &str = "`--curl`: a `$'…'` in the command has what is not UTF-8";

/// The number that the next digits are, at most `most` of them; none where there are none.
fn number(rest: &mut Peekable<Chars<'_>>, radix: u32, most: usize) -> Option<u32> {
    let digit = |rest: &mut Peekable<Chars<'_>>| {
        rest.next_if(|character| character.is_digit(radix))?.to_digit(radix)
    };
    let first = digit(rest)?;
    let mut others = std::iter::from_fn(|| digit(rest)).take(most - 1);
    others.try_fold(first, |number, digit| number.checked_mul(radix)?.checked_add(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_as_a_shell_does() {
        for (text, words) in [
            (
                "curl 'https://a.org/x?y=1&z' -H 'a: b'",
                &["curl", "https://a.org/x?y=1&z", "-H", "a: b"][..],
            ),
            (
                "curl a.org \\\n  -H 'a: b' \\\r\n  --compressed\n",
                &["curl", "a.org", "-H", "a: b", "--compressed"],
            ),
            (r#"-d '{"a":"it'\''s"}' "b\"c" d\ e"#, &["-d", r#"{"a":"it's"}"#, "b\"c", "d e"]),
            ("-d $'a\\n\\u0021\\'\\x41\\1023\\xc3\\xa9\\U1F600\\\\'b", &["-d", "a\n!'AB3é😀\\b"]),
            ("-d '$'\"$'\"\\$'x' $'' $x $", &["-d", "$$'$x", "", "$x", "$"]),
            ("  ", &[]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_split_is_not_told() {
        for (text, message) in [
            ("curl 'secret", OPEN),
            ("curl \"secret", OPEN),
            ("curl $'secret", OPEN),
            ("curl $'secret\\", OPEN),
            ("curl $'\\xe9'", NO_CHARACTER),
            ("curl $'\\x'", NO_CHARACTER),
            ("curl $'\\400'", NO_CHARACTER),
            ("curl $'\\ud83d'", NO_CHARACTER),
        ] {
            assert_eq!(split(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn words_stand_where_their_text_did() {
        let spread = |arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from).collect();
            spread(arguments)
                .unwrap()
                .into_iter()
                .map(|word| word.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        for arguments in [
            &["latchkey", "explain", "p", "--curl", "curl -I a.org", "--key", "k"][..],
            &["latchkey", "explain", "p", "--curl=curl -I a.org", "--key", "k"],
            &["latchkey", "explain", "p", "--curl", "curl", "-I", "a.org", "--key", "k"],
        ] {
            assert_eq!(
                spread(arguments),
                ["latchkey", "explain", "p", "curl", "-I", "a.org", "--key", "k"]
            );
        }
        for untouched in [
            &["latchkey", "explain", "p", "--curl"][..],
            &["latchkey", "check", "--curl", "a b"],
            &["latchkey"],
            &[],
        ] {
            assert_eq!(spread(untouched), untouched);
        }
    }
}
