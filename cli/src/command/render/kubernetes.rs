//! What Kubernetes takes for names.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/> and, beside it, `labels/`.

use crate::exit::Usage;

/// A label of DNS as RFC 1123 has it: up to 63 of `a-z`, `0-9` and `-`, the last not at an end.
pub(super) fn is_dns_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    is_word(text, is_inner)
}

/// The name of a resource: labels of DNS with dots between, up to 253 bytes.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// The name of a label, with a subdomain of DNS before its slash or without: `app`, `example.com/app`.
pub(super) fn is_label_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_value(name),
        None => is_label_value(text),
    }
}

/// A label's value: up to 63 letters, digits, `-`, `_` and `.`, with a letter or a digit at both ends. Kubernetes takes an empty
/// one as well, which in a target is more likely a variable that was not set.
pub(super) fn is_label_value(text: &str) -> bool {
    is_word(text, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_word(text: &str, is_inner: impl Fn(u8) -> bool) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().copied().all(is_inner)
        && is_end(bytes.first())
        && is_end(bytes.last())
}

/// The value of `--namespace`.
///
/// # Errors
/// Wrong usage: it is no label of DNS.
pub(super) fn namespace(text: &str) -> Result<&str, Usage> {
    let told = "up to 63 lower-case letters, digits and `-`, with a letter or a digit at both ends";
    if is_dns_label(text) { Ok(text) } else { Err(wrong("--namespace", told, text)) }
}

/// The value of `--name`, which begins the names of all that is rendered.
///
/// # Errors
/// Wrong usage: it is no name of a resource.
pub(super) fn name(text: &str) -> Result<&str, Usage> {
    let told = "words of up to 63 lower-case letters, digits and `-`, each with a letter or a digit at both ends, with `.` between";
    if is_dns_subdomain(text) { Ok(text) } else { Err(wrong("--name", told, text)) }
}

fn wrong(option: &str, told: &str, text: &str) -> Usage {
    Usage::new(format!("`{option}` must be {told}, not `{text}`"))
}
