//! The configuration as it is written: shapes only, no meaning yet.
//!
//! Every object refuses fields it does not know, and no value of a wrong shape is quoted: it may be a
//! secret in the wrong place. What a value means, and whether it makes sense, is for
//! [`compile`](crate::compile) to say.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::finding::{Code, Noted, Place};
use crate::source::BasicPart;

/// A value of the configuration: its text, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a, 'p> {
    pub(crate) raw: &'a RawValue,
    pub(crate) place: Place<'p>,
}

impl<'a, 'p> Node<'a, 'p> {
    /// Reads the value, noting what is wrong with its shape.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Option<T> {
        match serde_json::from_str(self.raw.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                note(&error, self.place);
                None
            }
        }
    }

    /// The field of that name and text of the object that this is.
    pub(crate) fn field<'c>(&'c self, name: &'c str, raw: &'a RawValue) -> Node<'a, 'c> {
        Node { raw, place: self.place.field(name) }
    }

    /// The items of a list.
    pub(crate) fn items<'c>(&'c self) -> Option<Vec<Node<'a, 'c>>> {
        let items = self.read::<Vec<&RawValue>>()?.into_iter().enumerate();
        Some(items.map(|(index, raw)| Node { raw, place: self.place.item(index) }).collect())
    }

    /// The strings of a list of strings, each with its place and read by itself.
    pub(crate) fn texts<'c>(&'c self) -> Option<Vec<(Place<'c>, String)>> {
        let text = |item: Node<'a, 'c>| Some((item.place, item.read()?));
        Some(self.items()?.into_iter().filter_map(text).collect())
    }

    /// Reads an object, noting every field that is not one of `known`.
    pub(crate) fn object(self, known: &[&'static str]) -> Option<Object<'a, 'p>> {
        let fields = self.read::<Entries<&RawValue>>()?.0;
        Some(Object::new(fields, self.place, known))
    }
}

/// An object of the configuration, taken apart field by field.
///
/// A field keeps its text until it is asked for, so that what is wrong with one field does not hide
/// what is wrong with the next, and every finding has its place.
#[derive(Debug)]
pub(crate) struct Object<'a, 'p> {
    fields: Vec<(String, &'a RawValue)>,
    pub(crate) place: Place<'p>,
}

impl<'a, 'p> Object<'a, 'p> {
    /// Reads the object that a whole configuration is.
    pub(crate) fn document(
        json: &'a str,
        place: Place<'p>,
        known: &[&'static str],
    ) -> Option<Object<'a, 'p>> {
        match serde_json::from_str::<Entries<&RawValue>>(json) {
            Ok(entries) => Some(Object::new(entries.0, place, known)),
            // It is not JSON, or another value.
            Err(_) => match serde_json::from_str(json) {
                Ok(raw) => Node { raw, place }.object(known),
                Err(error) => {
                    place.error(Code::InvalidJson, format!("not JSON: {error}"));
                    None
                }
            },
        }
    }

    /// Notes every field that is not one of `known`.
    fn new(
        fields: Vec<(String, &'a RawValue)>,
        place: Place<'p>,
        known: &[&'static str],
    ) -> Object<'a, 'p> {
        for (name, _) in &fields {
            if !known.contains(&name.as_str()) {
                unknown_field(name, known, place);
            }
        }
        Object { fields, place }
    }

    /// A field, if it is there.
    pub(crate) fn node<'c>(&'c self, name: &'c str) -> Option<Node<'a, 'c>> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(Node { raw, place: self.place.field(name) })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// The value of a field, if it is there and has the right shape.
    pub(crate) fn field<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        self.node(name)?.read()
    }

    /// The names and texts of a field that is an object of any names, and its place.
    pub(crate) fn entries<'c>(&'c self, name: &'c str) -> Option<Fields<'a, 'c>> {
        let node = self.node(name)?;
        Some(Fields { fields: node.read::<Entries<&RawValue>>()?.0, node })
    }

    /// The meaning of a field that is one of a few words.
    pub(crate) fn word<W: Word>(&self, name: &str) -> Option<W> {
        let node = self.node(name)?;
        word(&node.read::<String>()?, node.place)
    }

    /// Notes that a field is missing.
    pub(crate) fn missing(&self, name: &str) -> Noted<'p> {
        self.place.error(Code::MissingField, format!("field `{name}` is missing"))
    }
}

/// The fields of an object whose names are the policy's own.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'p> {
    fields: Vec<(String, &'a RawValue)>,
    pub(crate) node: Node<'a, 'p>,
}

impl<'a> Fields<'a, '_> {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Each field's name, and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Node<'a, '_>)> {
        self.fields.iter().map(|(name, raw)| (name.as_str(), self.node.field(name, raw)))
    }
}

