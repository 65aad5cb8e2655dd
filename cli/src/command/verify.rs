//! `latchkey verify`: is a string one of our tokens, by prefix and checksum.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use latchkey::KeyType;

use crate::keyfile::KeyFile;
use crate::{Exit, finding, token};

/// Tell whether a string is one of our tokens, offline
///
/// Reads one string from standard input, so that it stands in no history and no list of processes, and
/// never prints it. It is ours if its last six characters are the checksum of the thirty before; with
/// a policy, if it has the prefix of a key type as well, or prefix and format where a type has a format.
/// Whether there is such a key, and a good one, this does not tell: `latchkey explain` does.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// Policy whose key types tell what tokens begin with
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  pbpaste | latchkey verify --policy policy.yaml && echo 'this is a leak'

Exit codes: 0 it is ours, 1 it is not.";

/// Longer than any token, and its line end.
const MOST: u64 = 2 * latchkey::limits::TOKEN_BYTES as u64;

/// Says whether standard input is a token.
///
/// # Errors
/// Standard input or the policy cannot be read, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
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
    let mut input = Vec::new();
    io::stdin().take(MOST).read_to_end(&mut input).context("cannot read standard input")?;
    let input = input.strip_suffix(b"\n").unwrap_or(&input);
    let input = input.strip_suffix(b"\r").unwrap_or(input);
    match ours(input, &types) {
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

/// By what a string is ours, or why it is not.
fn ours(input: &[u8], types: &[KeyType]) -> Result<String, &'static str> {
    let text =
        std::str::from_utf8(input).ok().filter(|text| text.len() <= latchkey::limits::TOKEN_BYTES);
    let text = text.ok_or("it cannot be a token")?;
    if types.is_empty() {
        return match token::has_checksum(text) {
            true => Ok("its checksum fits".to_owned()),
            false => Err(NO_CHECKSUM),
        };
    }
    let mut fitting: Vec<&KeyType> =
        types.iter().filter(|key_type| text.starts_with(key_type.prefix())).collect();
    if fitting.is_empty() {
        return Err("no key type has its prefix");
    }
    // The longest prefix says most.
    fitting.sort_by_key(|key_type| std::cmp::Reverse(key_type.prefix().len()));
    for key_type in &fitting {
        let name = key_type.name();
        match key_type.format() {
            Some(_) if key_type.fits(input) => {
                return Ok(format!(
                    "it has prefix and format of the type `{name}`, which has no checksum"
                ));
            }
            Some(_) => {}
            None => {
                let rest = text.strip_prefix(key_type.prefix()).unwrap_or(text);
                if token::has_checksum(rest) {
                    return Ok(match key_type.prefix() {
                        "" => "its checksum fits".to_owned(),
                        _ => {
                            format!("it has the prefix of the type `{name}`, and its checksum fits")
                        }
                    });
                }
            }
        }
    }
    Err(if fitting.iter().all(|key_type| key_type.format().is_some()) {
        "it has another format"
    } else {
        NO_CHECKSUM
    })
}

const NO_CHECKSUM: &str = "its checksum does not fit";
