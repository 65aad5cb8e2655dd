//! `latchkey key rotate`: a successor for a key.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{
    Expiry, Files, end, later, parse_duration, parse_expiry, parse_id, parse_prefix, print,
    secret_fields, tell, text,
};
use crate::Exit;
use crate::document::{Document, Fields};
use crate::keyfile::{Change, Key, KeyFile, State};
use crate::token::prefix_of_hint;
use crate::{policy, time};

/// Mint a key's successor and print its token, once
///
/// The successor is like the old key in everything but its id, its token and its window. The old
/// key ends after the overlap; without one it is revoked at once, which no clock can get wrong. A
/// key that expires has a successor that lives as long as it was to live itself, unless `--expires`
/// says otherwise. A key that was rotated before no longer tells how long that was: rotate its
/// successor.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The key that ends
    #[arg(value_name = "ID")]
    old: String,
    #[command(flatten)]
    files: Files,
    /// Id of the successor; default the old one with the next number, `ci-2` after `ci`
    #[arg(long = "id", value_name = "NEW", value_parser = parse_id)]
    new: Option<String>,
    /// How long the old key stays good: a span of time such as `24h`; default not at all
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    overlap: Option<i64>,
    /// What the token starts with; default as the old one, or the type's prefix
    #[arg(long, value_parser = parse_prefix)]
    prefix: Option<String>,
    /// When the successor ends: a span of time such as `90d`, a date, or a time
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,
    /// Show the token as a QR code as well, on standard error
    #[arg(long)]
    qr: bool,
}

const EXAMPLE: &str = "\
Example:
  TOKEN=$(latchkey key rotate ci-2026 --keys keys.yaml --policy policy.yaml --overlap 24h)";

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let Arguments { files, old: id, .. } = arguments;
    let file = KeyFile::lock(&files.keys)?;
    let old = file.key(id)?;
    let now = time::now();
    let over = match old.state(now) {
        State::Active | State::NotYetValid => None,
        State::Suspended => {
            bail!("the key `{id}` is suspended (resume it first, or mint a key of its own)")
        }
        State::Invalid => bail!("the key `{id}` is invalid: `latchkey check` says why"),
        State::Expired => Some("expired"),
        State::Revoked => Some("was revoked"),
    };
    if let Some(over) = over {
        bail!("the key `{id}` {over}: it has no successor (mint a key with `latchkey key new`)");
    }
    if old.is_peppered() && policy::pepper().is_none() {
        bail!("the key `{id}` is hashed with a pepper, so its successor needs LATCHKEY_PEPPER");
    }
    if arguments.expires.is_none()
        && let Some(heir) = heir(&file, old, now)
    {
        bail!(
            "the key `{id}` was rotated before: its successor is `{}` (rotate that one, or say with \
             `--expires` when the new key ends)",
            heir.id()
        );
    }
    let new = match &arguments.new {
        Some(new) if file.keys().any(|key| key.id() == new) => {
            bail!("{} has a key `{new}` already (ids are unique)", files.keys.display())
        }
        Some(new) => new.clone(),
        None => next_id(&file, id)?,
    };
    let expires = match arguments.expires {
        Some(expires) => Some(expires.resolve(now)?),
        None => successors_end(old, now)?,
    };
    let key_type = old.text("type");
    let prefix = arguments.prefix.as_deref();
    let mut shape = match files.shape(&file, key_type, prefix)? {
        Ok(shape) => shape,
        Err(exit) => return Ok(exit),
    };
    // The type's prefix may be the beginning of the old token's own.
    if prefix.is_none()
        && shape.format.is_none()
        && let Some(prefix) = old.text("hint").and_then(prefix_of_hint)
        && prefix.starts_with(&shape.prefix)
    {
        shape.prefix = prefix.to_owned();
    }
    let token = shape.mint()?;

    let overlap = arguments.overlap.filter(|overlap| *overlap > 0);
    let mut changes = match overlap {
        None => end(old, now, true),
        Some(overlap) => end(old, later(now, overlap)?, false),
    };
    let [hash, hint, created] = secret_fields(&token, now)?;
    let mut fields = vec![("id".to_owned(), text(&new)), hash, hint, created];
    fields.extend(expires.map(|end| ("expires_at".to_owned(), text(time::display(end)))));
    let inherited = old.fields().iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
    fields.extend(inherited.cloned());
    fields.extend(not_before(old, now));
    changes.push(Change::Add(Fields(fields)));
    let ends = changes.iter().find_map(|change| match change {
        Change::Set(_, "expires_at", Document::String(end)) => Some(end.clone()),
        _ => None,
    });
    if let Some(exit) = files.commit(&file, &changes)? {
        return Ok(exit);
    }
    let ends = match (overlap, ends) {
        (None, _) => "is revoked".to_owned(),
        (Some(_), Some(end)) => format!("ends at {end}"),
        (Some(_), None) => {
            let end = old.time("expires_at").map(time::display).unwrap_or_default();
            format!("ends at {end} anyway, before the overlap is over")
        }
    };
    tell(format_args!("key `{id}` {ends}"));
    let end = match expires {
        None => "it does not expire".to_owned(),
        Some(expires) => format!("it expires at {}", time::display(expires)),
    };
    tell(format_args!("key `{new}` takes its place in {}; {end}", files.keys.display()));
    tell(format_args!(
        "proxies accept the old token, and not the new one, until that is pushed (`latchkey push`)"
    ));
    tell(format_args!("its token is shown this once; only its hash is kept"));
    print(&token, &new, arguments.qr, output)
}

