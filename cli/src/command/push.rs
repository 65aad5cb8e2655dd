//! `latchkey push`: a policy into the file that Envoy watches.

use std::io::Write;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::render;
use crate::document::{self, Document};
use crate::finding::{self, count};
use crate::policy::PolicyFiles;
use crate::progress::Progress;
use crate::style::warn;
use crate::{Exit, atomic};

/// The mode of a file that was not there before: Envoy may be another user.
const MODE: u32 = 0o644;

/// Put a policy into force: replace the file that Envoy watches
///
/// The file is written beside the old one, synced and renamed over it, so that Envoy, which
/// notices within about a second, never reads half of one. A policy with errors replaces nothing.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    latchkey push policy.yaml --keys keys.yaml --ecds /etc/latchkey/ecds.yaml \
    --wasm /etc/latchkey/latchkey.wasm")]
pub struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// The file that Envoy's extension configuration discovery watches
    #[arg(long, value_name = "FILE")]
    ecds: PathBuf,
    /// Where Envoy finds the filter; default where the file that is replaced says
    #[arg(long, value_name = "PATH")]
    wasm: Option<String>,
}

/// Replaces the file; a policy with errors ends with [`Exit::Findings`] and replaces nothing.
///
/// # Errors
/// A file cannot be read, parsed or written, the target's folder is missing, or nothing says where
/// the filter is.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let target = arguments.ecds.display();
    let folder = arguments.ecds.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "`{}` is no folder, so Envoy cannot watch it", folder.display());
    }
    let wasm = match &arguments.wasm {
        Some(wasm) => wasm.clone(),
        None => wasm_of(&arguments.ecds)?,
    };
    let progress = Progress::start();
    progress.step("reading the policy");
    let policy = arguments.files.load()?;
    progress.step("checking the policy");
    let keys = match policy.compile()? {
        Ok(engine) => engine.key_count(),
        Err(mut findings) => {
            drop(progress);
            finding::locate(&mut findings);
            finding::print(&findings, &mut anstream::stderr())?;
            return Ok(Exit::Findings);
        }
    };
    progress.step("writing");
    let mut rendered = Vec::new();
    render::write_ecds(&policy.into_served(), &wasm, &mut rendered)?;
    // Of a name that no other push has.
    let temporary = atomic::beside(&arguments.ecds, &format!("{}.new", process::id()));
    let replaced = atomic::replace(&arguments.ecds, &temporary, &rendered, MODE)
        .with_context(|| format!("cannot replace `{target}`"))?;
    drop(progress);
    if let Err(error) = replaced {
        warn(format_args!("{target} is replaced, but a power failure may undo that: {error}"));
    }
    writeln!(output, "replaced {target}: {}, {} bytes", count(keys, "key"), rendered.len())?;
    Ok(Exit::Fine)
}

/// Where the file that is there says that the filter is.
fn wasm_of(ecds: &std::path::Path) -> Result<String> {
    let place = ecds.display();
    if !ecds.exists() {
        bail!("`{place}` is new: say where Envoy finds the filter with `--wasm`");
    }
    let old: Document = document::load(ecds)?;
    let filename = old.pointer("/resources/0/typed_config/config/vm_config/code/local/filename");
    let filename = filename.and_then(Document::as_str);
    let filename = filename.with_context(|| {
        format!("`{place}` does not say where the filter is: say so with `--wasm`")
    })?;
    Ok(filename.to_owned())
}
