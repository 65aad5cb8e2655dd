//! The forms for an Envoy of one's own.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::code::Code;
use super::session::Issuer;
use super::{quoted, write_lines};
use crate::filter;
use crate::policy::Served;

/// What the filter is called in Envoy, unless somebody says otherwise.
pub(crate) const FILTER: &str = "latchkey";

/// Writes the response that ECDS delivers, as YAML, with the policy as a block of JSON lines, and returns
/// its version, which is a digest of all the rest of it. It stands at the end, where it is known. `filter` is
/// what the filter is called in Envoy.
pub(crate) fn write_ecds(
    policy: &Served,
    code: Code<'_>,
    filter: &str,
    output: &mut dyn Write,
) -> Result<String> {
    let mut hashing = Hashing { output, digest: Sha256::new() };
    let filter = if filter == FILTER { FILTER.to_owned() } else { quoted(filter)? };
    write!(
        hashing,
        "resources:\n\
         - \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n  \
           name: {filter}\n"
    )?;
    write_plugin(policy, code, 2, &mut hashing)?;
    let version = version(hashing.digest);
    writeln!(output, "{VERSION}\"{version}\"")?;
    Ok(version)
}

/// The version that [`write_ecds`] gives a file which says the same as `text`, a file of its own.
pub(crate) fn ecds_version(text: &str) -> String {
    let start = text.rfind(VERSION).unwrap_or(text.len());
    version(Sha256::new().chain_update(text.get(..start).unwrap_or(text)))
}

const VERSION: &str = "version_info: ";

/// A version is compared with others of one proxy: so many bits of a digest are plenty.
fn version(digest: Sha256) -> String {
    let digest = digest.finalize();
    hex::encode(digest.first_chunk::<8>().unwrap_or(&[0; 8]))
}

/// Makes a digest of what is written.
struct Hashing<'a> {
    output: &'a mut dyn Write,
    digest: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Writes the bootstrap that the repository ships, with the plugin in it in place of its
/// discovery, and with what verifies sessions before it.
pub(super) fn write_bootstrap(
    policy: &Served,
    code: Code<'_>,
    issuer: Option<&Issuer>,
    output: &mut dyn Write,
) -> Result<()> {
    const BOOTSTRAP: &str = include_str!("../../../bootstrap.yaml");
    const DISCOVERY: &str = "                    config_discovery:\n";
    const LATCHKEY: &str = "                  - name: latchkey\n";
    let changed = "the shipped bootstrap has changed";
    let (before, after) = BOOTSTRAP.split_once(DISCOVERY).context(changed)?;
    let before = before.strip_suffix(LATCHKEY).context(changed)?;
    output.write_all(
        b"# Envoy with Latchkey and its policy before one upstream. Change the route, the \
          cluster and the addresses.\n\
          # A policy in here changes with a restart only; `--to ecds` makes a file that Envoy \
          reads whenever it is replaced.\n",
    )?;
    for line in before.lines().skip_while(|line| line.starts_with('#')) {
        writeln!(output, "{line}")?;
    }
    if let Some(issuer) = issuer {
        output.write_all(
            b"                  # Verifies sessions, and leaves the claims of a good one for Latchkey.\n                  \
              - name: envoy.filters.http.jwt_authn\n                    typed_config:\n",
        )?;
        issuer.write_filter(22, output)?;
        writeln!(output)?;
        if let Code::Module(_) = code {
            issuer.write_copy(18, output)?;
            writeln!(output)?;
        }
    }
    output.write_all(LATCHKEY.as_bytes())?;
    write_plugin(policy, code, 20, output)?;
    let inside = " ".repeat(22);
    for line in after.lines().skip_while(|line| line.starts_with(&inside)) {
        writeln!(output, "{line}")?;
    }
    if let Some(issuer) = issuer {
        // The clusters are the bootstrap's last list.
        issuer.write_cluster("    - ", 6, output)?;
    }
    Ok(())
}

/// Writes the filter's `typed_config`, each line after `indent` spaces.
fn write_plugin(
    policy: &Served,
    code: Code<'_>,
    indent: usize,
    output: &mut dyn Write,
) -> Result<()> {
    match code {
        Code::Module(path) => {
            let filename = format!("        filename: {}\n", quoted(path)?);
            for line in [MODULE, &filename, MODULE_END].into_iter().flat_map(str::lines) {
                writeln!(output, "{:indent$}{line}", "")?;
            }
            write_lines(&policy.document, indent + 6, output)
        }
        Code::Wasm(path) => write_wasm(policy, path, indent, output),
    }
}

fn write_wasm(policy: &Served, wasm: &str, indent: usize, output: &mut dyn Write) -> Result<()> {
    // Envoy takes a configuration that it has for no news, whatever has become of the filter's file.
    let digest = filter::digest(Path::new(wasm)).unwrap_or_default();
    let build = digest.get(..16).map(|digest| format!("-{digest}")).unwrap_or_default();
    let vm_id = format!("      vm_id: latchkey{build}\n");
    let filename = format!("          filename: {}\n", quoted(wasm)?);
    let environment = if policy.needs_pepper { PEPPER } else { "" };
    for line in [START, &vm_id, CODE, &filename, environment, END].into_iter().flat_map(str::lines)
    {
        writeln!(output, "{:indent$}{line}", "")?;
    }
    write_lines(&policy.document, indent + 8, output)
}

const MODULE: &str = r#"typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
  dynamic_module_config:
    module:
      local:
"#;

const MODULE_END: &str = r#"  filter_name: latchkey
  filter_config:
    "@type": type.googleapis.com/google.protobuf.StringValue
    value: |
"#;

const START: &str = r#"typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
  config:
    name: latchkey
    failure_policy: FAIL_RELOAD
    allow_on_headers_stop_iteration: true
    vm_config:
"#;

const CODE: &str = r#"      runtime: envoy.wasm.runtime.v8
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
