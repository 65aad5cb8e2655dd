//! The key ring: every key by the digest of its token, packed flat.
//!
//! A million keys take at most 100 bytes each besides their strings: one record and one digest a
//! key, one index entry, and whatever several keys share (accounts, scope sets, where keys may be used from,
//! attribute values) once. Which digests an index compares depends on bits of SHA-256 that an
//! attacker cannot choose; each is compared in constant time.

mod key;
mod texts;

use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::num::{NonZeroU16, NonZeroU32};

use hashbrown::HashTable;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rustc_hash::FxHasher;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::address::Network;
use crate::key_type::KeyType;
use crate::origin::Origin;
use crate::scope::Scope;

pub use key::Key;
use texts::{End, Texts};

/// The digest of a token.
pub(crate) type TokenDigest = [u8; 32];

/// How a key's hash was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// HMAC-SHA-256 (RFC 2104) under the pepper.
    HmacSha256,
    /// SHA-256 (FIPS 180-4).
    Sha256,
}

/// Every key, ready to be looked up.
#[derive(Default)]
pub(crate) struct KeyRing {
    pub(crate) records: Vec<Record>,
    digests: Vec<TokenDigest>,
    sha256: HashTable<u32>,
    hmac_sha256: HashTable<u32>,
    pepper: Option<Hmac<Sha256>>,
    pub(crate) types: Vec<KeyType>,
    /// All ids.
    pub(crate) ids: Texts,
    /// All shared strings, and where each ends.
    strings: Texts,
    string_ends: Vec<End>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) scope_sets: Vec<Box<[u32]>>,
    pub(crate) places: Vec<Places>,
    /// All attributes, one key's behind the other's: name and value, as indices of `strings`.
    pub(crate) attributes: Vec<(u32, u32)>,
}

/// A key as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    id_end: End,
    attributes_end: u32,
    terms: Terms,
}

/// For whom a key is, when, from where, and for what. Indices lead into the ring's shared parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// First second of validity.
    pub(crate) not_before: i64,
    /// First second after it.
    pub(crate) expires_at: i64,
    pub(crate) account: Option<Index>,
    pub(crate) scopes: Option<Index>,
    pub(crate) places: Option<Index>,
    pub(crate) key_type: Option<NonZeroU16>,
    pub(crate) disabled: bool,
    pub(crate) suspended: bool,
}

/// From where keys may be used; nothing says anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) origins: Box<[Origin]>,
    pub(crate) addresses: Box<[Network]>,
}

/// An index that takes no more room when there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(NonZeroU32);

impl Index {
    fn new(index: usize) -> Option<Index> {
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Index)
    }

    pub(crate) fn position(self) -> usize {
        (self.0.get() as usize).saturating_sub(1)
    }
}

impl fmt::Debug for KeyRing {
    /// Shows no digest.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyRing({} keys)", self.records.len())
    }
}

impl KeyRing {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn key(&self, index: usize) -> Option<Key<'_>> {
        (index < self.len()).then_some(Key { ring: self, index })
    }

    /// The shared string at an index.
    pub(crate) fn string(&self, index: usize) -> Option<&str> {
        text_at(&self.strings, &self.string_ends, index)
    }

    /// Whether the hash of some key is an HMAC.
    pub(crate) fn has_hmacs(&self) -> bool {
        !self.hmac_sha256.is_empty()
    }

    /// The key whose token this is.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Key<'_>> {
        let by_sha256 = || self.position(&self.sha256, &Sha256::digest(token).into());
        let by_hmac = || {
            let mut hmac = self.pepper.clone()?;
            hmac.update(token);
            self.position(&self.hmac_sha256, &hmac.finalize().into_bytes().into())
        };
        let index = by_sha256().or_else(by_hmac)?;
        Some(Key { ring: self, index })
    }

    fn position(&self, table: &HashTable<u32>, digest: &TokenDigest) -> Option<usize> {
        let is_same = |index: &u32| {
            self.digests.get(*index as usize).is_some_and(|known| is_same_digest(known, digest))
        };
        table.find(hash_of_digest(digest), is_same).map(|index| *index as usize)
    }
}

