//! `latchkey verify`: is a string one of our tokens, by prefix and checksum.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use latchkey::KeyType;

use crate::exit::Usage;
use crate::keyfile::{Key, KeyFile};
use crate::token::Token;
use crate::{Exit, finding, policy, time, token};

/// Tell whether a string is one of our tokens, offline
///
/// Reads one string from standard input, so that it stands in no history and no list of processes, and
/// never prints it. It is ours if its last six characters are the checksum of the thirty before, and a
/// prefix that ends in `_`, `-` or `.` stands before those, or nothing; with a policy, if it has the prefix
/// of a key type as well, or prefix and format where a type has a format.
/// Whether there is such a key this tells with `--keys` alone: which one, and whether it is a good one. A
/// key that came from elsewhere has no checksum, and is known by its hash. Keys that are hashed with a pepper
/// need LATCHKEY_PEPPER.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// Policy whose key types tell what tokens begin with
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// File with a list `keys`, a policy perhaps, to tell which of them it is
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  pbpaste | latchkey verify --policy policy.yaml && echo 'this is a leak'
  pbpaste | latchkey verify --keys keys.yaml

Exit codes: 0 it is ours; 1 it is not, as standard output then says, or the command failed, which leaves standard output
empty; 2 wrong usage; 3 the policy has errors.";

/// Longer than any token, and its line end.
const MOST: u64 = 2 * latchkey::limits::TOKEN_BYTES as u64;

/// Of a file with keys that are hashed with a pepper, without that.
const UNKNOWN: &str =
    "whether a key that is there has it cannot be told, as LATCHKEY_PEPPER is not set";

/// Says whether standard input is a token.
///
/// # Errors
/// Standard input, the policy or the keys file cannot be read, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    for (option, file) in [("--policy", &arguments.policy), ("--keys", &arguments.keys)] {
        if file.as_deref() == Some(Path::new("-")) {
            bail!(Usage::new(format!("standard input is the string: `{option}` must be a file")));
        }
    }
    let types = match &arguments.policy {
        None => Vec::new(),
        Some(policy) => match KeyFile::load(policy)?.policy(None)? {
            Ok(engine) => engine.key_types().to_vec(),
            Err(mut errors) => {
                finding::locate(&mut errors);
                finding::print(&errors, &mut anstream::stderr())?;
                return Ok(Exit::Findings);
            }
        },
    };
    let keys = arguments.keys.as_deref().map(KeyFile::load).transpose()?;
    let mut input = Vec::new();
    io::stdin().take(MOST).read_to_end(&mut input).context("cannot read standard input")?;
    let input = input.strip_suffix(b"\n").unwrap_or(&input);
    let input = input.strip_suffix(b"\r").unwrap_or(input);
    if let Some(keys) = &keys
        && let Some(key) = key_of(input, keys)?
    {
        let account = key.text("account").map(|account| format!(", account `{account}`"));
        let (id, account, state) = (key.id(), account.unwrap_or_default(), key.state(time::now()));
        let is_of_it = |own: &&KeyType| !own.is_enabled() && key.text("type") == Some(own.name());
        let disabled = types.iter().find(is_of_it).map(KeyType::name);
        let disabled = disabled.map(|name| format!(", but its type `{name}` is disabled"));
        let disabled = disabled.unwrap_or_default();
        writeln!(output, "one of ours: key `{id}`{account}, {state}{disabled}")?;
        return Ok(Exit::Fine);
    }
    let lacks_pepper = keys.as_ref().is_some_and(KeyFile::lacks_pepper);
    match ours(input, &types) {
        Ok(how) if lacks_pepper => {
            writeln!(output, "one of ours: {how}; {UNKNOWN}")?;
            Ok(Exit::Fine)
        }
        Err(_) if lacks_pepper => bail!("cannot tell whether it is one of ours: {UNKNOWN}"),
        Ok(how) if keys.is_some() => {
            writeln!(output, "one of ours: {how}; no key that is there has it")?;
            Ok(Exit::Fine)
        }
        Ok(how) => {
            writeln!(output, "one of ours: {how}")?;
            Ok(Exit::Fine)
        }
        Err(why) => {
            writeln!(output, "not one of ours: {why}")?;
            Ok(Exit::Failed)
        }
    }
}

/// The key whose token a string is.
fn key_of<'k>(input: &[u8], keys: &'k KeyFile) -> Result<Option<Key<'k>>> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(None) };
    let token = Token::of(text, "");
    let pepper = policy::pepper();
    let hashes = [Some(token.hash(None)?), pepper.map(|own| token.hash(Some(&own))).transpose()?];
    let is_its = |key: &Key<'_>| {
        let own = key.text("hash").map(str::to_ascii_lowercase);
        own.is_some() && hashes.contains(&own)
    };
    Ok(keys.keys().find(is_its))
}

/// By what a string is ours, or why it is not.
fn ours(input: &[u8], types: &[KeyType]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(input).ok().filter(|text| token::is_possible(text));
    let text = text.ok_or("it cannot be a token")?;
    if types.is_empty() {
        return has_checksum(text).map(|()| "its checksum fits".to_owned());
    }
    let mut fitting: Vec<&KeyType> =
        types.iter().filter(|key_type| text.starts_with(key_type.prefix())).collect();
    if fitting.is_empty() {
        return Err("no key type has its prefix");
    }
    // The longest prefix says most.
    fitting.sort_by_key(|key_type| std::cmp::Reverse(key_type.prefix().len()));
    let mut otherwise = None;
    for key_type in &fitting {
        let name = key_type.name();
        match key_type.format() {
            Some(_) if key_type.fits(input) => {
                return Ok(format!(
                    "it has prefix and format of the type `{name}`, which has no checksum"
                ));
            }
            Some(_) => {}
            None => match has_checksum(text.strip_prefix(key_type.prefix()).unwrap_or(text)) {
                Err(why) => otherwise = Some(why),
                Ok(()) if key_type.prefix().is_empty() => {
                    return Ok("its checksum fits".to_owned());
                }
                Ok(()) => {
                    return Ok(format!(
                        "it has the prefix of the type `{name}`, and its checksum fits"
                    ));
                }
            },
        }
    }
    Err(otherwise.unwrap_or("it has another format"))
}

/// Whether a text, behind the prefix of its type where that is known, is a token that was minted here.
///
/// # Errors
/// Why it is none.
fn has_checksum(text: &str) -> Result<(), &'static str> {
    match token::before_checksum(text) {
        None => Err("its checksum does not fit"),
        // Before it may stand what `--prefix` said. A prefix that ends otherwise is known by its type alone.
        Some(before) if before.is_empty() || token::ends_prefix(before) => Ok(()),
        Some(_) => Err("its checksum fits, but what stands before it is no prefix"),
    }
}
