//! Rules from several files: what `rules_from` names, for people, so that generated rules and those written by
//! hand stay apart. Proxies get one list.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};

use crate::document::{self, Document, Fields, Malformed};

/// The field that names the files.
const FROM: &str = "rules_from";

/// The files that a policy's rules came from, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleFiles(Vec<RuleFile>);

#[derive(Clone, Debug)]
struct RuleFile {
    file: PathBuf,
    /// The place of its first rule among the policy's.
    first: usize,
}

impl RuleFiles {
    /// Puts into a policy, which came from `file`, the rules of the files that it names in place of their names.
    ///
    /// # Errors
    /// A `Malformed`: the names are none, a file cannot be read, holds something else than rules, or is named
    /// twice.
    pub(super) fn join(file: &Path, policy: &mut Document) -> Result<RuleFiles> {
        let Document::Object(Fields(fields)) = policy else { return Ok(RuleFiles::default()) };
        let Some(position) = fields.iter().position(|(name, _)| name == FROM) else {
            return Ok(RuleFiles::default());
        };
        if fields.iter().any(|(name, _)| name == "rules") {
            bail!(both(file));
        }
        let mut joined = Joined { open: vec![canonical(file)], ..Joined::default() };
        if let Some((name, value)) = fields.get_mut(position) {
            joined.add_named(file, value)?;
            *name = "rules".to_owned();
            *value = Document::Array(joined.rules);
        }
        Ok(RuleFiles(joined.files))
    }

    /// The file and the pointer there that a pointer into the policy stands for; `None` for one that is not
    /// about rules of another file.
    pub(super) fn source(&self, pointer: &str) -> Option<(Option<&Path>, String)> {
        let tail = pointer.strip_prefix("/rules").filter(|_| !self.0.is_empty())?;
        let Some(tail) = tail.strip_prefix('/') else {
            return tail.is_empty().then(|| (None, format!("/{FROM}")));
        };
        let (index, rest) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
        let index: usize = index.parse().ok()?;
        let rule_file = self.0.iter().rfind(|rule_file| rule_file.first <= index)?;
        Some((Some(&rule_file.file), format!("/rules/{}{rest}", index - rule_file.first)))
    }
}

/// What was joined so far.
#[derive(Default)]
struct Joined {
    rules: Vec<Document>,
    files: Vec<RuleFile>,
    /// The files that are being read, each named by the one before.
    open: Vec<PathBuf>,
    /// All that were read.
    known: Vec<PathBuf>,
}

impl Joined {
    /// Adds the rules of the files that `from`, a field of `file`, names.
    fn add_named(&mut self, file: &Path, from: &Document) -> Result<()> {
        let Document::Array(names) = from else {
            bail!(Malformed::wrong_type(
                file,
                "/rules_from",
                "`rules_from` must be a list of files"
            ));
        };
        if names.is_empty() {
            bail!(mistake(file, "/rules_from", "empty", "a list without files"));
        }
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/{FROM}/{index}");
            let Some(name) = name.as_str() else {
                bail!(Malformed::wrong_type(file, &pointer, "a file is named by a text"));
            };
            self.add(&beside(file, name), |code, message| mistake(file, &pointer, code, message))?;
        }
        Ok(())
    }

    /// Adds the rules of `file`; what is wrong with its name is a `mistake` where it stands.
    fn add(
        &mut self,
        file: &Path,
        mistake: impl Fn(&'static str, &str) -> Malformed,
    ) -> Result<()> {
        let name = file.display();
        let path = canonical(file);
        if self.open.contains(&path) {
            bail!(mistake("circle", &format!("`{name}` leads back to itself")));
        }
        if self.known.contains(&path) {
            bail!(mistake("duplicate", &format!("the rules of `{name}` are named twice")));
        }
        let document =
            document::load(file).map_err(|error| match error.downcast::<Malformed>() {
                Ok(malformed) => Error::from(malformed),
                Err(error) => mistake("missing_file", &format!("{error:#}")).into(),
            })?;
        self.open.push(path.clone());
        self.known.push(path);
        match content(file, document)? {
            Content::From(from) => self.add_named(file, &from)?,
            Content::Rules(rules) => {
                self.files.push(RuleFile { file: file.to_owned(), first: self.rules.len() });
                self.rules.extend(rules);
            }
        }
        self.open.pop();
        Ok(())
    }
}

/// What a file of rules holds.
enum Content {
    From(Document),
    Rules(Vec<Document>),
}

fn content(file: &Path, document: Document) -> Result<Content> {
    const WHAT: &str = "a file of rules must be an object with a list `rules`, or `rules_from`";
    let Document::Object(Fields(mut fields)) = document else {
        bail!(Malformed::wrong_type(file, "", WHAT));
    };
    if let Some((name, _)) = fields.iter().find(|(name, _)| name != FROM && name != "rules") {
        let pointer = format!("/{}", crate::place::escaped(name));
        let message = match name.len() {
            ..=24 => format!("unknown field `{name}`, expected `rules` or `rules_from`"),
            // It may be a token in the wrong place.
            _ => "unknown field, expected `rules` or `rules_from`".to_owned(),
        };
        let mistake = mistake(file, &pointer, "unknown_field", &message);
        bail!(Malformed { pointer: String::new(), ..mistake });
    }
    match (fields.pop(), fields.pop()) {
        (Some(_), Some(_)) => bail!(both(file)),
        (Some((name, value)), None) if name == FROM => Ok(Content::From(value)),
        (Some((_, Document::Array(rules))), None) => Ok(Content::Rules(rules)),
        (Some(_), None) => bail!(Malformed::wrong_type(file, "/rules", "`rules` must be a list")),
        (None, _) => bail!(mistake(file, "", "missing_field", WHAT)),
    }
}

fn both(file: &Path) -> Malformed {
    let message = "`rules` and `rules_from` cannot both stand in one file: put the rules into a file of their own, \
                   and name it where they come";
    mistake(file, "/rules_from", "contradiction", message)
}

fn mistake(file: &Path, pointer: &str, code: &'static str, message: &str) -> Malformed {
    Malformed { code, ..Malformed::wrong_type(file, pointer, message) }
}

/// A file that `file` names.
fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

/// What a file is called, whoever names it.
fn canonical(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}