/// Compares digests in constant time. (One function, small as the module has to be.)
#[inline(never)]
fn is_same_digest(one: &TokenDigest, other: &TokenDigest) -> bool {
    let ((one, _), (other, _)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let differ = one.iter().zip(other).fold(0, |differ, (one, other)| {
        differ | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
    });
    differ.ct_eq(&0).into()
}

/// Digests of tokens are even as they are, in every part; of those that a test makes up, only a few
/// bytes may differ.
fn hash_of_digest(digest: &TokenDigest) -> u64 {
    let (words, _) = digest.as_chunks::<8>();
    words.iter().fold(0, |hash, word| hash ^ u64::from_be_bytes(*word))
}

/// What a key takes, its entry in the table of digests included, in bytes.
const KEY: usize = size_of::<Record>() + size_of::<TokenDigest>() + 10;

/// What an entry of a table of indices takes at most, beside the table that it grew out of.
const ENTRY: usize = 18;

/// What an allocation takes beside what is in it, and where it is told of, in bytes.
const ALLOCATION: usize = 32;

/// What an origin takes, its texts included, in bytes: as a VM counts, whose pointers are short.
const ORIGIN: usize = 80;

/// What a key's name is called among its attributes, where it is kept: no attribute can be named so.
pub(crate) const NAME: &str = "";

/// Builds a [`KeyRing`], sharing what keys have in common.
#[derive(Default)]
pub(crate) struct Builder {
    ring: KeyRing,
    ids: HashTable<u32>,
    strings: HashTable<u32>,
    scopes: HashTable<u32>,
    scope_sets: HashTable<u32>,
    types: HashTable<u32>,
    /// About how many keys there will be.
    expected: usize,
    bytes: usize,
    work: usize,
}

/// What a new key has in common with an earlier one, and may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    Hash,
    Id,
}

impl Builder {
    /// What is reserved for so many keys, in bytes.
    pub(crate) fn reserves(keys: usize) -> usize {
        KEY.saturating_add(ENTRY).saturating_mul(keys)
    }

    pub(crate) fn new(types: Vec<KeyType>, pepper: Option<&[u8]>, keys: usize) -> Builder {
        let mut builder = Builder::default();
        let hash_at =
            |index: &u32| types.get(*index as usize).map_or(0, |known| hash_of(known.name()));
        for index in (0..).take(types.len()) {
            insert(&mut builder.types, hash_at(&index), index, &hash_at);
        }
        builder.ring.types = types;
        builder.ring.pepper = pepper.and_then(|pepper| Hmac::new_from_slice(pepper).ok());
        builder.expected = keys;
        builder.ring.records.reserve_exact(keys);
        builder.ring.digests.reserve_exact(keys);
        reserve(&mut builder.ids, keys);
        builder
    }

    pub(crate) fn has_pepper(&self) -> bool {
        self.ring.pepper.is_some()
    }

    pub(crate) fn types(&self) -> &[KeyType] {
        &self.ring.types
    }

    /// The index of the key type of that name.
    pub(crate) fn type_index(&self, name: &str) -> Option<usize> {
        let known = |index: &u32| self.ring.types.get(*index as usize);
        let is_named = |index: &u32| known(index).is_some_and(|known| known.name() == name);
        self.types.find(hash_of(name), is_named).map(|index| *index as usize)
    }

    /// The memory that the ring takes so far, in bytes, as far as it depends on the configuration.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What building it takes besides: tables that find what is there, and lists that are copied as they
    /// grow.
    pub(crate) fn work(&self) -> usize {
        self.work
    }

