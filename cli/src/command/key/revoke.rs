//! `latchkey key revoke`: the end of keys.

use anyhow::Result;
use clap::Args;

use super::{Chosen, Files, end, tell, tell_until_pushed};
use crate::Exit;
use crate::keyfile::{Change, Key, KeyFile, State};
use crate::style::warn;
use crate::time;

/// Revoke keys, for good
///
/// A key gets `disabled: true`, and an `expires_at` that says since when. No command undoes it; what
/// is to come back is suspended instead. Requests with its token are refused as soon as the policy
/// is pushed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    files: Files,
}

const EXAMPLE: &str = "\
Examples:
  latchkey key revoke ci-2026 nightly --keys keys.yaml
  latchkey key revoke --account ws_1 --keys keys.yaml";

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { files, chosen } = arguments;
    let file = KeyFile::lock(&files.keys)?;
    let now = time::now();
    let chosen = chosen.keys(&file)?;
    let (before, revoked): (Vec<Key<'_>>, Vec<Key<'_>>) =
        chosen.iter().copied().partition(|key| key.state(now) == State::Revoked);
    for key in &before {
        let name = files.keys.display();
        tell(format_args!("key `{}` was revoked before; {name} is unchanged", key.id()));
    }
    if !revoked.is_empty() {
        let changes: Vec<Change> = revoked.iter().flat_map(|key| end(*key, now, true)).collect();
        let changed = match file.change(&changes) {
            Ok(changed) => changed,
            // That they are over counts more than since when.
            Err(error) => {
                let changed = file.change(&without_end(&file, &revoked, now)).map_err(|_| error)?;
                for key in revoked.iter().filter(|key| file.change(&end(**key, now, true)).is_err())
                {
                    warn(format_args!(
                        "the file does not say since when `{}` is revoked, so `prune` keeps it",
                        key.id()
                    ));
                }
                changed
            }
        };
        if let Some(exit) = files.write(&file, changed)? {
            return Ok(exit);
        }
    }
    let mut accepted = before.len();
    for key in &revoked {
        let id = key.id();
        match key.time("expires_at").filter(|_| key.state(now) == State::Expired) {
            Some(end) => tell(format_args!(
                "key `{id}`, which expired at {}, is revoked as well",
                time::display(end)
            )),
            None => {
                tell(format_args!("key `{id}` is revoked"));
                accepted += 1;
            }
        }
    }
    tell_until_pushed(accepted);
    Ok(Exit::Fine)
}

/// The changes that revoke keys, without an end where the file's layout leaves no room for it.
fn without_end(file: &KeyFile, keys: &[Key<'_>], now: i64) -> Vec<Change> {
    let changes = keys.iter().flat_map(|key| {
        let mut changes = end(*key, now, true);
        if file.change(&changes).is_err() {
            changes.retain(|change| matches!(change, Change::Set(_, "disabled", _)));
        }
        changes
    });
    changes.collect()
}
