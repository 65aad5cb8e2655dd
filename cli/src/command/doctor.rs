//! `latchkey doctor`: whether a proxy is protected.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anstyle::Style;
use anyhow::{Result, bail};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::Value;

use crate::admin::Admin;
use crate::finding::count;
use crate::protection::{self, Finding, InForce, Policy, Report, Severity, Status};
use crate::style::{BOLD, DIM, ERROR, GOOD, HELP, WARNING};
use crate::table::printable;
use crate::{Exit, document};

/// Say whether a proxy is protected
///
/// Looks at every HTTP filter chain that sends requests on: Latchkey must stand in it, configured,
/// with the guard behind it, for each of its routes. Each finding names the listener and the
/// chain, and says what to do.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLE,
    after_long_help = AFTER,
    group(ArgGroup::new("proxy").required(true).args(["dump", "admin"])),
)]
pub struct Arguments {
    /// Dump of an Envoy's configuration, JSON or YAML; `-` is standard input
    #[arg(value_name = "DUMP")]
    dump: Option<PathBuf>,
    /// Address of Envoy's admin port
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// A JSON object with protected and proxies
    Json,
}

const EXAMPLE: &str = "Example:\n  latchkey doctor --admin http://127.0.0.1:9901";

const AFTER: &str = "\
Examples:
  latchkey doctor --admin http://127.0.0.1:9901
  istioctl proxy-config all POD.NAMESPACE -o json | latchkey doctor -
  egctl config envoy-proxy all -n envoy-gateway-system -o json | latchkey doctor -

Exit codes: 0 protected, 1 not, or it cannot be told. Warnings and notes leave it at 0.

Only `--admin` tells which version is in force: a dump shows the one that was offered last.

The JSON is an object:
  protected    whether every proxy is
  proxies      a list of objects:
    proxy      NAMESPACE/POD, where the dump is of several proxies, or null
    protected  whether this one is
    policies   a list of objects, one for each Latchkey:
      filter            the filter's name
      version           the version offered last, where it comes by discovery, or null
      version_in_force  the version that Envoy serves, or null where it was not asked
      name, keys        the policy's name, or null, and how many keys it has
      sha256            of what `latchkey render --to json` prints of the policy
      module            where Envoy has the module from
      module_sha256     its SHA-256 or the beginning of it, or null
      on_failure        \"reload\", \"close\", \"open\", or \"exit\" for a native module
    chains     a list of objects with listener, chain and status: \"protected\",
               \"not_protected\", \"answers_itself\", \"passes_on\", \"inner\", \"tcp\",
               \"mesh\" or \"outbound\"
    findings   a list of objects:
      severity          \"error\", \"warning\" or \"note\"
      code              stable across releases
      listener, chain   names or numbers, or null
      routes            those that are concerned; empty for all
      message, help     for people";

/// Prints what there is to say; a proxy that is not protected ends with [`Exit::Failed`].
///
/// # Errors
/// Envoy does not answer or answers something else, the dump cannot be read or is none, or the output
/// cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let reports = match (&arguments.admin, &arguments.dump) {
        (Some(url), _) => vec![of_envoy(&Admin::new(url)?)?],
        (None, Some(file)) => of_file(file)?,
        (None, None) => bail!("there is no dump to look at"),
    };
    let protected = reports.iter().all(|report| report.protected);
    match arguments.format {
        Format::Json => {
            let all = serde_json::json!({"protected": protected, "proxies": reports});
            serde_json::to_writer_pretty(&mut *output, &all)?;
            writeln!(output)?;
        }
        Format::Text => {
            for report in &reports {
                print(report, output)?;
            }
        }
    }
    Ok(if protected { Exit::Fine } else { Exit::Failed })
}

/// Judges a running Envoy.
///
/// # Errors
/// It does not answer, or answers something else.
pub(crate) fn of_envoy(admin: &Admin) -> Result<Report> {
    const PAUSE: Duration = Duration::from_secs(1);
    let report = look_at(admin)?;
    if report.findings.iter().any(|finding| finding.code == "update_refused") {
        // What was offered a moment ago may not be in force yet, and need not have been refused.
        thread::sleep(PAUSE);
        return look_at(admin);
    }
    Ok(report)
}