    /// Adds a key.
    pub(crate) fn add(
        &mut self,
        id: &str,
        algorithm: Algorithm,
        digest: TokenDigest,
        attributes: &[(impl AsRef<str>, impl AsRef<str>)],
        terms: Terms,
    ) -> Result<(), Clash> {
        // What does not fit an index is refused before: `KEYS` and `CONFIGURATION_BYTES` see to it.
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the limits on keys")]
        let index = self.ring.records.len() as u32;
        if index as usize == self.expected {
            self.works(KEY.saturating_mul(2), self.expected);
        }
        let ring = &mut self.ring;
        let table = match algorithm {
            Algorithm::HmacSha256 => &mut ring.hmac_sha256,
            Algorithm::Sha256 => &mut ring.sha256,
        };
        let digests = &ring.digests;
        let digest_at = |index: &u32| digests.get(*index as usize);
        let has_digest =
            |index: &u32| digest_at(index).is_some_and(|known| is_same_digest(known, &digest));
        let hash_at = |index: &u32| digest_at(index).map_or(0, hash_of_digest);
        if table.is_empty() {
            reserve(table, self.expected);
        }
        if table.find(hash_of_digest(&digest), has_digest).is_some() {
            return Err(Clash::Hash);
        }
        let (records, ids) = (&ring.records, &ring.ids);
        let id_at = |index: &u32| id_at(records, ids, *index as usize);
        let hash = hash_of(id);
        if self.ids.find(hash, |index| id_at(index) == id).is_some() {
            return Err(Clash::Id);
        }
        insert(&mut self.ids, hash, index, &|index| hash_of(id_at(index)));
        insert(table, hash_of_digest(&digest), index, &hash_at);
        ring.digests.push(digest);
        let id_end = ring.ids.push(id);
        for (name, value) in attributes {
            let pair = (self.string_index(name.as_ref()), self.string_index(value.as_ref()));
            self.ring.attributes.push(pair);
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the configuration's size")]
        let attributes_end = self.ring.attributes.len() as u32;
        self.ring.records.push(Record { id_end, attributes_end, terms });
        self.takes(KEY, 1);
        self.takes(1, id.len());
        self.works(ENTRY, 1);
        self.takes_in_list(size_of::<(u32, u32)>(), attributes.len());
        Ok(())
    }

    /// The index of a shared string.
    pub(crate) fn string(&mut self, text: &str) -> Option<Index> {
        Index::new(self.string_index(text) as usize)
    }

    fn string_index(&mut self, text: &str) -> u32 {
        let (strings, ends) = (&mut self.ring.strings, &mut self.ring.string_ends);
        let string_at = |index: &u32| text_at(strings, ends, *index as usize).unwrap_or_default();
        let hash = hash_of(text);
        if let Some(index) = self.strings.find(hash, |index| string_at(index) == text) {
            return *index;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the configuration's size")]
        let index = ends.len() as u32;
        insert(&mut self.strings, hash, index, &|index| hash_of(string_at(index)));
        ends.push(strings.push(text));
        self.takes(1, text.len());
        self.takes_in_list(size_of::<End>(), 1);
        self.works(ENTRY, 1);
        index
    }

    /// The index of a shared list of scopes, in its order.
    pub(crate) fn scope_set(&mut self, scopes: Vec<Scope>) -> Option<Index> {
        let mut set: Vec<u32> = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let (index, is_new) =
                intern(&mut self.scopes, &mut self.ring.scopes, &scope, Clone::clone);
            if is_new {
                self.takes(1, scope.as_str().len());
                self.takes_in_list(ALLOCATION, 1);
                self.works(ENTRY, 1);
            }
            set.push(index);
        }
        let (index, is_new) =
            intern(&mut self.scope_sets, &mut self.ring.scope_sets, &set[..], |set| set.into());
        if is_new {
            self.takes(size_of::<u32>(), set.len());
            self.takes_in_list(ALLOCATION, 1);
            self.works(ENTRY, 1);
        }
        Index::new(index as usize)
    }

    /// The index of places; none of anywhere.
    pub(crate) fn places(
        &mut self,
        origins: Option<Vec<Origin>>,
        addresses: Option<Vec<Network>>,
    ) -> Option<Index> {
        if origins.is_none() && addresses.is_none() {
            return None;
        }
        let places = Places {
            origins: origins.unwrap_or_default().into(),
            addresses: addresses.unwrap_or_default().into(),
        };
        let (origins, addresses) = (places.origins.len(), places.addresses.len());
        // Keys with the same places mostly stand together; no more than that is shared.
        if self.ring.places.last() != Some(&places) {
            self.ring.places.push(places);
            self.takes(ORIGIN, origins);
            self.takes(size_of::<Network>(), addresses);
            self.takes_in_list(ALLOCATION, 2);
        }
        Index::new(self.ring.places.len().saturating_sub(1))
    }

    /// Counts memory: so many times so many bytes.
    fn takes(&mut self, bytes: usize, times: usize) {
        self.bytes = self.bytes.saturating_add(bytes.saturating_mul(times));
    }

    /// The same in a list, which is up to three times as large while it grows.
    fn takes_in_list(&mut self, bytes: usize, times: usize) {
        self.takes(bytes, times);
        self.works(bytes.saturating_mul(2), times);
    }

    /// The largest piece that may be taken next, in bytes: a list or a table twice as large as now.
    pub(crate) fn next_piece(&self) -> usize {
        let ring = &self.ring;
        let full =
            if ring.records.len() == ring.records.capacity() { ring.records.len() } else { 0 };
        let pieces = [
            (full, size_of::<Record>()),
            (ring.attributes.capacity(), size_of::<(u32, u32)>()),
            (ring.string_ends.capacity(), size_of::<End>()),
            (ring.scope_sets.capacity(), size_of::<Box<[u32]>>()),
            (ring.places.capacity(), size_of::<Places>()),
            (self.strings.capacity(), ENTRY / 3),
            (self.scope_sets.capacity(), ENTRY / 3),
        ];
        let twice = |(count, bytes): (usize, usize)| count.saturating_mul(bytes).saturating_mul(2);
        pieces.map(twice).into_iter().max().unwrap_or_default()
    }

    fn works(&mut self, bytes: usize, times: usize) {
        self.work = self.work.saturating_add(bytes.saturating_mul(times));
    }

    pub(crate) fn finish(self) -> KeyRing {
        let mut ring = self.ring;
        ring.ids.shrink_to_fit();
        ring.strings.shrink_to_fit();
        ring.string_ends.shrink_to_fit();
        ring.scopes.shrink_to_fit();
        ring.scope_sets.shrink_to_fit();
        ring.places.shrink_to_fit();
        ring.attributes.shrink_to_fit();
        ring
    }
}

/// The id of the key at an index.
pub(crate) fn id_at<'a>(records: &[Record], ids: &'a Texts, index: usize) -> &'a str {
    let end = |index: usize| records.get(index).map_or(0, |record| record.id_end);
    let before = index.checked_sub(1).map_or(0, end);
    ids.get(before, end(index)).unwrap_or_default()
}

