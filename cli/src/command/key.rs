//! `latchkey key`: keys for their whole life.

mod edit;
mod import;
mod list;
mod new;
mod prune;
mod revoke;
mod rotate;
mod show;
mod suspend;

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::AnsiColor;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::Exit;
use crate::document::Document;
use crate::exit::Usage;
use crate::finding::{self, Finding};
use crate::keyfile::{Change, Changed, Checked, Key, KeyFile};
use crate::policy;
use crate::style::warn;
use crate::time;
use crate::token::{self, PREFIX_BYTES, Shape, Token};

/// Keys for their whole life: mint, list, edit, rotate, suspend, revoke and prune them
///
/// Keys live in a file of their own, `keys: [...]` in YAML or JSON, or in the policy itself. The
/// file holds no token: only its hash, the time of its creation, and a hint by which people tell
/// tokens apart, which is the prefix and the last four characters.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Edit(edit::Arguments),
    Import(import::Arguments),
    List(list::Arguments),
    New(new::Arguments),
    Prune(prune::Arguments),
    Resume(suspend::Resume),
    Revoke(revoke::Arguments),
    Rotate(rotate::Arguments),
    Show(show::Arguments),
    Suspend(suspend::Suspend),
}

const AFTER: &str = "\
Example:
  TOKEN=$(latchkey key new --keys keys.yaml --id ci-2026 --scope reports:read --expires 90d)

A change takes effect when the policy is pushed (`latchkey push`). It touches nothing else in the
file: comments, order and layout stay. What would not be valid is not written. The file is replaced
as a whole, under the lock `.NAME.lock` beside it, so that two commands at once lose nothing and a
crash leaves the old file or the new one. A new file may be read by its owner only (mode 0600);
one that is there keeps its mode.";

/// Runs one of the commands.
///
/// # Errors
/// A file cannot be read, changed or replaced, a key is not there or not in the state for it, or
/// the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    match &arguments.verb {
        Verb::Edit(arguments) => edit::run(arguments),
        Verb::Import(arguments) => import::run(arguments, output),
        Verb::List(arguments) => list::run(arguments, output),
        Verb::New(arguments) => new::run(arguments, output),
        Verb::Prune(arguments) => prune::run(arguments),
        Verb::Resume(arguments) => suspend::resume(arguments),
        Verb::Revoke(arguments) => revoke::run(arguments),
        Verb::Rotate(arguments) => rotate::run(arguments, output),
        Verb::Show(arguments) => show::run(arguments, output),
        Verb::Suspend(arguments) => suspend::suspend(arguments),
    }
}

