//! Key types and keys.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde_json::value::RawValue;

use super::{Compiler, Environment, quoted};
use crate::config::{Entries, Instant, Object, RawKey, Text, Whole, each_item, missing_field};
use crate::finding::{Code, Place, is_identifier};
use crate::http::is_field_value;
use crate::key_type::{Format, KeyType};
use crate::keyring::{Algorithm, Builder, Clash, KeyRing, Record, TokenDigest};
use crate::limits;
use crate::origin::Origin;
use crate::scope::Scope;

impl Compiler {
    pub(super) fn key_types(&mut self, policy: &Object<'_>) -> Vec<KeyType> {
        let place = Place::ROOT.field("key_types");
        let raw: Option<Entries<&RawValue>> = self.value(policy, "key_types");
        let raw = raw.map(|raw| raw.0).unwrap_or_default();
        if raw.len() > limits::KEY_TYPES {
            self.too_many("key types", limits::KEY_TYPES, place);
            return Vec::new();
        }
        let mut types = Vec::new();
        for (name, raw) in raw {
            let place = place.field(&name);
            if !is_identifier(&name) {
                self.identifier("a key type's name", place);
            }
            types.extend(self.key_type(&name, raw, place));
        }
        types
    }

    fn key_type(&mut self, name: &str, raw: &RawValue, place: Place<'_>) -> Option<KeyType> {
        const FIELDS: [&str; 6] =
            ["prefix", "format", "enabled", "scopes", "origins_required", "max_active_per_account"];
        let findings = &mut self.findings;
        let raw = Object::parse(raw, place, &FIELDS, findings)?;
        let prefix: Option<String> = raw.field("prefix", place, findings);
        let enabled: Option<bool> = raw.field("enabled", place, findings);
        let origins_required: Option<bool> = raw.field("origins_required", place, findings);
        let most: Option<Whole> = raw.field("max_active_per_account", place, findings);
        let scopes = raw.strings("scopes", place, findings);
        let is_prefix = |text: &String| {
            (1..limits::TOKEN_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !prefix.iter().all(is_prefix) {
            let message = "a prefix is visible ASCII, shorter than a token";
            findings.error(place.field("prefix"), Code::InvalidValue, message);
        }
        if most.is_some_and(|most| most.0 < 1) {
            let place = place.field("max_active_per_account");
            findings.error(place, Code::InvalidValue, "expected 1 or more");
        }
        let format = self.format(&raw, prefix.as_ref().map_or(0, String::len), place);
        let scopes = scopes.map(|own| self.scopes(own.iter().map(String::as_str), place).into());
        Some(KeyType {
            name: name.into(),
            prefix: prefix.map(Into::into),
            format,
            enabled: enabled.unwrap_or(true),
            scopes,
            origins_required: origins_required.unwrap_or(false),
            most_active: most.and_then(|Whole(most)| usize::try_from(most).ok()),
        })
    }

    fn format(&mut self, raw: &Object<'_>, prefix: usize, place: Place<'_>) -> Option<Format> {
        let (raw, place) = (raw.raw("format")?, place.field("format"));
        let findings = &mut self.findings;
        let raw = Object::parse(raw, place, &["length", "charset"], findings)?;
        for name in ["length", "charset"] {
            if !raw.has(name) {
                missing_field(name, place, findings);
            }
        }
        let length: Option<Whole> = raw.field("length", place, findings);
        let charset = raw.word("charset", place, findings);
        let length = usize::try_from(length?.0).unwrap_or(0);
        if length == 0 || prefix.saturating_add(length) > limits::TOKEN_BYTES {
            let message =
                format!("a token is 1 to {} bytes long, prefix included", limits::TOKEN_BYTES);
            findings.error(place.field("length"), Code::InvalidValue, message);
        }
        Some(Format { length, charset: charset? })
    }

    fn scopes<'t>(
        &mut self,
        texts: impl ExactSizeIterator<Item = &'t str>,
        place: Place<'_>,
    ) -> Vec<Scope> {
        let place = place.field("scopes");
        if texts.len() > limits::GRANTS {
            self.too_many("scopes", limits::GRANTS, place);
            return Vec::new();
        }
        texts.enumerate().filter_map(|(index, text)| self.scope(text, place.item(index))).collect()
    }

    /// Compiles the keys, and says whether each of them has a type.
    pub(super) fn keys(
        &mut self,
        policy: &Object<'_>,
        types: Vec<KeyType>,
        environment: &Environment<'_>,
    ) -> (KeyRing, bool) {
        let place = Place::ROOT.field("keys");
        if !policy.has("keys") {
            missing_field("keys", Place::ROOT, &mut self.findings)
                .help("a policy without keys says `keys: []`");
        }
        let Some(list) = policy.raw("keys") else { return (KeyRing::default(), true) };
        let pepper = environment.pepper.filter(|pepper| !pepper.is_empty());
        let mut names: BTreeMap<Box<str>, usize> = BTreeMap::new();
        names.extend(types.iter().enumerate().map(|(index, own)| (own.name.clone(), index)));
        let origins_required: Vec<bool> = types.iter().map(|own| own.origins_required).collect();
        let mut builder = Builder::new(types, pepper, estimated_keys(list.get()));
        let mut every_key_has_a_type = true;
        let mut add = |compiler: &mut Self, raw: RawKey<'_>, index: usize| {
            let place = place.item(index);
            every_key_has_a_type &= raw.key_type.is_some();
            compiler.key(raw, place, &names, &origins_required, &mut builder);
            let fits = builder.bytes() <= limits::KEY_RING_BYTES;
            if !fits {
                let message =
                    format!("the keys take more than {} bytes of memory", limits::KEY_RING_BYTES);
                compiler.findings.error(place, Code::TooLarge, message);
            }
            fits
        };

        let mut count: usize = 0;
        let mut more = true;
        let is_whole = each_item(list, |raw: RawKey<'_>| {
            more = count < limits::KEYS && add(self, raw, count);
            count = count.saturating_add(1);
            more
        });
        if !is_whole && more {
            // One has another shape: from there on, each is read by itself.
            let rest: Vec<&RawValue> = self.value(policy, "keys").unwrap_or_default();
            let read = std::mem::replace(&mut count, rest.len());
            let rest = if count > limits::KEYS { Vec::new() } else { rest };
            for (index, raw) in rest.into_iter().enumerate().skip(read) {
                let raw = RawKey::parse(raw, place.item(index), &mut self.findings);
                if !raw.is_none_or(|raw| add(self, raw, index)) {
                    break;
                }
            }
        }
        self.key_count = count;
        if count > limits::KEYS {
            self.too_many("keys", limits::KEYS, place);
        }
        (builder.finish(), every_key_has_a_type)
    }

    fn key(
        &mut self,
        raw: RawKey<'_>,
        place: Place<'_>,
        types: &BTreeMap<Box<str>, usize>,
        origins_required: &[bool],
        builder: &mut Builder,
    ) {
        if !is_identifier(&raw.id) {
            self.identifier("a key id", place.field("id"));
        }
        let hash = self.hash(&raw.hash, builder.has_pepper(), place);
        let type_index =
            raw.key_type.as_deref().and_then(|name| self.type_index(name, types, place));
        self.note("name", raw.name.as_deref(), limits::ATTRIBUTE_BYTES, place);
        self.note("hint", raw.hint.as_deref(), limits::HINT_BYTES, place);
        let account = raw.account.as_deref().and_then(|account| {
            self.identity_value(account, "an account", place.field("account"));
            builder.string(account)
        });
        let scopes = raw.scopes.as_ref().and_then(|scopes| {
            let scopes = self.scopes(scopes.iter().map(|scope| &**scope), place);
            builder.scope_set(scopes)
        });
        let (not_before, expires_at) = self.window(raw.not_before, raw.expires_at, place);
        let origins = raw.origins.as_ref().and_then(|origins| {
            let origins = self.origins(origins, place)?;
            builder.origin_set(origins)
        });
        let needs_origins = type_index.and_then(|index| origins_required.get(index));
        if raw.origins.is_none() && needs_origins == Some(&true) {
            self.findings.error(
                place,
                Code::MissingOrigins,
                "a key of this type needs `origins`, as the type says `origins_required`",
            );
        }
        let attributes = raw.attributes.map(|attributes| attributes.0).unwrap_or_default();
        self.attributes(&attributes, place);

        let Some((algorithm, digest)) = hash else { return };
        let record = Record {
            not_before,
            expires_at,
            id_end: 0,
            attributes_end: 0,
            account,
            scopes,
            origins,
            key_type: type_index
                .and_then(|index| u16::try_from(index).ok()?.checked_add(1))
                .and_then(NonZeroU16::new),
            disabled: raw.disabled || raw.suspended,
        };
        match builder.add(&raw.id, algorithm, digest, &attributes, record) {
            Ok(()) => {}
            Err(Clash::Hash) => {
                let message = "another key has the same hash, so the same token";
                self.findings.error(place.field("hash"), Code::DuplicateHash, message);
            }
            Err(Clash::Id) => {
                let message = "another key has the same id";
                self.findings.error(place.field("id"), Code::DuplicateId, message);
            }
        }
    }

    /// A text for people, which the engine does not keep.
    fn note(&mut self, field: &str, text: Option<&str>, most: usize, place: Place<'_>) {
        if text.is_some_and(|text| text.len() > most) {
            let message = format!("a {field} is at most {most} bytes long");
            self.findings.error(place.field(field), Code::TooLarge, message);
        }
    }

    fn hash(
        &mut self,
        text: &str,
        has_pepper: bool,
        place: Place<'_>,
    ) -> Option<(Algorithm, TokenDigest)> {
        let place = place.field("hash");
        let (algorithm, digits) = match text.split_once(':') {
            Some(("sha256", digits)) => (Algorithm::Sha256, digits),
            Some(("hmac-sha256", digits)) => (Algorithm::HmacSha256, digits),
            _ => (Algorithm::Sha256, ""),
        };
        let mut digest = TokenDigest::default();
        if hex::decode_to_slice(digits, &mut digest).is_err() {
            self.findings
                .error(
                    place,
                    Code::InvalidHash,
                    "a hash is `sha256:` or `hmac-sha256:` and 64 hex digits",
                )
                .help("a token itself must not stand here");
            return None;
        }
        if algorithm == Algorithm::HmacSha256 && !has_pepper {
            let message = "an `hmac-sha256` hash needs LATCHKEY_PEPPER in the VM's environment";
            self.findings.error(place, Code::MissingPepper, message);
        }
        Some((algorithm, digest))
    }

    fn type_index(
        &mut self,
        name: &str,
        types: &BTreeMap<Box<str>, usize>,
        place: Place<'_>,
    ) -> Option<usize> {
        let index = types.get(name).copied();
        if index.is_none() {
            self.findings
                .error(
                    place.field("type"),
                    Code::UnknownKeyType,
                    format!("key type {} is not defined in `key_types`", quoted(name)),
                )
                .did_you_mean(name, types.keys());
        }
        index
    }

    fn window(
        &mut self,
        not_before: Option<Instant>,
        expires_at: Option<Instant>,
        place: Place<'_>,
    ) -> (i64, i64) {
        let opens = not_before.map_or(i64::MIN, |instant| instant.0);
        let closes = expires_at.map_or(i64::MAX, |instant| instant.0);
        if opens >= closes {
            let message = "`not_before` is not before `expires_at`, so the key is never valid";
            self.findings.error(place, Code::WindowNeverOpens, message);
        }
        (opens, closes)
    }

    fn origins(&mut self, texts: &[Text<'_>], place: Place<'_>) -> Option<Vec<Origin>> {
        let place = place.field("origins");
        if texts.is_empty() {
            self.findings
                .error(place, Code::Empty, "a key with an empty list of origins")
                .help("leave `origins` out for any caller, or use `disabled: true`");
            return None;
        }
        if texts.len() > limits::GRANTS {
            self.too_many("origins", limits::GRANTS, place);
            return None;
        }
        let mut origins = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match Origin::parse(text) {
                Ok(origin) => origins.push(origin),
                Err(error) => {
                    let place = place.item(index);
                    self.findings.error(place, Code::InvalidOrigin, error.to_string());
                }
            }
        }
        Some(origins)
    }

    fn attributes(&mut self, attributes: &[(Text<'_>, Text<'_>)], place: Place<'_>) {
        let place = place.field("attributes");
        if attributes.len() > limits::ATTRIBUTES {
            self.too_many("attributes", limits::ATTRIBUTES, place);
            return;
        }
        for (name, value) in attributes {
            let name: &str = name;
            if !is_identifier(name) {
                self.identifier("an attribute name", place);
                continue;
            }
            let place = place.field(name);
            if matches!(name, "account" | "id" | "type") {
                let message = format!("an attribute cannot be named `{name}`");
                self.findings
                    .error(place, Code::InvalidIdentifier, message)
                    .help("in a `where` that name stands for the key's own field");
            }
            self.identity_value(value, "an attribute", place);
            if !self.attributes.contains(name) {
                self.attributes.insert(name.into());
            }
        }
    }

    /// A value that headers may carry to the upstream.
    fn identity_value(&mut self, value: &str, what: &str, place: Place<'_>) {
        if value.len() > limits::ATTRIBUTE_BYTES {
            let message = format!("{what} is at most {} bytes long", limits::ATTRIBUTE_BYTES);
            self.findings.error(place, Code::TooLarge, message);
        } else if value.is_empty() || !is_field_value(value) {
            let message =
                format!("{what} is text without control characters and without blanks at its ends");
            self.findings.error(place, Code::InvalidHeader, message);
        }
    }
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
