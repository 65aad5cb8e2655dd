//! `latchkey key prune`: ended keys leave the file.

use anyhow::Result;
use clap::Args;

use super::{Files, parse_duration, tell};
use crate::Exit;
use crate::finding::count;
use crate::keyfile::{Change, Key, KeyFile, State};
use crate::time;

/// Remove keys that ended long ago
///
/// A key has ended when it was revoked or when it expired, and its `expires_at` says when. A key
/// that was revoked by hand, with `disabled: true` alone, does not say so: it stays. The comments
/// that stand before a removed key stay as well.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey key prune --keys keys.yaml --older-than 30d")]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// How long ago they ended at least: a span of time such as `30d`
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    older_than: i64,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { files, older_than } = arguments;
    let file = KeyFile::lock(&files.keys)?;
    let now = time::now();
    let mut removed: Vec<Key<'_>> = Vec::new();
    let mut undated: Vec<&str> = Vec::new();
    for key in file.keys() {
        let is_over = matches!(key.state(now), State::Expired | State::Revoked);
        match key.time("expires_at") {
            Some(end) if is_over && end <= now.saturating_sub(*older_than) => removed.push(key),
            // Revoked by hand; it would have ended later by itself.
            Some(end) if is_over && now < end => undated.push(key.id()),
            None if is_over => undated.push(key.id()),
            _ => {}
        }
    }
    if !removed.is_empty() {
        let changes: Vec<_> = removed.iter().map(|key| Change::Remove(key.index())).collect();
        if let Some(exit) = files.commit(&file, &changes)? {
            return Ok(exit);
        }
    }
    for key in &removed {
        let end = key.time("expires_at").map(time::display).unwrap_or_default();
        tell(format_args!("removed `{}`, which ended at {end}", key.id()));
    }
    for id in undated {
        tell(format_args!("kept `{id}`, which is revoked, but does not say since when"));
    }
    tell(format_args!("{} removed from {}", count(removed.len(), "key"), files.keys.display()));
    Ok(Exit::Fine)
}
