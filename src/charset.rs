//! In which character set an upstream reads a request.
//!
//! Django under WSGI reads a query in the one that `content-type` names, in UTF-7 say, and does so of a
//! request without a body; aiohttp finds one behind a comment, `application/json; (x) charset=utf-7`, and
//! Python's `email` in `charset*=utf-7''`. So the word is looked for wherever it stands.

const CHARSET: &[u8] = b"charset";

/// Whether a text is a name of UTF-8.
pub(crate) fn is_utf_8(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"utf8")
}

/// Whether a content type names another than UTF-8, or one in a way that could be read as another.
pub(crate) fn names_another(content_type: &[u8]) -> bool {
    let mut words = content_type.windows(CHARSET.len()).enumerate();
    words.any(|(at, word)| {
        let rest = content_type.get(at.saturating_add(CHARSET.len())..);
        word.eq_ignore_ascii_case(CHARSET) && rest.is_none_or(|rest| !is_plain(rest))
    })
}

/// Whether what follows the word is a parameter's value as it should be, and says UTF-8.
fn is_plain(rest: &[u8]) -> bool {
    let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else { return false };
    let value = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    is_utf_8(unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_charset_is_found_wherever_it_stands() {
        for value in [
            "text/plain; charset=utf-7",
            "text/plain;charset=UTF-16",
            "text/plain; CharSet=\"utf-7\"",
            "text/plain; charset=iso-8859-1",
            "text/plain; charset=us-ascii",
            "application/json; (x) charset=utf-7",
            "application/json; charset (x)=utf-8",
            "application/json; charset=(x)utf-7",
            "text/plain; charset*=utf-7''",
            "text/plain; charset*0=utf-; charset*1=7",
            "text/plain; charset=\"utf\\-7\"",
            "text/plain; charset\t=\tutf-7",
            "text/plain; charset = utf-7",
            "text/plain; charset=utf-8; charset=utf-7",
            "text/plain; charset=utf-7; charset=utf-8",
            "text/plain; charset=utf-8,utf-7",
            "text/plain; charset=utf-8, text/plain; charset=utf-7",
            "text/plain; x=\"charset=utf-7\"",
            "text/plain charset=utf-7",
            "charset=utf-7",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; charset='utf-8'",
            "text/plain; charset=utf-8x",
            "text/plain; charset=\"utf-8",
            "text/plain; charset==?utf-8?q?utf-7?=",
        ] {
            assert!(names_another(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn utf_8_and_none_are_not_another() {
        for value in [
            "",
            "text/plain",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "application/json; charset=\"utf-8\"",
            "application/json; charset=utf8",
            "application/json; charset = utf-8",
            "application/x-www-form-urlencoded; charset=UTF-8; x=y",
            "multipart/form-data; boundary=----x",
        ] {
            assert!(!names_another(value.as_bytes()), "{value}");
        }
    }
}
