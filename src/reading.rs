//! A request, read once.
//!
//! What takes time to read, such as the query, is read when somebody first asks for it, since most policies
//! look at a part of a request only.

use std::cell::OnceCell;

use crate::charset;
use crate::host;
use crate::method;
use crate::query::Query;
use crate::request::{Body, Request};
use crate::scope::is_word;
use crate::spelling::{behind_semicolon, is_same_header};

/// Whether a parameter of that name, decoded, decides something.
pub(crate) type IsRead<'r> = &'r dyn Fn(&[u8]) -> bool;

/// A request as it is decided about.
pub(crate) struct Reading<'r> {
    request: &'r Request<'r>,
    /// Empty where it is missing or not text. Methods are case-sensitive (RFC 9110 section 9.1).
    pub(crate) method: &'r str,
    /// The request target; `None` for CONNECT.
    pub(crate) target: Option<&'r [u8]>,
    /// The target up to its query.
    path: Option<&'r [u8]>,
    raw_query: Option<&'r [u8]>,
    /// How many bytes of it stand where every upstream looks.
    sure_bytes: usize,
    /// `None` where no parameter decides anything.
    is_read: Option<IsRead<'r>>,
    query: OnceCell<Query<'r>>,
    is_query_in_another_charset: OnceCell<bool>,
    cookies: OnceCell<Vec<&'r [u8]>>,
}

impl<'r> Reading<'r> {
    /// Of the query, the parameters count whose name `is_read` names.
    pub(crate) fn new(request: &'r Request<'r>, is_read: Option<IsRead<'r>>) -> Reading<'r> {
        let value = |name| values(request.headers, name).next();
        let method = value(":method").and_then(|value| std::str::from_utf8(value).ok());
        let target = value(":path");
        let (path, raw_query) = target.map(split_target).unzip();
        let raw_query = raw_query.flatten();
        Reading {
            request,
            method: method.unwrap_or_default(),
            target,
            path,
            raw_query,
            sure_bytes: raw_query.unwrap_or_default().len(),
            is_read,
            query: OnceCell::new(),
            is_query_in_another_charset: OnceCell::new(),
            cookies: OnceCell::new(),
        }
    }

    /// The same request with another query, of which every upstream that reads it so looks at so many bytes.
    pub(crate) fn with_query<'s>(&self, raw: &'s [u8], sure_bytes: usize) -> Reading<'s>
    where
        'r: 's,
    {
        Reading {
            request: self.request,
            method: self.method,
            target: self.target,
            path: self.path,
            raw_query: Some(raw),
            sure_bytes,
            is_read: self.is_read,
            query: OnceCell::new(),
            is_query_in_another_charset: OnceCell::new(),
            cookies: OnceCell::new(),
        }
    }

    /// The headers in order, names in lower case.
    pub(crate) fn headers(&self) -> &'r [(&'r str, &'r [u8])] {
        self.request.headers
    }

    pub(crate) fn body(&self) -> Body<'r> {
        self.request.body
    }

    /// The request itself, for its clock and for its claims.
    pub(crate) fn request(&self) -> &'r Request<'r> {
        self.request
    }

    /// The names of the headers, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'r str> + use<'r> {
        self.headers().iter().map(|(name, _)| *name)
    }

    /// The values of every header of that name, which is in lower case.
    pub(crate) fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
        values(self.headers(), name)
    }

    /// The first value of the header of that name.
    pub(crate) fn value(&self, name: &str) -> Option<&'r [u8]> {
        self.values(name).next()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The values of every header that an upstream could take for the one of that name.
    pub(crate) fn values_of_any_spelling<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
        let headers = self.headers().iter();
        headers.filter(move |(header, _)| is_same_header(header, name)).map(|(_, value)| *value)
    }

    /// The query as it stands; empty where there is none.
    pub(crate) fn raw_query(&self) -> &'r [u8] {
        self.raw_query.unwrap_or_default()
    }

    /// Whether any header asks for another method, or could.
    pub(crate) fn has_method_override(&self) -> bool {
        self.names().any(method::is_override)
    }

    /// The request target's path, without its query; `None` for CONNECT and for `OPTIONS *`.
    pub(crate) fn path(&self) -> Option<&'r [u8]> {
        self.path.filter(|path| *path != b"*" || self.raw_query.is_some())
    }

    /// The request target with another path, or with another query. An empty one has no question mark.
    pub(crate) fn target_with(&self, path: Option<&str>, query: Option<&[u8]>) -> Vec<u8> {
        let path = path.map(str::as_bytes).or(self.path).unwrap_or_default();
        match query.or(self.raw_query) {
            None => path.to_vec(),
            Some(b"") if query.is_some() => path.to_vec(),
            Some(query) => [path, b"?", query].concat(),
        }
    }

    /// The query's parameters; none where the policy looks at none.
    pub(crate) fn query(&self) -> &Query<'r> {
        self.query.get_or_init(|| match self.is_read {
            None => Query::default(),
            Some(is_read) => {
                let hidden = self.path().and_then(behind_semicolon);
                Query::parse((self.raw_query(), self.sure_bytes), hidden, is_read)
            }
        })
    }

    /// Whether some upstream could read the query in another character set than UTF-8.
    pub(crate) fn is_query_in_another_charset(&self) -> bool {
        *self.is_query_in_another_charset.get_or_init(|| {
            let query = self.query();
            !query.is_empty() && (self.names_another_charset() || query.names_another_charset())
        })
    }

    /// Whether some upstream could read the request in another character set than UTF-8.
    pub(crate) fn names_another_charset(&self) -> bool {
        self.values_of_any_spelling("content-type").any(charset::names_another)
    }

    /// The cookie pairs, without spaces around them and without empty ones.
    pub(crate) fn cookies(&self) -> &[&'r [u8]] {
        self.cookies.get_or_init(|| {
            let pairs = self.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
            pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).collect()
        })
    }

    /// The host that is asked for, empty where none is; `None` if it is not a host.
    #[inline(never)]
    pub(crate) fn host(&self) -> Option<String> {
        self.value(":authority").map_or(Some(String::new()), host::of_authority)
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

    /// The proxy's id of the request, if it is a plain word: what a client may have chosen is
    /// echoed only where it can do no harm.
    pub(crate) fn id(&self) -> Option<&'r str> {
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

fn values<'r, 'n>(
    headers: &'r [(&'r str, &'r [u8])],
    name: &'n str,
) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
    // As bytes, whose lengths are compared in line: most names differ in length.
    let is_named = move |(header, _): &&(&str, &[u8])| header.as_bytes() == name.as_bytes();
    headers.iter().filter(is_named).map(|(_, value)| *value)
}

/// Path and query of a request target.
fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
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
            let request = Request::new(&headers, &|| None);
            let reading = Reading::new(&request, None);
            assert_eq!(reading.id(), expected);
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
            let request = Request::new(&headers, &|| None);
            let reading = Reading::new(&request, None);
            assert_eq!(reading.is_grpc(), expected, "{content_type}");
        }
    }

    #[test]
    fn every_cookie_of_every_header_is_one() {
        let headers = [("cookie", &b" a=b;;c ; "[..]), ("cookie", b"d=e")];
        let request = Request::new(&headers, &|| None);
        let reading = Reading::new(&request, None);
        assert_eq!(reading.cookies(), [&b"a=b"[..], b"c", b"d=e"]);
    }
}
