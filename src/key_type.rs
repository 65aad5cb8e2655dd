//! The named kinds of keys.

use crate::address::Network;
use crate::config::Word;
use crate::scope::Scope;

/// A named kind of key.
#[derive(Clone, Debug)]
pub struct KeyType {
    pub(crate) name: Box<str>,
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) format: Option<Format>,
    pub(crate) enabled: bool,
    pub(crate) scopes: Option<Box<[Scope]>>,
    pub(crate) origins_required: bool,
    /// None for any.
    pub(crate) addresses: Box<[Network]>,
    pub(crate) most_active: Option<usize>,
}

impl KeyType {
    /// What the policy calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its tokens start with; may be empty.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// The shape of what follows the prefix; `None` for any.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// What keys of this type may do that name no scopes of their own; `None` if the type says nothing.
    pub fn scopes(&self) -> Option<&[Scope]> {
        self.scopes.as_deref()
    }

    /// Whether each key of this type must name the browser origins that it is for.
    pub fn origins_required(&self) -> bool {
        self.origins_required
    }

    /// From where keys of this type may be used that name no addresses of their own; `None` for anywhere.
    pub fn addresses(&self) -> Option<&[Network]> {
        Some(&*self.addresses).filter(|networks| !networks.is_empty())
    }

    /// How many keys of this type an account should have at once; `None` for any number.
    pub fn most_active(&self) -> Option<usize> {
        self.most_active
    }

    /// Whether its keys are good: those of a type that is disabled are refused.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a token has this type's prefix and format.
    pub fn fits(&self, token: &[u8]) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        token
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| self.format.is_none_or(|format| format.fits(rest)))
    }
}

/// The shape of what follows a token's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How many characters, 1 or more; with the prefix no more than a token may have.
    pub length: usize,
    /// Which ones.
    pub charset: Charset,
}

impl Format {
    fn fits(self, text: &[u8]) -> bool {
        let is_in = |byte: &u8| match self.charset {
            Charset::Alphanumeric => byte.is_ascii_alphanumeric(),
            Charset::Base64url => byte.is_ascii_alphanumeric() || b"-_".contains(byte),
            Charset::Hex => byte.is_ascii_hexdigit(),
        };
        text.len() == self.length && text.iter().all(is_in)
    }
}

/// The characters that a format lets a token have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `0-9A-Za-z`
    Alphanumeric,
    /// `0-9A-Za-z-_`
    Base64url,
    /// `0-9A-Fa-f`
    Hex,
}

impl Word for Charset {
    const WORDS: &'static [(&'static str, Charset)] = &[
        ("alphanumeric", Charset::Alphanumeric),
        ("base64url", Charset::Base64url),
        ("hex", Charset::Hex),
    ];
}
