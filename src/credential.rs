//! Where a token may stand in a request, and how it is taken out of it.

mod header;

use std::borrow::Cow;
use std::fmt;

use self::header::{Form, HeaderSource};
use crate::limits;
use crate::query::{decode, url_without};
use crate::reading::Reading;
use crate::source::{Source, WEBSOCKET_PROTOCOL};
use crate::spelling::{is_like_one, is_named, is_same_header};

/// The headers that tell of a URL, of which the page or the proxy before may have had a credential:
/// `referer` (RFC 9110 section 10.1.3), those of htmx and of a link's `ping` (HTML section 4.6.5), and those of
/// Envoy, Traefik, nginx, IIS, Symfony and Azure.
const URL_HEADERS: [&str; 12] = [
    "hx-current-url",
    "ping-from",
    "ping-to",
    "referer",
    "x-envoy-original-path",
    "x-forwarded-uri",
    "x-ms-original-url",
    "x-original-uri",
    "x-original-url",
    "x-replaced-path",
    "x-rewrite-url",
    "x-waws-unencoded-url",
];

/// The places where a token may stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) headers: Vec<HeaderSource>,
    pub(crate) query: Vec<Box<str>>,
    pub(crate) cookies: Vec<Box<str>>,
}

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// Not one credential only.
    Ambiguous(Ambiguity),
    /// Something that can be no token.
    Malformed,
    /// Nothing of ours.
    Nothing,
    /// One token.
    Token(Token<'a>),
}

/// Why it cannot be told which credential a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// More than one is presented, equal or not.
    Several,
    /// Some upstream could read one where the policy reads none, such as `X_Auth_Token` for `x-auth-token`.
    Spelling,
    /// So many cookies or parameters are, or in such an encoding, that none of them can be looked for.
    Unclear,
}

/// A token as a client presented it. It is never shown.
#[derive(PartialEq, Eq)]
pub(crate) struct Token<'a>(Cow<'a, [u8]>);