/// The fields that a key does not inherit.
const OWN: [&str; 7] = ["id", "hash", "hint", "created", "not_before", "expires_at", "disabled"];

/// A key that is not valid yet has a successor that is not, either.
fn not_before(old: Key<'_>, now: i64) -> Option<(String, Document)> {
    let opens = old.time("not_before").filter(|opens| now < *opens)?;
    Some(("not_before".to_owned(), text(time::display(opens))))
}

/// When the successor ends: it lives as long as the old key was to.
fn successors_end(old: Key<'_>, now: i64) -> Result<Option<i64>> {
    let Some(end) = old.time("expires_at") else { return Ok(None) };
    let start = old.time("not_before").or_else(|| old.time("created")).with_context(|| {
        format!(
            "the key `{}` expires, but not for how long it was to live (give `--expires`)",
            old.id()
        )
    })?;
    let start_of_new = old.time("not_before").map_or(now, |opens| opens.max(now));
    Ok(Some(later(start_of_new, end.saturating_sub(start))?))
}

/// The key that has taken the place of `old` already, as far as ids and times tell: the last one that lives and
/// counts on from it, was minted no earlier, and has its holder, where one of them came of a rotation. The overlap has
/// then cut the life of `old` short, and with it what a second successor would take for its own. A key without an end
/// was not cut.
fn heir<'a>(file: &'a KeyFile, old: Key<'a>, now: i64) -> Option<Key<'a>> {
    let (stem, number) = counted(old.id());
    let follows = |key: &Key<'_>| {
        let (own_stem, own_number) = counted(key.id());
        own_stem == stem
            && own_number > number
            && ["account", "type"].iter().all(|name| key.text(name) == old.text(name))
    };
    if !file.keys().filter(follows).any(|key| has_taken_over(old, key)) {
        return None;
    }
    file.keys()
        .filter(|key| !matches!(key.state(now), State::Expired | State::Revoked))
        .filter(|key| key.time("created").is_none_or(|time| Some(time) >= old.time("created")))
        .filter(follows)
        .max_by_key(|key| counted(key.id()).1)
}

/// Whether `new` came of a rotation of `old`, as far as times tell. A rotation writes both by one clock: `old` lived then
/// and ends after an overlap of some minutes, hours or days to the second, which `new` outlives. Two keys that were minted
/// with the same `--expires` live as long as each other; times that people write are often midnights.
fn has_taken_over(old: Key<'_>, new: Key<'_>) -> bool {
    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * 60 * MINUTE;
    let (Some(end), Some(minted)) = (old.time("expires_at"), new.time("created")) else {
        return false;
    };
    let overlap = end.saturating_sub(minted);
    let life = |key: Key<'_>| {
        let start = key.time("not_before").or_else(|| key.time("created"))?;
        Some(key.time("expires_at")?.saturating_sub(start))
    };
    old.time("created").is_none_or(|created| created <= minted)
        && overlap > 0
        && overlap % MINUTE == 0
        && minted % DAY != 0
        && life(new).is_none_or(|life| life > overlap)
        && life(old) != life(new)
}

/// `ci-2` after `ci`, `ci-3` after `ci-2`; the first that no key has.
fn next_id(file: &KeyFile, id: &str) -> Result<String> {
    let (stem, number) = counted(id);
    let taken: std::collections::HashSet<&str> = file.keys().map(Key::id).collect();
    let next = (number + 1..)
        .map(|number| format!("{stem}-{number}"))
        .find(|next| !taken.contains(next.as_str()))
        .filter(|next| next.len() <= latchkey::limits::IDENTIFIER_BYTES);
    next.with_context(|| format!("`{id}` is too long to be counted on (give `--id`)"))
}

/// What an id counts, and its number: `ci` and 2 of `ci-2`, `ci` and 1 of `ci`.
fn counted(id: &str) -> (&str, usize) {
    match id.rsplit_once('-') {
        // A longer number is rather a year or a date.
        Some((stem, digits)) if digits.len() <= 3 && !stem.is_empty() => {
            match digits.parse::<usize>() {
                Ok(number) if number > 1 && !digits.starts_with(['0', '+']) => (stem, number),
                _ => (id, 1),
            }
        }
        _ => (id, 1),
    }
}
