//! `latchkey completions`: what a shell must know to complete commands.

use std::io::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::Exit;

/// Print the completions of a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    latchkey completions bash > /etc/bash_completion.d/latchkey\n  \
    latchkey completions zsh > \"${fpath[1]}/_latchkey\"\n  \
    latchkey completions fish > ~/.config/fish/completions/latchkey.fish")]
pub struct Arguments {
    /// The shell
    shell: KnownShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Fish,
    Zsh,
}

/// Prints the completions for `command`, which is the whole command line.
///
/// # Errors
/// The output cannot be written.
pub fn run(
    arguments: &Arguments,
    mut command: clap::Command,
    output: &mut dyn Write,
) -> Result<Exit> {
    let shell = match arguments.shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Fish => Shell::Fish,
        KnownShell::Zsh => Shell::Zsh,
    };
    // The generator panics where it cannot write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "latchkey", &mut script);
    output.write_all(&script)?;
    Ok(Exit::Fine)
}
