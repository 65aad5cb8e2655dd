//! Key types and keys.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use serde_json::value::RawValue;

use super::{Environment, identifier, quoted, scope};
use crate::address::{Network, NetworkError};
use crate::config::{Instant, Node, Object, RawKey, Text, Whole, each_item};
use crate::finding::{Code, Place, is_identifier};
use crate::http::is_field_value;
use crate::key_type::{Format, KeyType};
use crate::keyring::{Algorithm, Builder, Clash, KeyRing, NAME, Terms, TokenDigest};
use crate::limits;
use crate::memory::{Memory, find_room};
use crate::origin::Origin;
use crate::scope::Scope;

pub(super) fn key_types(policy: &Object<'_, '_>) -> Vec<KeyType> {
    let Some(fields) = policy.entries("key_types") else { return Vec::new() };
    if fields.len() > limits::KEY_TYPES {
        fields.node.place.too_many("key types", limits::KEY_TYPES);
        return Vec::new();
    }
    let mut types = Vec::new();
    for (name, node) in fields.iter() {
        if !is_identifier(name) {
            identifier("a key type's name", node.place);
        }
        types.extend(key_type(name, node));
    }
    types
}

fn key_type(name: &str, node: Node<'_, '_>) -> Option<KeyType> {
    const FIELDS: [&str; 7] = [
        "prefix",
        "format",
        "enabled",
        "scopes",
        "origins_required",
        "addresses",
        "max_active_per_account",
    ];
    let fields = node.object(&FIELDS)?;
    let prefix: Option<String> = fields.field("prefix");
    let enabled: Option<bool> = fields.field("enabled");
    let origins_required: Option<bool> = fields.field("origins_required");
    let most: Option<Whole> = fields.field("max_active_per_account");
    let is_prefix = |text: &String| {
        (1..limits::TOKEN_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !prefix.iter().all(is_prefix) {
        let message = "a prefix is visible ASCII, shorter than a token";
        node.place.field("prefix").error(Code::InvalidValue, message);
    }
    if most.is_some_and(|most| most.0 < 1) {
        let place = node.place.field("max_active_per_account");
        place.error(Code::InvalidValue, "expected 1 or more");
    }
    let list = fields.node("scopes");
    let texts = list.as_ref().and_then(Node::texts);
    let format = fields.node("format");
    let format = format.and_then(|node| self::format(node, prefix.as_ref().map_or(0, String::len)));
    let scopes = texts.map(|texts| {
        let place = node.place.field("scopes");
        let texts = texts.iter().map(|(place, text)| (*place, text.as_str()));
        scopes(texts, place).into()
    });
    let addresses = fields.node("addresses").map(|list| networks(list, "type"));
    Some(KeyType {
        name: name.into(),
        prefix: prefix.map(Into::into),
        format,
        enabled: enabled.unwrap_or(true),
        scopes,
        origins_required: origins_required.unwrap_or(false),
        addresses: addresses.unwrap_or_default().into(),
        most_active: most.and_then(|Whole(most)| usize::try_from(most).ok()),
    })
}

/// `prefix` is how many bytes come before what the format is of.
fn format(node: Node<'_, '_>, prefix: usize) -> Option<Format> {
    const FIELDS: [&str; 2] = ["length", "charset"];
    let format = node.object(&FIELDS)?;
    for name in FIELDS.into_iter().filter(|name| !format.has(name)) {
        format.missing(name);
    }
    let length: Option<Whole> = format.field("length");
    let charset = format.word("charset");
    let length = usize::try_from(length?.0).unwrap_or(0);
    if length == 0 || prefix.saturating_add(length) > limits::TOKEN_BYTES {
        let message =
            format!("a token is 1 to {} bytes long, prefix included", limits::TOKEN_BYTES);
        node.place.field("length").error(Code::InvalidValue, message);
    }
    Some(Format { length, charset: charset? })
}

/// Compiles the scopes of a list that stands at `place`, each at its own.
fn scopes<'t>(
    texts: impl ExactSizeIterator<Item = (Place<'t>, &'t str)>,
    place: Place<'_>,
) -> Vec<Scope> {
    if texts.len() > limits::GRANTS {
        place.too_many("scopes", limits::GRANTS);
        return Vec::new();
    }
    texts.filter_map(|(place, text)| scope(text, place)).collect()
}

/// All keys, and what the rest of the policy must know of them.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) ring: KeyRing,
    pub(super) every_key_has_a_type: bool,
    /// The attributes that some key has; `None` if there are no keys.
    pub(super) attributes: Option<BTreeSet<Box<str>>>,
    /// What the policy takes with them.
    pub(super) memory: Memory,
}

