//! Policy files: YAML or JSON for people, compact JSON for the core.

mod rules;

use std::cell::LazyCell;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use clap::Args;
use latchkey::{Engine, Environment, Remark, Rule, Severity};

use crate::document::{self, Document, Fields, Malformed};
use crate::finding::Finding;
use crate::place;
use rules::RuleFiles;

/// The files that a command takes a policy from.
#[derive(Args, Debug)]
pub(crate) struct PolicyFiles {
    /// Policy file, YAML or JSON
    pub(crate) policy: PathBuf,
    /// File with a list `keys`, joined to the policy's own
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl PolicyFiles {
    /// Loads the policy, as [`Policy::load`] does.
    pub(crate) fn load(&self) -> Result<Policy> {
        Policy::load(&self.policy, self.keys.as_deref())
    }

    /// The files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.policy.as_path()).chain(self.keys.as_deref())
    }
}

/// A policy as its author wrote it, the keys of a keys file joined to its own, and the rules of other files in the
/// place of their names.
#[derive(Clone, Debug)]
pub struct Policy {
    file: PathBuf,
    document: Document,
    joined: Option<JoinedKeys>,
    rules: RuleFiles,
}

/// A policy as it goes to a proxy: without the `created` and `hint` of its keys, which are for people, and without their
/// `name` unless a header tells it.
#[derive(Clone, Debug)]
pub struct Served {
    pub(crate) document: Document,
    /// Whether the hash of some key was made with the pepper, which the proxy must then have.
    pub(crate) needs_pepper: bool,
}

/// What a proxy needs of a policy, or with it, that others do not.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The pepper, with which the hash of some key was made.
    pub pepper: bool,
    /// The names of keys, which a header tells.
    pub names: bool,
}

impl Needs {
    pub(crate) fn of(engine: &Engine) -> Needs {
        Needs { pepper: engine.needs_pepper(), names: engine.tells_names() }
    }
}

/// Where the keys from a keys file stand in the policy.
#[derive(Clone, Debug)]
struct JoinedKeys {
    file: PathBuf,
    first: usize,
}

impl Policy {
    /// Loads the policy `file`; the keys of the file `keys`, which holds a list `keys` and
    /// nothing else, come after the policy's own.
    ///
    /// # Errors
    /// A file cannot be read or is neither YAML nor JSON, a field stands twice in an object, or
    /// there is no list to join to: one line with the file and, where there is one, the place.
    pub fn load(file: &Path, keys: Option<&Path>) -> Result<Policy> {
        whole(Policy::read(file, keys))
    }

    /// Loads the policy as [`Policy::load`] does, as far as it can be had, with all that is wrong with its files. What
    /// is missing then are rules or keys.
    pub(crate) fn read(file: &Path, keys: Option<&Path>) -> (Option<Policy>, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let policy = noted(file, document::load(file), &mut mistakes);
        let keys = keys.map(|file| {
            let keys = document::load(file).and_then(|document| keys_of(file, document));
            (file, noted(file, keys, &mut mistakes).unwrap_or_default())
        });
        let policy = policy.and_then(|policy| Policy::joined(file, policy, keys, &mut mistakes));
        (policy, mistakes)
    }

    /// The policy `document`, which came from `file`, with the rules of the files that it names; the keys of a
    /// keys file come after its own.
    ///
    /// # Errors
    /// There is no list to join to, or the rules of a file that it names cannot be had: one line with the file.
    pub fn of(
        file: &Path,
        document: Document,
        keys: Option<(&Path, Vec<Document>)>,
    ) -> Result<Policy> {
        let mut mistakes = Vec::new();
        let policy = Policy::joined(file, document, keys, &mut mistakes);
        whole((policy, mistakes))
    }

    fn joined(
        file: &Path,
        mut document: Document,
        keys: Option<(&Path, Vec<Document>)>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Policy> {
        let mut malformed = Vec::new();
        let rules = RuleFiles::join(file, &mut document, &mut malformed);
        mistakes.extend(malformed.into_iter().map(Mistake::from));
        let mut policy = Policy { file: file.to_owned(), document, joined: None, rules };
        if let Some((of_keys, keys)) = keys {
            noted(file, policy.join(of_keys, keys), mistakes)?;
        }
        Some(policy)
    }

    /// The whole policy, in the order in which it was written.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The whole policy as compact JSON, ready for `Engine::compile`.
    ///
    /// # Errors
    /// None that a policy can cause; serializing is fallible by type.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        Ok(self.document.to_json()?.into_bytes())
    }

