//! `latchkey man`: the manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::Exit;

/// Write the manual pages, one for each command
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    latchkey man --out /usr/local/share/man/man1")]
pub struct Arguments {
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the pages of `command`, which is the whole command line.
///
/// # Errors
/// The folder cannot be made or written to.
pub fn run(arguments: &Arguments, command: clap::Command) -> Result<Exit> {
    let out = &arguments.out;
    fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), out))
        .with_context(|| format!("cannot write to `{}`", out.display()))?;
    Ok(Exit::Fine)
}
