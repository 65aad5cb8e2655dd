//! The places where a token may stand, as a policy lists them.

use std::fmt;

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A part of what the scheme `Basic` carries in the header `authorization` (RFC 7617).
    Basic(BasicPart),
    /// A cookie of that name.
    Cookie(Box<str>),
    /// A header, in lower case, and the authentication scheme before the token (RFC 9110 section 11.1); without
    /// one the whole value is the token.
    Header(Box<str>, Option<Box<str>>),
    /// A parameter of the query.
    Query(Box<str>),
    /// What follows this prefix in an item of `sec-websocket-protocol` (RFC 6455 section 4.1).
    WebSocketProtocol(Box<str>),
}

/// A part of what the scheme `Basic` carries; the other one is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicPart {
    /// What stands behind the first colon.
    Password,
    /// What stands before the first colon.
    Username,
}

impl BasicPart {
    /// What a policy calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            BasicPart::Password => "password",
            BasicPart::Username => "username",
        }
    }
}

/// The header that carries the scheme `Basic`.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// The scheme of HTTP Basic authentication.
pub(crate) const BASIC: &str = "Basic";

/// The header by which a client offers the protocols that it speaks within a WebSocket.
pub(crate) const WEBSOCKET_PROTOCOL: &str = "sec-websocket-protocol";

impl Source {
    /// The header that it stands in, but for cookies, which have a syntax of their own.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Source::Basic(_) => Some(AUTHORIZATION),
            Source::Cookie(_) | Source::Query(_) => None,
            Source::Header(name, _) => Some(name),
            Source::WebSocketProtocol(_) => Some(WEBSOCKET_PROTOCOL),
        }
    }

    /// The authentication scheme by which a client presents a token there.
    pub(crate) fn scheme(&self) -> Option<&str> {
        match self {
            Source::Basic(_) => Some(BASIC),
            Source::Cookie(_) | Source::Query(_) | Source::WebSocketProtocol(_) => None,
            Source::Header(_, scheme) => scheme.as_deref(),
        }
    }

    /// Whether one text of a request could be a credential of both.
    pub(crate) fn overlaps(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::WebSocketProtocol(one), Source::WebSocketProtocol(other)) => {
                one.starts_with(&**other) || other.starts_with(&**one)
            }
            _ if self.header().is_none() || self.header() != other.header() => self == other,
            (Source::WebSocketProtocol(_), _) | (_, Source::WebSocketProtocol(_)) => true,
            _ => match (self.scheme(), other.scheme()) {
                (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                (one, other) => one == other,
            },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Basic(part) => write!(formatter, "`basic: {}`", part.as_str()),
            Source::Cookie(name) => write!(formatter, "cookie `{name}`"),
            Source::Header(name, None) => write!(formatter, "`{name}`"),
            Source::Header(name, Some(scheme)) => {
                write!(formatter, "`{name}` with scheme `{scheme}`")
            }
            Source::Query(name) => write!(formatter, "query parameter `{name}`"),
            Source::WebSocketProtocol(prefix) => {
                write!(formatter, "`websocket_protocol: {prefix}`")
            }
        }
    }
}