fn look_at(admin: &Admin) -> Result<Report> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let dump = admin.config_dump(PATIENCE)?;
    let in_force = |name: &str| {
        let prefix = format!("extension_config_discovery.http_filter.{name}.");
        let stats = admin.stats(&prefix, PATIENCE)?;
        let version = stats.get("version_text").and_then(Value::as_str);
        let taken = stats.get("update_time").and_then(Value::as_i64);
        Ok(version.map(|version| InForce { version: version.to_owned(), taken }))
    };
    protection::examine(None, &dump, &in_force)
}

fn of_file(file: &Path) -> Result<Vec<Report>> {
    let document: Value = document::load_as(file)?;
    let dumps = protection::dumps(&document);
    if dumps.is_empty() {
        bail!(
            "`{}` is not a dump of an Envoy's configuration: it has no `configs` (of `/config_dump`, `istioctl \
             proxy-config all -o json` or `egctl config envoy-proxy all -o json`)",
            file.display()
        );
    }
    let report = |(name, dump)| protection::examine(name, dump, &|_| Ok(None));
    dumps.into_iter().map(report).collect()
}

fn print(report: &Report, output: &mut dyn Write) -> Result<()> {
    for finding in &report.findings {
        writeln!(output, "{}", line(report.proxy.as_deref(), finding))?;
        writeln!(output, "  {HELP}help:{HELP:#} {}", finding.help)?;
    }
    for policy in &report.policies {
        writeln!(output, "{}", printable(&describe(policy)))?;
    }
    let number = |status| report.chains.iter().filter(|chain| chain.status == status).count();
    let (good, bad) = (number(Status::Protected), number(Status::NotProtected));
    let of =
        report.proxy.as_deref().map(|name| format!("{}: ", printable(name))).unwrap_or_default();
    let chains = format!("{good} of {}", count(good + bad, "HTTP filter chain"));
    let (style, verdict) = match report.protected {
        true => (GOOD, "protected"),
        false => (ERROR, "not protected"),
    };
    writeln!(output, "{of}{style}{verdict}{style:#}: {chains}")?;
    Ok(())
}

/// `listener `ingress`, chain 0: severity[code]: message (routes: …)`.
pub(crate) fn line(proxy: Option<&str>, finding: &Finding) -> String {
    const MOST_SHOWN: usize = 5;
    let (style, severity): (Style, _) = match finding.severity {
        Severity::Error => (ERROR, "error"),
        Severity::Warning => (WARNING, "warning"),
        Severity::Note => (DIM, "note"),
    };
    let listener = finding.listener.as_ref().map(|name| format!("listener `{name}`"));
    let chain = finding.chain.as_ref().map(|name| format!("chain `{name}`"));
    let place = proxy.map(str::to_owned).into_iter().chain(listener).chain(chain);
    let place = printable(&place.collect::<Vec<_>>().join(", "));
    let place = if place.is_empty() { place } else { format!("{BOLD}{place}:{BOLD:#} ") };
    let Finding { code, message, routes, .. } = finding;
    let mut shown: Vec<String> =
        routes.iter().take(MOST_SHOWN).map(|route| format!("`{route}`")).collect();
    if routes.len() > MOST_SHOWN {
        shown.push(format!("and {} more", routes.len() - MOST_SHOWN));
    }
    let routes = match routes.len() {
        0 => String::new(),
        1 => format!(" (route {})", shown.join("")),
        _ => format!(" (routes {})", shown.join(", ")),
    };
    let message = printable(&format!("{message}{routes}"));
    format!("{place}{style}{severity}[{code}]{style:#}: {message}")
}

fn describe(policy: &Policy) -> String {
    let mut parts = Vec::new();
    parts.extend(policy.name.as_ref().map(|name| format!("policy `{name}`")));
    parts.extend(policy.keys.map(|keys| count(keys, "key")));
    let version = match (&policy.version_in_force, &policy.version) {
        (Some(version), _) => Some(format!("version {version}")),
        (None, Some(version)) => Some(format!("version {version} offered")),
        (None, None) => None,
    };
    parts.extend(version);
    parts.extend(policy.sha256.as_ref().map(|sha256| format!("sha256 {sha256}")));
    let module = match (&policy.module, &policy.module_sha256) {
        (Some(module), Some(sha256)) => Some(format!("module `{module}` of sha256 {sha256}")),
        (Some(module), None) => Some(format!("module `{module}`")),
        (None, _) => None,
    };
    parts.extend(module);
    format!("filter `{}`: {}", policy.filter, parts.join(", "))
}
