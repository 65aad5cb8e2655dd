//! `latchkey render`: a policy in the form that Envoy takes.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::print_findings;
use crate::Exit;
use crate::document::{Document, Fields};
use crate::policy::{LocatedFinding, Policy};

/// Print a policy in the form that Envoy takes
///
/// A policy with errors is not rendered: they are printed instead.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    latchkey render policy.yaml --to ecds --wasm /etc/envoy/latchkey.wasm > ecds.new\n  \
    mv ecds.new ecds.yaml")]
pub struct Arguments {
    /// Policy file, YAML or JSON
    policy: PathBuf,
    /// File with a list `keys`, joined to the policy's own
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum)]
    to: Target,
    /// Where Envoy finds the filter
    #[arg(long, value_name = "PATH", required_if_eq("to", "ecds"))]
    wasm: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// The policy as compact JSON: the plugin's configuration
    Json,
    /// The file that Envoy's extension configuration discovery watches
    Ecds,
}

/// Prints the rendered policy; one with errors ends with [`Exit::Findings`].
///
/// # Errors
/// A file cannot be read or parsed, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let policy = Policy::load(&arguments.policy, arguments.keys.as_deref())?;
    let findings = policy.findings()?;
    if findings.iter().any(LocatedFinding::is_error) {
        // Not to the output, which is often a file that Envoy watches.
        print_findings(&findings, &mut io::stderr())?;
        return Ok(Exit::Findings);
    }
    match arguments.to {
        Target::Json => writeln!(output, "{}", policy.document().to_json()?)?,
        Target::Ecds => {
            output.write_all(
                ecds(&policy, arguments.wasm.as_deref().unwrap_or_default())?.as_bytes(),
            )?;
        }
    }
    Ok(Exit::Fine)
}

/// The resource that ECDS delivers, as YAML, with the policy as a block of JSON lines.
fn ecds(policy: &Policy, wasm: &str) -> Result<String> {
    let wasm = printable(&serde_json::to_string(wasm)?);
    let environment = if policy.needs_pepper() { PEPPER } else { "" };
    let policy: String =
        lines(policy.document())?.iter().map(|line| format!("          {line}\n")).collect();
    Ok(format!("{ECDS_START}            filename: {wasm}\n{environment}{ECDS_END}{policy}"))
}

const ECDS_START: &str = r#"resources:
- "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: latchkey
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: latchkey
      failure_policy: FAIL_RELOAD
      allow_on_headers_stop_iteration: true
      vm_config:
        vm_id: latchkey
        runtime: envoy.wasm.runtime.v8
        code:
          local:
"#;

const PEPPER: &str = "        environment_variables:
          host_env_keys: [LATCHKEY_PEPPER]
";

const ECDS_END: &str = r#"      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: |
"#;

/// JSON with one line for each field and each key or rule, so that people can read it and a
/// `diff` shows what changed.
fn lines(policy: &Document) -> Result<Vec<String>> {
    let Document::Object(Fields(fields)) = policy else {
        return Ok(vec![printable(&policy.to_json()?)]);
    };
    let mut lines = vec!["{".to_owned()];
    for (index, (name, value)) in fields.iter().enumerate() {
        let name = serde_json::to_string(name)?;
        let end = comma(index, fields.len());
        match value {
            Document::Array(items) if items.iter().any(|item| item.as_str().is_none()) => {
                lines.push(format!("  {name}: ["));
                for (index, item) in items.iter().enumerate() {
                    lines.push(format!("    {}{}", item.to_json()?, comma(index, items.len())));
                }
                lines.push(format!("  ]{end}"));
            }
            value => lines.push(format!("  {name}: {}{end}", value.to_json()?)),
        }
    }
    lines.push("}".to_owned());
    Ok(lines.iter().map(|line| printable(line)).collect())
}

fn comma(index: usize, length: usize) -> &'static str {
    if index + 1 < length { "," } else { "" }
}

/// JSON lets characters stand in texts that YAML forbids or takes for line ends.
fn printable(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, character| {
        if matches!(u32::from(character), 0x7f..0xa0 | 0x2028 | 0x2029 | 0xfeff | 0xfffe | 0xffff) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
        text
    })
}
