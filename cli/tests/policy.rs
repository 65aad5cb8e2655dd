//! Policy files: what the core gets to see of them, and what is refused before it does.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;

use latchkey::{Engine, Environment};
use latchkey_cli::policy::Policy;

mod support;
use support::{Directory, repository};

fn json(directory: &Directory, policy: &Path, keys: Option<&Path>) -> Result<String, String> {
    let loaded = Policy::load(policy, keys).map_err(|error| directory.hide(&format!("{error:#}")));
    loaded.map(|policy| String::from_utf8(policy.to_json().unwrap()).unwrap())
}

#[test]
fn yaml_and_json_come_out_alike_and_in_order() {
    let directory = Directory::new();
    let yaml = directory.write(
        "policy.yaml",
        "# comments go\nrealm: x\nkeys:\n- id: a\n  not_before: 2026-01-01T00:00:00Z\n\
         errors:\n  body: {z: '{code}', a: [true, 1, 1.5, null]}\n",
    );
    let written = r#"{"realm":"x","keys":[{"id":"a","not_before":"2026-01-01T00:00:00Z"}],"errors":{"body":{"z":"{code}","a":[true,1,1.5,null]}}}"#;
    assert_eq!(json(&directory, &yaml, None).unwrap(), written);
    let spaced = directory.write("policy.json", &written.replace(',', " ,\n "));
    assert_eq!(json(&directory, &spaced, None).unwrap(), written);
}

