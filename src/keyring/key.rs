//! One key of the ring.

use std::fmt;

use super::{KeyRing, NAME, Places, Record, Terms, id_at};
use crate::address::Network;
use crate::key_type::KeyType;
use crate::origin::Origin;
use crate::reason::Reason;
use crate::scope::Scope;

/// A key that a request presented the token of.
#[derive(Clone, Copy)]
pub struct Key<'e> {
    pub(super) ring: &'e KeyRing,
    pub(super) index: usize,
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.id())
    }
}

impl<'e> Key<'e> {
    /// The key's place among the configuration's keys, from zero.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What logs, metrics and headers call the key.
    pub fn id(&self) -> &'e str {
        id_at(&self.ring.records, &self.ring.ids, self.index)
    }

    /// The tenant that the key belongs to.
    pub fn account(&self) -> Option<&'e str> {
        self.string(self.terms()?.account?.position())
    }

    /// The name of the key's type.
    pub fn key_type(&self) -> Option<&'e str> {
        self.own_type().map(|key_type| &*key_type.name)
    }

    /// What people call the key; `None` as well where no header of the policy's tells it.
    pub fn name(&self) -> Option<&'e str> {
        self.attribute(NAME)
    }

    /// The value of one of the key's attributes.
    pub fn attribute(&self, name: &str) -> Option<&'e str> {
        let is_named = |pair: &&(u32, u32)| self.string(pair.0 as usize) == Some(name);
        self.string(self.pairs()?.iter().find(is_named)?.1 as usize)
    }

    /// The names and values of the key's attributes, as the policy has them in order.
    pub fn attributes(self) -> impl Iterator<Item = (&'e str, &'e str)> {
        let pairs = self.pairs().unwrap_or_default().iter();
        let texts = pairs.filter_map(move |(name, value)| {
            Some((self.string(*name as usize)?, self.string(*value as usize)?))
        });
        texts.filter(|(name, _)| *name != NAME)
    }

    /// The scopes that the key names itself, in the order of the policy; `None` if it names none, so that
    /// those of its type count.
    pub fn scopes(self) -> Option<impl Iterator<Item = &'e Scope>> {
        let set = self.ring.scope_sets.get(self.terms()?.scopes?.position())?;
        Some(set.iter().filter_map(move |scope| self.ring.scopes.get(*scope as usize)))
    }

    /// What the key may do: its own scopes, or else those of its type.
    pub fn granted(self) -> impl Iterator<Item = &'e Scope> {
        let scopes = self.scopes();
        let of_type =
            if scopes.is_none() { self.own_type().and_then(KeyType::scopes) } else { None };
        scopes.into_iter().flatten().chain(of_type.unwrap_or_default())
    }

    /// The origins that the key may be used from; `None` for any caller, browser or not.
    pub fn origins(&self) -> Option<&'e [Origin]> {
        self.places().map(|places| &*places.origins).filter(|origins| !origins.is_empty())
    }

    /// The addresses that the key may be used from, its own or else those of its type; `None` for anywhere.
    pub fn addresses(&self) -> Option<&'e [Network]> {
        let own = self.places().map(|places| &*places.addresses);
        own.filter(|networks| !networks.is_empty()).or_else(|| self.own_type()?.addresses())
    }

    /// Whether the key is disabled or suspended.
    pub fn is_revoked(&self) -> bool {
        self.terms().is_none_or(|terms| terms.disabled || terms.suspended)
    }

    /// Whether the key is suspended: to be resumed, unless it is disabled as well.
    pub fn is_suspended(&self) -> bool {
        self.terms().is_some_and(|terms| terms.suspended)
    }

    /// The first second at which the key is good, in Unix seconds, if it says one.
    pub fn not_before(&self) -> Option<i64> {
        self.terms().map(|terms| terms.not_before).filter(|opens| *opens > i64::MIN)
    }

    /// The first second at which the key is good no more, in Unix seconds, if it says one.
    pub fn expires_at(&self) -> Option<i64> {
        self.terms().map(|terms| terms.expires_at).filter(|closes| *closes < i64::MAX)
    }

    /// Whether one of the key's scopes covers `required`.
    pub(crate) fn covers(&self, required: &Scope) -> bool {
        self.granted().any(|scope| scope.covers(required))
    }

    /// Why the key is not good now, whatever is asked. `clock` is asked only if the key has a window.
    pub(crate) fn refusal(&self, clock: &dyn Fn() -> Option<i64>) -> Option<Reason> {
        let Some(terms) = self.terms() else { return Some(Reason::UnknownKey) };
        if terms.disabled || terms.suspended {
            return Some(Reason::RevokedKey);
        }
        if self.own_type().is_some_and(|key_type| !key_type.enabled) {
            return Some(Reason::KeyTypeDisabled);
        }
        let (opens, closes) = (terms.not_before > i64::MIN, terms.expires_at < i64::MAX);
        if !opens && !closes {
            return None;
        }
        let now = clock();
        if opens && now.is_none_or(|now| now < terms.not_before) {
            return Some(Reason::NotYetValid);
        }
        if closes && now.is_none_or(|now| now >= terms.expires_at) {
            return Some(Reason::ExpiredKey);
        }
        None
    }

    fn places(&self) -> Option<&'e Places> {
        self.ring.places.get(self.terms()?.places?.position())
    }

    fn record(&self) -> Option<&'e Record> {
        self.ring.records.get(self.index)
    }

    fn terms(&self) -> Option<&'e Terms> {
        self.record().map(|record| &record.terms)
    }

    /// Its attributes, as places of strings of the ring.
    fn pairs(&self) -> Option<&'e [(u32, u32)]> {
        let end = self.record()?.attributes_end as usize;
        let before = self.index.checked_sub(1).and_then(|index| self.ring.records.get(index));
        let start = before.map_or(0, |record| record.attributes_end as usize);
        self.ring.attributes.get(start..end)
    }

    pub(crate) fn own_type(&self) -> Option<&'e KeyType> {
        let number = self.terms()?.key_type?;
        self.ring.types.get(usize::from(number.get()).checked_sub(1)?)
    }

    fn string(&self, index: usize) -> Option<&'e str> {
        self.ring.string(index)
    }
}
