//! `latchkey key import`: keys from elsewhere, with the tokens that clients have already.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::{Result, bail};
use clap::Args;
use latchkey::KeyType;

use super::{Files, parse_id, refused, tell, text};
use crate::document::{self, Document, Fields};
use crate::exit::Usage;
use crate::finding::{self, Finding, count};
use crate::import::{self, Entry, Format, Found, Map, Mistake, Secret};
use crate::keyfile::{Change, KeyFile};
use crate::style::{ERROR, warn};
use crate::token::Token;
use crate::{Exit, policy, table};

/// Import keys from elsewhere, with the tokens that clients have already
///
/// Tokens are hashed, with LATCHKEY_PEPPER if it is in the environment, and neither kept nor printed.
/// Without `--apply` nothing is written: what would come is printed. One broken line, or one token or
/// id that stands twice, and nothing is written at all.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// Where the keys come from
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Format,
    /// File with the keys, or `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    files: Files,
    /// Which column has which field of a key, for `csv` and `jsonl`; default: each the one of its own name
    #[arg(long, value_name = "FIELD=COLUMN,…", value_parser = Map::parse)]
    map: Option<Map>,
    /// Key type of those for which the file names none
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_id)]
    key_type: Option<String>,
    /// Leave out the keys whose token is in the keys file already
    #[arg(long)]
    skip_existing: bool,
    /// Write the keys file
    #[arg(long)]
    apply: bool,
}

const EXAMPLE: &str = "\
Examples:
  deck gateway dump -o - | latchkey key import --from kong - --keys keys.yaml
  latchkey key import --from csv export.csv --map id=key_id,token=secret,attributes.plan=plan \\
      --keys keys.yaml --policy policy.yaml --type imported --apply";

/// So many of what would come are printed.
const SHOWN_KEYS: usize = 10;

/// So many mistakes are printed.
const SHOWN_MISTAKES: usize = 100;

/// A token of fewer characters can be found by trying, by who has its hash.
const SHORT: usize = 20;

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let Arguments { from, file: source, files, map, key_type, .. } = arguments;
    if map.is_some() && !matches!(from, Format::Csv | Format::Jsonl) {
        bail!(Usage::new("`--map` is for `csv` and `jsonl`"));
    }
    let map = map.clone().unwrap_or_default();
    let mut found = import::read(*from, source, &document::read(source)?, &map)?;
    let file = match arguments.apply {
        true => KeyFile::lock_or_create(&files.keys)?,
        false => KeyFile::load_or_empty(&files.keys)?,
    };
    let has_tokens = found.entries.iter().any(|entry| matches!(entry.secret, Secret::Token(_)));
    if has_tokens && file.lacks_pepper() {
        bail!(
            "{} has keys that are hashed with a pepper, and LATCHKEY_PEPPER is not set: a token that is there already \
             would come in once more",
            files.keys.display()
        );
    }
    let types = match types(&file, files)? {
        Ok(types) => types,
        Err(errors) => return refused(&errors),
    };
    let keys = Keys { file: &file, pepper: policy::pepper(), of_type: key_type.as_deref(), types };
    let secrets = keys.secrets(&mut found, arguments.skip_existing)?;
    let taken: Vec<&str> = file.keys().map(|key| key.id()).collect();
    let ids = import::name(&mut found, &taken, &files.keys);
    // Of an entry whose id or token is wrong no more can be told, but of all others.
    let whole = found
        .entries
        .iter()
        .zip(ids.iter().zip(&secrets))
        .filter(|(_, (id, secret))| !id.is_empty() && secret.is_new);
    let (entries, documents): (Vec<&Entry>, Vec<Fields<Document>>) =
        whole.map(|(entry, (id, secret))| (entry, keys.fields(entry, id, secret))).unzip();
    let changes: Vec<Change> = documents.iter().cloned().map(Change::Add).collect();
    let checked = match changes.is_empty() {
        true => None,
        false => match file.change(&changes)?.check(files.policy.as_deref())? {
            Ok(checked) => Some(checked),
            Err(errors) => {
                return broken(source, &entries, taken.len(), errors, found.mistakes);
            }
        },
    };
    if !found.mistakes.is_empty() {
        return mistakes(source, found.mistakes);
    }
    for note in &found.notes {
        tell(format_args!("{}: {note}", source.display()));
    }
    let Some(checked) = checked else {
        tell(format_args!("no key is new; {} is unchanged", files.keys.display()));
        return Ok(Exit::Fine);
    };
    let swapped: Vec<usize> = match from {
        Format::Tokens => {
            let swapped = entries.iter().filter(|entry| entry.may_be_swapped());
            swapped.map(|entry| entry.line).collect()
        }
        _ => Vec::new(),
    };
    warn_of_swapped(source, &swapped);
    if let Some(engine) = checked.engine() {
        warn_of_shapes(&entries, |token| engine.is_token_shaped(token));
    }
    keys.warn_of_short(&entries);
    warn_of_broad_scopes(&documents);
    let number = count(entries.len(), "key");
    if arguments.apply {
        files.replace(&file, checked)?;
        tell(format_args!("{number} imported into {}", files.keys.display()));
        tell(format_args!("proxies accept them once they are pushed (`latchkey push`)"));
    } else {
        preview(&entries, &documents, &swapped, output)?;
        tell(format_args!(
            "{number} would be imported into {}; nothing was written (`--apply` does)",
            files.keys.display()
        ));
    }
    Ok(Exit::Fine)
}