#[test]
fn keys_of_a_file_come_after_the_policy_s_own() {
    let directory = Directory::new();
    let keys = directory.write("keys.yaml", "keys:\n- {id: c}\n- {id: d}\n");
    for (policy, joined) in [
        (
            "keys: [{id: a}, {id: b}]\nrealm: x\n",
            r#"{"keys":[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"}],"realm":"x"}"#,
        ),
        ("realm: x\n", r#"{"realm":"x","keys":[{"id":"c"},{"id":"d"}]}"#),
        ("keys: []\n", r#"{"keys":[{"id":"c"},{"id":"d"}]}"#),
    ] {
        let policy = directory.write("policy.yaml", policy);
        assert_eq!(json(&directory, &policy, Some(&keys)).unwrap(), joined);
    }
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let directory = Directory::new();
    for (policy, keys, message) in [
        ("keys: {a: b}\n", "keys: []\n", "policy.yaml:1:1: `keys` must be a list"),
        ("keys:\n", "keys: []\n", "policy.yaml:1:1: `keys` must be a list"),
        ("- a\n", "keys: []\n", "policy.yaml:1:1: a policy must be an object"),
        (
            "keys: []\n",
            "- id: a\n",
            "keys.yaml:1:1: a keys file must be an object with a list `keys`",
        ),
        (
            "keys: []\n",
            "keys: []\nrules: []\n",
            "keys.yaml:2:1: unknown field `rules`, expected `keys`",
        ),
        ("keys: []\n", "keys:\n- id: a\n  id: b\n", "keys.yaml:3:3: duplicate field `id`"),
        ("keys: []\nkeys: []\n", "keys: []\n", "policy.yaml:2:1: duplicate field `keys`"),
    ] {
        let policy = directory.write("policy.yaml", policy);
        let keys = directory.write("keys.yaml", keys);
        assert_eq!(json(&directory, &policy, Some(&keys)).unwrap_err(), message);
    }
}

#[test]
fn rules_of_several_files_come_in_order() {
    let directory = Directory::new();
    directory.write("generated.yaml", "rules: [{name: a}, {name: b}]\n");
    directory.write("none.json", r#"{"rules": []}"#);
    directory.write("own.yaml", "rules: [{name: c}]\n");
    directory.write("both.yaml", "rules_from: [none.json, own.yaml]\n");
    for from in ["[generated.yaml, none.json, own.yaml]", "[generated.yaml, both.yaml]"] {
        let policy = format!("realm: x\nrules_from: {from}\nkeys: []\n");
        let policy = directory.write("policy.yaml", &policy);
        let joined = r#"{"realm":"x","rules":[{"name":"a"},{"name":"b"},{"name":"c"}],"keys":[]}"#;
        assert_eq!(json(&directory, &policy, None).unwrap(), joined);
        let policy = Policy::load(&policy, None).unwrap();
        for (pointer, file, own) in [
            ("/rules/1/paths/0", "generated.yaml", "/rules/1/paths/0"),
            ("/rules/2", "own.yaml", "/rules/0"),
            ("/rules/2/where/a~1b", "own.yaml", "/rules/0/where/a~1b"),
            ("/rules", "policy.yaml", "/rules_from"),
            ("/rulesets", "policy.yaml", "/rulesets"),
            ("/realm", "policy.yaml", "/realm"),
        ] {
            let (source, at) = policy.source(pointer);
            assert_eq!((source.file_name().unwrap(), at.as_str()), (file.as_ref(), own));
        }
    }
}

#[test]
fn rules_that_cannot_be_had_are_refused() {
    let directory = Directory::new();
    directory.write("rules.yaml", "rules: []\n");
    directory.write("list.yaml", "- paths: [/]\n");
    directory.write("text.yaml", "rules: all\n");
    directory.write("other.yaml", "rules: []\nkeys: []\n");
    directory.write("empty.yaml", "{}\n");
    directory.write("broken.yaml", "rules: [\n");
    directory.write("both.yaml", "rules: []\nrules_from: [rules.yaml]\n");
    directory.write("twice.yaml", "rules_from: [rules.yaml]\n");
    directory.write("circle.yaml", "rules_from:\n- rules.yaml\n- back.yaml\n");
    directory.write("back.yaml", "rules_from: [circle.yaml]\n");
    const BOTH: &str = "`rules` and `rules_from` cannot both stand in one file: put the rules into a file of their own, \
                        and name it where they come";
    for (from, message) in [
        ("rules.yaml", "policy.yaml:1:1: `rules_from` must be a list of files"),
        ("[]", "policy.yaml:1:1: a list without files"),
        ("[rules.yaml, [a]]", "policy.yaml:1:26: a file is named by a text"),
        (
            "[none.yaml]",
            "policy.yaml:1:14: cannot read `none.yaml`: No such file or directory (os error 2)",
        ),
        (
            "[rules.yaml, ./rules.yaml]",
            "policy.yaml:1:26: the rules of `./rules.yaml` are named twice",
        ),
        ("[rules.yaml, twice.yaml]", "twice.yaml:1:14: the rules of `rules.yaml` are named twice"),
        ("[policy.yaml]", "policy.yaml:1:14: `policy.yaml` leads back to itself"),
        ("[circle.yaml]", "back.yaml:1:14: `circle.yaml` leads back to itself"),
        ("[broken.yaml]", "broken.yaml:2:1: "),
        (
            "[list.yaml]",
            "list.yaml:1:1: a file of rules must be an object with a list `rules`, or `rules_from`",
        ),
        (
            "[empty.yaml]",
            "empty.yaml:1:1: a file of rules must be an object with a list `rules`, or `rules_from`",
        ),
        ("[text.yaml]", "text.yaml:1:1: `rules` must be a list"),
        ("[other.yaml]", "other.yaml:2:1: unknown field `keys`, expected `rules` or `rules_from`"),
        ("[both.yaml]", &format!("both.yaml:2:1: {BOTH}")),
        ("[rules.yaml]\nrules: []", &format!("policy.yaml:1:1: {BOTH}")),
    ] {
        let policy = directory.write("policy.yaml", &format!("rules_from: {from}\n"));
        let error = json(&directory, &policy, None).unwrap_err();
        assert!(
            error == message || message.ends_with(": ") && error.starts_with(message),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let directory = Directory::new();
    let error = json(&directory, &directory.path().join("none.yaml"), None).unwrap_err();
    assert_eq!(error, "cannot read `none.yaml`: No such file or directory (os error 2)");
}

/// One that is a part of a rule is tried as that.
#[test]
fn each_example_of_the_configurations_page_is_good() {
    let page = std::fs::read_to_string(repository("docs/configuration.md")).unwrap();
    let directory = Directory::new();
    let blocks: Vec<&str> = page
        .split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix("yaml\n"))
        .collect();
    assert!(blocks.len() > 10, "{blocks:?}");
    for file in ["generated.yaml", "own.yaml"] {
        directory.write(file, "rules: [{access: deny}]\n");
    }
    for block in blocks {
        let as_rule = format!("rules:\n- {}", block.replace('\n', "\n  "));
        let problems: Vec<String> =
            [block, &as_rule].iter().filter_map(|policy| problem(&directory, policy)).collect();
        assert!(problems.len() < 2, "{block}\n\n{problems:#?}");
    }
}

/// What is wrong with a policy, which gets credentials and keys if it has none.
fn problem(directory: &Directory, policy: &str) -> Option<String> {
    let mut whole = policy.to_owned();
    for (field, value) in [("credentials", "[{header: x-key}]"), ("keys", "[]")] {
        if !policy.lines().any(|line| line.starts_with(&format!("{field}:"))) {
            whole.push_str(&format!("\n{field}: {value}"));
        }
    }
    let json = match json(directory, &directory.write("policy.yaml", &whole), None) {
        Ok(json) => json,
        Err(problem) => return Some(problem),
    };
    let compiled = Engine::compile(json.as_bytes(), &Environment::default());
    compiled.err().map(|findings| format!("{findings:?}"))
}
