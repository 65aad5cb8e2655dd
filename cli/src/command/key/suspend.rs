//! `latchkey key suspend` and `resume`: a key that is refused for a while.

use anyhow::{Result, bail};
use clap::Args;

use super::{Chosen, Files, tell, tell_until_pushed};
use crate::Exit;
use crate::document::Document;
use crate::keyfile::{Change, KeyFile, State};
use crate::time;

/// Suspend keys, until they are resumed
///
/// A key gets `suspended: true`. Requests with its token are refused as soon as the policy is
/// pushed, as those of a revoked key are; `latchkey key resume` undoes it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey key suspend ci-2026 --keys keys.yaml")]
pub(super) struct Suspend {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    files: Files,
}

/// Resume keys that were suspended
///
/// A key loses its `suspended`, and the file is what it was before. What was revoked stays so.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey key resume ci-2026 --keys keys.yaml")]
pub(super) struct Resume {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    files: Files,
}

pub(super) fn suspend(Suspend { chosen, files }: &Suspend) -> Result<Exit> {
    let file = KeyFile::lock(&files.keys)?;
    let now = time::now();
    let (mut changes, mut suspended) = (Vec::new(), Vec::new());
    for key in chosen.keys(&file)? {
        match key.state(now) {
            // Of what is invalid the core says why.
            State::Active | State::Invalid | State::NotYetValid => {
                let value = Document::Boolean(true);
                changes.push(Change::Set(key.index(), "suspended", value));
                suspended.push(key.id());
            }
            State::Suspended => tell(format_args!("key `{}` was suspended before", key.id())),
            // Of all keys of an account, those that are over are not meant.
            State::Expired | State::Revoked if chosen.account.is_some() => {}
            State::Expired => bail!("the key `{}` expired: it is refused already", key.id()),
            State::Revoked => bail!("the key `{}` is revoked, for good", key.id()),
        }
    }
    if let Some(exit) = files.commit(&file, &changes)? {
        return Ok(exit);
    }
    for id in &suspended {
        tell(format_args!("key `{id}` is suspended (`latchkey key resume {id}` undoes it)"));
    }
    tell_until_pushed(suspended.len());
    Ok(Exit::Fine)
}

pub(super) fn resume(Resume { chosen, files }: &Resume) -> Result<Exit> {
    let file = KeyFile::lock(&files.keys)?;
    let now = time::now();
    let (mut changes, mut resumed) = (Vec::new(), Vec::new());
    for key in chosen.keys(&file)? {
        match key.state(now) {
            State::Revoked if chosen.account.is_some() => {}
            State::Revoked => bail!(
                "the key `{}` is revoked, for good (mint a key with `latchkey key new`)",
                key.id()
            ),
            _ if key.field("suspended") == Some(&Document::Boolean(true)) => {
                changes.push(Change::Unset(key.index(), "suspended"));
                resumed.push(key);
            }
            _ if chosen.account.is_some() => {}
            state => tell(format_args!("key `{}` was not suspended; it is {state}", key.id())),
        }
    }
    if let Some(exit) = files.commit(&file, &changes)? {
        return Ok(exit);
    }
    for key in &resumed {
        let id = key.id();
        match key.time("expires_at").filter(|end| *end <= now) {
            None => tell(format_args!("key `{id}` is resumed")),
            Some(end) => tell(format_args!(
                "key `{id}` is resumed, but it expired at {}",
                time::display(end)
            )),
        }
    }
    if !resumed.is_empty() {
        tell(format_args!("proxies learn of it once it is pushed (`latchkey push`)"));
    }
    Ok(Exit::Fine)
}
