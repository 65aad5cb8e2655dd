//! `latchkey`, the command line of Latchkey.

use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey_cli::main(std::env::args_os()).into()
}
