//! Rules from several files: what `rules_from` names, for people, so that generated rules and those written by
//! hand stay apart. Proxies get one list.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Error;

use crate::document::{self, Document, Fields, Malformed};
use crate::place;

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
    /// How many rules it has.
    count: usize,
}

impl RuleFiles {
    /// Puts into a policy, which came from `file`, the rules of the files that it names in place of their names, and
    /// adds to `mistakes` why rules cannot be had: the names are none, or a file cannot be read, holds something else
    /// than rules, or is named twice.
    pub(super) fn join(
        file: &Path,
        policy: &mut Document,
        mistakes: &mut Vec<Malformed>,
    ) -> RuleFiles {
        let Document::Object(Fields(fields)) = policy else { return RuleFiles::default() };
        let Some(position) = fields.iter().position(|(name, _)| name == FROM) else {
            return RuleFiles::default();
        };
        if fields.iter().any(|(name, _)| name == "rules") {
            fields.remove(position);
            mistakes.push(both(file));
            return RuleFiles::default();
        }
        let mut joined = Joined {
            rules: Vec::new(),
            files: Vec::new(),
            open: vec![canonical(file)],
            known: Vec::new(),
            mistakes,
        };
        if let Some((name, value)) = fields.get_mut(position) {
            joined.add_named(file, value);
            *name = "rules".to_owned();
            *value = Document::Array(joined.rules);
        }
        RuleFiles(joined.files)
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

    /// Where each rule of these files stands, as `FILE:LINE`; empty for a policy that has its rules itself.
    pub(super) fn places(&self) -> Vec<String> {
        let of_file = |RuleFile { file, count, .. }: &RuleFile| {
            let text = document::read(file).unwrap_or_default();
            let pointers: Vec<String> =
                (0..*count).map(|index| format!("/rules/{index}")).collect();
            let places = place::find(file, &text, pointers.iter().map(String::as_str));
            let name = file.display();
            let place = |pointer: &String| match places.get(pointer.as_str()) {
                Some(place) => format!("{name}:{}", place.line),
                None => name.to_string(),
            };
            pointers.iter().map(place).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_file).collect()
    }
}

/// What was joined so far.
struct Joined<'m> {
    rules: Vec<Document>,
    files: Vec<RuleFile>,
    /// The files that are being read, each named by the one before.
    open: Vec<PathBuf>,
    /// All that were read.
    known: Vec<PathBuf>,
    /// What is wrong.
    mistakes: &'m mut Vec<Malformed>,
}

impl Joined<'_> {
    /// Adds the rules of the files that `from`, a field of `file`, names.
    fn add_named(&mut self, file: &Path, from: &Document) {
        let Document::Array(names) = from else {
            let message = "`rules_from` must be a list of files";
            self.mistakes.push(Malformed::wrong_type(file, "/rules_from", message));
            return;
        };
        if names.is_empty() {
            self.mistakes.push(mistake(file, "/rules_from", "empty", "a list without files"));
        }
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/{FROM}/{index}");
            match name.as_str() {
                Some(name) => {
                    let mistake = |code, message: &str| mistake(file, &pointer, code, message);
                    self.add(&beside(file, name), mistake);
                }
                None => {
                    let message = "a file is named by a text";
                    self.mistakes.push(Malformed::wrong_type(file, &pointer, message));
                }
            }
        }
    }

    /// Adds the rules of `file`; what is wrong with its name is a `mistake` where it stands.
    fn add(&mut self, file: &Path, mistake: impl Fn(&'static str, &str) -> Malformed) {
        let name = file.display();
        let path = canonical(file);
        if self.open.contains(&path) {
            self.mistakes.push(mistake("circle", &format!("`{name}` leads back to itself")));
            return;
        }
        if self.known.contains(&path) {
            let message = format!("the rules of `{name}` are named twice");
            self.mistakes.push(mistake("duplicate", &message));
            return;
        }
        let unreadable = |error: Error| match error.downcast::<Malformed>() {
            Ok(malformed) => malformed,
            Err(error) => mistake(document::UNREADABLE, &format!("{error:#}")),
        };
        let content = document::load(file).map_err(unreadable);
        self.open.push(path.clone());
        self.known.push(path);
        match content.and_then(|document| content_of(file, document)) {
            Ok(Content::From(from)) => self.add_named(file, &from),
            Ok(Content::Rules(rules)) => {
                let first = self.rules.len();
                self.files.push(RuleFile { file: file.to_owned(), first, count: rules.len() });
                self.rules.extend(rules);
            }
            Err(malformed) => self.mistakes.push(malformed),
        }
        self.open.pop();
    }
}

/// What a file of rules holds.
enum Content {
    From(Document),
    Rules(Vec<Document>),
}

fn content_of(file: &Path, document: Document) -> Result<Content, Malformed> {
    const WHAT: &str = "a file of rules must be an object with a list `rules`, or `rules_from`";
    let Document::Object(Fields(mut fields)) = document else {
        return Err(Malformed::wrong_type(file, "", WHAT));
    };
    if let Some((name, _)) = fields.iter().find(|(name, _)| name != FROM && name != "rules") {
        let pointer = format!("/{}", place::escaped(name));
        let message = match name.len() {
            ..=24 => format!("unknown field `{name}`, expected `rules` or `rules_from`"),
            // It may be a token in the wrong place.
            _ => "unknown field, expected `rules` or `rules_from`".to_owned(),
        };
        let mistake = mistake(file, &pointer, "unknown_field", &message);
        return Err(Malformed { pointer: String::new(), ..mistake });
    }
    match (fields.pop(), fields.pop()) {
        (Some(_), Some(_)) => Err(both(file)),
        (Some((name, value)), None) if name == FROM => Ok(Content::From(value)),
        (Some((_, Document::Array(rules))), None) => Ok(Content::Rules(rules)),
        (Some(_), None) => Err(Malformed::wrong_type(file, "/rules", "`rules` must be a list")),
        (None, _) => Err(mistake(file, "", "missing_field", WHAT)),
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
