//! `latchkey key edit`: what a key may do, from where and until when.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::{
    Expiry, Files, attributes_once, keys, parse_attribute, parse_expiry, tell, text, texts,
};
use crate::Exit;
use crate::document::{Document, Fields};
use crate::exit::Usage;
use crate::keyfile::{Change, Key, KeyFile, State};
use crate::time;

/// Change what keys may do, from where and until when
///
/// What is not named stays as it is, comments and layout of the file included. A key's token, id, type
/// and account are not changed: that would be another key. A revoked key is not changed, either.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
#[group(skip)]
pub(super) struct Arguments {
    /// The keys' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    edits: Edits,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Edits {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Scope that the key grants; these take the place of those it has. May be repeated
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with_all = ["add_scopes", "remove_scopes"])]
    scopes: Vec<String>,
    /// Scope that the key grants as well; may be repeated
    #[arg(long = "add-scope", value_name = "SCOPE")]
    add_scopes: Vec<String>,
    /// Scope that the key no longer grants; may be repeated
    #[arg(long = "remove-scope", value_name = "SCOPE")]
    remove_scopes: Vec<String>,
    /// When the key ends: a span of time from now, a date, or a time
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,
    /// Browser origin that the key is good from; these take the place of those it has. May be repeated
    #[arg(long = "origin", value_name = "ORIGIN", conflicts_with_all = ["add_origins", "remove_origins"])]
    origins: Vec<String>,
    /// Browser origin that the key is good from as well; may be repeated
    #[arg(long = "add-origin", value_name = "ORIGIN")]
    add_origins: Vec<String>,
    /// Browser origin that the key is no longer good from; may be repeated
    #[arg(long = "remove-origin", value_name = "ORIGIN")]
    remove_origins: Vec<String>,
    /// Address or network of the clients that the key is good for; these take the place of those it has. May be repeated
    #[arg(long = "address", value_name = "ADDRESS", conflicts_with_all = ["add_addresses", "remove_addresses"])]
    addresses: Vec<String>,
    /// Address or network of clients that the key is good for as well; may be repeated
    #[arg(long = "add-address", value_name = "ADDRESS")]
    add_addresses: Vec<String>,
    /// Address or network of clients that the key is no longer good for; may be repeated
    #[arg(long = "remove-address", value_name = "ADDRESS")]
    remove_addresses: Vec<String>,
    /// Attribute, `NAME=VALUE`; others stay. May be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
    /// Attribute that goes; may be repeated
    #[arg(long = "remove-attribute", value_name = "NAME")]
    remove_attributes: Vec<String>,
    /// Field that goes: no name, no end, the scopes and addresses of the type, any origin. May be repeated
    #[arg(long, value_enum, value_name = "FIELD")]
    unset: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    Addresses,
    Attributes,
    Expires,
    Name,
    Origins,
    Scopes,
}

impl Field {
    /// What a keys file calls it.
    fn name(self) -> &'static str {
        match self {
            Field::Addresses => "addresses",
            Field::Attributes => "attributes",
            Field::Expires => "expires_at",
            Field::Name => "name",
            Field::Origins => "origins",
            Field::Scopes => "scopes",
        }
    }
}

const EXAMPLE: &str = "\
Examples:
  latchkey key edit ci-2026 --add-scope reports:read --expires 90d --keys keys.yaml
  latchkey key edit ci-2026 nightly --attribute plan=pro --unset origins --keys keys.yaml";

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { ids, files, edits } = arguments;
    let set = edits.attributes.iter().map(|(name, _)| name);
    attributes_once(set.chain(&edits.remove_attributes))?;
    let file = KeyFile::lock(&files.keys)?;
    let now = time::now();
    let expires = edits.expires.map(|expires| expires.resolve(now)).transpose()?;
    let keys = keys(&file, ids)?;
    let mut changes = Vec::new();
    let mut changed = Vec::new();
    for key in keys {
        if key.state(now) == State::Revoked {
            bail!(
                "the key `{}` is revoked, for good (mint a key with `latchkey key new`)",
                key.id()
            );
        }
        let of_key = edits.changes(key, expires)?;
        changed.push((key.id(), of_key.is_empty()));
        changes.extend(of_key);
    }
    if let Some(exit) = files.commit(&file, &changes)? {
        return Ok(exit);
    }
    for (id, is_same) in changed {
        let is = if is_same { "is already like that" } else { "is changed" };
        tell(format_args!("key `{id}` {is}"));
    }
    if !changes.is_empty() {
        tell(format_args!("proxies learn of it once it is pushed (`latchkey push`)"));
    }
    Ok(Exit::Fine)
}

