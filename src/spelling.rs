//! What an upstream takes for the same name, of a header, a parameter or a cookie.
//!
//! Every guess of that kind stands here. What is set, read, cut or refused by name counts in each of these
//! spellings, so that none of them is a way around a rule.
//!
//! | who | takes | for |
//! | --- | --- | --- |
//! | CGI (RFC 3875 section 4.1.18), WSGI, Rack, PHP | a header `x_name` | `x-name` |
//! | PHP | a header `x.name` | `x_name`, and so `x-name` |
//! | lighttpd | a header with any character but letters and digits, `x~name` | `x_name`, and so `x-name` |
//! | PHP | a parameter or a cookie `na.me`, `na me`, `na[me` | `na_me` |
//! | Django, Starlette, whoever strips text | a cookie `name` with U+00A0 or another space of Unicode around it | `name` |
//! | PHP | `name` up to a zero byte or to a bracket, without spaces before it | `name` |
//! | ASP.NET, Azure Functions | a parameter or a cookie `Name`, in any letter case | `name` |
//! | ASP.NET | a parameter `na[me]` | `na.me` |
//! | qs (Express, Koa), Rack, PHP | `name[]`, `name[0]`, `name[x]` | `name`, as a list or an object |
//! | qs | `[name]` | `name` |
//! | Fiber | `na[]me` | `name` |
//! | Fiber, echo (`strings.EqualFold`) | `ſ` for `s`, U+212A for `k` | `name` |
//! | WebFlux | `=name=value` | `name` |
//! | Spring | `name.x`, and `!name` as its default | `name` |
//! | Zope | `name:int` | `name` |
//! | who looks for the last `?` of a target | `?name` | `name` |
//! | Python before 3.9.2, Perl's CGI, Rack 1 | what stands behind a `;` of a query | a parameter |
//! | Go's `encoding/json` | a member `Name`, `ſ` for `s`, U+212A for `k` | `name` |
//! | converters between snake case and camel case (Rails) | a member `my_name` | `myName` |
//! | Fastify 4 | what stands behind the first `;` of a path, the `?` and what follows included | the query |

/// Whether two names of headers, in lower case, are one to some upstream: any character but letters and
/// digits counts as the same.
#[inline]
pub(crate) fn is_same_header(one: &str, other: &str) -> bool {
    let is_same = |(one, other): (&u8, &u8)| {
        one == other || !(one.is_ascii_alphanumeric() || other.is_ascii_alphanumeric())
    };
    one.len() == other.len() && one.as_bytes().iter().zip(other.as_bytes()).all(is_same)
}

/// How long some names of headers are, by which most that are none of them are told in an instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lengths(u64);

impl Lengths {
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Lengths {
        Lengths(names.fold(0, |all, name| all | Lengths::bit(name)))
    }

    /// Whether a header may be one of them, in whatever spelling.
    #[inline]
    pub(crate) fn include(self, name: &str) -> bool {
        self.0 & Lengths::bit(name) > 0
    }

    fn bit(name: &str) -> u64 {
        1 << name.len().min(63)
    }
}

/// Whether a header's name has more than one spelling.
pub(crate) fn has_spellings(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether two names of a JSON object's members are one to some upstream that reads JSON in any letter case,
/// or changes names before it reads them: punctuation does not count.
pub(crate) fn is_same_member(one: &str, other: &str) -> bool {
    let letters = |name| in_one_case(name).filter(char::is_ascii_alphanumeric);
    letters(one).eq(letters(other))
}

/// A name in one letter case, with the two letters that are another case of an ASCII one.
fn in_one_case(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        character => character.to_ascii_lowercase(),
    })
}

