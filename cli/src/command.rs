//! One module for each command: its arguments and what it does.

pub mod check;
pub mod render;
pub mod test;

use std::io::{self, Write};

use crate::policy::LocatedFinding;

/// Writes findings for people, one a line, and how many there are.
fn print_findings(findings: &[LocatedFinding], output: &mut dyn Write) -> io::Result<()> {
    for LocatedFinding { file, finding } in findings {
        let (file, severity) = (file.display(), finding.severity.as_str());
        writeln!(output, "{file}: {severity}[{}]: {finding}", finding.code.as_str())?;
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    writeln!(output, "{}, {}", count(errors, "error"), count(warnings, "warning"))
}

/// `1 error`, `2 errors`.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
