//! `latchkey push`: a policy into the file that Envoy watches.

mod discovery;
mod target;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use self::discovery::{Discovery, Outcome};
use self::target::Target;
use super::render::Code;
use super::{doctor, render};
use crate::admin::Admin;
use crate::finding::{self, count};
use crate::policy::{Needs, PolicyFiles};
use crate::progress::Progress;
use crate::protection::Severity;
use crate::style::warn;
use crate::{Exit, atomic, filter, time};

/// The mode of a file that was not there before: Envoy may be another user.
const MODE: u32 = 0o644;

/// Put a policy into force: replace the file that Envoy watches
///
/// The file is written beside the old one, synced and renamed over it, so that Envoy, which
/// notices within about a second, never reads half of one. A policy with errors replaces nothing,
/// and so does a filter that is here and is not Latchkey's. With `--admin` the command ends once
/// Envoy serves that very policy, or says why it does not.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, after_long_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// The file that Envoy's extension configuration discovery watches
    #[arg(long, value_name = "FILE")]
    ecds: PathBuf,
    /// Where Envoy finds the filter; default where the file that is replaced says
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    wasm: Option<String>,
    /// The same for the native module
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "wasm",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    module: Option<String>,
    /// What the filter is called in Envoy, where several have policies of their own
    #[arg(long, default_value = render::FILTER, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Address of Envoy's admin port: wait until Envoy serves the policy
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// How long to wait for Envoy at most
    #[arg(long, value_name = "SPAN", default_value = "30s", requires = "admin", value_parser = time::parse_span)]
    timeout: Duration,
}

const EXAMPLE: &str = "Example:\n  \
    latchkey push policy.yaml --keys keys.yaml --ecds /etc/latchkey/ecds.yaml \\\n    \
    --wasm /etc/latchkey/latchkey.wasm --admin http://127.0.0.1:9901";

const AFTER: &str = "\
Example:
  latchkey push policy.yaml --keys keys.yaml --ecds /etc/latchkey/ecds.yaml \\
    --wasm /etc/latchkey/latchkey.wasm --admin http://127.0.0.1:9901

Only an earlier push, an empty file or none is replaced: `--ecds` never overwrites anything else, and
none of the files that the push is made of.

`--wasm` is a path where Envoy runs, which may be a container of its own. If the file is here as well,
it must be Latchkey's filter, and a filter that has changed since is loaded anew. If it is not, that is
a warning, or left to Envoy where `--admin` asks it.

The file names its version, a digest of what it says. With `--admin`, an Envoy that refuses it goes on
serving what it served before; the file is then put back as it was, if that is what Envoy serves, so
that a restart finds it. That, and a wait in vain, end with exit code 1. What `latchkey doctor` has
against that Envoy is a warning.";