impl fmt::Debug for Token<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl<'a> Token<'a> {
    /// A token is 1 to [`limits::TOKEN_BYTES`] bytes of visible ASCII.
    fn new(bytes: Cow<'a, [u8]>) -> Option<Token<'a>> {
        let fits = (1..=limits::TOKEN_BYTES).contains(&bytes.len());
        (fits && bytes.iter().all(u8::is_ascii_graphic)).then_some(Token(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Sources {
    /// Sources no two of which overlap.
    pub(crate) fn new<'s>(all: impl Iterator<Item = &'s Source>) -> Sources {
        let mut sources = Sources::default();
        for source in all {
            match (source, source.header()) {
                (Source::Cookie(name), _) => sources.cookies.push(name.clone()),
                (Source::Query(name), _) => sources.query.push(name.clone()),
                (_, Some(name)) => {
                    match sources.headers.iter_mut().find(|header| *header.name == *name) {
                        Some(header) => header.add(source),
                        None => sources.headers.push(HeaderSource::new(name, source)),
                    }
                }
                (_, None) => {}
            }
        }
        sources
    }

    /// Takes the one credential that a request presents; of others that are misspelt it knows nothing.
    pub(crate) fn find<'a>(&self, reading: &'a Reading<'_>) -> Presented<'a> {
        let mut candidates = Candidates::default();
        for header in &self.headers {
            for value in reading.values(&header.name) {
                header.candidates(value, &mut candidates);
            }
        }
        let cookies = self.cookies(reading);
        let is_crowded = cookies.len() > limits::PARAMETERS;
        if is_crowded || (!self.query.is_empty() && reading.query().is_unclear()) {
            return Presented::Ambiguous(Ambiguity::Unclear);
        }
        for name in &self.query {
            reading.query().tokens(name).for_each(|value| candidates.add(value));
        }
        for pair in cookies {
            if self.is_credential_cookie(pair) {
                candidates.add(Cow::Borrowed(cookie_value(pair)));
            }
        }
        candidates.into_presented()
    }

    /// Whether some upstream could read a credential where we read none, such as `X_Auth_Token` for
    /// `x-auth-token` or `?auth.token` for `auth_token`.
    pub(crate) fn are_misspelt(&self, reading: &Reading<'_>) -> bool {
        let is_misspelt = |source: &HeaderSource| {
            source.has_spellings
                && reading.names().any(|name| {
                    is_same_header(name, &source.name) && !self.is_credential_header(name)
                })
        };
        self.headers.iter().any(is_misspelt)
            || (!self.query.is_empty() && reading.query().misspells(&self.query))
            || self.cookies(reading).iter().any(|pair| {
                let is_whole = !self.is_credential_cookie(pair) && self.is_cookie_like_ours(pair);
                is_whole || parts_of_cookie(pair).skip(1).any(|part| self.is_cookie_like_ours(part))
            })
    }

    /// Whether a token may be a part of something: of the query, of cookies, of a list.
    pub(crate) fn are_parts(&self) -> bool {
        !self.query.is_empty()
            || !self.cookies.is_empty()
            || self.headers.iter().any(|header| matches!(header.form, Form::Items(_)))
    }

    fn is_credential_header(&self, name: &str) -> bool {
        self.headers.iter().any(|source| *source.name == *name)
    }

    /// The names of the headers that carry a credential, to be removed.
    pub(crate) fn headers_to_remove(&self, reading: &Reading<'_>) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(|header| reading.values(&header.name).any(|value| header.carries(value)))
            .map(|header| &*header.name)
    }

    /// The list of protocols within a WebSocket without its credentials, or `None` if it carries none.
    pub(crate) fn protocols_without(&self, reading: &Reading<'_>) -> Option<Vec<u8>> {
        let protocols = self.headers.iter().find(|header| *header.name == *WEBSOCKET_PROTOCOL)?;
        protocols.items_without(reading.values(WEBSOCKET_PROTOCOL))
    }

    /// The query without its credentials, or `None` if it carries none.
    pub(crate) fn query_without(&self, reading: &Reading<'_>) -> Option<Vec<u8>> {
        if self.query.is_empty() {
            return None;
        }
        reading.query().without(|name| self.is_query_credential(name))
    }

    /// Whether a query parameter of that name carries a credential.
    pub(crate) fn is_query_credential(&self, name: &[u8]) -> bool {
        self.query.iter().any(|ours| is_named(name, ours))
    }

    /// The cookie header without its credentials, or `None` if it carries none.
    pub(crate) fn cookies_without(&self, reading: &Reading<'_>) -> Option<Vec<u8>> {
        self.cookies_but(reading, |pair| self.is_credential_cookie(pair))
    }

    /// The names of the headers that some upstream takes for one that may carry a credential, each behind that
    /// one's.
    pub(crate) fn headers_like_ours<'r>(
        &self,
        reading: &Reading<'r>,
    ) -> impl Iterator<Item = (&str, &'r str)> {
        reading.names().filter_map(|name| {
            let source = self.headers.iter().find(|source| is_same_header(name, &source.name))?;
            Some((&*source.name, name))
        })
    }

    /// The headers that tell of a URL with a credential in its query, without it.
    pub(crate) fn urls_without_any_like_ours<'r>(
        &self,
        reading: &Reading<'r>,
    ) -> impl Iterator<Item = (&'r str, Vec<u8>)> {
        self.values_without_any_like_ours(reading, |name| {
            URL_HEADERS.iter().any(|known| is_same_header(known, name))
        })
    }

    /// The headers that hold a URL's query with a credential, whatever they are for, without it. What is cut
    /// too much does no harm to a request that goes no further.
    pub(crate) fn texts_without_any_like_ours<'r>(
        &self,
        reading: &Reading<'r>,
    ) -> impl Iterator<Item = (&'r str, Vec<u8>)> {
        self.values_without_any_like_ours(reading, |name| {
            !name.starts_with(':') && name != "cookie"
        })
    }

    fn values_without_any_like_ours<'r>(
        &self,
        reading: &Reading<'r>,
        is_looked_at: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'r str, Vec<u8>)> {
        let headers = if self.query.is_empty() { &[] } else { reading.headers() };
        let looked_at = headers.iter().filter(move |(name, _)| is_looked_at(name));
        looked_at.filter_map(|(name, value)| Some((*name, url_without(value, &self.query)?)))
    }

