//! `latchkey key revoke`: the end of a key.

use anyhow::Result;
use clap::Args;

use super::{Files, end, tell};
use crate::Exit;
use crate::keyfile::{Change, KeyFile, State};
use crate::style::warn;
use crate::time;

/// Revoke a key, for good
///
/// The key gets `disabled: true`, and an `expires_at` that says since when. No command undoes it.
/// Requests with its token are refused as soon as the policy is pushed.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey key revoke ci-2026 --keys keys.yaml")]
pub(super) struct Arguments {
    /// The key that ends
    id: String,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { files, id } = arguments;
    let file = KeyFile::lock(&files.keys)?;
    let key = file.key(id)?;
    let now = time::now();
    let state = key.state(now);
    if state == State::Revoked {
        tell(format_args!("key `{id}` was revoked before; {} is unchanged", files.keys.display()));
        tell(format_args!("{UNTIL_PUSHED}"));
        return Ok(Exit::Fine);
    }
    let changes = end(key, now, true);
    let disable: Vec<Change> = changes
        .iter()
        .filter(|change| matches!(change, Change::Set(_, "disabled", _)))
        .cloned()
        .collect();
    let changed = match file.change(&changes) {
        Ok(changed) => changed,
        // That it is over counts more than since when.
        Err(error) => {
            let changed = file.change(&disable).map_err(|_| error)?;
            warn(format_args!(
                "the file does not say since when `{id}` is revoked, so `prune` keeps it"
            ));
            changed
        }
    };
    if let Some(exit) = files.write(&file, changed)? {
        return Ok(exit);
    }
    match key.time("expires_at").filter(|_| state == State::Expired) {
        Some(end) => tell(format_args!(
            "key `{id}`, which expired at {}, is revoked as well",
            time::display(end)
        )),
        None => {
            tell(format_args!("key `{id}` is revoked"));
            tell(format_args!("{UNTIL_PUSHED}"));
        }
    }
    Ok(Exit::Fine)
}

const UNTIL_PUSHED: &str = "proxies accept it until that is pushed (`latchkey push`)";