/// The key types that the policy has, where one is known.
fn types(file: &KeyFile, files: &Files) -> Result<Result<Vec<KeyType>, Vec<Finding>>> {
    if files.policy.is_none() && !file.is_policy() {
        return Ok(Ok(Vec::new()));
    }
    Ok(file.policy(files.policy.as_deref())?.map(|engine| engine.key_types().to_vec()))
}

/// What a key is known by, as the file has it.
struct Kept {
    hash: String,
    hint: Option<String>,
    /// Whether nothing before it has the same.
    is_new: bool,
}

struct Keys<'a> {
    file: &'a KeyFile,
    pepper: Option<Vec<u8>>,
    of_type: Option<&'a str>,
    types: Vec<KeyType>,
}

impl Keys<'_> {
    /// Hash and hint of each entry. An entry whose token is known already is a mistake, or left out.
    fn secrets(&self, found: &mut Found, skip: bool) -> Result<Vec<Kept>> {
        let mut existing: HashMap<String, &str> = HashMap::new();
        for key in self.file.keys() {
            let hash = key.text("hash").unwrap_or_default();
            existing.insert(hash.to_ascii_lowercase(), key.id());
        }
        let mut lines: HashMap<String, usize> = HashMap::new();
        let (mut secrets, mut entries) = (Vec::new(), Vec::new());
        let (mut mistakes, mut skipped) = (Vec::new(), 0);
        for entry in std::mem::take(&mut found.entries) {
            // By whichever hash the file knows it.
            let (mut kept, plain) = match &entry.secret {
                Secret::Hash(hash) => {
                    (Kept { hash: hash.clone(), hint: None, is_new: true }, hash.clone())
                }
                Secret::Token(token) => {
                    let token = Token::of(token, self.prefix(&entry));
                    let plain = token.hash(None)?;
                    let hash = token.hash(self.pepper.as_deref())?;
                    (Kept { hash, hint: Some(token.hint()), is_new: true }, plain)
                }
            };
            let known = existing.get(&kept.hash).or_else(|| existing.get(&plain));
            kept.is_new = known.is_none() && !lines.contains_key(&kept.hash);
            match (known, lines.get(&kept.hash)) {
                (Some(_), _) if skip => {
                    skipped += 1;
                    continue;
                }
                (Some(id), _) => mistakes.push(Mistake {
                    line: entry.line,
                    message: format!(
                        "its token is that of the key `{id}` in {} (`--skip-existing` leaves it out)",
                        self.file.file().display()
                    ),
                }),
                (None, Some(line)) => mistakes.push(Mistake {
                    line: entry.line,
                    message: format!("the same token stands on line {line}"),
                }),
                (None, None) => {}
            }
            lines.entry(kept.hash.clone()).or_insert(entry.line);
            secrets.push(kept);
            entries.push(entry);
        }
        found.entries = entries;
        found.mistakes.extend(mistakes);
        if skipped > 0 {
            found.notes.push(format!("{} left out", count(skipped, "known key")));
        }
        Ok(secrets)
    }

    /// What tokens of the entry's type start with, as far as that is known.
    fn prefix(&self, entry: &Entry) -> &str {
        let given = entry.fields.iter().find(|(name, _)| *name == "type");
        let name = given.and_then(|(_, name)| name.as_str()).or(self.of_type);
        let key_type = self.types.iter().find(|key_type| Some(key_type.name()) == name);
        key_type.map(KeyType::prefix).unwrap_or_default()
    }

    /// The key in the order in which `key new` writes its fields.
    fn fields(&self, entry: &Entry, id: &str, kept: &Kept) -> Fields<Document> {
        const ORDER: [&str; 13] = [
            "hint",
            "created",
            "type",
            "name",
            "account",
            "scopes",
            "not_before",
            "expires_at",
            "origins",
            "addresses",
            "attributes",
            "disabled",
            "suspended",
        ];
        let mut fields =
            vec![("id".to_owned(), text(id)), ("hash".to_owned(), text(kept.hash.as_str()))];
        for name in ORDER {
            let given = entry.fields.iter().find(|(field, _)| *field == name);
            let value = given.map(|(_, value)| value.clone()).or_else(|| match name {
                "hint" => kept.hint.as_deref().map(text),
                "type" => self.of_type.map(text),
                _ => None,
            });
            fields.extend(value.map(|value| (name.to_owned(), value)));
        }
        Fields(fields)
    }

    fn warn_of_short(&self, entries: &[&Entry]) {
        let is_short =
            |entry: &&&Entry| matches!(&entry.secret, Secret::Token(token) if token.len() < SHORT);
        let short = entries.iter().filter(is_short).count();
        if short > 0 && self.pepper.is_none() {
            warn(format_args!(
                "{} shorter than {SHORT} characters: whoever has the file can find them by trying (set \
                 LATCHKEY_PEPPER, here and in the proxy)",
                are(short, "token")
            ));
        }
    }
}

