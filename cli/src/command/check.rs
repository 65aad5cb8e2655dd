//! `latchkey check`: what is wrong with a policy.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::print_findings;
use crate::Exit;
use crate::policy::{LocatedFinding, Policy};

/// Find what is wrong with a policy
///
/// Prints every finding with its place and code. Errors refuse the policy, in the filter as
/// well; warnings do not.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  latchkey check policy.yaml --keys keys.yaml --deny-warnings")]
pub struct Arguments {
    /// Policy file, YAML or JSON
    policy: PathBuf,
    /// File with a list `keys`, joined to the policy's own
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// End with exit code 3 on warnings, too
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One line for each finding
    Human,
    /// A JSON list of objects with file, severity, code, pointer, message and help
    Json,
}

/// Prints the findings; an error among them ends with [`Exit::Findings`].
///
/// # Errors
/// A file cannot be read or parsed, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let policy = Policy::load(&arguments.policy, arguments.keys.as_deref())?;
    let findings = policy.findings()?;
    match arguments.format {
        Format::Human => print_findings(&findings, output)?,
        Format::Json => {
            let findings: Vec<JsonFinding> = findings.iter().map(JsonFinding::from).collect();
            writeln!(output, "{}", serde_json::to_string_pretty(&findings)?)?;
        }
    }
    let refused = findings.iter().any(|finding| finding.is_error() || arguments.deny_warnings);
    Ok(if refused { Exit::Findings } else { Exit::Fine })
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    file: String,
    severity: &'static str,
    code: &'static str,
    pointer: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> From<&'a LocatedFinding> for JsonFinding<'a> {
    fn from(LocatedFinding { file, finding }: &'a LocatedFinding) -> Self {
        JsonFinding {
            file: file.display().to_string(),
            severity: finding.severity.as_str(),
            code: finding.code.as_str(),
            pointer: &finding.pointer,
            message: &finding.message,
            help: finding.help.as_deref(),
        }
    }
}
