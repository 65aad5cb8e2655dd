//! The file that keys live in: read by everyone, changed by one process at a time.
//!
//! A change is made to the text, so that comments, order and layout of everything else stay as
//! they are. The new text is parsed, compared with what was wanted, and judged by the core before
//! it replaces the file.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use latchkey::Engine;

use crate::document::{self, Document, Fields, MARK};
use crate::exit::Usage;
use crate::finding::Finding;
use crate::policy::{self, Policy};

mod edit;
mod layout;
mod lock;

pub(crate) use edit::Change;

/// A file of keys: a policy, or an object with nothing but the list `keys`.
#[derive(Debug)]
pub(crate) struct KeyFile {
    file: PathBuf,
    /// Without its byte order mark.
    text: String,
    is_marked: bool,
    document: Document,
    /// Whoever changes the file has it from before reading to after writing.
    lock: Option<lock::Lock>,
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub(crate) fn load(file: &Path) -> Result<KeyFile> {
        KeyFile::read(file, None, false)
    }

    /// As [`KeyFile::load`]; a file that is not there has no keys.
    pub(crate) fn load_or_empty(file: &Path) -> Result<KeyFile> {
        KeyFile::read(file, None, true)
    }

    /// Reads the file to change it: no other process can until this is dropped.
    ///
    /// # Errors
    /// It cannot be read or locked, or holds something else.
    pub(crate) fn lock(file: &Path) -> Result<KeyFile> {
        // Before there is a lock file, so that a wrong name leaves nothing behind.
        refuse_standard_input(file)?;
        fs::metadata(file).with_context(|| unreadable(file))?;
        KeyFile::lock_or_create(file)
    }

    /// As [`KeyFile::lock`]; a file that is not there is made by [`Checked::write`].
    pub(crate) fn lock_or_create(file: &Path) -> Result<KeyFile> {
        refuse_standard_input(file)?;
        let lock = lock::Lock::acquire(file)
            .with_context(|| format!("cannot change `{}`", file.display()))?;
        KeyFile::read(file, Some(lock), true)
    }

    fn read(file: &Path, lock: Option<lock::Lock>, may_be_missing: bool) -> Result<KeyFile> {
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut text = match document::read_marked(file) {
            Err(error)
                if may_be_missing && error.root_cause().downcast_ref().is_some_and(is_missing) =>
            {
                String::new()
            }
            text => text?,
        };
        let is_marked = text.starts_with(MARK);
        if is_marked {
            text.drain(..MARK.len_utf8());
        }
        let document = parse(file, &text)?;
        let result = KeyFile { file: file.to_owned(), text, is_marked, document, lock };
        for (index, key) in result.documents().iter().enumerate() {
            if key.field("id").and_then(Document::as_str).is_none() {
                bail!("{}: /keys/{index}: a key is an object with an `id`", file.display());
            }
        }
        Ok(result)
    }

    /// The file, as it was named.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether others than the file's owner and group may read or write it.
    pub(crate) fn is_open_to_others(&self) -> bool {
        lock::is_open_to_others(&self.file)
    }

    /// Whether some of its keys are known by a hash with a pepper, and there is none in the environment: who has one of
    /// their tokens cannot be told then.
    pub(crate) fn lacks_pepper(&self) -> bool {
        policy::pepper().is_none() && self.keys().any(|key| key.is_peppered())
    }