/// Compiles the keys of a policy that takes `memory` besides; `None` where there is no room for them.
pub(super) fn keys(
    policy: &Object<'_, '_>,
    types: Vec<KeyType>,
    environment: &Environment<'_>,
    memory: Memory,
) -> Option<Keys> {
    let Some(node) = policy.node("keys") else {
        policy.missing("keys").help("a policy without keys says `keys: []`");
        return Some(Keys { memory, ..Keys::default() });
    };
    let expected = estimated_keys(node.raw.get());
    if !find_room(Builder::reserves(expected), node.place) {
        return None;
    }
    let pepper = environment.pepper.filter(|pepper| !pepper.is_empty());
    let mut reader = Reader {
        place: node.place,
        every_key_has_a_type: true,
        keeps_names: ["upstream_headers", "response_headers"]
            .into_iter()
            .any(|field| policy.node(field).is_some_and(may_tell_names)),
        attributes: BTreeSet::new(),
        builder: Builder::new(types, pepper, expected),
        besides: memory,
        next_probe: PROBED,
        is_full: false,
    };
    let mut count: usize = 0;
    let mut more = true;
    let is_whole = each_item(node.raw, |key: RawKey<'_>| {
        more = count < limits::KEYS && reader.add(key, count);
        count = count.saturating_add(1);
        more
    });
    if !is_whole && more {
        // One has another shape: from there on, each is read by itself.
        let rest: Vec<&RawValue> = node.read().unwrap_or_default();
        let read = std::mem::replace(&mut count, rest.len());
        let rest = if count > limits::KEYS { Vec::new() } else { rest };
        for (index, raw) in rest.into_iter().enumerate().skip(read) {
            let key = RawKey::parse(Node { raw, place: node.place.item(index) });
            if !key.is_none_or(|key| reader.add(key, index)) {
                break;
            }
        }
    }
    if count > limits::KEYS {
        node.place.too_many("keys", limits::KEYS);
    }
    let memory = reader.memory();
    (!reader.is_full).then(|| Keys {
        ring: reader.builder.finish(),
        every_key_has_a_type: reader.every_key_has_a_type,
        attributes: (count > 0).then_some(reader.attributes),
        memory,
    })
}

/// How often it is tried whether there is room for more, in bytes of a ring.
const PROBED: usize = 1024 * 1024;

/// What an attribute's name takes until all are known, in bytes.
const ATTRIBUTE_NAME: usize = limits::IDENTIFIER_BYTES + 64;

/// Reads keys one by one.
struct Reader<'p> {
    /// Where their list stands.
    place: Place<'p>,
    every_key_has_a_type: bool,
    /// Whether a header tells the names of keys.
    keeps_names: bool,
    attributes: BTreeSet<Box<str>>,
    builder: Builder,
    /// What the policy takes besides the keys.
    besides: Memory,
    /// The bytes of the ring at which the next room is looked for.
    next_probe: usize,
    is_full: bool,
}