impl Edits {
    /// What changes of one key; nothing where it is already like that.
    fn changes(&self, key: Key<'_>, expires: Option<i64>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut set = |name: &'static str, value: Document| {
            if key.field(name) != Some(&value) {
                changes.push(Change::Set(key.index(), name, value));
            }
        };
        if let Some(name) = &self.name {
            set("name", text(name));
        }
        if let Some(end) = expires.filter(|end| key.time("expires_at") != Some(*end)) {
            set("expires_at", text(time::display(end)));
        }
        for (name, all, added, removed) in [
            ("scopes", &self.scopes, &self.add_scopes, &self.remove_scopes),
            ("origins", &self.origins, &self.add_origins, &self.remove_origins),
            ("addresses", &self.addresses, &self.add_addresses, &self.remove_addresses),
        ] {
            if let Some(new) = list(key, name, all, added, removed)? {
                set(name, new);
            }
        }
        if !self.attributes.is_empty() || !self.remove_attributes.is_empty() {
            let attributes = self.attributes(key)?;
            if attributes.0.is_empty() {
                changes.push(Change::Unset(key.index(), "attributes"));
            } else {
                set("attributes", Document::Object(attributes));
            }
        }
        for field in &self.unset {
            let name = field.name();
            if changes
                .iter()
                .any(|change| matches!(change, Change::Set(_, field, _) if *field == name))
            {
                bail!(Usage::new(format!(
                    "`--unset` takes away what another option sets: the {}",
                    field.name()
                )));
            }
            if key.field(name).is_some() {
                changes.push(Change::Unset(key.index(), name));
            }
        }
        Ok(changes)
    }

    fn attributes(&self, key: Key<'_>) -> Result<Fields<Document>> {
        let mut attributes = match key.field("attributes") {
            Some(Document::Object(attributes)) => attributes.clone(),
            _ => Fields::default(),
        };
        for name in &self.remove_attributes {
            if attributes.value(name).is_none() {
                bail!("the key `{}` has no attribute `{name}`", key.id());
            }
            attributes.0.retain(|(known, _)| known != name);
        }
        for (name, value) in &self.attributes {
            match attributes.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = text(value),
                None => attributes.0.push((name.clone(), text(value))),
            }
        }
        Ok(attributes)
    }
}

/// The list `name` of a key after it was replaced by `all`, or after `added` came and `removed` went.
fn list(
    key: Key<'_>,
    name: &str,
    all: &[String],
    added: &[String],
    removed: &[String],
) -> Result<Option<Document>> {
    if !all.is_empty() {
        return Ok(Some(texts(all)));
    }
    if added.is_empty() && removed.is_empty() {
        return Ok(None);
    }
    let Some(mut kept) = key.texts(name) else {
        let whose = match name {
            "scopes" => {
                "has the scopes of its type, if any: say all that it is to have with `--scope`"
            }
            "addresses" => {
                "has the addresses of its type, if any: say all that it is to be good for with `--address`"
            }
            _ => "is for any caller: say all that it is to be good from with `--origin`",
        };
        bail!("the key `{}` {whose}", key.id());
    };
    for item in removed {
        if !kept.contains(&item.as_str()) {
            bail!("the key `{}` has no `{item}` in its {name}", key.id());
        }
        kept.retain(|known| known != item);
    }
    for item in added {
        if !kept.contains(&item.as_str()) {
            kept.push(item);
        }
    }
    Ok(Some(texts(&kept)))
}
