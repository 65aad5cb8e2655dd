//! `latchkey test`: whether a policy does what its cases say.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::Exit;
use crate::cases::{self, Outcome, Suite};
use crate::finding::count;
use crate::policy::{self, PolicyFiles};
use crate::style::{ERROR, GOOD};

/// Run a file of cases on a policy
///
/// Prints every case that went otherwise than it says, and how. A policy that the file of cases
/// holds or names is not looked at.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// File of cases, JSON or YAML
    cases: PathBuf,
}

const EXAMPLE: &str = r#"Example:
  latchkey test policy.yaml cases.json

A request presents a token, or is asked "as" the key of an id, without its token; where cases.json holds

  {
    "now": "2026-06-01T00:00:00Z",
    "cases": [
      {
        "name": "a read-only key may not send events",
        "request": {
          "method": "POST",
          "path": "/v1/events",
          "headers": [["authorization", "Bearer TOKEN"]]
        },
        "expect": {
          "decision": "deny insufficient_scope key:reporting",
          "status": 403,
          "headers": {"content-type": "application/json"},
          "body": {"error": "forbidden", "message": "This operation requires a read-write key"}
        }
      },
      {
        "name": "the upstream sees the workspace, not the key",
        "request": {"as": "reporting", "path": "/v1/reports"},
        "expect": {
          "decision": "allow key:reporting",
          "upstream": {"headers": {"x-workspace-id": "ws_1", "authorization": null}}
        }
      }
    ]
  }"#;

/// Prints the mismatches and how many cases there are; a failed one ends with [`Exit::Failed`].
///
/// # Errors
/// A file cannot be read or parsed, the policy is refused, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let policy = arguments.files.load()?;
    let mut suite = Suite::load_for_policy(&arguments.cases, policy.to_json()?)?;
    if suite.pepper.is_none()
        && let Some(pepper) = policy::pepper()
    {
        // A file of cases says its own pepper in JSON, so a suite has text.
        let pepper = String::from_utf8(pepper);
        suite.pepper = Some(pepper.map_err(|_| anyhow!("LATCHKEY_PEPPER is not UTF-8"))?);
    }
    let mut outcomes = Vec::new();
    for part in suite.parts()? {
        let part_outcomes = cases::run_on_core(&part).map_err(|findings| {
            anyhow!(
                "`{}` is refused: `latchkey check` says why ({})",
                arguments.files.policy.display(),
                count(findings.len(), "finding")
            )
        })?;
        outcomes.extend(part_outcomes);
    }
    let mut failed = 0;
    for Outcome { case, mismatches } in &outcomes {
        if mismatches.is_empty() {
            continue;
        }
        failed += 1;
        writeln!(output, "{ERROR}failed{ERROR:#}: {case}")?;
        for mismatch in mismatches {
            writeln!(output, "  {mismatch}")?;
        }
    }
    let colour = if failed == 0 { GOOD } else { ERROR };
    writeln!(output, "{}, {colour}{failed} failed{colour:#}", count(outcomes.len(), "case"))?;
    Ok(if failed == 0 { Exit::Fine } else { Exit::Failed })
}
