//! The methods by which an upstream could treat a request: its own, and those that headers and parameters ask
//! for in its place.

use crate::query::decode;
use crate::spelling::{folded, is_same_header, readings};

/// The headers by which a client asks for another method than the request's own.
pub(crate) const OVERRIDES: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// The parameter by which some take it.
const PARAMETER: &str = "_method";

/// Most other methods that are looked at.
const MOST: usize = OVERRIDES.len();

#[inline]
pub(crate) fn is_override(name: &str) -> bool {
    OVERRIDES.iter().any(|header| is_same_header(header, name))
}

/// Whether some upstream takes a parameter for the one by which a method is asked for.
pub(crate) fn is_parameter(name: &[u8]) -> bool {
    readings(name).into_iter().any(|name| name.eq(folded(PARAMETER)))
}

/// The methods that a request asks for beside its own, in capital letters as upstreams take them.
///
/// Who asks for more of them than there are headers to ask by gets none: the empty method stands for no
/// action.
#[derive(Debug, Default)]
pub(crate) struct Others(Vec<String>);

impl Others {
    /// Adds those of headers. Each is a list: Express takes the first of `DELETE, GET`, and others may take any.
    pub(crate) fn add_headers(&mut self, actual: &str, headers: &[(&str, &[u8])]) {
        for (_, value) in headers.iter().filter(|(name, _)| is_override(name)) {
            value.split(|byte| *byte == b',').for_each(|element| self.add(actual, element));
        }
    }

    /// Adds those of the parameters of a query or a form that an upstream could take for [`PARAMETER`].
    pub(crate) fn add_parameters(&mut self, actual: &str, raw: &[u8]) {
        for piece in raw.split(|byte| matches!(byte, b'&' | b';' | b'?')) {
            let mut sides = piece.splitn(2, |byte| *byte == b'=');
            if is_parameter(&decode(sides.next().unwrap_or_default())) {
                self.add(actual, &decode(sides.next().unwrap_or_default()));
            }
        }
    }

    fn add(&mut self, actual: &str, method: &[u8]) {
        let method = String::from_utf8_lossy(method.trim_ascii()).to_ascii_uppercase();
        if method.is_empty() || method == actual || self.0.contains(&method) {
            return;
        }
        match self.0.len() {
            MOST => self.0.push(String::new()),
            ..MOST => self.0.push(method),
            _ => {}
        }
    }

    pub(crate) fn into_methods(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks_for(headers: &[(&str, &str)], expected: &[&str]) {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let mut others = Others::default();
        others.add_headers("GET", &headers);
        assert_eq!(others.into_methods(), expected);
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

    #[test]
    fn a_parameter_may_ask_for_a_method() {
        for (raw, expected) in [
            ("_method=delete", &["DELETE"][..]),
            ("a=b&_METHOD=PUT&%5Fmethod=patch", &["PUT", "PATCH"]),
            ("_method[]=PUT", &["PUT"]),
            ("a;_method=PUT", &["PUT"]),
            ("+_method=+put+", &["PUT"]),
            ("_method=POST&_method=&_method", &[]),
            ("method=PUT&_methods=PUT&a_method=PUT", &[]),
        ] {
            let mut others = Others::default();
            others.add_parameters("POST", raw.as_bytes());
            assert_eq!(others.into_methods(), expected, "{raw}");
        }
    }
}
