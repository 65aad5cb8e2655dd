//! The methods by which an upstream could treat a request: its own, and those that its headers ask for
//! in its place.

use crate::spelling::is_same_header;

/// The headers by which a client asks for another method than the request's own.
pub(crate) const OVERRIDES: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// Most other methods that are looked at.
const OTHERS: usize = OVERRIDES.len();

#[inline]
pub(crate) fn is_override(name: &str) -> bool {
    OVERRIDES.iter().any(|own| is_same_header(own, name))
}

/// The methods that headers ask for, beside `own`, in capital letters as upstreams take
/// them. Each header is a list: Express takes the first of `DELETE, GET`, and others may take any.
///
/// Who asks for more of them than there are headers to ask by gets none: the empty method stands for no
/// action.
pub(crate) fn others(own: &str, headers: &[(&str, &[u8])]) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    let values = headers.iter().filter(|(name, _)| is_override(name));
    for element in values.flat_map(|(_, value)| value.split(|byte| *byte == b',')) {
        let method = String::from_utf8_lossy(element.trim_ascii()).to_ascii_uppercase();
        if method.is_empty() || method == own || methods.contains(&method) {
            continue;
        }
        if methods.len() == OTHERS {
            methods.push(String::new());
            break;
        }
        methods.push(method);
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks_for(headers: &[(&str, &str)], expected: &[&str]) {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(others("GET", &headers), expected);
    }

    #[test]
    fn every_element_of_every_override_is_a_method() {
        asks_for(&[], &[]);
        asks_for(&[("x-http-method-override", "delete")], &["DELETE"]);
        asks_for(&[("x-http-method-override", "DELETE, GET")], &["DELETE"]);
        asks_for(&[("x-http-method-override", " , GET,\tput,")], &["PUT"]);
        asks_for(
            &[("x.http.method", "PUT"), ("x_method_override", "PUT,PATCH")],
            &["PUT", "PATCH"],
        );
        asks_for(&[("x-http-method", "DELETE;q=1")], &["DELETE;Q=1"]);
    }

    #[test]
    fn who_asks_for_many_gets_none() {
        asks_for(&[("x-http-method", "A,B,C,D,E")], &["A", "B", "C", ""]);
    }
}