impl Reader<'_> {
    /// Adds a key, and says whether there is room for another.
    fn add(&mut self, key: RawKey<'_>, index: usize) -> bool {
        let list = self.place;
        let place = list.item(index);
        self.every_key_has_a_type &= key.key_type.is_some();
        self.key(key, place);
        if !self.memory().fits(place) {
            return false;
        }
        if self.builder.bytes() >= self.next_probe {
            self.next_probe = self.builder.bytes().saturating_add(PROBED);
            let piece = self.builder.next_piece().saturating_add(PROBED);
            self.is_full = !find_room(piece, place);
        }
        !self.is_full
    }

    /// What the policy takes with the keys so far.
    fn memory(&self) -> Memory {
        let Memory { text, work, policy } = self.besides;
        let names = self.attributes.len().saturating_mul(ATTRIBUTE_NAME);
        Memory {
            text,
            work: work.saturating_add(self.builder.work()).saturating_add(names),
            policy: policy.saturating_add(self.builder.bytes()),
        }
    }

    fn key(&mut self, raw: RawKey<'_>, place: Place<'_>) {
        if !is_identifier(&raw.id) {
            identifier("a key id", place.field("id"));
        }
        let hash = hash(&raw.hash, self.builder.has_pepper(), place.field("hash"));
        let name = raw.key_type.as_deref();
        let type_index = name.and_then(|name| self.type_index(name, place.field("type")));
        match &raw.name {
            Some(name) if self.keeps_names => {
                identity_value(name, "a name that headers tell", place.field("name"));
            }
            name => note("name", name.as_deref(), limits::ATTRIBUTE_BYTES, place),
        }
        note("hint", raw.hint.as_deref(), limits::HINT_BYTES, place);
        let account = raw.account.as_deref().and_then(|account| {
            identity_value(account, "an account", place.field("account"));
            self.builder.string(account)
        });
        let scopes = raw.scopes.as_ref().and_then(|texts| {
            let place = place.field("scopes");
            let texts = texts.iter().enumerate();
            let scopes = scopes(texts.map(|(index, text)| (place.item(index), &**text)), place);
            self.builder.scope_set(scopes)
        });
        let (not_before, expires_at) = window(raw.not_before, raw.expires_at, place);
        let origins = raw.origins.map(|raw| origins(Node { raw, place: place.field("origins") }));
        let addresses =
            raw.addresses.map(|raw| networks(Node { raw, place: place.field("addresses") }, "key"));
        let places = self.builder.places(origins, addresses);
        let key_type = type_index.and_then(|index| self.builder.types().get(index));
        if raw.origins.is_none() && key_type.is_some_and(KeyType::origins_required) {
            place.error(
                Code::MissingOrigins,
                "a key of this type needs `origins`, as the type says `origins_required`",
            );
        }
        let mut attributes = raw.attributes.map(|attributes| attributes.0).unwrap_or_default();
        self.attributes(&attributes, place.field("attributes"));
        if let Some(name) = raw.name.filter(|_| self.keeps_names) {
            attributes.push((NAME.into(), name));
        }

        let Some((algorithm, digest)) = hash else { return };
        let terms = Terms {
            not_before,
            expires_at,
            account,
            scopes,
            places,
            key_type: type_index
                .and_then(|index| u16::try_from(index).ok()?.checked_add(1))
                .and_then(NonZeroU16::new),
            disabled: raw.disabled,
            suspended: raw.suspended,
        };
        match self.builder.add(&raw.id, algorithm, digest, &attributes, terms) {
            Ok(()) => {}
            Err(Clash::Hash) => {
                let message = "another key has the same hash, so the same token";
                place.field("hash").error(Code::DuplicateHash, message);
            }
            Err(Clash::Id) => {
                place.field("id").error(Code::DuplicateId, "another key has the same id");
            }
        }
    }

    fn type_index(&self, name: &str, place: Place<'_>) -> Option<usize> {
        let index = self.builder.type_index(name);
        if index.is_none() {
            let message = format!("key type {} is not defined in `key_types`", quoted(name));
            let known = self.builder.types().iter().map(KeyType::name);
            place.error(Code::UnknownKeyType, message).did_you_mean(name, known);
        }
        index
    }

    fn attributes(&mut self, attributes: &[(Text<'_>, Text<'_>)], place: Place<'_>) {
        if attributes.len() > limits::ATTRIBUTES {
            place.too_many("attributes", limits::ATTRIBUTES);
            return;
        }
        for (name, value) in attributes {
            let name: &str = name;
            if !is_identifier(name) {
                identifier("an attribute name", place);
                continue;
            }
            let place = place.field(name);
            if matches!(name, "account" | "id" | "type") {
                place
                    .error(
                        Code::InvalidIdentifier,
                        format!("an attribute cannot be named `{name}`"),
                    )
                    .help("in a `where` that name stands for the key's own field");
            }
            identity_value(value, "an attribute", place);
            if !self.attributes.contains(name) {
                self.attributes.insert(name.into());
            }
        }
    }
}

/// A text for people, which the engine does not keep.
fn note(field: &str, text: Option<&str>, most: usize, place: Place<'_>) {
    if text.is_some_and(|text| text.len() > most) {
        let message = format!("a {field} is at most {most} bytes long");
        place.field(field).error(Code::TooLarge, message);
    }
}

