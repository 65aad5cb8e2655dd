//! What a request's `connection` header nominates: the next proxy takes those headers out (RFC 9110
//! section 7.6.1). Envoy does so itself, and takes the header out, but of a request that asks for an
//! upgrade it passes it on.
//!
//! Apache httpd ends a name at a space and at a `;` as well: `Upgrade, x x-account-id` loses it
//! `x-account-id`.

use crate::http::is_token_character;

/// The values of `connection` in one, without the elements that name a header which `is_ours`, or could; `None` if
/// none does.
#[cold]
pub(crate) fn without<'r>(
    values: impl Iterator<Item = &'r [u8]>,
    is_ours: impl Fn(&str) -> bool,
) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let all = kept.len();
    kept.retain(|element| {
        let mut names = element.split(|byte| !is_token_character(*byte));
        !names.any(|name| is_ours(&String::from_utf8_lossy(name).to_ascii_lowercase()))
    });
    (kept.len() < all).then(|| kept.join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_taken_out() {
        let left = |values: &[&str]| {
            let values = values.iter().map(|value| value.as_bytes());
            let left = without(values, |name| name == "x-ours");
            left.map(|left| String::from_utf8(left).unwrap())
        };
        assert_eq!(left(&[]), None);
        assert_eq!(left(&["Upgrade, x-theirs"]), None);
        assert_eq!(left(&["Upgrade, X-Ours"]).as_deref(), Some("Upgrade"));
        assert_eq!(
            left(&["x-ours,Upgrade", "x-theirs , x-ours"]).as_deref(),
            Some("Upgrade, x-theirs")
        );
        assert_eq!(left(&["x-ours"]).as_deref(), Some(""));
        for element in [
            "x x-ours",
            "x-ours\tx",
            "x;x-ours",
            "; x-ours",
            "x-ours;q=1",
            "\"x-ours\"",
            "x-ours=1",
        ] {
            let left = left(&[&format!("Upgrade, {element}, x-theirs")]);
            assert_eq!(left.as_deref(), Some("Upgrade, x-theirs"), "{element}");
        }
    }
}
