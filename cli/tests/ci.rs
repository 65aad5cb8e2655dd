//! Policies in CI: what `check` prints for programs, the GitHub Action, and the hooks of pre-commit.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

mod support;
use support::{Directory, TestCommand, repository};

const GOOD: &str =
    "credentials: [{header: x-key}]\nkeys: []\nrules:\n- {paths: [/a], access: public}\n";
/// An error with a help, and one in which there is a comma and a percent sign.
const BAD: &str =
    "credentials: [{header: x-key}]\nkeys: []\nrule: []\nrules:\n- {paths: ['/%2F,b']}\n";

fn directory() -> Directory {
    let directory = Directory::new();
    directory.write("good.yaml", GOOD);
    directory.write("a, b/bad.yaml", BAD);
    directory
}

fn run(directory: &Directory, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.current_dir(directory.path()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn several_policies_and_standard_input_are_checked_in_order() {
    let directory = directory();
    let ran =
        run(&directory, &["check", "good.yaml", "-", "a, b/bad.yaml"], &BAD.replace("/%2F", "/b"));
    let expected = "\
-:3:1: error[unknown_field]: unknown field `rule` (at /rule)
  help: did you mean `rules`?
a, b/bad.yaml:3:1: error[unknown_field]: unknown field `rule` (at /rule)
  help: did you mean `rules`?
a, b/bad.yaml:5:12: error[invalid_path]: ";
    let output = text(&ran.stdout);
    assert!(
        output.starts_with(expected) && output.ends_with("\n3 errors, 0 warnings\n"),
        "{output}"
    );
    assert_eq!(ran.status.code(), Some(3));
    TestCommand::new(&directory, "check good.yaml good.yaml").prints(
        0,
        "0 errors, 0 warnings\n",
        "",
    );

    // What is wrong with the keys file is told once.
    directory.write("keys.yaml", "keys:\n- {id: a, hash: no}\n");
    let ran = run(&directory, &["check", "good.yaml", "good.yaml", "--keys", "keys.yaml"], "");
    assert_eq!(text(&ran.stdout).matches("keys.yaml:").count(), 1, "{}", text(&ran.stdout));
}

#[test]
fn findings_are_annotations_on_github() {
    let ran = run(&directory(), &["check", "a, b/bad.yaml", "--format", "github"], "");
    let output = text(&ran.stdout);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines[0],
        "::error file=a%2C b/bad.yaml,line=3,col=1,title=unknown_field::unknown field `rule`%0Adid you mean `rules`?"
    );
    assert!(
        lines[1].starts_with(
            "::error file=a%2C b/bad.yaml,line=5,col=12,title=invalid_path::`/%252F,b`: "
        ),
        "{output}"
    );
    assert_eq!((lines[2], lines.len(), ran.status.code()), ("2 errors, 0 warnings", 3, Some(3)));
}

/// `sarif-2.1.0.schema.json` is the standard's schema, cut down to what is printed here.
#[test]
fn findings_are_a_log_of_sarif() {
    let schema: Value = serde_json::from_str(include_str!("sarif-2.1.0.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let directory = directory();
    for (policy, count) in [("good.yaml", 0), ("a, b/bad.yaml", 2)] {
        let ran = run(&directory, &["check", policy, "--format", "sarif"], "");
        let log: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let errors: Vec<String> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
        assert_eq!(errors, [] as [String; 0], "{log:#}");
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), count);
        let mut broken = log.clone();
        broken["runs"][0]["results"] = json!([{"level": "error"}]);
        assert!(!schema.is_valid(&broken));
    }
    let ran = run(&directory, &["check", "a, b/bad.yaml", "--format", "sarif"], "");
    let log: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(
        log["runs"][0]["results"][0],
        json!({
            "ruleId": "unknown_field",
            "level": "error",
            "message": {"text": "unknown field `rule`\ndid you mean `rules`?"},
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": {"uri": "a%2C%20b/bad.yaml"},
                    "region": {"startLine": 3, "startColumn": 1}
                },
                "logicalLocations": [{"fullyQualifiedName": "/rule"}]
            }]
        })
    );
    assert_eq!(
        log["runs"][0]["tool"]["driver"]["rules"],
        json!([{"id": "invalid_path"}, {"id": "unknown_field"}])
    );
}