/// `1 token is`, `2 tokens are`.
fn are(number: usize, noun: &str) -> String {
    format!("{} {}", count(number, noun), if number == 1 { "is" } else { "are" })
}

/// The lines are told, and not their ids.
fn warn_of_swapped(source: &Path, lines: &[usize]) {
    let Some(first) = lines.first() else { return };
    warn(format_args!(
        "{}:{first}: the id is longer than the token{}: see that it is `ID TOKEN`, since ids stand in the file and in \
         logs",
        source.display(),
        match lines.len() {
            1 => String::new(),
            number => format!(", as on {} more", count(number - 1, "line")),
        }
    ));
}

fn warn_of_shapes(entries: &[&Entry], fits: impl Fn(&[u8]) -> bool) {
    let tokens = entries.iter().filter_map(|entry| match &entry.secret {
        Secret::Hash(_) => None,
        Secret::Token(token) => Some(token.as_bytes()),
    });
    let (fitting, others): (Vec<&[u8]>, Vec<&[u8]>) = tokens.partition(|token| fits(token));
    if others.is_empty() {
        return;
    }
    let what = match fitting.is_empty() {
        true => "all of these tokens".to_owned(),
        false => format!("{} of these tokens", others.len()),
    };
    warn(format_args!(
        "proxies refuse {what} as `malformed_credential`: each key type has a prefix, and they begin with \
         none or have another format (give them with `--type` a type of their own, without prefix and format)"
    ));
}