fn hash(text: &str, has_pepper: bool, place: Place<'_>) -> Option<(Algorithm, TokenDigest)> {
    let (algorithm, digits) = match text.split_once(':') {
        Some(("sha256", digits)) => (Algorithm::Sha256, digits),
        Some(("hmac-sha256", digits)) => (Algorithm::HmacSha256, digits),
        _ => (Algorithm::Sha256, ""),
    };
    let mut digest = TokenDigest::default();
    if hex::decode_to_slice(digits, &mut digest).is_err() {
        let message = "a hash is `sha256:` or `hmac-sha256:` and 64 hex digits";
        place.error(Code::InvalidHash, message).help("the token itself must not be written here");
        return None;
    }
    if algorithm == Algorithm::HmacSha256 && !has_pepper {
        let message = "an `hmac-sha256` hash needs LATCHKEY_PEPPER in the VM's environment";
        place.error(Code::MissingPepper, message);
    }
    Some((algorithm, digest))
}

fn window(
    not_before: Option<Instant>,
    expires_at: Option<Instant>,
    place: Place<'_>,
) -> (i64, i64) {
    let opens = not_before.map_or(i64::MIN, |instant| instant.0);
    let closes = expires_at.map_or(i64::MAX, |instant| instant.0);
    if opens >= closes {
        let message = "`not_before` is not before `expires_at`, so the key is never valid";
        place.error(Code::WindowNeverOpens, message);
    }
    (opens, closes)
}

fn origins(list: Node<'_, '_>) -> Vec<Origin> {
    let mut origins = Vec::new();
    for (place, text) in places(&list, "key", "origins") {
        match Origin::parse(&text) {
            Ok(origin) => origins.push(origin),
            Err(error) => {
                place.error(Code::InvalidOrigin, error.to_string());
            }
        }
    }
    origins
}

/// The networks of a list of the key or of the key type that is the `owner`.
fn networks(list: Node<'_, '_>, owner: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for (place, text) in places(&list, owner, "addresses") {
        match Network::parse(&text) {
            Ok(network) => networks.push(network),
            Err(error) => {
                let noted = place.error(Code::InvalidAddress, error.as_str());
                if error == NetworkError::BitsBehindPrefix {
                    noted.help(
                        "write the network's first address, or leave the prefix out for this one",
                    );
                }
            }
        }
    }
    networks
}

/// The texts of a list of where the keys of an `owner` may be used from: at least one.
fn places<'p>(list: &'p Node<'_, '_>, owner: &str, field: &str) -> Vec<(Place<'p>, String)> {
    let Some(items) = list.items() else { return Vec::new() };
    if items.len() > limits::GRANTS {
        list.place.too_many(field, limits::GRANTS);
        return Vec::new();
    }
    if items.is_empty() {
        let off = if owner == "key" { "disabled: true" } else { "enabled: false" };
        list.place
            .error(Code::Empty, format!("the {owner}'s list of {field} is empty"))
            .help(format!("leave `{field}` out for any caller, or use `{off}`"));
    }
    items.into_iter().filter_map(|item| Some((item.place, item.read()?))).collect()
}

/// A value of a bounded length that headers may carry.
fn identity_value(value: &str, what: &str, place: Place<'_>) {
    if value.len() > limits::ATTRIBUTE_BYTES {
        let message = format!("{what} is at most {} bytes long", limits::ATTRIBUTE_BYTES);
        place.error(Code::TooLarge, message);
    } else {
        header_text(value, what, place);
    }
}

/// A text that headers may carry.
pub(super) fn header_text(text: &str, what: &str, place: Place<'_>) {
    if text.is_empty() || !is_field_value(text) {
        let message =
            format!("{what} is text without control characters and without spaces at its ends");
        place.error(Code::InvalidHeader, message);
    }
}

/// Whether headers may tell the names of keys: for certain not where nothing spells it.
fn may_tell_names(headers: Node<'_, '_>) -> bool {
    let text = headers.raw.get();
    text.contains("{key.name") || text.contains('\\')
}

/// About how many keys a list has, by how many there are in its first bytes: what room is made for.
fn estimated_keys(list: &str) -> usize {
    const NAME: &[u8] = b"\"hash\"";
    const SAMPLE: usize = 64 * 1024;
    let sample = list.as_bytes().get(..SAMPLE).unwrap_or(list.as_bytes());
    let found = sample.windows(NAME.len()).filter(|window| *window == NAME).count();
    let keys = found.saturating_mul(list.len().checked_div(sample.len()).unwrap_or(0));
    keys.saturating_add(keys / 32).min(limits::KEYS)
}
