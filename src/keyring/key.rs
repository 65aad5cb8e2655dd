//! One key of the ring.

use std::fmt;

use super::{Index, KeyRing, Record, id_at};
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
        self.string(self.record()?.account?.position())
    }

    /// The name of the key's type.
    pub fn key_type(&self) -> Option<&'e str> {
        self.own_type().map(|own| &*own.name)
    }

    /// The value of one of the key's attributes.
    pub fn attribute(&self, name: &str) -> Option<&'e str> {
        let end = self.record()?.attributes_end as usize;
        let before = self.index.checked_sub(1).and_then(|index| self.ring.records.get(index));
        let start = before.map_or(0, |record| record.attributes_end as usize);
        let own = self.ring.attributes.get(start..end)?;
        let is_named = |pair: &&(u32, u32)| self.string(pair.0 as usize) == Some(name);
        self.string(own.iter().find(is_named)?.1 as usize)
    }

    /// Whether one of the key's scopes covers `required`.
    pub(crate) fn covers(&self, required: &Scope) -> bool {
        let Some(record) = self.record() else { return false };
        match record.scopes.and_then(|set| self.ring.scope_sets.get(set.position())) {
            Some(set) => set
                .iter()
                .filter_map(|scope| self.ring.scopes.get(*scope as usize))
                .any(|scope| scope.covers(required)),
            None => self
                .own_type()
                .is_some_and(|own| own.scopes.iter().any(|scope| scope.covers(required))),
        }
    }

    /// The origins that the key may be used from; `None` for any caller, browser or not.
    pub(crate) fn origins(&self) -> Option<&'e [Origin]> {
        let set: Index = self.record()?.origins?;
        self.ring.origin_sets.get(set.position()).map(|set| &**set)
    }

    /// Why the key is not good now, whatever is asked. `clock` is asked only if the key has a window.
    pub(crate) fn refusal(&self, clock: &dyn Fn() -> Option<i64>) -> Option<Reason> {
        let Some(record) = self.record() else { return Some(Reason::UnknownKey) };
        if record.disabled {
            return Some(Reason::RevokedKey);
        }
        if self.own_type().is_some_and(|own| !own.enabled) {
            return Some(Reason::KeyTypeDisabled);
        }
        let (opens, closes) = (record.not_before > i64::MIN, record.expires_at < i64::MAX);
        if !opens && !closes {
            return None;
        }
        let now = clock();
        if opens && now.is_none_or(|now| now < record.not_before) {
            return Some(Reason::NotYetValid);
        }
        if closes && now.is_none_or(|now| now >= record.expires_at) {
            return Some(Reason::ExpiredKey);
        }
        None
    }

    fn record(&self) -> Option<&'e Record> {
        self.ring.records.get(self.index)
    }

    fn own_type(&self) -> Option<&'e KeyType> {
        let number = self.record()?.key_type?;
        self.ring.types.get(usize::from(number.get()).checked_sub(1)?)
    }

    fn string(&self, index: usize) -> Option<&'e str> {
        self.ring.string(index)
    }
}