/// Where the keys are.
#[derive(Args, Debug)]
struct Files {
    /// File with the list `keys`, YAML or JSON
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Policy that the keys belong to: their types, and what is valid, come from it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Files {
    /// Makes the changes, unless the core then refuses the file.
    fn commit(&self, file: &KeyFile, changes: &[Change]) -> Result<Option<Exit>> {
        if changes.is_empty() {
            return Ok(None);
        }
        self.write(file, file.change(changes)?)
    }

    /// Puts a changed file in the place of the old one, unless the core refuses it.
    fn write(&self, file: &KeyFile, changed: Changed<'_>) -> Result<Option<Exit>> {
        match changed.check(self.policy.as_deref())? {
            Ok(checked) => self.replace(file, checked).map(|()| None),
            Err(errors) => refused(&errors).map(Some),
        }
    }

    /// Puts a changed file that the core takes in the place of the old one.
    fn replace(&self, file: &KeyFile, checked: Checked<'_>) -> Result<()> {
        if let Err(error) = checked.write()? {
            let name = self.keys.display();
            warn(format_args!("{name} is replaced, but a power failure may undo that: {error}"));
        }
        if file.is_open_to_others() {
            let name = self.keys.display();
            warn(format_args!(
                "others than its owner and group may open {name} (`chmod o= {name}`)"
            ));
        }
        Ok(())
    }

    /// What the tokens of keys of type `name` look like; `prefix` comes first. The inner error is the end of
    /// the command: the policy has errors, which are printed.
    ///
    /// # Errors
    /// No policy says what they look like, it cannot be read, or its type leaves no room for `prefix`.
    fn shape(
        &self,
        file: &KeyFile,
        name: Option<&str>,
        prefix: Option<&str>,
    ) -> Result<Result<Shape, Exit>> {
        let bare = Shape { prefix: prefix.unwrap_or_default().to_owned(), format: None };
        let Some(name) = name else {
            warn_of_open_prefix(&bare.prefix);
            return Ok(Ok(bare));
        };
        if self.policy.is_none() && !file.is_policy() {
            if prefix.is_none() {
                bail!(Usage::new(format!(
                    "the policy says what tokens of the type `{name}` look like: name it with `--policy` (or \
                     what they start with, with `--prefix`)"
                )));
            }
            warn(format_args!(
                "the policy may give tokens of the type `{name}` another prefix or a format, and proxies then \
                 refuse this one (name the policy with `--policy`)"
            ));
            warn_of_open_prefix(&bare.prefix);
            return Ok(Ok(bare));
        }
        let engine = match file.policy(self.policy.as_deref())? {
            Ok(engine) => engine,
            Err(mut errors) => {
                finding::locate(&mut errors);
                return refused(&errors).map(Err);
            }
        };
        // That there is none is for the core to say.
        let Some(own_type) = engine.key_types().iter().find(|key_type| key_type.name() == name)
        else {
            return Ok(Ok(bare));
        };
        if prefix.is_some_and(|prefix| !prefix.starts_with(own_type.prefix())) {
            bail!(
                "tokens of the type `{name}` start with `{}`, not with `{}`",
                own_type.prefix(),
                bare.prefix
            );
        }
        if prefix.is_some_and(|prefix| prefix != own_type.prefix()) && own_type.format().is_some() {
            bail!(
                "tokens of the type `{name}` have a format, which leaves no room for `{}`",
                bare.prefix
            );
        }
        warn_of_open_prefix(
            prefix.and_then(|own| own.strip_prefix(own_type.prefix())).unwrap_or_default(),
        );
        let shape = Shape {
            prefix: prefix.unwrap_or(own_type.prefix()).to_owned(),
            format: own_type.format(),
        };
        if shape.bits() < FEW_BITS {
            warn(format_args!(
                "a token of the type `{name}` has {:.0} bits of randomness, and who has its hash \
                 can guess it (let the type's `format` have more characters)",
                shape.bits()
            ));
        }
        Ok(Ok(shape))
    }
}

/// Warns where no scanner can tell what was asked for as a prefix, behind that of the type, from what stands behind it.
fn warn_of_open_prefix(prefix: &str) {
    if !prefix.is_empty() && !token::ends_prefix(prefix) {
        warn(format_args!(
            "`{prefix}` does not end in `_`, `-` or `.`: `latchkey verify` knows the token by the key alone, with \
             `--keys`, and calls it not one of ours without"
        ));
    }
}

/// Sees that each attribute is named once.
///
/// # Errors
/// Wrong usage: one is named twice, and what was meant cannot be told.
fn attributes_once<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Usage> {
    let mut known = HashSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(Usage::new(format!("the attribute `{name}` is given twice")));
        }
    }
    Ok(())
}

/// Which keys are meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// The keys' ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All keys of the account
    #[arg(long)]
    account: Option<String>,
}

impl Chosen {
    /// The keys, each once.
    ///
    /// # Errors
    /// There is no key of an id, or none of the account.
    fn keys<'f>(&self, file: &'f KeyFile) -> Result<Vec<Key<'f>>> {
        let Some(account) = &self.account else { return keys(file, &self.ids) };
        let is_own = |key: &Key<'_>| key.text("account") == Some(account);
        let keys: Vec<_> = file.keys().filter(is_own).collect();
        if keys.is_empty() {
            bail!("{} has no key of the account `{account}`", file.file().display());
        }
        Ok(keys)
    }
}

