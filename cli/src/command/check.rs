//! `latchkey check`: what is wrong with a policy.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use latchkey::{Engine, Rule, Severity};

use crate::Exit;
use crate::command::render::Code;
use crate::filter;
use crate::finding::{self, Finding, Format};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::{plaintext, time};

/// Find what is wrong with a policy
///
/// Prints every finding with its file, line and column, code, message and help. Errors refuse the
/// policy, in the filter as well; warnings do not. A file that cannot be read or does not parse is one
/// finding, and the others are checked all the same.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, after_long_help = AFTER)]
pub struct Arguments {
    /// Policy files, YAML or JSON; `-` is standard input
    #[arg(required_unless_present_any = ["wasm", "module"], value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// File with a list `keys`, joined to the own keys of each policy
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The filter that is to serve them: whether it is whole, and of which version; another than this is `other_version`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    wasm: Option<String>,
    /// The same of the native module
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "wasm",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    module: Option<String>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// End with exit code 3 on warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// The time to check for, RFC 3339; default the system's
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    now: Option<i64>,
}

const EXAMPLE: &str = "Example:\n  latchkey check policy.yaml --keys keys.yaml --deny-warnings";

const AFTER: &str = "\
Examples:
  latchkey check policy.yaml --keys keys.yaml --deny-warnings
  latchkey check policies/*.yaml --format sarif > latchkey.sarif
  latchkey check policy.yaml --wasm /etc/latchkey/latchkey.wasm

Warnings:
  clashing_parameters          rules read parameters that pass for each other, so that neither gets through
  date_as_seconds              a key is good from 1970 on: its `not_before` is a date without dashes
  encoded_path                 a path's segment is encoded where it need not be
  expired_key                  a key is over and still there
  hash_of_nothing              a key's hash is that of an empty text
  invalid_path                 a path has a segment such as `:id`, which is taken as it stands
  key_expires_soon             a key ends within 30 days
  missing_account              its type counts keys per account, and the key names none
  no_scopes                    a key has scopes neither of its own nor of its type
  not_enforced                 `mode: observe`: nothing is refused, or not for what the rule asks
  plaintext_token              a text other than a hash looks like a token
  public_everything            a rule lets every request in without a key
  publishable_without_origins  a type that looks publishable has no `origins_required`
  same_metric                  ids that differ in `.`, `-` and `_` only, which Prometheus counts as one
  stricter_by_reading          a path is another rule's in other letters or without its format, and must be
                               let in by that rule as well: see `upstream`
  too_many_active_keys         an account has more keys than `max_active_per_account` of their
                               type; a key that ends within 30 days after the next one started,
                               as in a rotation's overlap, does not count
  ungranted_scope              a rule asks for a scope that neither a key nor a key type covers
  unknown_attribute            a condition or a header names an attribute that no key has
  unknown_parameter            a path of a rule lacks a parameter that the rule's templates name
  unmet_condition              a condition asks for a value that no key has
  unreachable_rule             rules before this one take all that it would match
  unused_scope                 a scope that no rule asks for

Who has what is known only where the policy has keys and no `sessions`: elsewhere no condition and no
scope of a rule is doubted.

A policy with errors is looked through for `plaintext_token` only: what else is doubtful can be told once
it means something. Keys that are disabled or suspended are passed over, and comments are not read. What a file cannot show is not
found: a hash tells nothing of its token, so one made of a short or guessable token, on purpose or
not, looks like any other. Make tokens with `latchkey key new`.

The JSON is a list of objects, in the order of files and places:
  file      path of the policy or keys file, as given
  line      from 1, or null where the file could not be read again
  column    from 1, in characters, or null
  severity  \"error\" or \"warning\"
  code      stable name of the kind of finding; \"missing_file\" tells of a file that cannot be read,
            \"invalid_json\", \"invalid_yaml\" and \"duplicate\" of one that does not parse or has a
            field twice, and nothing else is told of it
  pointer   JSON pointer (RFC 6901) into the file; \"\" is the whole of it, or a file that does not parse
  message   what is wrong, one line
  help      what to do about it, or null";

/// Prints the findings; an error among them ends with [`Exit::Findings`].
///
/// # Errors
/// The filter cannot be read or is none, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let code = Code::new(arguments.wasm.as_deref(), arguments.module.as_deref())?;
    let mut needs = Vec::new();
    let mut findings = findings(arguments, |file, engine| {
        needs.extend(
            code.and_then(|code| needs_of(engine, code)).map(|need| (file.to_owned(), need)),
        );
    })?;
    if let Some(code) = code {
        let module = Module::load(code)?;
        findings.extend(module.is_other());
        if matches!(arguments.format, Format::Human) {
            writeln!(output, "{module}")?;
            for (policy, need) in needs {
                writeln!(output, "{}: {need}", policy.display())?;
            }
        }
    }
    finding::report(&findings, arguments.format, output)?;
    let refused = findings.iter().any(|finding| finding.is_error() || arguments.deny_warnings);
    Ok(if refused { Exit::Findings } else { Exit::Fine })
}

/// What a policy asks of whoever configures the proxy, beside the filter.
fn needs_of(engine: &Engine, code: Code<'_>) -> Option<&'static str> {
    match code {
        Code::Module(_) => engine.session_payload().map(|_| {
            "`sessions` reach the module by a filter that `render --to envoy --module` prints, and not in Envoy Gateway"
        }),
        Code::Wasm(_) => engine.rules().iter().any(Rule::holds_headers).then_some(
            "`hold: headers` takes `allow_on_headers_stop_iteration` beside the filter, which `render --to envoy` and \
             `--to ecds` print, and which Istio and Envoy Gateway lack",
        ),
    }
}

/// The filter that is to serve policies.
struct Module<'a> {
    code: Code<'a>,
    file: &'a Path,
    version: Option<String>,
    digest: String,
}

impl Module<'_> {
    fn load(code: Code<'_>) -> Result<Module<'_>> {
        let file = Path::new(code.path());
        let unreadable = || format!("cannot read `{}`", file.display());
        filter::check(code)?.with_context(unreadable)?;
        let version = filter::version(file).with_context(unreadable)?;
        let digest = filter::digest(file).with_context(unreadable)?;
        Ok(Module { code, file, version, digest })
    }

    /// That it may take other policies than those which are good here.
    fn is_other(&self) -> Option<Finding> {
        const OWN: &str = env!("CARGO_PKG_VERSION");
        let version = match self.version.as_deref() {
            Some(OWN) => return None,
            Some(other) => format!("of version {other}"),
            None => "older than versions in modules".to_owned(),
        };
        Some(Finding {
            file: self.file.to_owned(),
            place: None,
            pointer: String::new(),
            code: "other_version",
            severity: Severity::Warning,
            message: format!(
                "the module is {version}, and this is {OWN}: it may take other policies"
            ),
            help: Some("check with the `latchkey` of the module's version".to_owned()),
        })
    }
}

impl fmt::Display for Module<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("of no version");
        write!(formatter, "{}: latchkey {version}, sha256 {}", self.file.display(), self.digest)?;
        match self.code {
            Code::Module(_) => write!(
                formatter,
                "\n{}: it is trusted with all of Envoy, in whose process it runs; the Wasm filter runs in a sandbox",
                self.file.display()
            ),
            Code::Wasm(_) => Ok(()),
        }
    }
}

/// What is wrong with each policy, in the order in which they are named; `each` sees those without errors.
fn findings(arguments: &Arguments, mut each: impl FnMut(&Path, &Engine)) -> Result<Vec<Finding>> {
    let progress = Progress::start();
    let mut findings = Vec::new();
    for policy in &arguments.policies {
        findings.extend(findings_of(policy, arguments, &progress, &mut each)?);
    }
    if arguments.policies.len() > 1 {
        // What is wrong with the keys file is wrong in each policy.
        let mut told = HashSet::new();
        findings.retain(|finding| {
            told.insert((
                finding.file.clone(),
                finding.pointer.clone(),
                finding.code,
                finding.message.clone(),
            ))
        });
    }
    Ok(findings)
}

fn findings_of(
    file: &Path,
    arguments: &Arguments,
    progress: &Progress,
    each: &mut impl FnMut(&Path, &Engine),
) -> Result<Vec<Finding>> {
    progress.step("reading the policy");
    let (policy, mistakes) = Policy::read(file, arguments.keys.as_deref());
    let is_whole = mistakes.is_empty();
    let mut findings: Vec<Finding> = mistakes.into_iter().map(Finding::from).collect();
    if let Some(policy) = policy {
        progress.step("checking the policy");
        let compiled = policy.compile()?;
        progress.step("looking for what is doubtful");
        match compiled {
            Ok(engine) if is_whole => {
                each(file, &engine);
                findings.extend(policy.warnings(&engine));
                let now = arguments.now.unwrap_or_else(time::now);
                findings.extend(policy.remarks(&engine, now));
            }
            // What is doubtful depends on what is missing.
            Ok(_) => {}
            Err(errors) => findings.extend(errors),
        }
        findings.extend(policy.locate_remarks(plaintext::find(policy.document())));
    }
    progress.step("finding the lines");
    finding::locate(&mut findings);
    Ok(findings)
}
