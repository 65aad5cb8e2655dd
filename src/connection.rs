//! What a request's `connection` header nominates: the next proxy takes those headers out (RFC 9110
//! section 7.6.1). Envoy does so itself, and takes the header out, but of a request that asks for an
//! upgrade it passes it on.

use crate::request::Request;

/// The value of `connection` that is left once no name in it `is_ours`; `None` if none was.
pub(crate) fn without(request: Request<'_>, is_ours: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let values = request.values("connection");
    let mut kept: Vec<&[u8]> = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let all = kept.len();
    kept.retain(|name| !is_ours(&String::from_utf8_lossy(name).to_ascii_lowercase()));
    (kept.len() < all).then(|| kept.join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_taken_out() {
        let left = |values: &[&str]| {
            let headers: Vec<_> =
                values.iter().map(|value| ("connection", value.as_bytes())).collect();
            let left = without(Request::new(&headers, &|| None), |name| name == "x-ours");
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
    }
}