/// The steps of `action.yml`, with its defaults but for `inputs`.
fn action(directory: &Directory, inputs: &[(&str, &str)]) -> (String, Option<i32>) {
    let text = std::fs::read_to_string(repository("action.yml")).unwrap();
    let action: Value = yaml_serde::from_str(&text).unwrap();
    let value = |expression: &str| {
        let name = expression.strip_prefix("${{ ").unwrap().strip_suffix(" }}").unwrap();
        // What GitHub knows of an action of the same repository.
        let Some(name) = name.strip_prefix("inputs.") else { return String::new() };
        let given =
            inputs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        given.unwrap_or_else(|| action["inputs"][name]["default"].as_str().unwrap().to_owned())
    };
    for (name, _) in inputs {
        assert!(action["inputs"].get(name).is_some(), "{name}");
    }
    let mut output = String::new();
    for step in action["runs"]["steps"].as_array().unwrap() {
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
        command.current_dir(directory.path()).env("GITHUB_ACTION_PATH", repository(""));
        for (name, expression) in step["env"].as_object().unwrap() {
            command.env(name, value(expression.as_str().unwrap()));
        }
        let ran = command.output().unwrap();
        output.push_str(&String::from_utf8(ran.stdout).unwrap());
        if !ran.status.success() {
            return (output, ran.status.code());
        }
    }
    (output, Some(0))
}

