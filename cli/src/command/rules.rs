//! `latchkey rules`: rules out of an OpenAPI document, and what a policy and a document do not have in common.

mod access;
mod drift;
mod group;
mod judged;
mod path;
mod yaml;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use latchkey::{Code, Engine, Environment, Severity};

use self::access::Access;
use self::group::{Entry, Rule};
use self::path::{Loss, Paths};
use crate::Exit;
use crate::document;
use crate::finding::{self, Finding, Format, count};
use crate::openapi::{self, Operation, Scheme, Server};
use crate::policy::Policy;

/// Make rules out of an OpenAPI document, or hold a policy against it
///
/// Prints `rules:` for a policy. With --against it prints the operations that no rule of a policy names, those that the policy
/// lets others call than the document says, and what the rules name that no operation is.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = AFTER)]
pub struct Arguments {
    /// OpenAPI document, 3.0, 3.1 or 3.2, YAML or JSON
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The policy to hold against the document
    #[arg(long, value_name = "POLICY")]
    against: Option<PathBuf>,
    /// File with a list `keys`, joined to that policy's own
    #[arg(long, value_name = "FILE", requires = "against")]
    keys: Option<PathBuf>,
    /// Look at paths and methods only, not at who may call an operation
    #[arg(long, requires = "against")]
    skip_access: bool,
    /// What operations need whose security names no scopes
    #[arg(long, value_enum, default_value_t = Unscoped::Action)]
    require: Unscoped,
    /// What operations need of whose security the document says nothing; default a key, and with --against whatever the policy says
    #[arg(long, value_enum)]
    unsaid: Option<Unsaid>,
    /// A security scheme that keys stand for; default all of them
    #[arg(long = "scheme", value_name = "NAME")]
    schemes: Vec<String>,
    /// Take the scopes of a scheme as alternatives: any of them is enough
    #[arg(long)]
    any_scope: bool,
    /// What a scope of the document is called in the policy
    #[arg(long = "scope", value_name = "FROM=TO", value_parser = renaming)]
    scopes: Vec<(String, String)>,
    /// Where the API is served, in place of the document's servers, such as `https://api.example.com/v1` or `/v1`
    #[arg(long = "server", value_name = "URL", value_parser = server)]
    servers: Vec<Server>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unscoped {
    /// `{action}` on every resource, by the method
    Action,
    /// `TAG:{action}`, by the operation's first tag and the method
    Tag,
    /// No scopes: any good key
    Nothing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unsaid {
    /// A key
    Key,
    /// Nothing: they are public
    Public,
}

fn renaming(text: &str) -> Result<(String, String), String> {
    // A scope may be a URL with `=` in it; what it is called here is not.
    let (from, to) = text.rsplit_once('=').ok_or("it is `scope of the document=scope`")?;
    latchkey::Scope::parse(to).map_err(|error| format!("`{to}`: {error}"))?;
    Ok((from.to_owned(), to.to_owned()))
}

fn server(text: &str) -> Result<Server, String> {
    Server::parse(text).ok_or_else(|| "it is a URL or a path".to_owned())
}

const EXAMPLES: &str = "Examples:
  latchkey rules --from openapi.yaml > rules.yaml
  latchkey rules --from openapi.yaml --against policy.yaml";

const AFTER: &str = "\
Examples:
  latchkey rules --from openapi.yaml > rules.yaml
  latchkey rules --from openapi.yaml --server /v1 --require tag > rules.yaml
  latchkey rules --from openapi.yaml --against policy.yaml --format github

Exit codes: 0 fine, 3 drift, or something that no rule can say; then no rules are printed. 1 failed.";

/// Prints rules, or what they and the document do not have in common, which ends with [`Exit::Findings`].
///
/// # Errors
/// A file cannot be read or parsed, the policy is refused, or the output cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let operations = openapi::load(&arguments.from, &arguments.servers)?;
    match &arguments.against {
        Some(policy) => hold_against(policy, &operations, arguments, output),
        None => generate(&operations, arguments, output),
    }
}

fn generate(
    operations: &[Operation],
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<Exit> {
    let (entries, mut findings) = entries(operations, arguments)?;
    findings.extend(unknown_names(operations, arguments));
    let is_sayable = !findings.iter().any(Finding::is_error);
    let rules = if is_sayable { group::rules(entries) } else { Vec::new() };
    // Each of them can be said; all together may be too large.
    findings.extend(refusal(&rules)?.map(|refusal| Finding {
        file: arguments.from.clone(),
        place: None,
        pointer: String::new(),
        code: refusal.code.as_str(),
        severity: Severity::Error,
        message: format!("no policy takes these rules: {}", refusal.message),
        help: refusal.help,
    }));
    finding::locate(&mut findings);
    let failed = findings.iter().any(Finding::is_error);
    if !findings.is_empty() {
        finding::report(&findings, arguments.format, &mut anstream::stderr())?;
    }
    if failed {
        return Ok(Exit::Findings);
    }
    let file = arguments.from.file_name().unwrap_or_default().to_string_lossy();
    let (operations, rules_told) =
        (count(operations.len(), "operation"), count(rules.len(), "rule"));
    let file = file.escape_debug();
    writeln!(output, "# `latchkey rules --from {file}`: {operations} in {rules_told}.")?;
    output.write_all(yaml::print(&rules).as_bytes())?;
    Ok(Exit::Fine)
}

/// What the engine has against a policy of these rules, as they are printed; `None` if nothing.
fn refusal(rules: &[Rule]) -> Result<Option<latchkey::Finding>> {
    let text = format!("credentials: [{{header: x-key}}]\nkeys: []\n{}", yaml::print(rules));
    let policy = document::parse(Path::new("rules.yaml"), &text)?.to_json()?;
    let compiled = Engine::compile(policy.as_bytes(), &Environment::default());
    let mut findings = compiled.err().into_iter().flatten();
    Ok(findings.find(|finding| finding.severity == Severity::Error))
}

fn hold_against(
    file: &Path,
    operations: &[Operation],
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<Exit> {
    let policy = Policy::load(file, arguments.keys.as_deref())?;
    let engine = match policy.compile()? {
        Ok(engine) => engine,
        Err(mut findings) => {
            finding::locate(&mut findings);
            finding::print(&findings, &mut anstream::stderr())?;
            bail!("`{}` is refused: `latchkey check` says why", file.display());
        }
    };
    let document = arguments.from.display().to_string();
    let (mut findings, stale) = drift::find(operations, &engine, &document);
    let stale = policy.locate_remarks(stale).into_iter();
    if !arguments.skip_access {
        findings.extend(unknown_names(operations, arguments));
        findings.extend(judged::find(operations, &policy, arguments)?);
    }
    findings.extend(stale.map(|finding| Finding { severity: Severity::Error, ..finding }));
    finding::locate(&mut findings);
    finding::report(&findings, arguments.format, output)?;
    Ok(if findings.is_empty() { Exit::Fine } else { Exit::Findings })
}

/// Schemes and scopes that no operation has: a misspelt scheme takes no keys, and a misspelt scope keeps its name.
fn unknown_names(operations: &[Operation], arguments: &Arguments) -> Vec<Finding> {
    let schemes: Vec<&Scheme> =
        operations.iter().flat_map(|operation| &operation.security).flatten().flatten().collect();
    let unknown = |code, what: &str, name: &str, option: &str| Finding {
        file: arguments.from.clone(),
        place: None,
        pointer: String::new(),
        code,
        severity: Severity::Warning,
        message: format!("no operation has the {what} `{name}`"),
        help: Some(format!("say of `{option}` what `security` says")),
    };
    let of_schemes = arguments.schemes.iter();
    let of_schemes = of_schemes.filter(|name| !schemes.iter().any(|scheme| scheme.name == **name));
    let of_scopes = arguments.scopes.iter().map(|(from, _)| from);
    let of_scopes =
        of_scopes.filter(|from| !schemes.iter().any(|scheme| scheme.scopes.contains(from)));
    of_schemes
        .map(|name| unknown("unknown_scheme", "security scheme", name, "--scheme"))
        .chain(of_scopes.map(|from| unknown("unknown_scope", "scope", from, "--scope")))
        .collect()
}

/// What a rule cannot say of an operation, or not exactly.
#[derive(PartialEq, Eq)]
struct Problem {
    is_error: bool,
    code: &'static str,
    message: String,
    help: Option<&'static str>,
}

impl Problem {
    fn error(code: &'static str, message: String) -> Problem {
        Problem { is_error: true, code, message, help: None }
    }

    fn at(&self, operation: &Operation) -> Finding {
        Finding {
            file: operation.file.clone(),
            place: None,
            pointer: operation.pointer.clone(),
            code: self.code,
            severity: if self.is_error { Severity::Error } else { Severity::Warning },
            message: self.message.clone(),
            help: self.help.map(str::to_owned),
        }
    }
}

/// What the rules are made of: each path once for each of its hosts and for all of its methods that ask for the same.
///
/// # Errors
/// What is printed of an operation cannot be read again.
fn entries(operations: &[Operation], arguments: &Arguments) -> Result<(Vec<Entry>, Vec<Finding>)> {
    let mut paths = Paths::default();
    // Hosts, methods and access that a rule can have.
    let mut sayable = HashSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut findings = Vec::new();
    for operation in operations {
        let mut problems = Vec::new();
        let access = Access::of(operation, arguments, &mut problems);
        for (hosts, base) in places(&operation.servers) {
            let path = match paths.path(&format!("{base}{}", operation.path)) {
                Ok((path, losses)) => {
                    problems.extend(losses.into_iter().map(|loss| loss.problem(operation)));
                    path
                }
                Err(loss) => {
                    problems.push(loss.problem(operation));
                    continue;
                }
            };
            let entry = Entry {
                hosts,
                methods: vec![operation.method.clone()],
                path,
                access: access.clone(),
                names: vec![operation.id.clone().unwrap_or_else(|| operation.title())],
            };
            let own = (entry.hosts.clone(), entry.methods.clone(), entry.access.clone());
            if !sayable.contains(&own) {
                match entry.refusal()? {
                    None => _ = sayable.insert(own),
                    Some(refusal) => problems.push(unsayable(operation, &refusal)),
                }
            }
            problems.extend(add(entry, &mut entries).map(|other| contradiction(operation, &other)));
        }
        // Once, at however many places it is served.
        for (index, problem) in problems.iter().enumerate() {
            if !problems.iter().take(index).any(|earlier| earlier == problem) {
                findings.push(problem.at(operation));
            }
        }
    }
    // Whoever serves GET serves HEAD (RFC 9110 section 9.1).
    let has_head = |entry: &Entry| {
        entries.iter().any(|other| {
            other.path.is_same(&entry.path)
                && other.methods.iter().any(|method| method == "HEAD")
                && group::share_a_host(other, entry)
        })
    };
    let heads: Vec<bool> = entries.iter().map(has_head).collect();
    for (entry, has_head) in entries.iter_mut().zip(heads) {
        entry.methods.sort_by_key(|method| order(method));
        if !has_head && entry.methods.iter().any(|method| method == "GET") {
            entry.methods.insert(1, "HEAD".to_owned());
        }
    }
    Ok((entries, findings))
}

impl Entry {
    /// What the engine has against a rule of this alone; `None` if nothing.
    fn refusal(&self) -> Result<Option<latchkey::Finding>> {
        let name = self.names.first().cloned().unwrap_or_default();
        refusal(&[Rule { name, entries: vec![self.clone()] }])
    }
}

fn unsayable(operation: &Operation, refusal: &latchkey::Finding) -> Problem {
    let message = format!("no rule can say what `{}` does: {}", operation.title(), refusal.message);
    let help =
        (refusal.code == Code::InvalidHost).then_some("say with --server where the API is served");
    Problem { is_error: true, code: refusal.code.as_str(), message, help }
}

/// Adds an entry to what is known of its path; `Some` name of an operation that asks for something else of the same
/// requests.
fn add(entry: Entry, entries: &mut Vec<Entry>) -> Option<String> {
    let is_same =
        |other: &Entry| other.path.is_same(&entry.path) && group::share_a_host(other, &entry);
    let shares = |other: &Entry| entry.methods.iter().any(|method| other.methods.contains(method));
    let other = entries
        .iter()
        .find(|other| is_same(other) && other.access != entry.access && shares(other));
    if let Some(other) = other {
        return other.names.first().cloned();
    }
    let is_whole = |whole: &&mut Entry| {
        whole.access == entry.access
            && whole.hosts == entry.hosts
            && whole.path.is_same(&entry.path)
    };
    let Some(whole) = entries.iter_mut().find(is_whole) else {
        entries.push(entry);
        return None;
    };
    for (known, added) in [(&mut whole.methods, entry.methods), (&mut whole.names, entry.names)] {
        for text in added {
            if !known.contains(&text) {
                known.push(text);
            }
        }
    }
    None
}

fn contradiction(operation: &Operation, other: &str) -> Problem {
    Problem::error(
        "ambiguous_path",
        format!(
            "`{}` matches the same requests as `{other}`, and asks for something else",
            operation.title()
        ),
    )
}

/// Base paths, each with the hosts that have it.
fn places(servers: &[Server]) -> Vec<(Vec<String>, &str)> {
    let mut places: Vec<(Vec<String>, &str)> = Vec::new();
    for Server { host, base } in servers {
        let index = places.iter().position(|(_, known)| known == base);
        let is_everywhere = host.is_none();
        match index.and_then(|index| places.get_mut(index)) {
            // A server without a host is any.
            Some((hosts, _)) if is_everywhere || hosts.is_empty() => hosts.clear(),
            Some((hosts, _)) => hosts.extend(host.clone()),
            None => places.push((host.iter().cloned().collect(), base)),
        }
    }
    places
}

/// Reading before writing, and what is rare behind it.
fn order(method: &str) -> usize {
    const ORDER: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    ORDER.iter().position(|name| *name == method).unwrap_or(ORDER.len())
}

impl Loss {
    fn problem(self, operation: &Operation) -> Problem {
        match self {
            Loss::Unsayable(refusal) => Problem {
                is_error: true,
                code: "invalid_path",
                message: format!("no rule can have the path of `{}`: {refusal}", operation.title()),
                help: None,
            },
            Loss::Whole(segment) => Problem {
                is_error: false,
                code: "whole_segment",
                message: format!(
                    "`{segment}` of `{}` is taken as any segment, `*`",
                    operation.title()
                ),
                help: Some("a segment of a rule has one parameter"),
            },
        }
    }
}