    /// The policy as it goes to a proxy, which needs this of it.
    #[must_use]
    pub fn into_served(mut self, needs: Needs) -> Served {
        let is_for_people = |field: &str| match field {
            "created" | "hint" => true,
            "name" => !needs.names,
            _ => false,
        };
        if let Document::Object(Fields(fields)) = &mut self.document
            && let Some((_, Document::Array(keys))) =
                fields.iter_mut().find(|(name, _)| name == "keys")
        {
            for key in keys {
                if let Document::Object(Fields(fields)) = key {
                    fields.retain(|(name, _)| !is_for_people(name));
                }
            }
        }
        Served { document: self.document, needs_pepper: needs.pepper }
    }

    /// Compiles the policy. The pepper comes from the environment variable `LATCHKEY_PEPPER`.
    ///
    /// # Errors
    /// Everything that the core finds, if one finding is an error.
    pub(crate) fn compile(&self) -> Result<Result<Engine, Vec<Finding>>> {
        let pepper = pepper();
        let environment = Environment { pepper: pepper.as_deref() };
        let compiled = Engine::compile(&self.to_json()?, &environment);
        Ok(compiled.map_err(|findings| self.locate(findings)))
    }

    /// What the core finds doubtful in this policy, which it has compiled to `engine`.
    pub(crate) fn warnings(&self, engine: &Engine) -> Vec<Finding> {
        self.locate(engine.warnings().to_vec())
    }

    /// What else is doubtful in this policy, which was compiled to `engine`, at the time `now`, in Unix seconds.
    pub(crate) fn remarks(&self, engine: &Engine, now: i64) -> Vec<Finding> {
        let keys = match self.document.field("keys") {
            Some(Document::Array(keys)) => keys.as_slice(),
            _ => &[],
        };
        let created = |index: usize| keys.get(index)?.field("created")?.instant();
        // Rules of other files have other numbers than people count there.
        let places = LazyCell::new(|| self.rules.places());
        let label = |rule: &Rule| {
            let pointer = rule.pointer();
            let own = self.document.pointer(&pointer).and_then(|rule| rule.field("name"));
            let index = pointer.rsplit('/').next().and_then(|index| index.parse::<usize>().ok());
            let place = || places.get(index?).cloned();
            let place = if own.is_none() { place() } else { None };
            place.unwrap_or_else(|| rule.name().to_owned())
        };
        self.locate_remarks(latchkey::lint(engine, now, created, label))
    }

    /// Remarks with the files that they are about.
    pub(crate) fn locate_remarks(&self, remarks: Vec<Remark>) -> Vec<Finding> {
        let locate = |remark: Remark| {
            let (file, pointer) = self.source(&remark.pointer);
            Finding {
                file: file.to_owned(),
                place: None,
                pointer,
                code: remark.code,
                severity: Severity::Warning,
                message: remark.message,
                help: Some(remark.help.to_owned()),
            }
        };
        remarks.into_iter().map(locate).collect()
    }

    /// The file that a pointer into this policy points into, and the pointer there.
    #[must_use]
    pub fn source(&self, pointer: &str) -> (&Path, String) {
        if let Some((file, pointer)) = self.rules.source(pointer) {
            return (file.unwrap_or(&self.file), pointer);
        }
        if let Some(joined) = &self.joined {
            let (index, rest) = match pointer.strip_prefix("/keys/") {
                None => ("", ""),
                Some(tail) => tail.split_at(tail.find('/').unwrap_or(tail.len())),
            };
            let index = index.parse::<usize>().ok().and_then(|i| i.checked_sub(joined.first));
            if let Some(index) = index {
                return (&joined.file, format!("/keys/{index}{rest}"));
            }
        }
        (&self.file, pointer.to_owned())
    }