    /// Its keys in the order in which they stand.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.documents().iter().enumerate().map(|(index, document)| Key { index, document })
    }

    /// The key that `id` names.
    ///
    /// # Errors
    /// There is none; the message names the one that was meant, if there is one.
    pub(crate) fn key(&self, id: &str) -> Result<Key<'_>> {
        self.keys().find(|key| key.id() == id).ok_or_else(|| {
            let file = self.file.display();
            let near = self
                .keys()
                .map(|key| (strsim::damerau_levenshtein(id, key.id()), key.id()))
                .filter(|(distance, near)| distance * 3 <= near.len().max(3))
                .min();
            match near {
                Some((_, near)) => anyhow!("{file} has no key `{id}` (did you mean `{near}`?)"),
                None => anyhow!("{file} has no key `{id}`"),
            }
        })
    }

    /// What the policy that the keys belong to says, or what is wrong with it: `policy`, or the file itself
    /// where it is one. No key is in it.
    ///
    /// # Errors
    /// The policy cannot be read.
    pub(crate) fn policy(&self, policy: Option<&Path>) -> Result<Result<Engine, Vec<Finding>>> {
        let loaded: Document;
        let (file, document) = match policy {
            Some(policy) => {
                loaded = document::load(policy)?;
                (policy, &loaded)
            }
            None => (self.file.as_path(), &self.document),
        };
        let fields = match document {
            Document::Object(Fields(fields)) => fields.as_slice(),
            _ => &[],
        };
        let others = fields.iter().filter(|(name, _)| name != "keys").cloned();
        let keys = ("keys".to_owned(), Document::Array(Vec::new()));
        let document = Document::Object(Fields(others.chain([keys]).collect()));
        Policy::of(file, document, None)?.compile()
    }

    /// Whether the file is a policy itself, not just a list of keys.
    pub(crate) fn is_policy(&self) -> bool {
        is_policy(&self.document)
    }

    /// The file as it would be after `changes`.
    ///
    /// # Errors
    /// The file is laid out in a way in which it cannot be changed without touching the rest.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<Changed<'_>> {
        let is_json = document::is_json(&self.file, &self.text);
        let (text, document) = edit::change_text(&self.text, is_json, changes)
            .and_then(|text| match parse(&self.file, &text) {
                Ok(document) if self.becomes(&document, changes) => Ok((text, document)),
                _ if !is_json && layout::has_aliases(&self.text) => {
                    bail!("an alias, such as `*name`, carries it further: write out what it stands for")
                }
                _ => bail!("it is laid out in an unusual way"),
            })
            .with_context(|| {
                format!(
                    "cannot change `{}` without touching the rest of it, so it is unchanged",
                    self.file.display()
                )
            })?;
        Ok(Changed { of: self, text, document })
    }

    /// Whether `new` is this file after `changes` and no other.
    fn becomes(&self, new: &Document, changes: &[Change]) -> bool {
        let (Document::Object(Fields(old)), Document::Object(Fields(new))) = (&self.document, new)
        else {
            return false;
        };
        let is_other = |field: &&(String, Document)| field.0 != "keys";
        let keys = new.iter().find(|(name, _)| name == "keys");
        let Some((_, Document::Array(keys))) = keys else { return false };
        old.iter().filter(is_other).eq(new.iter().filter(is_other))
            && edit::change_list(self.documents(), changes).eq(keys.iter().map(Cow::Borrowed))
    }

    fn documents(&self) -> &[Document] {
        match self.document.field("keys") {
            Some(Document::Array(keys)) => keys,
            _ => &[],
        }
    }
}

/// A file as it would be after a change.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    of: &'a KeyFile,
    text: String,
    document: Document,
}

impl<'a> Changed<'a> {
    /// Lets the core judge the changed file, joined to `policy`, and returns the errors that it
    /// finds. Without a policy every key type that is named counts as one without prefix, format
    /// and defaults.
    ///
    /// # Errors
    /// The policy cannot be read.
    pub(crate) fn check(self, policy: Option<&Path>) -> Result<Result<Checked<'a>, Vec<Finding>>> {
        let compiled = join(&self.of.file, self.document, policy)?.compile()?;
        let (engine, mut findings) = match compiled {
            Ok(engine) => (Some(engine), Vec::new()),
            Err(findings) => (None, findings),
        };
        // Who revokes a key need not know the pepper.
        findings.retain(|finding| finding.is_error() && finding.code != "missing_pepper");
        Ok(if findings.is_empty() {
            Ok(Checked { of: self.of, text: self.text, engine })
        } else {
            Err(findings)
        })
    }
}

/// A changed file that has no errors.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    of: &'a KeyFile,
    text: String,
    engine: Option<Engine>,
}

impl Checked<'_> {
    /// What proxies will go by; none where that takes the pepper, which is not known.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Puts the changed file in the place of the old one. The inner error: that is done, but a
    /// power failure may undo it.
    ///
    /// # Errors
    /// The folder cannot be written to, or the disk is full. The file is the old one.
    pub(crate) fn write(self) -> Result<io::Result<()>> {
        let lock = self.of.lock.as_ref().context("the file is not locked")?;
        let mark = if self.of.is_marked { MARK.to_string() } else { String::new() };
        lock.replace((mark + &self.text).as_bytes())
    }
}

/// One key of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    index: usize,
    document: &'a Document,
}

impl<'a> Key<'a> {
    /// Its place in the list.
    pub(crate) fn index(self) -> usize {
        self.index
    }