/// What a word means, if it is one of those that may stand there.
pub(crate) fn word<W: Word>(text: &str, place: Place<'_>) -> Option<W> {
    let word = W::WORDS.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if word.is_none() {
        unknown_word(text, &W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<&str>>(), place);
    }
    word
}

#[inline(never)]
fn unknown_word(text: &str, known: &[&str], place: Place<'_>) {
    let shown = if is_quotable(text) { text } else { "…" };
    let message = format!("`{shown}` is not one of `{}`", known.join("`, `"));
    place.error(Code::InvalidValue, message).did_you_mean(text, known);
}

/// A key in the form in which a million of them are read at once; [`explain_key`] says what is wrong
/// with one that does not have it.
#[derive(Debug, Default)]
pub(crate) struct RawKey<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) hash: Text<'a>,
    pub(crate) key_type: Option<Text<'a>>,
    pub(crate) name: Option<Text<'a>>,
    pub(crate) account: Option<Text<'a>>,
    pub(crate) scopes: Option<Vec<Text<'a>>>,
    pub(crate) not_before: Option<Instant>,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) disabled: bool,
    pub(crate) suspended: bool,
    pub(crate) origins: Option<&'a RawValue>,
    pub(crate) addresses: Option<&'a RawValue>,
    pub(crate) attributes: Option<Entries<Text<'a>, Text<'a>>>,
    /// Prefix and last characters of the token, for people.
    pub(crate) hint: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawKey<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = RawKey<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawKey<'de>, M::Error> {
                let mut key = RawKey::default();
                let (mut id, mut hash) = (None, None);
                let (mut disabled, mut suspended) = (None, None);
                // When the key was made, for people: read to see that it is a time.
                let mut created: Option<Instant> = None;
                while let Some(name) = map.next_key::<Text<'_>>()? {
                    match &*name {
                        "id" => set(&mut id, &mut map)?,
                        "hash" => set(&mut hash, &mut map)?,
                        "type" => set(&mut key.key_type, &mut map)?,
                        "name" => set(&mut key.name, &mut map)?,
                        "account" => set(&mut key.account, &mut map)?,
                        "scopes" => set(&mut key.scopes, &mut map)?,
                        "not_before" => set(&mut key.not_before, &mut map)?,
                        "expires_at" => set(&mut key.expires_at, &mut map)?,
                        "disabled" => set(&mut disabled, &mut map)?,
                        "suspended" => set(&mut suspended, &mut map)?,
                        "origins" => set(&mut key.origins, &mut map)?,
                        "addresses" => set(&mut key.addresses, &mut map)?,
                        "attributes" => set(&mut key.attributes, &mut map)?,
                        "created" => set(&mut created, &mut map)?,
                        "hint" => set(&mut key.hint, &mut map)?,
                        _ => return Err(de::Error::custom("unknown field")),
                    }
                }
                key.id = id.ok_or_else(|| de::Error::custom("no id"))?;
                key.hash = hash.ok_or_else(|| de::Error::custom("no hash"))?;
                key.disabled = disabled.unwrap_or_default();
                key.suspended = suspended.unwrap_or_default();
                Ok(key)
            }
        }

        deserializer.deserialize_map(KeyVisitor)
    }
}