    fn join(&mut self, file: &Path, keys: Vec<Document>) -> Result<()> {
        let place = &self.file;
        let Document::Object(Fields(fields)) = &mut self.document else {
            bail!(Malformed::wrong_type(place, "", "a policy must be an object"));
        };
        let first = match fields.iter_mut().find(|(name, _)| name == "keys") {
            None => {
                fields.push(("keys".to_owned(), Document::Array(keys)));
                0
            }
            Some((_, Document::Array(of_policy))) => {
                let first = of_policy.len();
                of_policy.extend(keys);
                first
            }
            Some(_) => bail!(Malformed::wrong_type(place, "/keys", "`keys` must be a list")),
        };
        self.joined = Some(JoinedKeys { file: file.to_owned(), first });
        Ok(())
    }

    fn locate(&self, findings: Vec<latchkey::Finding>) -> Vec<Finding> {
        let locate = |finding: latchkey::Finding| {
            let (file, pointer) = self.source(&finding.pointer);
            Finding {
                file: file.to_owned(),
                place: None,
                pointer,
                code: finding.code.as_str(),
                severity: finding.severity,
                message: finding.message,
                help: finding.help,
            }
        };
        findings.into_iter().map(locate).collect()
    }
}

/// Why a file does not give its part of a policy.
#[derive(Debug)]
pub(crate) struct Mistake {
    file: PathBuf,
    /// A [`Malformed`], or that the file cannot be read.
    error: Error,
}

impl From<Malformed> for Mistake {
    fn from(malformed: Malformed) -> Mistake {
        Mistake { file: malformed.file.clone(), error: malformed.into() }
    }
}

impl From<Mistake> for Finding {
    fn from(Mistake { file, error }: Mistake) -> Finding {
        let unreadable = |error: Error| {
            let (code, message) = (document::UNREADABLE, format!("{error:#}"));
            Malformed { file, place: None, pointer: String::new(), code, message }
        };
        error.downcast().unwrap_or_else(unreadable).into()
    }
}

/// What there is; a mistake of `file` is kept.
fn noted<T>(file: &Path, found: Result<T>, mistakes: &mut Vec<Mistake>) -> Option<T> {
    found.map_err(|error| mistakes.push(Mistake { file: file.to_owned(), error })).ok()
}

/// A policy with which nothing is wrong, or the first mistake.
fn whole((policy, mistakes): (Option<Policy>, Vec<Mistake>)) -> Result<Policy> {
    match (policy, mistakes.into_iter().next()) {
        (_, Some(mistake)) => Err(mistake.error),
        (Some(policy), None) => Ok(policy),
        (None, None) => bail!("there is no policy"),
    }
}

/// The bytes of the environment variable `LATCHKEY_PEPPER`, which keys hashed with `hmac-sha256` need.
/// Empty is the same as none.
pub(crate) fn pepper() -> Option<Vec<u8>> {
    let pepper = std::env::var_os("LATCHKEY_PEPPER")?.into_encoded_bytes();
    (!pepper.is_empty()).then_some(pepper)
}

/// The list of a keys file, which has nothing else.
fn keys_of(file: &Path, document: Document) -> Result<Vec<Document>> {
    let Document::Object(Fields(fields)) = document else {
        bail!(Malformed::wrong_type(file, "", "a keys file must be an object with a list `keys`"));
    };
    let mut keys = None;
    for (name, value) in fields {
        if name != "keys" {
            let message = match name.len() {
                ..=24 => format!("unknown field `{name}`, expected `keys`"),
                // It may be a token in the wrong place.
                _ => "unknown field, expected `keys`".to_owned(),
            };
            let pointer = format!("/{}", place::escaped(&name));
            let mistake = Malformed::wrong_type(file, &pointer, &message);
            bail!(Malformed { code: "unknown_field", pointer: String::new(), ..mistake });
        }
        keys = Some(value);
    }
    match keys {
        Some(Document::Array(keys)) => Ok(keys),
        Some(_) => bail!(Malformed::wrong_type(file, "/keys", "`keys` must be a list")),
        None => {
            let mistake = Malformed::wrong_type(file, "", "missing field `keys`");
            bail!(Malformed { code: "missing_field", ..mistake })
        }
    }
}