    /// The request target without what some upstream takes for a credential in its query, or `None` if
    /// nothing in it is.
    pub(crate) fn target_without_any_like_ours(&self, reading: &Reading<'_>) -> Option<Vec<u8>> {
        url_without(reading.target?, &self.query)
    }

    /// The cookie header without what some upstream takes for a credential, or `None` if nothing in it is.
    pub(crate) fn cookies_without_any_like_ours(&self, reading: &Reading<'_>) -> Option<Vec<u8>> {
        self.cookies_but(reading, |pair| {
            self.is_cookie_like_ours(pair)
                || parts_of_cookie(pair).any(|part| self.is_cookie_like_ours(part))
        })
    }

    #[inline(never)]
    fn cookies_but(
        &self,
        reading: &Reading<'_>,
        is_cut: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let all = self.cookies(reading);
        if all.is_empty() {
            return None;
        }
        let kept: Vec<&[u8]> = all.iter().copied().filter(|pair| !is_cut(pair)).collect();
        (kept.len() < all.len()).then(|| kept.join(&b"; "[..]))
    }

    /// The cookies, if one may be a credential.
    fn cookies<'a>(&self, reading: &'a Reading<'_>) -> &'a [&'a [u8]] {
        if self.cookies.is_empty() { &[] } else { reading.cookies() }
    }

    fn is_cookie_like_ours(&self, pair: &[u8]) -> bool {
        is_like_one(&decode(cookie_name(pair)), &self.cookies)
    }

    fn is_credential_cookie(&self, pair: &[u8]) -> bool {
        self.cookies.iter().any(|cookie| cookie.as_bytes() == cookie_name(pair))
    }
}

/// What some upstream takes for cookies of their own: Python's parsers end one at a blank, those of Perl and of
/// Rack 1 at a comma.
fn parts_of_cookie(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = pair.split(|byte| *byte == b',' || byte.is_ascii_whitespace());
    parts.filter(|part| !part.is_empty())
}

fn cookie_name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// The value of a cookie pair (RFC 6265 section 4.1.1), without the quotes it may stand in.
fn cookie_value(pair: &[u8]) -> &[u8] {
    let value = pair.splitn(2, |byte| *byte == b'=').nth(1).unwrap_or_default().trim_ascii();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[derive(Default)]
struct Candidates<'a> {
    /// The first, or what can be no token in its place.
    first: Option<Option<Token<'a>>>,
    several: bool,
    /// Whether a scheme came without its token: none beside another, and none to be good alone.
    has_scheme_alone: bool,
}

impl<'a> Candidates<'a> {
    /// Adds what stands where a token may stand; an empty one is none.
    fn add(&mut self, value: Cow<'a, [u8]>) {
        if !value.is_empty() {
            self.add_token(Token::new(value));
        }
    }

    fn add_token(&mut self, token: Option<Token<'a>>) {
        self.several |= self.first.is_some();
        self.first.get_or_insert(token);
    }