/// What elsewhere is a mere name, such as a group called `read`, may be much as a scope.
fn warn_of_broad_scopes(keys: &[Fields<Document>]) {
    const ACTIONS: [&str; 6] = ["*", "create", "delete", "read", "update", "write"];
    let mut broad: Vec<&str> = Vec::new();
    for key in keys {
        let Some(Document::Array(scopes)) = key.value("scopes") else { continue };
        for scope in scopes.iter().filter_map(Document::as_str) {
            let is_broad = ACTIONS.contains(&scope) || scope.starts_with("*:");
            if is_broad && !broad.contains(&scope) {
                broad.push(scope);
            }
        }
    }
    if !broad.is_empty() {
        let broad: Vec<_> = broad.iter().map(|scope| format!("`{scope}`")).collect();
        warn(format_args!(
            "{} as a scope is good for every resource: see that this is meant",
            broad.join(", ")
        ));
    }
}

/// Prints the first keys; the id of a line of `swapped` is not told.
fn preview(
    entries: &[&Entry],
    keys: &[Fields<Document>],
    swapped: &[usize],
    output: &mut dyn Write,
) -> Result<()> {
    let cell = |key: &Fields<Document>, name: &str| match key.value(name) {
        Some(Document::String(text)) => text.clone(),
        Some(Document::Array(items)) if !items.is_empty() => {
            items.iter().filter_map(Document::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => "-".to_owned(),
    };
    let columns = ["id", "type", "account", "scopes", "hint"];
    let mut rows = vec![(Style::new(), columns.map(str::to_uppercase))];
    for (entry, key) in entries.iter().zip(keys).take(SHOWN_KEYS) {
        let cells = columns.map(|name| match name {
            "id" if swapped.contains(&entry.line) => format!("(line {})", entry.line),
            name => cell(key, name),
        });
        rows.push((Style::new(), cells));
    }
    table::write(&rows, columns.len(), output)?;
    if keys.len() > SHOWN_KEYS {
        writeln!(output, "and {} more", keys.len() - SHOWN_KEYS)?;
    }
    // Before what is said beside it.
    output.flush()?;
    Ok(())
}

/// Prints what is wrong with the keys' source, line by line.
fn mistakes(source: &Path, mut mistakes: Vec<Mistake>) -> Result<Exit> {
    mistakes.sort_by_key(|mistake| mistake.line);
    let mut stderr = anstream::stderr().lock();
    for Mistake { line, message } in mistakes.iter().take(SHOWN_MISTAKES) {
        writeln!(stderr, "{}:{line}: {ERROR}error{ERROR:#}: {message}", source.display())?;
    }
    if mistakes.len() > SHOWN_MISTAKES {
        writeln!(stderr, "and {} more", mistakes.len() - SHOWN_MISTAKES)?;
    }
    drop(stderr);
    tell(format_args!("{}; nothing was written", count(mistakes.len(), "error")));
    Ok(Exit::Failed)
}

/// Prints what the core has against the keys, by the lines that they came from, among what is wrong with others; they
/// stand in the file behind `before` others.
fn broken(
    source: &Path,
    entries: &[&Entry],
    before: usize,
    errors: Vec<Finding>,
    mut unfit: Vec<Mistake>,
) -> Result<Exit> {
    let mut others = Vec::new();
    for error in errors {
        let (index, field) = match error.pointer.strip_prefix("/keys/") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", ""),
        };
        let index = index.parse::<usize>().ok().and_then(|index| index.checked_sub(before));
        match index.and_then(|index| entries.get(index)) {
            Some(entry) if field.is_empty() => {
                unfit.push(Mistake { line: entry.line, message: error.message });
            }
            Some(entry) => {
                let message = format!("{} (its {field})", error.message);
                unfit.push(Mistake { line: entry.line, message });
            }
            None => others.push(error),
        }
    }
    if others.is_empty() {
        return mistakes(source, unfit);
    }
    finding::locate(&mut others);
    if unfit.is_empty() {
        return refused(&others);
    }
    finding::print(&others, &mut anstream::stderr())?;
    mistakes(source, unfit)
}