/// Reads a field of a map, which may not stand there twice, and may not be `null`: a list whose items were
/// commented out would else pass for none.
fn set<'de, T: Deserialize<'de>, M: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut M,
) -> Result<(), M::Error> {
    if field.is_some() {
        return Err(de::Error::custom("a field stands twice"));
    }
    *field = Some(map.next_value()?);
    Ok(())
}

/// A string, copied only where it has escapes. (A plain `Cow` is always copied where it stands inside
/// an `Option` or a list.)
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(Cow::Borrowed(text))
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Reads a list item by item, keeping none, until `take` says no more. Tells whether it came to the
/// list's end; it also stops at what is no list, and at an item of another shape.
pub(crate) fn each_item<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    take: impl FnMut(T) -> bool,
) -> bool {
    struct ListVisitor<T, F>(F, PhantomData<T>);

    impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> Visitor<'de> for ListVisitor<T, F> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_seq<S: SeqAccess<'de>>(mut self, mut list: S) -> Result<(), S::Error> {
            while let Some(item) = list.next_element()? {
                if !(self.0)(item) {
                    break;
                }
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    // A list that is left before its end is an error, too.
    deserializer.deserialize_seq(ListVisitor(take, PhantomData)).is_ok()
}

impl<'a> RawKey<'a> {
    const FIELDS: [&'static str; 15] = [
        "id",
        "hash",
        "type",
        "name",
        "account",
        "scopes",
        "not_before",
        "expires_at",
        "disabled",
        "suspended",
        "origins",
        "addresses",
        "attributes",
        "created",
        "hint",
    ];

    /// Reads a key, noting everything wrong with its shape.
    pub(crate) fn parse(node: Node<'a, '_>) -> Option<RawKey<'a>> {
        let key = serde_json::from_str(node.raw.get());
        if key.is_err() {
            explain_key(node);
        }
        key.ok()
    }
}

/// Notes what is wrong with the shape of a key, field by field.
fn explain_key(node: Node<'_, '_>) {
    let Some(key) = node.object(&RawKey::FIELDS) else { return };
    for name in ["id", "hash"] {
        if !key.has(name) {
            key.missing(name);
        }
    }
    for name in ["id", "hash", "type", "name", "account", "hint"] {
        let _: Option<String> = key.field(name);
    }
    for name in ["scopes", "origins", "addresses"] {
        let _ = key.node(name).map(|list| list.texts().is_some());
    }
    for name in ["not_before", "expires_at", "created"] {
        let _: Option<Instant> = key.field(name);
    }
    for name in ["disabled", "suspended"] {
        let _: Option<bool> = key.field(name);
    }
    if let Some(attributes) = key.entries("attributes") {
        attributes.iter().for_each(|(_, value)| drop(value.read::<String>()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawAccess {
    Authenticated,
    Deny,
    Key,
    Optional,
    Public,
}

impl Word for RawAccess {
    const WORDS: &'static [(&'static str, RawAccess)] = &[
        ("authenticated", RawAccess::Authenticated),
        ("deny", RawAccess::Deny),
        ("key", RawAccess::Key),
        ("optional", RawAccess::Optional),
        ("public", RawAccess::Public),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawPreflight {
    Allow,
    Authenticate,
}

impl Word for RawPreflight {
    const WORDS: &'static [(&'static str, RawPreflight)] =
        &[("allow", RawPreflight::Allow), ("authenticate", RawPreflight::Authenticate)];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawHold {
    Body,
    Headers,
}

impl Word for RawHold {
    const WORDS: &'static [(&'static str, RawHold)] =
        &[("body", RawHold::Body), ("headers", RawHold::Headers)];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawMethodOverride {
    Authorize,
    Ignore,
    Remove,
}

impl Word for RawMethodOverride {
    const WORDS: &'static [(&'static str, RawMethodOverride)] = &[
        ("authorize", RawMethodOverride::Authorize),
        ("ignore", RawMethodOverride::Ignore),
        ("remove", RawMethodOverride::Remove),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawMode {
    Enforce,
    Observe,
}

impl Word for RawMode {
    const WORDS: &'static [(&'static str, RawMode)] =
        &[("enforce", RawMode::Enforce), ("observe", RawMode::Observe)];
}

impl Word for BasicPart {
    const WORDS: &'static [(&'static str, BasicPart)] =
        &[("password", BasicPart::Password), ("username", BasicPart::Username)];
}