/// The keys that `ids` name, each once.
///
/// # Errors
/// There is no such key.
fn keys<'f>(file: &'f KeyFile, ids: &[String]) -> Result<Vec<Key<'f>>> {
    let mut keys: Vec<Key<'f>> = Vec::new();
    for id in ids {
        let key = file.key(id)?;
        if !keys.iter().any(|known| known.index() == key.index()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Says what is still to be done about so many keys that are to be refused.
fn tell_until_pushed(keys: usize) {
    let them = match keys {
        0 => return,
        1 => "it",
        _ => "them",
    };
    tell(format_args!("proxies accept {them} until that is pushed (`latchkey push`)"));
}

/// Prints why nothing was written.
fn refused(errors: &[Finding]) -> Result<Exit> {
    finding::print(errors, &mut anstream::stderr())?;
    tell(format_args!("nothing was written"));
    Ok(Exit::Findings)
}

/// A token of less randomness is worth a warning.
const FEW_BITS: f64 = 128.0;

/// Prints the token, which is nowhere else, as a QR code as well where that is wanted.
fn print(token: &Token, id: &str, qr: bool, output: &mut dyn Write) -> Result<Exit> {
    // Not as a cause of the error: a pipe that is closed here has swallowed a token.
    writeln!(output, "{}", token.reveal()).and_then(|()| output.flush()).map_err(|error| {
        anyhow!("the token of `{id}`, which is in the file, cannot be printed: {error}; revoke it")
    })?;
    if qr {
        print_qr(token)?;
    }
    Ok(Exit::Fine)
}

/// Shows the token as a QR code beside the output, for a telephone's camera.
fn print_qr(token: &Token) -> Result<()> {
    let code = QrCode::new(token.reveal()).context("the token is too long for a QR code")?;
    let picture = code.render::<Dense1x2>().build();
    // Dark on light, whatever the terminal's colours are: not every reader takes the opposite.
    let style = AnsiColor::Black.on(AnsiColor::BrightWhite);
    let mut stderr = anstream::stderr().lock();
    for line in picture.lines() {
        writeln!(stderr, "{style}{line}{style:#}")?;
    }
    Ok(())
}

/// The fields of a key that come from its token and the time.
fn secret_fields(token: &Token, now: i64) -> Result<[(String, Document); 3]> {
    Ok([
        ("hash".to_owned(), text(token.hash(policy::pepper().as_deref())?)),
        ("hint".to_owned(), text(token.hint())),
        ("created".to_owned(), text(time::display(now))),
    ])
}

/// The changes that end a key at `end`, and for good if `disabled`.
///
/// An end that comes earlier anyway stays. A key revoked gets an end as well: nothing else tells
/// [`prune`] since when it is over.
fn end(key: Key<'_>, end: i64, disabled: bool) -> Vec<Change> {
    // A window that never opens is an error.
    let end = key.time("not_before").map_or(end, |opens| end.max(opens.saturating_add(1)));
    let mut changes = Vec::new();
    if key.time("expires_at").is_none_or(|expires| end < expires) {
        changes.push(Change::Set(key.index(), "expires_at", text(time::display(end))));
    }
    if disabled {
        changes.push(Change::Set(key.index(), "disabled", Document::Boolean(true)));
    }
    changes
}

fn text(text: impl Into<String>) -> Document {
    Document::String(text.into())
}

/// Says something beside the output.
fn tell(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// When a key ends.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    /// At a time in Unix seconds.
    At(i64),
    /// So many seconds from now.
    In(i64),
}

impl Expiry {
    /// The end in Unix seconds.
    ///
    /// # Errors
    /// Wrong usage: it is not in the future, or too far in it.
    fn resolve(self, now: i64) -> Result<i64, Usage> {
        let end = match self {
            Expiry::At(end) => end,
            Expiry::In(seconds) => {
                later(now, seconds).map_err(|error| Usage::new(error.to_string()))?
            }
        };
        if end <= now {
            let now = time::display(now);
            return Err(Usage::new(format!("`--expires` is not in the future: it is {now} now")));
        }
        Ok(end)
    }
}

/// The time `seconds` after `now`.
fn later(now: i64, seconds: i64) -> Result<i64> {
    let end = now.checked_add(seconds).filter(|end| time::is_writable(*end));
    end.context("that is after the year 9999")
}

/// Reads `90d`, a date or an RFC 3339 time.
fn parse_expiry(text: &str) -> Result<Expiry, String> {
    match time::parse(text) {
        Ok(end) => Ok(Expiry::At(end)),
        Err(_) => parse_duration(text).map(Expiry::In).map_err(|_| {
            "expected a span of time such as `90d`, a date such as `2027-01-01`, or a time such as \
             `2027-01-01T00:00:00Z`"
                .to_owned()
        }),
    }
}

/// Reads `90d`, `24h` or `1h 30m` into seconds.
fn parse_duration(text: &str) -> Result<i64, String> {
    let span = time::parse_span(text)?;
    i64::try_from(span.as_secs()).map_err(|_| "that is after the year 9999".to_owned())
}

/// Reads `NAME=VALUE`.
fn parse_attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("expected `NAME=VALUE`".to_owned()),
    }
}

/// A list of texts.
fn texts<T: AsRef<str>>(items: &[T]) -> Document {
    Document::Array(items.iter().map(|item| text(item.as_ref())).collect())
}

/// Reads a prefix: characters that need no escaping anywhere.
fn parse_prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.len() > PREFIX_BYTES {
        Err(format!("a prefix is at most {PREFIX_BYTES} characters long"))
    } else if !text.bytes().all(is_plain) {
        Err("a prefix has letters, digits, `_`, `.` and `-`".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Reads a key's id. The core judges it as well, but messages name it before.
fn parse_id(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !(1..=latchkey::limits::IDENTIFIER_BYTES).contains(&text.len())
        || !text.bytes().all(is_plain)
    {
        return Err(format!(
            "an id has 1 to {} letters, digits, `_`, `.` and `-`",
            latchkey::limits::IDENTIFIER_BYTES
        ));
    }
    Ok(text.to_owned())
}
