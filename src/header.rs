//! The headers by which rules are chosen.
//!
//! An upstream may read the first of several headers of one name, the last, or all of them joined with commas; it
//! may look at a list as a whole or at its elements, in any letter case, with or without their parameters. No value
//! that a rule names has a comma.

use crate::limits;
use crate::pattern::{Fit, Pattern};
use crate::spelling::is_same_header;

/// How a header fits: surely where every upstream finds one of the values, partly where some could.
#[inline(never)]
pub(crate) fn fit(pattern: &Pattern, headers: &[(&str, &[u8])]) -> Fit {
    let (mut lines, mut bytes): (usize, usize) = (0, 0);
    let (mut is_said, mut is_clear) = (false, false);
    for (name, value) in headers.iter().filter(|(name, _)| is_same_header(name, &pattern.name)) {
        let value = value.trim_ascii();
        lines = lines.saturating_add(1);
        bytes = bytes.saturating_add(value.len());
        is_clear |= **name == *pattern.name && !value.is_empty() && pattern.takes(value);
        is_said |= match &pattern.values {
            None => true,
            // What is so long could be read as anything.
            Some(_) if bytes > limits::LIST_BYTES => true,
            Some(values) => {
                let mut elements = value.split(|byte| *byte == b',');
                elements.any(|element| values.iter().any(|value| says(element, value)))
            }
        };
    }
    if !is_said {
        Fit::No
    } else if is_clear && (lines == 1 || pattern.values.is_none()) {
        Fit::Surely
    } else {
        Fit::Partly
    }
}

/// Whether an element has each part of a value, which semicolons divide: letter case, blanks, quotes and order do
/// not count, nor do other parameters.
fn says(element: &[u8], value: &str) -> bool {
    let is_semicolon = |byte: &u8| *byte == b';';
    let mut parts = value.as_bytes().split(is_semicolon);
    parts.all(|part| element.split(is_semicolon).any(|piece| plain(piece).eq(plain(part))))
}

fn plain(part: &[u8]) -> impl Iterator<Item = u8> {
    let is_kept = |byte: &&u8| !matches!(byte, b' ' | b'\t' | b'"');
    part.iter().filter(is_kept).map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a header fits: surely, partly or not.
    fn fit(pattern: &[&str], lines: &[(&str, &str)]) -> &'static str {
        let values = pattern.iter().map(|value| (*value).into()).collect();
        let values = Some(values).filter(|_| !pattern.is_empty());
        let pattern = Pattern { name: "x-version".into(), values };
        let headers: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        match super::fit(&pattern, &headers) {
            Fit::No => "not",
            Fit::Partly => "partly",
            Fit::Surely => "surely",
        }
    }

    #[test]
    fn one_header_of_the_very_value_fits_surely() {
        for (values, line, expected) in [
            (&["2", "3"][..], "2", "surely"),
            (&["2", "3"], " 3 ", "surely"),
            (&["2"], "3", "not"),
            (&["2"], "", "not"),
            (&["2"], "20", "not"),
            (&["2"], "1, 2", "partly"),
            (&["1", "2"], "1, 2", "partly"),
            (&["v2"], "V2", "partly"),
            (&["v2"], "\"v2\"", "partly"),
            (&["a/b"], "a/b;q=0.5", "partly"),
            (&["a/b;v=2"], "A/B; q=1; v=\"2\"", "partly"),
            (&["a/b;v=2"], "a/b;v=1", "not"),
            (&["a/b;v=2"], "a/b, c/d;v=2", "not"),
            (&[], "", "partly"),
            (&[], "x", "surely"),
        ] {
            assert_eq!(fit(values, &[("x-version", line)]), expected, "{values:?} and {line}");
        }
        let long = "1".repeat(limits::LIST_BYTES);
        assert_eq!(fit(&["2"], &[("x-version", &long)]), "not");
        assert_eq!(fit(&["2"], &[("x-version", &long), ("x-version", "1")]), "partly");
    }

    #[test]
    fn several_headers_fit_in_part() {
        let version = |value| ("x-version", value);
        for (values, lines, expected) in [
            (&["2"][..], &[][..], "not"),
            (&[], &[], "not"),
            (&["2"], &[version("2"), version("2")], "partly"),
            (&["2"], &[version("1"), version("2")], "partly"),
            (&["2"], &[version("1"), version("3")], "not"),
            (&["2"], &[("x_version", "2")], "partly"),
            (&["2"], &[version("2"), ("x.version", "1")], "partly"),
            (&["2"], &[("x-versions", "2")], "not"),
            (&[], &[("x_version", "2")], "partly"),
            (&[], &[version("1"), version("2")], "surely"),
        ] {
            assert_eq!(fit(values, lines), expected, "{values:?} and {lines:?}");
        }
    }
}
