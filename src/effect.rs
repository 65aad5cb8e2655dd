//! What the proxy has to do about a request.

use std::borrow::Cow;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// It goes on, changed.
    Continue(Changes<'a>),
    /// It is changed, then answered: what logs and traces tell of it holds no credential.
    Reply(Changes<'a>, Reply<'a>),
}

/// How a request is changed: first `remove`, then `set`, then `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Headers to remove, every one of that name.
    pub remove: Vec<&'a str>,
    /// Headers to set, each in place of every header of that name.
    pub set: Vec<(&'a str, Cow<'a, [u8]>)>,
    /// The `:path` to put in place of the request's.
    pub path: Option<Vec<u8>>,
}

/// A response in the proxy's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The response's headers.
    pub headers: Vec<(&'a str, Cow<'a, str>)>,
    /// The response's body.
    pub body: Cow<'a, str>,
}
