//! The corpus `tests/cases` on the core.

use std::path::Path;

use latchkey_cli::cases;

#[test]
fn every_case_holds_on_the_core() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let suites = cases::load_folder(&folder).unwrap_or_else(|error| panic!("{error:#}"));
    let mut failures = Vec::new();
    for suite in &suites {
        let file = suite.file.file_name().unwrap_or_default().display();
        match cases::run_on_core(suite) {
            Err(findings) => {
                failures.extend(findings.iter().map(|finding| format!("{file}: policy: {finding}")))
            }
            Ok(outcomes) => failures.extend(outcomes.iter().flat_map(|outcome| {
                let lines = outcome.mismatches.iter();
                lines.map(|line| format!("{file}: {}: {line}", outcome.case))
            })),
        }
    }
    assert!(failures.is_empty(), "{} mismatches:\n{}", failures.len(), failures.join("\n"));
}
