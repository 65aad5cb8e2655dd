//! What a host has to do to a request.
//!
//! Nothing here borrows from the request, whose headers are what changes.

use std::borrow::Cow;
use std::fmt;

use crate::decision::Hold;

/// What becomes of a request, as far as an engine can tell from what it knows of it. What few need is a pointer away,
/// since it is handed on with every request.
#[derive(Clone, Debug)]
pub(crate) enum Effect<'e> {
    /// It goes on, changed.
    Continue(Changes<'e>),
    /// It waits for its body, or cannot.
    Hold(Box<Holding<'e>>),
    /// It is changed, then answered: what logs and traces tell of it holds no credential.
    Reply(Changes<'e>, Box<Reply<'e>>),
}

/// How a request waits for its body.
#[derive(Clone, Debug)]
pub(crate) struct Holding<'e> {
    pub(crate) hold: Hold,
    /// What takes all out that may be a credential. It is for headers that wait, since the proxy may answer
    /// the request itself, and log it, and for a request that is refused because too many wait.
    pub(crate) stripped: Changes<'e>,
    /// How the headers go ahead, if they do.
    pub(crate) ahead: Option<Changes<'e>>,
}

/// How a request is changed: first `remove`, then `set`, then `path`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes<'e> {
    /// Headers to remove, every one of that name.
    pub remove: Vec<Cow<'e, str>>,
    /// Headers to set, in place of every header of their names. A name that stands several times has all of the
    /// values.
    pub set: Vec<(Cow<'e, str>, Cow<'e, [u8]>)>,
    /// The `:path` to put in place of the request's.
    pub path: Option<Vec<u8>>,
}

impl fmt::Debug for Changes<'_> {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.remove.len().saturating_add(self.set.len());
        write!(formatter, "Changes({count} headers)")
    }
}

/// A response in the proxy's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'e> {
    /// The status code.
    pub status: u16,
    /// The response's headers, each name once, those that the policy sets on every response among them.
    pub headers: Vec<(&'e str, Cow<'e, str>)>,
    /// The response's body; what a gRPC caller reads as the error's message.
    pub body: Cow<'e, str>,
    /// The code that a gRPC caller gets; `None` for any other caller.
    pub grpc_status: Option<u8>,
}

impl<'e> Reply<'e> {
    /// A bare status.
    pub(crate) fn bare(status: u16) -> Reply<'e> {
        Reply { status, headers: Vec::new(), body: Cow::Borrowed(""), grpc_status: None }
    }

    /// Adds headers, in place of any of their names.
    pub(crate) fn replace_headers(&mut self, headers: Vec<(&'e str, Cow<'e, str>)>) {
        self.headers.retain(|(name, _)| !headers.iter().any(|(own, _)| own == name));
        self.headers.extend(headers);
    }
}

/// The gRPC code that stands for an HTTP status (gRPC, `http-grpc-status-mapping.md`).
pub(crate) fn grpc_status(status: u16) -> u8 {
    const INTERNAL: u8 = 13;
    const PERMISSION_DENIED: u8 = 7;
    const UNAUTHENTICATED: u8 = 16;
    const UNAVAILABLE: u8 = 14;
    const UNIMPLEMENTED: u8 = 12;
    const UNKNOWN: u8 = 2;
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_grpc_code() {
        for (status, code) in
            [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (500, 2), (503, 14), (418, 2)]
        {
            assert_eq!(grpc_status(status), code, "{status}");
        }
    }

    #[test]
    fn changes_show_nothing_that_a_client_sent() {
        let set = vec![(Cow::Borrowed("cookie"), Cow::Borrowed(&b"secret"[..]))];
        let changes = Changes { set, path: Some(b"/secret".to_vec()), ..Changes::default() };
        assert_eq!(format!("{changes:?}"), "Changes(1 headers)");
    }
}