    fn into_presented(self) -> Presented<'a> {
        match self.first {
            None if self.has_scheme_alone => Presented::Malformed,
            None => Presented::Nothing,
            Some(_) if self.several => Presented::Ambiguous(Ambiguity::Several),
            Some(token) => token.map_or(Presented::Malformed, Presented::Token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    fn sources() -> Sources {
        let header = |name: &str, scheme: &str| {
            Source::Header(name.into(), Some(scheme.into()).filter(|_| !scheme.is_empty()))
        };
        let all = [
            header("authorization", "Bearer"),
            header("authorization", "Token"),
            header("x-key", ""),
            Source::Query("key".into()),
            Source::Cookie("key".into()),
        ];
        Sources::new(all.iter())
    }

    fn find(headers: &[(&str, &[u8])]) -> &'static str {
        let request = Request::new(headers, &|| None);
        let reading = Reading::new(&request, Some(&|_| true));
        match sources().find(&reading) {
            Presented::Ambiguous(_) => "ambiguous",
            Presented::Malformed => "malformed",
            Presented::Nothing => "nothing",
            Presented::Token(token) if token.as_bytes() == b"t0ken" => "token",
            Presented::Token(_) => "another token",
        }
    }

    #[test]
    fn a_scheme_is_a_word_of_any_letter_case() {
        for value in
            ["Bearer t0ken", "bearer t0ken", "BEARER  t0ken ", "token t0ken", "Bearer\tt0ken"]
        {
            assert_eq!(find(&[("authorization", value.as_bytes())]), "token", "{value}");
        }
    }

    #[test]
    fn another_scheme_is_no_credential_of_ours() {
        for value in ["Basic dXNlcg==", "Digest username=\"a\", realm=\"b\"", "Bearers t0ken"] {
            assert_eq!(find(&[("authorization", value.as_bytes())]), "nothing", "{value}");
        }
    }

    #[test]
    fn what_can_be_no_token_is_malformed() {
        let long = [b"Bearer ".as_slice(), &[b'a'; 513]].concat();
        let values: [&[u8]; 8] = [
            b"Bearer",
            b"Bearer ",
            b"t0ken",
            b"Basic",
            b"Bearer a b",
            b"Bearer \xff\xfe",
            b"Bearer a\x7f",
            &long,
        ];
        for value in values {
            assert_eq!(find(&[("authorization", value)]), "malformed", "{value:?}");
        }
        assert_eq!(find(&[("x-key", b"a b")]), "malformed");
        assert_eq!(find(&[(":path", b"/?key=a%20b")]), "malformed");
    }

    #[test]
    fn an_empty_credential_is_none() {
        let empty: [&[(&str, &[u8])]; 8] = [
            &[("authorization", b"")],
            &[("authorization", b" ")],
            &[("x-key", b"")],
            &[(":path", b"/?key")],
            &[(":path", b"/?key=&%6bey=&a=b")],
            &[("cookie", b"key; key=; a=b")],
            &[("cookie", b"key=\"\"")],
            &[(":path", b"/?key="), ("x-key", b""), ("cookie", b"key="), ("authorization", b"")],
        ];
        for headers in empty {
            assert_eq!(find(headers), "nothing", "{headers:?}");
            let beside = |good: (&'static str, &'static [u8])| [headers, &[good]].concat();
            if !headers.iter().any(|(name, _)| *name == ":path") {
                assert_eq!(find(&beside((":path", b"/?key=t0ken"))), "token", "{headers:?}");
            }
            assert_eq!(find(&beside(("authorization", b"Bearer t0ken"))), "token", "{headers:?}");
        }
        assert_eq!(find(&[("authorization", b"Bearer"), ("x-key", b"t0ken")]), "token");
        assert_eq!(find(&[(":path", b"/?key=&key=t0ken")]), "token");
    }

    #[test]
    fn two_credentials_are_ambiguous_even_if_equal() {
        let cases: [&[(&str, &[u8])]; 10] = [
            &[("authorization", b"Bearer t0ken,Bearer t0ken")],
            &[("authorization", b"Bearer t0ken, Basic x")],
            &[("authorization", b"Basic x,Bearer t0ken")],
            &[("authorization", b"Bearer t0ken,")],
            &[("authorization", b"Bearer t0ken,Bearer")],
            &[("authorization", b"t0ken"), ("x-key", b"t0ken")],
            &[("x-key", b"t0ken"), ("x-key", b"t0ken")],
            &[("x-key", b"t0ken, t0ken")],
            &[("authorization", b"Bearer t0ken"), ("cookie", b"key=t0ken")],
            &[(":path", b"/?key=t0ken&%6bey=t0ken")],
        ];
        for headers in cases {
            assert_eq!(find(headers), "ambiguous", "{headers:?}");
        }
    }

    #[test]
    fn every_source_is_looked_at() {
        assert_eq!(find(&[("x-key", b" t0ken ")]), "token");
        assert_eq!(find(&[(":path", b"/?a=b&k%65y=t0%6ben")]), "token");
        assert_eq!(find(&[("cookie", b"a=b; key=t0ken;c")]), "token");
        assert_eq!(find(&[("cookie", b"key=\"t0ken\"")]), "token");
        assert_eq!(find(&[("cookie", b"monkey=t0ken"), ("x-keys", b"t0ken")]), "nothing");
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::new(Cow::Borrowed(b"t0ken")).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