#[test]
fn the_action_checks_tests_and_looks_for_drift() {
    let directory = directory();
    let latchkey = env!("CARGO_BIN_EXE_latchkey");
    directory.write("openapi.yaml", "openapi: 3.0.0\npaths: {/a: {get: {}}}\n");
    let cases = r#"{"cases": [{"name": "open", "request": {"path": "/a"}, "expect": {"decision": "allow public"}}]}"#;
    directory.write("cases.json", cases);
    let good = [
        ("latchkey", latchkey),
        ("policies", "good.yaml\n"),
        ("cases", "cases.json\n"),
        ("openapi", "openapi.yaml"),
        ("deny-warnings", "true"),
    ];
    let (output, code) = action(&directory, &good);
    let expected = format!(
        "{latchkey}\n0 errors, 0 warnings\ncases.json: 1 case, 0 failed\n0 errors, 0 warnings\n"
    );
    assert_eq!((output, code), (expected, Some(0)));

    directory.write("cases.json", &cases.replace("allow public", "deny unknown_key"));
    directory.write("openapi.yaml", "openapi: 3.0.0\npaths: {/b: {get: {}}}\n");
    let bad = [good[0], ("policies", "good.yaml\na, b/bad.yaml\n"), good[2], good[3]];
    let (output, code) = action(&directory, &bad);
    for line in [
        "::error file=a%2C b/bad.yaml,line=3,",
        "::error file=cases.json,title=latchkey test::failed: open%0A  decision: expected `deny unknown_key`, got `allow public`%0A",
        "::error file=openapi.yaml,line=2,col=14,title=operation_without_rule::no rule names `GET /b`\n",
        "::error file=good.yaml,line=4,col=12,title=path_without_operation::",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
    assert_eq!(code, Some(1));
    let (output, code) = action(&directory, &[good[0], ("policies", "\n")]);
    assert!(output.ends_with("::error::no policy is named\n") && code == Some(2), "{output}");
}

/// The first step of the action as GitHub runs it at that ref, with a release in a folder, and what it leaves on the path.
fn got(directory: &Directory, reference: &str) -> (String, Option<i32>, String) {
    let folder = directory.path().display();
    directory.write("path", "");
    // In place of what takes minutes.
    directory.write("bin/cargo", "#!/bin/sh\necho \"cargo $1\"\n");
    let ran = Command::new("bash")
        .args(["-c", "chmod +x bin/cargo && exec \"$GITHUB_ACTION_PATH/deploy/get-latchkey\""])
        .current_dir(directory.path())
        .env("PATH", format!("{folder}/bin:/usr/bin:/bin"))
        .env("LATCHKEY", "latchkey-of-no-path")
        .env("GITHUB_ACTION_PATH", repository(""))
        .env("GITHUB_SERVER_URL", format!("file://{folder}"))
        .env("GITHUB_PATH", directory.file("path"))
        .env("RUNNER_TEMP", directory.path())
        .env("ACTION_REPOSITORY", "owner/latchkey")
        .env("ACTION_REF", reference)
        .output()
        .unwrap();
    let path = std::fs::read_to_string(directory.file("path")).unwrap();
    (directory.hide(&text(&ran.stdout)), ran.status.code(), directory.hide(&path))
}

#[test]
#[cfg(target_os = "linux")]
fn the_action_takes_its_own_release_or_builds() {
    let directory = Directory::new();
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("latchkey-{version}-linux-{}", std::env::consts::ARCH);
    let release = format!("owner/latchkey/releases/download/v{version}");
    directory.write(&format!("{name}/latchkey"), "#!/bin/sh\necho it runs\n");
    directory.write(&format!("{release}/SHA256SUMS"), "");
    let pack = format!(
        "chmod +x {name}/latchkey && tar -czf {release}/{name}.tar.gz {name} && cd {release} && sha256sum *.gz > SHA256SUMS"
    );
    let packed = Command::new("bash").args(["-c", &pack]).current_dir(directory.path()).status();
    assert!(packed.unwrap().success());

    let tag = format!("v{version}");
    let taken = ("latchkey/latchkey\n".to_owned(), Some(0));
    let (output, code, path) = got(&directory, &tag);
    assert_eq!((output, code), taken);
    assert!(path.ends_with("latchkey\n"), "{path}");
    let ran = Command::new(directory.file("latchkey/latchkey")).output().unwrap();
    assert_eq!(text(&ran.stdout), "it runs\n");

    // A branch has no release.
    assert_eq!(got(&directory, "main"), ("cargo install\n".to_owned(), Some(0), String::new()));

    let sums = directory.file(&format!("{release}/SHA256SUMS"));
    let sum = std::fs::read_to_string(&sums).unwrap();
    std::fs::write(&sums, format!("{}{}", "0".repeat(64), &sum.get(64..).unwrap())).unwrap();
    let (output, code, path) = got(&directory, &tag);
    let told = format!("::error::the release's {name}.tar.gz is not that of its SHA256SUMS\n");
    assert!(output.ends_with(&told) && code == Some(1) && path.is_empty(), "{output}");

    std::fs::remove_file(sums).unwrap();
    let (output, code, path) = got(&directory, &tag);
    let told = format!(
        "::warning::the release v{version} cannot be had, so the command line is built, which takes minutes\ncargo install\n"
    );
    assert_eq!((output, code, path), (told, Some(0), String::new()));
}

/// Each hook's command, with the arguments that its description shows or the files that it takes.
#[test]
fn the_hooks_of_pre_commit_are_commands() {
    let directory = directory();
    directory.write("policy.yaml", GOOD);
    directory.write("openapi.yaml", "openapi: 3.0.0\npaths: {/a: {get: {}}}\n");
    directory.write("cases.json", r#"{"cases": [{"name": "x", "request": {"path": "/a"}, "expect": {"decision": "allow public"}}]}"#);
    let hooks = std::fs::read_to_string(repository(".pre-commit-hooks.yaml")).unwrap();
    let hooks: Value = yaml_serde::from_str(&hooks).unwrap();
    let hooks = hooks.as_array().unwrap();
    assert_eq!(hooks.len(), 3);
    for hook in hooks {
        let entry = hook["entry"].as_str().unwrap().strip_prefix("latchkey ").unwrap();
        let arguments = match hook["description"].as_str() {
            None => "policy.yaml".to_owned(),
            Some(text) => {
                let list = text.strip_prefix("args: [").unwrap().strip_suffix(']').unwrap();
                list.replace(", ", " ")
            }
        };
        assert_eq!(
            TestCommand::new(&directory, &format!("{entry} {arguments}")).code(),
            0,
            "{hook}"
        );
    }
}
