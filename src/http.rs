//! What HTTP lets a text be.

/// Whether `text` is an HTTP token, as methods and the names of headers are (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_character)
}

/// Whether a token, such as a header's name, may hold a character: a `tchar` (RFC 9110 section 5.6.2).
pub(crate) fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `text` can stand in a header: no control characters, no spaces at its ends (RFC 9110
/// section 5.5).
pub(crate) fn is_field_value(text: &str) -> bool {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(is_plain) {
        return !text.starts_with(' ') && !text.ends_with(' ');
    }
    text.trim() == text && !text.chars().any(char::is_control)
}
