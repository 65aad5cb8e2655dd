//! `latchkey schema`: the shape of a policy, for editors.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use latchkey::Reason;

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

/// JSON Schema, draft 2020-12, in which the reasons are to be filled in.
const SCHEMA: &str = include_str!("../../policy.schema.json");
const REASONS: &str = "\"properties\": {}";

/// Prints the schema.
///
/// # Errors
/// The output cannot be written.
pub fn run(_: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let wording = |reason: Reason| {
        let name = reason.as_str();
        format!("{0}  \"{name}\": {{{0}    \"$ref\": \"#/$defs/wording\"{0}  }}", "\n          ")
    };
    let reasons = Reason::ALL.map(wording).join(",");
    let reasons = format!("\"properties\": {{{reasons}\n          }}");
    output.write_all(SCHEMA.replace(REASONS, &reasons).as_bytes())?;
    Ok(Exit::Fine)
}
