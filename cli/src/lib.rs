//! The command line of Latchkey as a library: policy files, files of cases and the commands.
//!
//! The tests of the core and of the filter use [`cases`], so that one corpus judges them all.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Parser, Subcommand};

pub mod cases;
pub mod command;
pub mod document;
mod exit;
pub mod policy;

pub use exit::Exit;

/// Runs `latchkey` with `arguments`, the program's name first, on standard output and error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come as errors as well; a closed pipe is nothing to tell anyone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine };
        }
    };
    let mut output = io::stdout().lock();
    let result = match &arguments.command {
        Command::Check(arguments) => command::check::run(arguments, &mut output),
        Command::Render(arguments) => command::render::run(arguments, &mut output),
        Command::Test(arguments) => command::test::run(arguments, &mut output),
    };
    match result.and_then(|exit| Ok(output.flush().map(|()| exit)?)) {
        Ok(exit) => exit,
        Err(error) if is_closed_pipe(&error) => Exit::Failed,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            Exit::Failed
        }
    }
}

/// API keys for Envoy and Istio: check, test and render policies.
#[derive(Parser)]
#[command(name = "latchkey", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(command::check::Arguments),
    Render(command::render::Arguments),
    Test(command::test::Arguments),
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 findings.
Keys hashed with hmac-sha256 need the environment variable LATCHKEY_PEPPER.";

/// `latchkey … | head` is no failure that anyone wants to read about.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
