//! Paths that are not written as they are compared.

use super::Remark;
use crate::rule::Rule;

pub(super) fn look(rules: &[Rule], remarks: &mut Vec<Remark>) {
    for rule in rules {
        for (place, path) in rule.paths().enumerate() {
            if let Some(decoded) = needlessly_encoded(path) {
                remarks.push(Remark {
                    code: "encoded_path",
                    pointer: format!("{}/paths/{place}", rule.pointer()),
                    message: format!(
                        "`{path}` means `{decoded}`: segments are decoded before they are compared"
                    ),
                    help: "write it decoded, so that rules for the same path look alike",
                });
            }
        }
    }
}

/// A path in which an encoded character stands that means the same as itself (RFC 3986 section 2.3), with
/// these decoded.
fn needlessly_encoded(path: &str) -> Option<String> {
    let mut pieces = path.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let is_unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        match digits.filter(is_unreserved) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(piece.get(2..).unwrap_or_default());
            }
            None => {
                text.push('%');
                text.push_str(piece);
            }
        }
    }
    (text != path).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::remarks;

    #[test]
    fn a_path_that_need_not_be_encoded_is_a_finding() {
        let found = |path: &str| remarks(&format!("rules:\n- {{paths: [/x, '{path}']}}\n"));
        for (path, decoded) in
            [("/a%62c", "/abc"), ("/%7e%20/%2D", "/~%20/-"), ("/{x}/%61%2e%62", "/{x}/a.b")]
        {
            let expected = format!(
                "/rules/0/paths/1 encoded_path: `{path}` means `{decoded}`: segments are decoded before they are compared"
            );
            assert_eq!(found(path), [expected]);
        }
        for path in ["/a%20b", "/caf%C3%A9", "/café", "/{x}"] {
            assert_eq!(found(path), [""; 0], "{path}");
        }
    }
}
