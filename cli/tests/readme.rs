//! README.md's policy and commands, as a reader would try them.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::Path;
use std::process::Command;

use latchkey_cli::policy::Policy;
use serde_json::Value;

mod support;
use support::{Directory, repository};

#[test]
fn the_example_is_a_part_of_the_demos_policy() {
    let directory = Directory::new();
    let example = json(&directory.write("example.yaml", block("An example", "yaml")));
    let whole = json(&repository("envoy/systems/flokit.yaml"));
    assert!(is_part(&example, &whole), "{example:#}");

    let mut other = example.clone();
    other["keys"][0]["account"] = "ws_other".into();
    assert!(!is_part(&other, &whole));
    other = example;
    other["realms"] = "flokit".into();
    assert!(!is_part(&other, &whole));
}

#[test]
fn the_commands_for_keys_go_well_one_after_the_other() {
    let directory = Directory::new();
    directory.write("policy.yaml", &read("envoy/systems/flokit.yaml"));
    fs::create_dir(directory.path().join("etc")).unwrap();
    fs::copy(support::wasm(), directory.path().join("etc/latchkey.wasm")).unwrap();
    let script = block("Keys", "").replace("/etc/latchkey", "etc");
    let latchkey = Path::new(env!("CARGO_BIN_EXE_latchkey")).parent().unwrap();
    let path = format!("{}:{}", latchkey.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env_remove("LATCHKEY_PEPPER")
        .output()
        .unwrap();
    let (output, error) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{script}:\n{output}{error}");
    for line in ["allow key:reporting", "replaced etc/ecds.yaml: 3 keys"] {
        assert!(output.contains(line), "`{line}` in {output}");
    }
    assert!(
        fs::read_to_string(directory.path().join("etc/ecds.yaml")).unwrap().contains("sha256:")
    );
}

/// The block of a section of README.md with this language.
fn block(section: &str, language: &str) -> &'static str {
    let readme: &str = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|own| own.starts_with(section)).unwrap();
    let mut blocks = section.split("\n```").skip(1).step_by(2);
    let block = blocks.find_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    block.unwrap_or_else(|| panic!("no block `{language}` in {section}"))
}

/// Whether every field of one stands in the other with the same value, and every item of a list.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|own| is_part(value, own)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().all(|item| whole.iter().any(|own| is_part(item, own)))
        }
        _ => part == whole,
    }
}

fn json(policy: &Path) -> Value {
    let policy = Policy::load(policy, None).unwrap_or_else(|error| panic!("{error:#}"));
    serde_json::from_slice(&policy.to_json().unwrap()).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}
