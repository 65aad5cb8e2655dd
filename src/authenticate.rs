//! Who a request comes from: the steps from the session to the address.

use crate::address::Network;
use crate::credential::{Ambiguity, Presented, Sources};
use crate::decision::{Access, Found};
use crate::identity::Identity;
use crate::keyring::{Key, KeyRing};
use crate::origin::Origin;
use crate::reading::Reading;
use crate::reason::Reason;
use crate::session::{Session, Sessions};

/// What tells who asks.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) sources: Sources,
    pub(crate) ring: KeyRing,
    /// Whether every token of the ring has the prefix and format of a type.
    pub(crate) every_token_has_a_shape: bool,
    pub(crate) sessions: Option<Sessions>,
}

/// Who was found to ask.
#[derive(Debug)]
pub(crate) enum Holder<'e> {
    Key(Key<'e>),
    Session(Box<Session>),
}

impl Holder<'_> {
    /// Who asks, and as what.
    pub(crate) fn who(&self) -> (Identity<'_>, Access) {
        match self {
            Holder::Key(key) => (Identity::Key(*key), Access::Key),
            Holder::Session(session) => (Identity::Session(session), Access::Session),
        }
    }
}

impl Authenticator {
    /// The good key whose token the request presents, or the session that it belongs to. A credential is none
    /// where one of the `limits` presents another, or nothing.
    pub(crate) fn authenticate<'e>(
        &'e self,
        reading: &Reading<'_>,
        mut limits: impl Iterator<Item = &'e Sources>,
        found: &mut Found<'e>,
    ) -> Result<Holder<'e>, Reason> {
        let presented = self.sources.find(reading);
        found.presented = presented != Presented::Nothing;
        if let Some(sessions) = &self.sessions
            && let Some(session) = self.session(sessions, reading, &presented, found)
        {
            return session.map(Holder::Session);
        }
        if matches!(presented, Presented::Malformed | Presented::Token(_))
            && limits.any(|own| own.find(reading) != presented)
        {
            found.presented = false;
            found.key = None;
            found.is_elsewhere = true;
            return Err(Reason::MissingCredential);
        }
        let token = match presented {
            Presented::Nothing => return Err(Reason::MissingCredential),
            Presented::Ambiguous(ambiguity) => return Err(ambiguous(ambiguity, found)),
            Presented::Malformed => return Err(Reason::MalformedCredential),
            Presented::Token(token) => token,
        };
        self.refuse_misspelt(reading, found)?;
        if !self.is_shaped(token.as_bytes()) {
            return Err(Reason::MalformedCredential);
        }
        let key = self.ring.find(token.as_bytes()).ok_or(Reason::UnknownKey)?;
        found.key = Some(key);
        if let Some(reason) = key.refusal(reading.request().clock) {
            return Err(reason);
        }
        if key.origins().is_some_and(|origins| !is_from(reading, origins)) {
            return Err(Reason::OriginNotAllowed);
        }
        if key.addresses().is_some_and(|networks| !is_within(reading, networks)) {
            return Err(Reason::AddressNotAllowed);
        }
        Ok(Holder::Key(key))
    }

    /// Refuses what some upstream could read a credential in, and we do not: it would reach the upstream.
    pub(crate) fn refuse_misspelt(
        &self,
        reading: &Reading<'_>,
        found: &mut Found<'_>,
    ) -> Result<(), Reason> {
        match self.sources.are_misspelt(reading) {
            true => Err(ambiguous(Ambiguity::Spelling, found)),
            false => Ok(()),
        }
    }

    /// Whether a token may be that of some key, by the prefixes and formats of the key types.
    pub(crate) fn is_shaped(&self, token: &[u8]) -> bool {
        !self.every_token_has_a_shape || self.ring.types.iter().any(|own| own.fits(token))
    }

    /// The session that a filter before this one has verified, or why it does not count; `None`
    /// if there is none.
    #[inline(never)]
    fn session(
        &self,
        sessions: &Sessions,
        reading: &Reading<'_>,
        presented: &Presented<'_>,
        found: &mut Found<'_>,
    ) -> Option<Result<Box<Session>, Reason>> {
        let claims = (reading.request().claims)(&sessions.payload)?;
        found.presented = true;
        found.has_claims = true;
        Some(match presented {
            Presented::Ambiguous(ambiguity) => Err(ambiguous(*ambiguity, found)),
            Presented::Token(token) if self.ring.find(token.as_bytes()).is_some() => {
                Err(Reason::AmbiguousCredential)
            }
            // What else was presented is the session's own token.
            _ => self
                .refuse_misspelt(reading, found)
                .and_then(|()| sessions.read(&claims).ok_or(Reason::MalformedCredential))
                .map(Box::new),
        })
    }
}

fn ambiguous(ambiguity: Ambiguity, found: &mut Found<'_>) -> Reason {
    found.ambiguity = Some(ambiguity);
    Reason::AmbiguousCredential
}

/// Whether the client's address is one of these.
fn is_within(reading: &Reading<'_>, networks: &[Network]) -> bool {
    let address = (reading.request().address)();
    address.is_some_and(|address| Network::is_one_of(networks, &address))
}

/// Whether a request says once that it comes from one of the origins.
fn is_from(reading: &Reading<'_>, origins: &[Origin]) -> bool {
    let mut values = reading.values("origin").map(std::str::from_utf8);
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => Origin::is_one(origins, value),
        _ => false,
    }
}