/// The text at an index of those that end where `ends` says.
fn text_at<'a>(texts: &'a Texts, ends: &[End], index: usize) -> Option<&'a str> {
    let end = |index: usize| ends.get(index).copied();
    let before = index.checked_sub(1).map_or(Some(0), end)?;
    texts.get(before, end(index)?)
}

/// The index of the value in `values` that equals `borrowed`, and whether it is new there.
fn intern<T, B>(
    table: &mut HashTable<u32>,
    values: &mut Vec<T>,
    borrowed: &B,
    owned: impl Fn(&B) -> T,
) -> (u32, bool)
where
    T: std::borrow::Borrow<B>,
    B: Hash + Eq + ?Sized,
{
    let hash = hash_of(borrowed);
    let value_at =
        |values: &[T], index: u32| values.get(index as usize).map(|value| hash_of(value.borrow()));
    let is_same =
        |index: &u32| values.get(*index as usize).is_some_and(|value| value.borrow() == borrowed);
    if let Some(index) = table.find(hash, is_same) {
        return (*index, false);
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the configuration's size")]
    let index = values.len() as u32;
    insert(table, hash, index, &|index| value_at(values, *index).unwrap_or_default());
    values.push(owned(borrowed));
    (index, true)
}

/// Inserts an index that is not in the table. (One function for all tables: each other would bring
/// its own growing of a table into the module.)
#[inline(never)]
pub(crate) fn insert(
    table: &mut HashTable<u32>,
    hash: u64,
    index: u32,
    hash_at: &dyn Fn(&u32) -> u64,
) {
    table.insert_unique(hash, index, hash_at);
}

/// Makes room in an empty table.
#[inline(never)]
fn reserve(table: &mut HashTable<u32>, count: usize) {
    let hash_at: &dyn Fn(&u32) -> u64 = &|_| 0;
    table.reserve(count, hash_at);
}

/// A hash without randomness: configuring must do the same in every VM. What is hashed was written
/// by the operator.
pub(crate) fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    BuildHasherDefault::<FxHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 40, "{}", size_of::<Record>());
    }

    const NONE: &[(&str, &str)] = &[];

    const ANY: Terms = Terms {
        not_before: i64::MIN,
        expires_at: i64::MAX,
        account: None,
        scopes: None,
        places: None,
        key_type: None,
        disabled: false,
        suspended: false,
    };

    fn digest(token: &[u8]) -> TokenDigest {
        Sha256::digest(token).into()
    }

    #[test]
    fn every_key_is_found_by_its_token_and_by_no_other() {
        let mut builder = Builder::new(Vec::new(), None, 100);
        for number in 0..100 {
            let attributes = [("n".to_owned(), number.to_string())];
            let id = format!("key-{number}");
            let digest = digest(format!("token-{number}").as_bytes());
            builder.add(&id, Algorithm::Sha256, digest, &attributes, ANY).unwrap();
        }
        let ring = builder.finish();
        for number in 0..100 {
            let key = ring.find(format!("token-{number}").as_bytes()).unwrap();
            assert_eq!(key.id(), format!("key-{number}"));
            assert_eq!(key.attribute("n"), Some(&*number.to_string()));
        }
        assert!(ring.find(b"token-100").is_none());
        assert!(ring.find(b"").is_none());
    }

    #[test]
    fn ids_and_hashes_are_unique() {
        let mut builder = Builder::new(Vec::new(), None, 2);
        builder.add("a", Algorithm::Sha256, digest(b"1"), NONE, ANY).unwrap();
        let again = builder.add("a", Algorithm::Sha256, digest(b"2"), NONE, ANY);
        assert_eq!(again, Err(Clash::Id));
        let again = builder.add("b", Algorithm::Sha256, digest(b"1"), NONE, ANY);
        assert_eq!(again, Err(Clash::Hash));
    }

    #[test]
    fn a_pepper_keeps_its_digests_apart() {
        let mut builder = Builder::new(Vec::new(), Some(b"pepper"), 1);
        // printf token | openssl dgst -sha256 -hmac pepper
        let mut hmac = TokenDigest::default();
        let digits = "d06900724f36b88d7f0b2d77004645b24578b2629a5d666200fa5ab3f509b45e";
        hex::decode_to_slice(digits, &mut hmac).unwrap();
        builder.add("a", Algorithm::HmacSha256, hmac, NONE, ANY).unwrap();
        let ring = builder.finish();
        assert_eq!(ring.find(b"token").unwrap().id(), "a");
        assert!(ring.find(b"pepper").is_none());
    }

    #[test]
    fn equal_strings_and_sets_are_kept_once() {
        let mut builder = Builder::new(Vec::new(), None, 0);
        let scopes = |texts: [&str; 2]| texts.map(|text| Scope::parse(text).unwrap()).to_vec();
        let one = builder.scope_set(scopes(["a:read", "b:read"]));
        assert_eq!(builder.scope_set(scopes(["a:read", "b:read"])), one);
        assert_eq!(builder.string("ws"), builder.string("ws"));
        assert_ne!(builder.string("ws"), builder.string("other"));
    }
}