/// Replaces the file; a policy with errors ends with [`Exit::Findings`] and replaces nothing.
///
/// # Errors
/// A file cannot be read, parsed or written, the target's folder is missing, the target or the filter
/// is something else, nothing says where the filter is, or Envoy does not take the policy.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let ecds = &arguments.ecds;
    let (name, filter_name) = (ecds.display(), arguments.name.as_str());
    let code = Code::new(arguments.wasm.as_deref(), arguments.module.as_deref())?;
    let path = code.map(|code| Path::new(code.path()));
    let inputs: Vec<_> = arguments.files.paths().chain(path).collect();
    let target = Target::new(ecds, filter_name, &inputs)?;
    let code = match code {
        Some(code) => code,
        None => target.code()?,
    };
    let path = code.path();
    if let Err(error) = filter::check(code)?
        && arguments.admin.is_none()
    {
        warn(format_args!(
            "`{path}` cannot be read here, so whether it is the filter is not known: {error} \
             (`--admin` asks Envoy)"
        ));
    }
    let envoy = match &arguments.admin {
        Some(url) => {
            let admin = Admin::new(url)?;
            let before = Discovery::ask(&admin, filter_name, arguments.timeout)
                .with_context(|| format!("`{name}` is unchanged"))?;
            Some((admin, before))
        }
        None => None,
    };
    let progress = Progress::start();
    progress.step("reading the policy");
    let policy = arguments.files.load()?;
    progress.step("checking the policy");
    let (keys, needs) = match policy.compile()? {
        Ok(engine) => (engine.key_count(), Needs::of(&engine)),
        Err(mut findings) => {
            drop(progress);
            finding::locate(&mut findings);
            finding::print(&findings, &mut anstream::stderr())?;
            return Ok(Exit::Findings);
        }
    };
    progress.step("writing");
    let mut rendered = Vec::new();
    let version = render::write_ecds(&policy.into_served(needs), code, filter_name, &mut rendered)?;
    let replaced = replace(ecds, &rendered)?;
    drop(progress);
    if let Err(error) = replaced {
        warn(format_args!("{name} is replaced, but a power failure may undo that: {error}"));
    }
    let what = format!("{}, {} bytes, version {version}", count(keys, "key"), rendered.len());
    let Some((admin, before)) = envoy else {
        writeln!(output, "replaced {name}: {what}")?;
        writeln!(
            output,
            "Envoy takes it within about a second, or refuses it: `--admin` says which"
        )?;
        return Ok(Exit::Fine);
    };
    let start = Instant::now();
    let progress = Progress::start();
    progress.step("waiting for Envoy");
    let is_changed = target.old().is_none_or(|(_, old)| render::ecds_version(old) != version);
    let (outcome, now) = before
        .wait(&admin, filter_name, &version, is_changed, arguments.timeout)
        .with_context(|| format!("{name} is replaced, but whether Envoy serves it is not known"))?;
    drop(progress);
    let url = admin.url();
    let still = match &*now.version {
        "" => "what it served before".to_owned(),
        version => format!("version {version}"),
    };
    let span = humantime::format_duration(arguments.timeout);
    match outcome {
        Outcome::Served => {
            writeln!(output, "replaced {name}: {what}")?;
            let seconds = start.elapsed().as_secs_f64();
            writeln!(output, "Envoy serves it, {seconds:.1} s later")?;
            warn_of_what_is_open(&admin);
            Ok(Exit::Fine)
        }
        Outcome::Refused => {
            let file = match target.old().filter(|(version, _)| *version == now.version) {
                Some((_, old)) => {
                    let _ = replace(ecds, old.as_bytes())?;
                    "is put back as it was"
                }
                None => "is replaced all the same",
            };
            let pepper = match needs.pepper {
                true => ", or it has no LATCHKEY_PEPPER, which this policy needs",
                false => "",
            };
            bail!(
                "Envoy at `{url}` refuses version {version} and goes on serving {still}; {name} {file}. \
                 Envoy's log says why, behind `update rejected`: `{path}` may be missing there, or \
                 another build of the filter{pepper}"
            )
        }
        Outcome::Failed => bail!(
            "Envoy at `{url}` cannot read {name}, which is replaced, and goes on serving {still}; its log \
             says why, behind `update failure`"
        ),
        Outcome::Ignored => bail!(
            "Envoy at `{url}` has not looked at {name}, which is replaced, within {span}, and serves \
             {still}: does it watch that file?"
        ),
        Outcome::Undecided => bail!(
            "Envoy at `{url}` has not come to version {version} within {span} and serves {still}; {name} \
             is replaced"
        ),
    }
}

/// Warns where what was pushed does not protect the proxy. That is not the fault of the push, which has done its work.
fn warn_of_what_is_open(admin: &Admin) {
    match doctor::of_envoy(admin) {
        Ok(report) => {
            let errors =
                report.findings.iter().filter(|finding| finding.severity == Severity::Error);
            for finding in errors {
                warn(format_args!("this Envoy is not protected: {}", doctor::line(None, finding)));
            }
        }
        Err(error) => warn(format_args!("whether this Envoy is protected is not known: {error:#}")),
    }
}

fn replace(ecds: &Path, text: &[u8]) -> Result<std::io::Result<()>> {
    // Of a name that no other push has.
    let temporary = atomic::beside(ecds, &format!("{}.new", process::id()));
    atomic::replace(ecds, &temporary, text, MODE)
        .with_context(|| format!("cannot replace `{}`", ecds.display()))
}
