//! Findings as people and programs read them: with the file, line and column.

mod sarif;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use latchkey::Severity;
use serde::Serialize;

use crate::document::{self, Malformed};
use crate::place::{self, Place};
use crate::style::{BOLD, ERROR, HELP, WARNING};

/// One thing wrong, or doubtful, in a policy file or a keys file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The policy file or the keys file.
    pub(crate) file: PathBuf,
    /// Where in the file, if that is known or [`locate`] has looked.
    pub(crate) place: Option<Place>,
    /// Its place as a JSON pointer, which starts at that file's root.
    pub(crate) pointer: String,
    /// What kind of mistake it is; stable across releases.
    pub(crate) code: &'static str,
    /// Whether it refuses the policy.
    pub(crate) severity: Severity,
    /// What is wrong, in one line.
    pub(crate) message: String,
    /// What to do about it, where that is known.
    pub(crate) help: Option<String>,
}

impl Finding {
    /// Whether the finding refuses the policy.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl From<Malformed> for Finding {
    fn from(malformed: Malformed) -> Finding {
        let Malformed { file, place, pointer, code, message } = malformed;
        Finding { file, place, pointer, code, severity: Severity::Error, message, help: None }
    }
}

/// Finds the lines and columns of findings, and puts the findings into their order.
///
/// A file that can no longer be read leaves its findings without.
pub(crate) fn locate(findings: &mut [Finding]) {
    let mut files: Vec<PathBuf> = Vec::new();
    for finding in findings.iter() {
        if !files.contains(&finding.file) {
            files.push(finding.file.clone());
        }
    }
    for file in &files {
        let places = places(file, findings);
        for finding in findings.iter_mut().filter(|finding| finding.file == *file) {
            finding.place = finding.place.or_else(|| places.get(&finding.pointer).copied());
        }
    }
    let position = |file: &PathBuf| files.iter().position(|known| known == file);
    findings.sort_by(|one, other| {
        // How many more there are comes last.
        let is_rest = |finding: &Finding| finding.code == "too_large" && finding.pointer.is_empty();
        let key = |finding: &Finding| (position(&finding.file), is_rest(finding), finding.place);
        key(one).cmp(&key(other))
    });
}

fn places(file: &Path, findings: &[Finding]) -> HashMap<String, Place> {
    let Ok(text) = document::read(file) else { return HashMap::new() };
    let of_file = findings.iter().filter(|finding| finding.file == *file);
    let places = place::find(file, &text, of_file.map(|finding| finding.pointer.as_str()));
    places.into_iter().map(|(pointer, place)| (pointer.to_owned(), place)).collect()
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for each finding, and one for its help
    Human,
    /// Annotations of a workflow on GitHub
    Github,
    /// A JSON list of objects with file, line, column, severity, code, pointer, message and help
    Json,
    /// SARIF 2.1.0, as code scanning takes it
    Sarif,
}

/// Writes findings in that format.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn report(
    findings: &[Finding],
    format: Format,
    output: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Human => print(findings, output),
        Format::Github => print_annotations(findings, output),
        Format::Json => print_json(findings, output),
        Format::Sarif => sarif::print(findings, output),
    }
}

/// Of one code, people are shown so many findings.
const MOST_SHOWN: usize = 20;

/// Writes findings for people, and how many there are.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn print(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let mut shown: HashMap<&str, usize> = HashMap::new();
    for finding in findings {
        let shown = shown.entry(finding.code).or_default();
        *shown += 1;
        if *shown <= MOST_SHOWN {
            print_one(finding, output)?;
        }
    }
    let mut hidden: Vec<_> = shown.into_iter().filter(|(_, number)| *number > MOST_SHOWN).collect();
    hidden.sort_unstable();
    for (code, number) in hidden {
        writeln!(output, "and {} more of {code}; `--format json` shows all", number - MOST_SHOWN)?;
    }
    print_counts(findings, output)
}

fn print_counts(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    writeln!(output, "{}, {}", count(errors, "error"), count(warnings, "warning"))
}

/// Writes findings as commands of a workflow, which GitHub shows where they stand
/// (<https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>).
fn print_annotations(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let text = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |value: &str| text(value).replace(':', "%3A").replace(',', "%2C");
    for Finding { file, place, code, severity, message, help, .. } in findings {
        write!(output, "::{} file={}", severity.as_str(), property(&file.display().to_string()))?;
        if let Some(Place { line, column }) = place {
            write!(output, ",line={line},col={column}")?;
        }
        write!(output, ",title={code}::{}", text(message))?;
        match help {
            None => writeln!(output)?,
            Some(help) => writeln!(output, "%0A{}", text(help))?,
        }
    }
    print_counts(findings, output)
}

/// `FILE:LINE:COLUMN: severity[code]: message (at pointer)`, and the help on a line of its own.
fn print_one(finding: &Finding, output: &mut dyn Write) -> io::Result<()> {
    let Finding { file, pointer, code, message, help, .. } = finding;
    let colour = if finding.is_error() { ERROR } else { WARNING };
    write!(output, "{BOLD}{}", file.display())?;
    if let Some(Place { line, column }) = finding.place {
        write!(output, ":{line}:{column}")?;
    }
    let severity = finding.severity.as_str();
    write!(output, ":{BOLD:#} {colour}{severity}[{code}]{colour:#}: {message}")?;
    if !pointer.is_empty() {
        write!(output, " (at {pointer})")?;
    }
    writeln!(output)?;
    match help {
        None => Ok(()),
        Some(help) => writeln!(output, "  {HELP}help:{HELP:#} {help}"),
    }
}

/// Writes findings as a JSON list.
///
/// # Errors
/// The output cannot be written.
fn print_json(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let findings: Vec<JsonFinding<'_>> = findings.iter().map(JsonFinding::from).collect();
    serde_json::to_writer_pretty(&mut *output, &findings)?;
    writeln!(output)
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    severity: &'static str,
    code: &'static str,
    pointer: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> From<&'a Finding> for JsonFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        JsonFinding {
            file: finding.file.display().to_string(),
            line: finding.place.map(|place| place.line),
            column: finding.place.map(|place| place.column),
            severity: finding.severity.as_str(),
            code: finding.code,
            pointer: &finding.pointer,
            message: &finding.message,
            help: finding.help.as_deref(),
        }
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn count<N: fmt::Display + From<u8> + PartialEq>(number: N, noun: &str) -> String {
    format!("{number} {noun}{}", if number == N::from(1) { "" } else { "s" })
}
