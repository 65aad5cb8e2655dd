//! Who a request comes from: the holder of a key, or of a session.

use crate::keyring::Key;
use crate::scope::Scope;
use crate::session::Session;

/// A good key or a verified session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity<'a> {
    Key(Key<'a>),
    Session(&'a Session),
}

impl<'a> Identity<'a> {
    pub(crate) fn id(self) -> &'a str {
        match self {
            Identity::Key(key) => key.id(),
            Identity::Session(session) => session.id(),
        }
    }

    pub(crate) fn account(self) -> Option<&'a str> {
        match self {
            Identity::Key(key) => key.account(),
            Identity::Session(session) => session.account(),
        }
    }

    /// A session is of no type.
    pub(crate) fn key_type(self) -> Option<&'a str> {
        match self {
            Identity::Key(key) => key.key_type(),
            Identity::Session(_) => None,
        }
    }

    /// A session has no attributes.
    pub(crate) fn attribute(self, name: &str) -> Option<&'a str> {
        match self {
            Identity::Key(key) => key.attribute(name),
            Identity::Session(_) => None,
        }
    }

    pub(crate) fn covers(self, required: &Scope) -> bool {
        match self {
            Identity::Key(key) => key.covers(required),
            Identity::Session(session) => session.covers(required),
        }
    }
}
