//! What README.md and docs/systems.md show of the demos is what the demos show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails by panicking")]

use std::fs;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_documents_show_what_the_demos_answer() {
    let readme = document("README.md");
    let shown = readme.split("\n## ").find(|section| section.starts_with("An example"));
    let systems = document("docs/systems.md");
    for system in ["FloKit", "FLORA", "Flowyte", "FluenzR", "Flotiq"] {
        let answers = demo(&system.to_lowercase());
        let mut sections: Vec<_> =
            systems.split("\n## ").filter(|section| section.starts_with(system)).collect();
        assert_eq!(sections.len(), 1, "{system}");
        if system == "FloKit" {
            sections.extend(shown);
            assert_eq!(sections.len(), 2);
        }
        for section in sections {
            let block = output(section).unwrap_or_else(|| panic!("no output in {section}"));
            let mut rest = answers.iter();
            for line in masked(block) {
                assert!(rest.any(|answer| *answer == line), "{system} does not answer: {line}");
            }
        }
    }
}

fn document(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a demo prints.
fn demo(system: &str) -> Vec<String> {
    let ran = Command::new(format!("{ROOT}/envoy/demo")).arg(system).output().unwrap();
    let (output, error) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "`make demo SYSTEM={system}` fails: {output}{error}");
    masked(&output)
}

/// The block of a section that names no language.
fn output(section: &str) -> Option<&str> {
    let mut blocks = section.split("\n```").skip(1).step_by(2);
    blocks.find_map(|block| block.strip_prefix('\n'))
}

/// The lines that say something, without Envoy's port, which is another each time.
fn masked(text: &str) -> Vec<String> {
    const HOST: &str = "127.0.0.1:";
    let without_port = |line: &str| {
        let (first, rest) = line.split_once(HOST).unwrap_or((line, ""));
        format!("{first}{}", rest.trim_start_matches(char::is_numeric))
    };
    text.lines().filter(|line| !line.is_empty()).map(without_port).collect()
}
