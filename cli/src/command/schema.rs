//! `latchkey schema`: the shape of a policy, for editors.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::Exit;

/// Print the JSON Schema of policy files
///
/// Editors complete and check a policy by it. It describes a policy's shape; what a policy means
/// is for `latchkey check` to judge. A keys file fits it as well, but for `credentials`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey schema > latchkey.schema.json\n\n\
    and at the top of a policy, for editors with the YAML language server\n  \
    # yaml-language-server: $schema=latchkey.schema.json")]
pub struct Arguments {}

/// JSON Schema, draft 2020-12.
const SCHEMA: &str = include_str!("../../policy.schema.json");

/// Prints the schema.
///
/// # Errors
/// The output cannot be written.
pub fn run(_: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    output.write_all(SCHEMA.as_bytes())?;
    Ok(Exit::Fine)
}
