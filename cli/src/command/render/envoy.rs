//! The forms for an Envoy of one's own.

use std::io::Write;

use anyhow::{Context, Result};

use super::{quoted, write_lines};
use crate::policy::Policy;

/// Writes the resource that ECDS delivers, as YAML, with the policy as a block of JSON lines.
pub(crate) fn write_ecds(policy: &Policy, wasm: &str, output: &mut dyn Write) -> Result<()> {
    output.write_all(
        b"resources:\n\
          - \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n  \
            name: latchkey\n",
    )?;
    write_plugin(policy, wasm, 2, output)
}

/// Writes the bootstrap that the repository ships, with the plugin in it in place of its
/// discovery.
pub(super) fn write_bootstrap(policy: &Policy, wasm: &str, output: &mut dyn Write) -> Result<()> {
    const BOOTSTRAP: &str = include_str!("../../../../envoy/envoy.yaml");
    const DISCOVERY: &str = "                    config_discovery:\n";
    let changed = "the shipped bootstrap has no `config_discovery`";
    let (before, after) = BOOTSTRAP.split_once(DISCOVERY).context(changed)?;
    output.write_all(
        b"# Envoy with Latchkey and its policy before one upstream. Change the route, the \
          cluster and the addresses.\n\
          # A policy in here changes with a restart only; `--to ecds` makes a file that Envoy \
          reads whenever it is replaced.\n",
    )?;
    for line in before.lines().skip_while(|line| line.starts_with('#')) {
        writeln!(output, "{line}")?;
    }
    write_plugin(policy, wasm, 20, output)?;
    let inside = " ".repeat(22);
    for line in after.lines().skip_while(|line| line.starts_with(&inside)) {
        writeln!(output, "{line}")?;
    }
    Ok(())
}

/// Writes the filter's `typed_config`, each line after `indent` blanks.
fn write_plugin(policy: &Policy, wasm: &str, indent: usize, output: &mut dyn Write) -> Result<()> {
    let filename = format!("          filename: {}\n", quoted(wasm)?);
    let environment = if policy.needs_pepper() { PEPPER } else { "" };
    for line in [START, &filename, environment, END].into_iter().flat_map(str::lines) {
        writeln!(output, "{:indent$}{line}", "")?;
    }
    write_lines(policy.document(), indent + 8, output)
}

const START: &str = r#"typed_config:
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

const PEPPER: &str = "      environment_variables:
        host_env_keys: [LATCHKEY_PEPPER]
";

const END: &str = r#"    configuration:
      "@type": type.googleapis.com/google.protobuf.StringValue
      value: |
"#;
