//! The command line of Latchkey as a library: policy files, files of cases and the commands.
//!
//! The tests of the core and of the filter use [`cases`], so that one corpus judges them all.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};

use clap::{CommandFactory, Parser, Subcommand};

use crate::style::ERROR;

mod admin;
mod atomic;
pub mod cases;
pub mod command;
pub mod document;
mod exit;
mod filter;
mod finding;
mod import;
mod keyfile;
mod openapi;
mod place;
mod plaintext;
pub mod policy;
mod progress;
mod protection;
mod style;
mod table;
mod time;
mod token;

pub use exit::Exit;

/// Runs `latchkey` with `arguments`, the program's name first, on standard output and error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match command::explain::curl::spread(arguments.into_iter().collect()) {
        Ok(arguments) => arguments,
        Err(error) => return failed(&error),
    };
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come as errors as well; a closed pipe is nothing to tell anyone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine };
        }
    };
    match run(&arguments.command) {
        Ok(exit) => exit,
        Err(error) if is_closed_pipe(&error) => Exit::Failed,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> Exit {
    let _ = writeln!(anstream::stderr(), "{ERROR}error{ERROR:#}: {error:#}");
    let Some(usage) = error.downcast_ref::<exit::Usage>() else { return Exit::Failed };
    for line in usage.help.lines() {
        let _ = writeln!(anstream::stderr(), "  {line}");
    }
    Exit::Usage
}

fn run(command: &Command) -> anyhow::Result<Exit> {
    // For people, in colours; what is for programs goes out as it is.
    let mut people = BufWriter::new(anstream::stdout());
    let mut programs = BufWriter::new(io::stdout());
    let exit = match command {
        Command::Check(arguments) => command::check::run(arguments, &mut people)?,
        Command::Completions(arguments) => {
            command::completions::run(arguments, Arguments::command(), &mut programs)?
        }
        Command::Doctor(arguments) => command::doctor::run(arguments, &mut people)?,
        Command::Explain(arguments) => command::explain::run(arguments, &mut people)?,
        Command::Image(arguments) => command::image::run(arguments, &mut programs)?,
        Command::Key(arguments) => command::key::run(arguments, &mut programs)?,
        Command::Man(arguments) => command::man::run(arguments, Arguments::command())?,
        Command::Push(arguments) => command::push::run(arguments, &mut people)?,
        Command::Render(arguments) => command::render::run(arguments, &mut programs)?,
        Command::Rules(arguments) => command::rules::run(arguments, &mut people)?,
        Command::Schema(arguments) => command::schema::run(arguments, &mut programs)?,
        Command::Test(arguments) => command::test::run(arguments, &mut people)?,
        Command::Usage(arguments) => command::usage::run(arguments, &mut people)?,
        Command::Verify(arguments) => command::verify::run(arguments, &mut programs)?,
    };
    people.flush()?;
    programs.flush()?;
    Ok(exit)
}

/// API keys for Envoy and Istio: make keys, check, explain, test and push policies.
#[derive(Parser)]
// Lines are as long as they were written, whoever reads them, unless the terminal breaks them.
#[command(name = "latchkey", version, after_help = EXIT_CODES, term_width = 0)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(command::check::Arguments),
    Completions(command::completions::Arguments),
    Doctor(command::doctor::Arguments),
    Explain(Box<command::explain::Arguments>),
    Image(command::image::Arguments),
    Key(command::key::Arguments),
    Man(command::man::Arguments),
    Push(command::push::Arguments),
    Render(command::render::Arguments),
    Rules(command::rules::Arguments),
    Schema(command::schema::Arguments),
    Test(command::test::Arguments),
    Usage(command::usage::Arguments),
    Verify(command::verify::Arguments),
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, allowed or protected, 1 failed or not protected, 2 denied or wrong usage, 3 findings or drift.
Keys hashed with hmac-sha256 need the environment variable LATCHKEY_PEPPER.";

/// `latchkey … | head` is not a failure that anyone wants to read about.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