    /// What logs, metrics and commands call it.
    pub(crate) fn id(self) -> &'a str {
        self.text("id").unwrap_or_default()
    }

    /// Whether it is known by a hash with the pepper.
    pub(crate) fn is_peppered(self) -> bool {
        self.text("hash").is_some_and(|hash| hash.starts_with("hmac-sha256:"))
    }

    /// The field `name`, where it is a text.
    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        self.document.field(name)?.as_str()
    }

    /// The field `name`, where it is a point in time, in Unix seconds.
    pub(crate) fn time(self, name: &str) -> Option<i64> {
        self.document.field(name)?.instant()
    }

    /// Its fields in the order in which they were written.
    pub(crate) fn fields(self) -> &'a [(String, Document)] {
        match self.document {
            Document::Object(Fields(fields)) => fields,
            _ => &[],
        }
    }

    /// The texts of the list that the field `name` is, where it is one.
    pub(crate) fn texts(self, name: &str) -> Option<Vec<&'a str>> {
        match self.document.field(name)? {
            Document::Array(items) => Some(items.iter().filter_map(Document::as_str).collect()),
            _ => None,
        }
    }

    /// The field `name`.
    pub(crate) fn field(self, name: &str) -> Option<&'a Document> {
        self.document.field(name)
    }

    /// What the filter would make of it at `now`, by itself and whatever its type says.
    pub(crate) fn state(self, now: i64) -> State {
        let is = |field| self.document.field(field) == Some(&Document::Boolean(true));
        let is_no_flag =
            |field| !matches!(self.document.field(field), None | Some(Document::Boolean(_)));
        let is_no_time = |field| self.document.field(field).is_some() && self.time(field).is_none();
        if is("disabled") {
            State::Revoked
        } else if ["disabled", "suspended"].into_iter().any(is_no_flag)
            || ["expires_at", "not_before"].into_iter().any(is_no_time)
        {
            State::Invalid
        } else if self.time("expires_at").is_some_and(|closes| now >= closes) {
            State::Expired
        } else if is("suspended") {
            State::Suspended
        } else if self.time("not_before").is_some_and(|opens| now < opens) {
            State::NotYetValid
        } else {
            State::Active
        }
    }
}

/// Whether a key is good. What is over for good comes before what may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// Let through.
    Active,
    /// `expires_at` has passed.
    Expired,
    /// Something else than a time or a flag stands where one is to say: no policy takes it.
    Invalid,
    /// `not_before` is in the future.
    NotYetValid,
    /// Disabled, for good.
    Revoked,
    /// Refused until it is resumed.
    Suspended,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            State::Active => "active",
            State::Expired => "expired",
            State::Invalid => "invalid",
            State::NotYetValid => "not yet valid",
            State::Revoked => "revoked",
            State::Suspended => "suspended",
        })
    }
}

/// Standard input, by which commands that only read know it, has no place to write to.
fn refuse_standard_input(file: &Path) -> Result<()> {
    if file == Path::new("-") {
        bail!(Usage::new("standard input cannot be changed: name the keys file"));
    }
    Ok(())
}

fn unreadable(file: &Path) -> String {
    format!("cannot read `{}`", file.display())
}

/// The document, which is an object; a file without anything, or with comments only, is one
/// without fields, and a list of keys without a value one without keys.
fn parse(file: &Path, text: &str) -> Result<Document> {
    let is_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_nothing) {
        return Ok(Document::Object(Fields::default()));
    }
    match document::parse(file, text)? {
        Document::Object(Fields(mut fields)) => {
            for (name, value) in &mut fields {
                if name == "keys" && *value == Document::Null {
                    *value = Document::Array(Vec::new());
                }
                if name == "keys" && !matches!(value, Document::Array(_)) {
                    bail!("{}: `keys` must be a list", file.display());
                }
            }
            Ok(Document::Object(Fields(fields)))
        }
        _ => bail!("{}: not an object with a list `keys`", file.display()),
    }
}

/// The policy that the keys file `document` is, or is joined to.
fn join(file: &Path, document: Document, policy: Option<&Path>) -> Result<Policy> {
    if !is_policy(&document) {
        let keys = match document {
            Document::Object(Fields(fields)) => fields.into_iter().find(|(name, _)| name == "keys"),
            _ => None,
        };
        let Some((_, Document::Array(keys))) = keys else {
            bail!("{}: `keys` must be a list", file.display());
        };
        let (place, policy) = match policy {
            Some(policy) => (policy, document::load(policy)?),
            None => (file, stand_in(&keys)),
        };
        return Policy::of(place, policy, Some((file, keys)));
    }
    if policy.is_some_and(|policy| !is_same_file(policy, file)) {
        bail!("{} is a policy itself: leave `--policy` out", file.display());
    }
    Policy::of(file, document, None)
}

/// Whether a document has more than a list of keys.
fn is_policy(document: &Document) -> bool {
    match document {
        Document::Object(Fields(fields)) => fields.iter().any(|(name, _)| name != "keys"),
        _ => false,
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The least policy that keys of these types can stand in.
fn stand_in(keys: &[Document]) -> Document {
    let object = |fields: Vec<(&str, Document)>| {
        let owned = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        Document::Object(Fields(owned.collect()))
    };
    let mut types: Vec<&str> = keys.iter().filter_map(|key| key.field("type")?.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    let types = types.into_iter().map(|name| (name, object(Vec::new()))).collect();
    let source = object(vec![("header", Document::String("authorization".to_owned()))]);
    object(vec![("credentials", Document::Array(vec![source])), ("key_types", object(types))])
}