/// One of a few words.
pub(crate) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// A map in the order in which it was written. A name that stands twice is an error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entries<T, N = String>(pub(crate) Vec<(N, T)>);

impl<'de, T: Deserialize<'de>, N: Deserialize<'de> + AsRef<str>> Deserialize<'de>
    for Entries<T, N>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T, N>(PhantomData<(T, N)>);

        impl<'de, T, N> Visitor<'de> for EntriesVisitor<T, N>
        where
            T: Deserialize<'de>,
            N: Deserialize<'de> + AsRef<str>,
        {
            type Value = Entries<T, N>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries<T, N>, M::Error> {
                let mut entries: Vec<(N, T)> = Vec::new();
                while let Some(entry) = map.next_entry::<N, T>()? {
                    entries.push(entry);
                }
                if let Some(name) = repeated(&entries) {
                    return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

/// A name that stands twice.
fn repeated<T, N: AsRef<str>>(entries: &[(N, T)]) -> Option<&str> {
    const FEW: usize = 16;
    let mut names = entries.iter().map(|(name, _)| name.as_ref());
    if entries.len() <= FEW {
        let mut rest = names.clone();
        return names.find(|name| {
            rest.next();
            rest.clone().any(|other| other == *name)
        });
    }
    let mut seen = BTreeSet::<Box<str>>::new();
    names.find(|name| !seen.insert((*name).into()))
}

/// A whole number. Envoy hands numbers of a `Struct` over as doubles, so `403.0` is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor;

        impl Visitor<'_> for WholeVisitor {
            type Value = Whole;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Whole, E> {
                i64::try_from(value).map(Whole).map_err(|_| E::custom("number out of range"))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Whole, E> {
                Ok(Whole(value))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Whole, E> {
                whole(value)
                    .map(Whole)
                    .ok_or_else(|| E::invalid_type(de::Unexpected::Float(value), &WholeVisitor))
            }
        }

        deserializer.deserialize_any(WholeVisitor)
    }
}

/// The whole number that a double is, within the range where doubles are exact.
fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the range checked before")]
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

/// A point in time in Unix seconds, written as RFC 3339 or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub i64);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstantVisitor;

        impl Visitor<'_> for InstantVisitor {
            type Value = Instant;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Instant, E> {
                // Envoy makes a text of a whole number of a `Struct` that is longer than 32 bits.
                if let Ok(seconds) = value.parse() {
                    return instant(seconds);
                }
                parse_timestamp(value).map(Instant).ok_or_else(|| {
                    E::invalid_value(de::Unexpected::Other("another text"), &InstantVisitor)
                })
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Instant, E> {
                instant(i64::try_from(value).unwrap_or(i64::MAX))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Instant, E> {
                instant(value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Instant, E> {
                match whole(value) {
                    Some(seconds) => instant(seconds),
                    None => Err(E::invalid_type(de::Unexpected::Float(value), &InstantVisitor)),
                }
            }
        }

        deserializer.deserialize_any(InstantVisitor)
    }
}

/// The last second of the year 9999. What lies beyond was most likely meant in milliseconds.
const LATEST: i64 = 253_402_300_799;

/// A point in time that a person could mean.
fn instant<E: de::Error>(seconds: i64) -> Result<Instant, E> {
    if seconds.abs() <= LATEST {
        Ok(Instant(seconds))
    } else {
        Err(E::custom("a time beyond the year 9999; Unix seconds are expected, not milliseconds"))
    }
}

/// The Unix seconds of an RFC 3339 time such as `2026-01-01T00:00:00Z`; fractions are cut off.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .ok()
        .map(time::OffsetDateTime::unix_timestamp)
}

/// A time as people write it, `2026-06-01T00:00:00Z`; the number itself where the calendar ends.
pub fn display_timestamp(seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// Any JSON value, objects in the order in which they were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without a fraction
    Integer(i64),
    /// Any other number
    Float(f64),
    /// A string
    String(String),
    /// A list
    Array(Vec<Json>),
    /// An object; no name stands twice
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonVisitor;

        impl<'de> Visitor<'de> for JsonVisitor {
            type Value = Json;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Integer(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
                i64::try_from(value)
                    .map(Json::Integer)
                    .map_err(|_| E::custom("number out of range"))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
                Ok(whole(value).map_or(Json::Float(value), Json::Integer))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
                Ok(Json::String(value.to_owned()))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Json, S::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Json, M::Error> {
                let entries = Entries::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Json::Object(entries.0))
            }
        }

        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Integer(value) => serializer.serialize_i64(*value),
            Json::Float(value) => serializer.serialize_f64(*value),
            Json::String(value) => serializer.serialize_str(value),
            Json::Array(items) => serializer.collect_seq(items),
            Json::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// Turns serde's words into a finding that shows no value and no Rust type.
fn note(error: &serde_json::Error, place: Place<'_>) {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&*position).unwrap_or(&text);
    if let Some(name) = text.strip_prefix("duplicate field") {
        place.error(Code::Duplicate, format!("two fields{name}"));
    } else if let Some((found, expected)) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(found_and_expected)
    {
        let expected = match expected {
            "a sequence" => "a list",
            "a borrowed string" => "a string",
            other => other,
        };
        place.error(Code::WrongType, format!("expected {expected}, found {}", kind(found)));
    } else {
        place.error(Code::InvalidValue, text.to_owned());
    }
}

/// Both parts of what serde says of a value of the wrong type. The first may hold any text.
fn found_and_expected(text: &str) -> Option<(&str, &str)> {
    const BETWEEN: &[u8] = b", expected ";
    let at = text.as_bytes().windows(BETWEEN.len()).rposition(|window| window == BETWEEN)?;
    Some((text.get(..at)?, text.get(at.saturating_add(BETWEEN.len())..)?))
}

/// Notes a field that does not exist, by name only where the name cannot be a secret.
fn unknown_field(name: &str, known: &[&'static str], parent: Place<'_>) {
    // A token has digits, or is longer.
    let has_digits = name.bytes().any(|byte| byte.is_ascii_digit());
    let is_word = name.len() <= if has_digits { 12 } else { 32 }
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_word {
        parent
            .field(name)
            .error(Code::UnknownField, format!("unknown field `{name}`"))
            .did_you_mean(name, known);
    } else {
        parent.error(Code::UnknownField, "unknown field");
    }
}

/// Whether a word of the configuration is too short to be a token in the wrong place.
pub(crate) fn is_quotable(word: &str) -> bool {
    word.len() <= 24
}

/// What serde found, in JSON's words and without the value.
fn kind(found: &str) -> &'static str {
    const KINDS: [(&str, &str); 9] = [
        ("another text", "another text"),
        ("string", "a string"),
        ("integer", "a number"),
        ("floating point", "a number"),
        ("boolean", "a boolean"),
        ("map", "an object"),
        ("sequence", "a list"),
        ("null", "null"),
        ("unit", "null"),
    ];
    let known = KINDS.iter().find(|(prefix, _)| found.starts_with(prefix));
    known.map_or("something else", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Findings;

    fn findings<T>(json: &str, read: impl Fn(Node<'_, '_>) -> Option<T>) -> Vec<String> {
        let findings = Findings::default();
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let parsed = read(Node { raw, place: findings.root().field("here") }).is_some();
        let findings = findings.into_vec();
        assert_eq!(parsed, findings.is_empty());
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn shapes_are_told_by_place_without_the_value() {
        let key = |json| findings(json, |node| RawKey::parse(node).map(|key| key.disabled));
        assert_eq!(key(r#""sk_live_secret""#), ["/here: expected an object, found a string"]);
        assert_eq!(key(r#"["a", "sk_live_secret"]"#), ["/here: expected an object, found a list"]);
        assert_eq!(key(r#"", expected a secret""#), ["/here: expected an object, found a string"]);
        assert_eq!(
            key(r#"{"id": 1, "hsah": "sk_live_secret", "scopes": "sk_live_secret"}"#),
            [
                "/here/hsah: unknown field `hsah` (did you mean `hash`?)",
                "/here: field `hash` is missing",
                "/here/id: expected a string, found a number",
                "/here/scopes: expected a list, found a string",
            ]
        );
        assert_eq!(
            key(r#"{"id": "a", "hash": "b", "sk_live_5ecret": 1}"#),
            ["/here: unknown field"]
        );
        assert_eq!(
            key(r#"{"id": "a", "hash": "b", "x509": 1}"#),
            ["/here/x509: unknown field `x509`"]
        );
        assert_eq!(key(r#"{"id": "a", "id": "b"}"#), ["/here: two fields `id`"]);
        assert_eq!(
            key(r#"{"id":"a","hash":"b","expires_at":"soon"}"#),
            [
                "/here/expires_at: expected an RFC 3339 time such as `2027-01-01T00:00:00Z`, or Unix seconds, found another text"
            ]
        );
        assert_eq!(
            key(r#"{"id":"a","hash":"b","attributes":{"a":"1","b":5}}"#),
            ["/here/attributes/b: expected a string, found a number"]
        );
        assert_eq!(
            key(r#"{"id":"a","hash":"b","attributes":{"a":"1","a":"2"}}"#),
            ["/here/attributes: two fields `a`"]
        );
        let access =
            |node: Node<'_, '_>| -> Option<RawAccess> { node.object(&["access"])?.word("access") };
        assert_eq!(
            findings(r#"{"access": "pubic"}"#, access),
            [
                "/here/access: `pubic` is not one of `authenticated`, `deny`, `key`, `optional`, `public` (did you mean `public`?)"
            ]
        );
        assert_eq!(
            findings(r#"{"access": 1}"#, access),
            ["/here/access: expected a string, found a number"]
        );
        assert_eq!(
            findings("403.5", |node| node.read::<Whole>()),
            ["/here: expected a whole number, found a number"]
        );
        assert_eq!(
            findings(r#"["a", 1, {}]"#, |node| {
                node.texts().filter(|read| read.len() == 3).map(drop)
            }),
            [
                "/here/1: expected a string, found a number",
                "/here/2: expected a string, found an object",
            ]
        );
    }

    #[test]
    fn doubles_that_are_whole_are_whole_numbers() {
        assert_eq!(serde_json::from_str::<Whole>("403.0").unwrap(), Whole(403));
        assert_eq!(serde_json::from_str::<Instant>("1.7e9").unwrap(), Instant(1_700_000_000));
        assert_eq!(
            serde_json::from_str::<Instant>("\"4102444800\"").unwrap(),
            Instant(4_102_444_800)
        );
    }

    #[test]
    fn json_keeps_its_order() {
        let text = r#"{"z":1,"a":[true,null,"x",1.5],"m":{}}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(parse_timestamp("1970-01-01T00:01:00Z"), Some(60));
        assert_eq!(parse_timestamp("1970-01-01T01:00:00.9+01:00"), Some(0));
        assert_eq!(parse_timestamp("2026-01-01"), None);
    }
}
