//! Findings as SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>), which code scanning reads.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Finding;
use crate::place::Place;

/// What stands for itself in the path of a URI (RFC 3986 section 3.3).
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes findings as a log of one run.
pub(super) fn print(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.into_iter().map(|code| json!({"id": code})).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {"name": "latchkey", "version": env!("CARGO_PKG_VERSION"), "rules": rules}
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *output, &log)?;
    writeln!(output)
}

fn result(finding: &Finding) -> Value {
    let text = match &finding.help {
        None => finding.message.clone(),
        Some(help) => format!("{}\n{help}", finding.message),
    };
    let mut physical = json!({"artifactLocation": {"uri": uri(&finding.file)}});
    if let Some(Place { line, column }) = finding.place
        && let Some(fields) = physical.as_object_mut()
    {
        fields.insert("region".to_owned(), json!({"startLine": line, "startColumn": column}));
    }
    json!({
        "ruleId": finding.code,
        "level": finding.severity.as_str(),
        "message": {"text": text},
        "locations": [{
            "physicalLocation": physical,
            "logicalLocations": [{"fullyQualifiedName": finding.pointer}],
        }],
    })
}

/// A relative path as a relative reference, which code scanning takes from the repository's root.
fn uri(file: &Path) -> String {
    let path = file.to_string_lossy();
    let path = utf8_percent_encode(path.strip_prefix("./").unwrap_or(&path), PATH).to_string();
    if path.starts_with('/') { format!("file://{path}") } else { path }
}
