//! A request as the proxy hands it over: headers and body as bytes, a clock, and verified claims.

use std::fmt;
use std::rc::Rc;

use crate::charset;
use crate::query::Query;
use crate::scope::is_word;
use crate::spelling::{behind_semicolon, is_same_header};

/// The claims of a verified token, by name.
pub type Claims = Vec<(String, Claim)>;

/// What a claim says, where that can be who asks or what they may.
#[derive(Clone, PartialEq)]
pub enum Claim {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else.
    Other,
}

/// One request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The request's headers in order, names in lower case, with the pseudo headers `:method`,
    /// `:path` and `:authority`. Values are any bytes.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What is known of the request's body.
    pub body: Body<'a>,
    /// The time in Unix seconds, or `None` where the host has no clock. It is asked at most once a
    /// decision, and only for a key whose validity depends on it.
    pub clock: &'a dyn Fn() -> Option<i64>,
    /// The claims that a filter before this one has verified and left under a name, if it has. They
    /// are asked for at most once a decision, and only where the policy has `sessions`.
    pub claims: &'a dyn Fn(&str) -> Option<Rc<Claims>>,
}

/// What is known of a request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// It is larger than [`Hold::max_bytes`](crate::Hold::max_bytes) of what asked for it.
    TooLarge,
    /// It has not been read yet.
    Unread,
    /// It has been read whole; a request without a body has an empty one.
    Whole(&'a [u8]),
}

impl fmt::Debug for Request<'_> {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} headers)", self.headers.len())
    }
}

impl fmt::Debug for Body<'_> {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Body::TooLarge => "TooLarge",
            Body::Unread => "Unread",
            Body::Whole(_) => "Whole(…)",
        })
    }
}

impl fmt::Debug for Claim {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Claim::Text(_) => "Text(…)",
            Claim::Number(_) => "Number(…)",
            Claim::List(_) => "List(…)",
            Claim::Other => "Other",
        })
    }
}

impl<'a> Request<'a> {
    /// A request without a body and without verified claims.
    pub fn new(headers: &'a [(&'a str, &'a [u8])], clock: &'a dyn Fn() -> Option<i64>) -> Self {
        Request { headers, body: Body::Whole(b""), clock, claims: &|_| None }
    }

    /// The values of every header of that name, which is in lower case.
    pub(crate) fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = self.headers;
        // As bytes, whose lengths are compared in line: most names differ in length.
        let is_named = move |(own, _): &&(&str, &[u8])| own.as_bytes() == name.as_bytes();
        headers.iter().filter(is_named).map(|(_, value)| *value)
    }

    /// The first value of the header of that name.
    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The values of every header that an upstream could take for the one of that name.
    pub(crate) fn values_of_any_spelling<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = self.headers;
        headers.iter().filter(move |(own, _)| is_same_header(own, name)).map(|(_, value)| *value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The method, empty where it is missing or not text. Methods are case-sensitive (RFC 9110
    /// section 9.1).
    pub(crate) fn method(&self) -> &'a str {
        self.value(":method").and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// The request target's path, without its query; `None` for CONNECT and for `OPTIONS *`.
    pub(crate) fn path(&self) -> Option<&'a [u8]> {
        self.value(":path").filter(|target| *target != b"*").map(|target| split_target(target).0)
    }

    /// The request target's query, without its question mark.
    pub(crate) fn query(&self) -> Option<&'a [u8]> {
        self.value(":path").and_then(|target| split_target(target).1)
    }

    /// Whether the request says itself that it has no body, which the proxy holds it to (RFC 9112 section
    /// 6.3, RFC 9113 section 8.1.1).
    pub(crate) fn says_nothing_follows(&self) -> bool {
        let mut lengths = self.values("content-length");
        matches!((lengths.next(), lengths.next()), (Some(b"0"), None))
    }

    /// Whether the request says itself that its body is larger.
    pub(crate) fn says_more_than(&self, bytes: usize) -> bool {
        let length = self.value("content-length").and_then(|value| std::str::from_utf8(value).ok());
        length
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: u64| length > bytes as u64)
    }

    /// Whether some upstream could read the request in another character set than UTF-8.
    pub(crate) fn names_another_charset(&self) -> bool {
        self.values_of_any_spelling("content-type").any(charset::names_another)
    }

    pub(crate) fn parameters(&self) -> Query<'a> {
        let hidden = self.path().and_then(behind_semicolon);
        Query::parse(self.query().unwrap_or_default(), hidden)
    }

    /// The proxy's id of the request, if it is a plain word: what a client may have chosen is
    /// echoed only where it can do no harm.
    pub(crate) fn id(&self) -> Option<&'a str> {
        let id = std::str::from_utf8(self.value("x-request-id")?).ok()?;
        (id.len() <= 128 && is_word(id)).then_some(id)
    }

    /// Whether the caller speaks gRPC, and so reads an error's message from the body's text.
    pub(crate) fn is_grpc(&self) -> bool {
        self.value("content-type").is_some_and(|value| {
            value
                .strip_prefix(b"application/grpc")
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
        })
    }
}

/// Path and query of a request target.
pub(crate) fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => match target.split_at_checked(mark) {
            Some((path, query)) => (path, query.get(1..)),
            None => (target, None),
        },
        None => (target, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Request<'a> {
        Request::new(headers, &|| None)
    }

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        assert_eq!(split_target(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!(split_target(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split_target(b"/a"), (&b"/a"[..], None));
    }

    #[test]
    fn an_id_that_is_no_plain_word_is_none() {
        for (id, expected) in [("a-1", Some("a-1")), ("", None), ("a b", None), ("a\"", None)] {
            let headers = [("x-request-id", id.as_bytes())];
            assert_eq!(request(&headers).id(), expected);
        }
    }

    #[test]
    fn grpc_web_is_not_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = [("content-type", content_type.as_bytes())];
            assert_eq!(request(&headers).is_grpc(), expected, "{content_type}");
        }
    }
}