/// The names that some upstream takes a parameter's for, folded: the whole of it, the one before its
/// brackets or in them, that one before its first dot or colon, and the whole without its brackets.
pub(crate) fn readings(name: &[u8]) -> [impl Iterator<Item = u8>; 4] {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let part = before_brackets(name);
    let first = part.split(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default();
    [fold(name, Some(b'_')), fold(part, None), fold(first, None), fold(name, None)]
}

/// A name of ours as [`readings`] tells it, without the brackets of a list.
pub(crate) fn folded(name: &str) -> impl Iterator<Item = u8> {
    fold(before_brackets(name.as_bytes()), None)
}

/// Whether some upstream takes a cookie's name, decoded, for one of ours.
pub(crate) fn is_like_one(name: &[u8], names: &[Box<str>]) -> bool {
    names.iter().any(|ours| {
        let [whole, part, _, bare] = readings(name);
        whole.eq(folded(ours)) || part.eq(folded(ours)) || bare.eq(folded(ours))
    })
}

/// What stands behind the first `;` of a path, which may be encoded before another proxy decodes it.
pub(crate) fn behind_semicolon(path: &[u8]) -> Option<&[u8]> {
    let mut rest = path;
    loop {
        rest = match rest {
            [] => return None,
            [b';', rest @ ..] | [b'%', b'3', b'b' | b'B', rest @ ..] => return Some(rest),
            [_, rest @ ..] => rest,
        };
    }
}

/// Whether a parameter's name is an occurrence of the one that `ours` names: of a list, by whatever index.
pub(crate) fn is_named(name: &[u8], ours: &str) -> bool {
    match list_of(ours) {
        Some(list) => name.starts_with(list.as_bytes()),
        None => name == ours.as_bytes(),
    }
}

/// Whether it is one for every upstream that reads it at all: of a list, by no index or by a number.
pub(crate) fn is_plainly_named(name: &[u8], ours: &str) -> bool {
    let is_number = |list: &str| {
        let index = name.get(list.len()..).and_then(|rest| rest.strip_suffix(b"]"));
        index.is_some_and(|index| index.iter().all(u8::is_ascii_digit))
    };
    is_named(name, ours) && list_of(ours).is_none_or(is_number)
}

/// What every index of a list begins with, of a name that stands for a list: `type[` of `type[]`.
fn list_of(name: &str) -> Option<&str> {
    name.strip_suffix(']').filter(|list| list.len() > 1 && list.ends_with('['))
}

/// A name in one letter case, with one character for those that pass for each other, and with that for an opening
/// bracket: `a.b` and `a[b]` are one parameter to ASP.NET.
fn fold(name: &[u8], opening: Option<u8>) -> impl Iterator<Item = u8> {
    let name = trim(name);
    let name = name.strip_prefix(b"?").or(name.strip_prefix(b"!")).unwrap_or(name);
    name.iter().filter_map(move |byte| match byte {
        b'[' => opening,
        // Of `\u{17f}` and `\u{212a}`, which are another case of `s` and `k`, the last byte stands for the letter.
        b']' | 0xc5 | 0xe2 | 0x84 => None,
        0xbf => Some(b's'),
        0xaa => Some(b'k'),
        b'.' | b' ' | b'+' => Some(b'_'),
        byte => Some(byte.to_ascii_lowercase()),
    })
}

/// A name without what Python and JavaScript strip, in UTF-8 or Latin-1.
fn trim(name: &[u8]) -> &[u8] {
    let is_blank = |character: char| {
        character.is_whitespace() || character.is_control() || character == '\u{feff}'
    };
    match std::str::from_utf8(name) {
        Ok(name) => name.trim_matches(is_blank).as_bytes(),
        Err(_) => {
            let is_kept = |byte: &u8| !is_blank(char::from(*byte));
            let start = name.iter().position(is_kept).unwrap_or(name.len());
            let end = name.iter().rposition(is_kept).map_or(start, |last| last.saturating_add(1));
            name.get(start..end).unwrap_or_default()
        }
    }
}

fn before_brackets(name: &[u8]) -> &[u8] {
    let mut parts = name.split(|byte| matches!(byte, b'[' | b']'));
    parts.find(|part| !part.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_s_punctuation_does_not_matter() {
        for other in ["x-account-id", "x_account_id", "x.account-id", "x~account!id"] {
            assert!(is_same_header("x-account-id", other), "{other}");
        }
        for other in
            ["x-account-ids", "xaccount-id", "x-account1id", "x--account-id", "y-account-id"]
        {
            assert!(!is_same_header("x-account-id", other), "{other}");
        }
        assert!(has_spellings("x-key"));
        assert!(!has_spellings("authorization"));
    }

    #[test]
    fn a_member_s_letter_case_and_punctuation_do_not_matter() {
        for other in [
            "sha256Hash",
            "SHA256HASH",
            "\u{17f}ha256Hash",
            "sha256_hash",
            "sha256-hash",
            "sha256Hash\0",
            " sha256Hash",
        ] {
            assert!(is_same_member("sha256Hash", other), "{other}");
        }
        assert!(is_same_member("key", "\u{212a}ey"));
        for other in ["sha256", "sha256Hash2", "sha1Hash", "hash", ""] {
            assert!(!is_same_member("sha256Hash", other), "{other}");
        }
    }

    #[test]
    fn a_cookie_may_be_another_s() {
        let names = ["api_key".into()];
        for name in [
            "api.key",
            "API_KEY",
            "api key",
            "api_key[x]",
            "api[key",
            "\u{a0}api_key",
            "api_key\u{3000}",
            "\x1fapi_key\u{85}",
        ] {
            assert!(is_like_one(name.as_bytes(), &names), "{name:?}");
        }
        assert!(is_like_one(b"\xa0\x85api_key\xa0", &names));
        for name in ["apikey", "api-key", "my_api_key", "\u{e9}api_key", "", "\u{a0}"] {
            assert!(!is_like_one(name.as_bytes(), &names), "{name}");
        }
    }

    #[test]
    fn a_semicolon_may_be_encoded() {
        for (path, behind) in [
            ("/a;b;c/d", Some("b;c/d")),
            ("/a%3Bb;c", Some("b;c")),
            ("/a%3bb", Some("b")),
            ("/a;", Some("")),
            ("/a%3", None),
            ("", None),
        ] {
            assert_eq!(behind_semicolon(path.as_bytes()), behind.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn a_list_has_every_index() {
        for (name, plainly) in
            [("type[]", true), ("type[12]", true), ("type[x]", false), ("type[", false)]
        {
            assert!(is_named(name.as_bytes(), "type[]"), "{name}");
            assert_eq!(is_plainly_named(name.as_bytes(), "type[]"), plainly, "{name}");
        }
        assert!(!is_named(b"type", "type[]"));
        assert!(!is_named(b"type[]", "type"));
    }
}
