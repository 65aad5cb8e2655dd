//! Every command in a directory of its own, with everything that it prints.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod check;
mod corpus;
mod doctor;
mod explain;
mod files;
mod image;
mod push;
mod render;
mod schema;
mod test;
mod usage;

#[path = "../support/mod.rs"]
mod support;
use support::{Directory, TestCommand, repository};

use std::fs;
use std::path::PathBuf;

const TOKEN: &str = "demo-token";
/// SHA-256 of the token.
const HASH: &str = "sha256:7c43ef5ae21d43ce2743f770c68e24def1a43ee2f416d2438410c8af7af2ff2c";
/// HMAC-SHA-256 of the token under the pepper `pepper`.
const PEPPERED: &str =
    "hmac-sha256:992c432b0ab6697bc45b6da477d0e146141be216e9d1305f3fe8fb546ff40bcf";

/// What is wrong with `broken.yaml`.
const BROKEN: &str = "\
broken.yaml:3:1: error[unknown_field]: unknown field `key` (at /key)
  help: did you mean `keys`?
1 error, 0 warnings
";

/// A directory with a good policy, the files that it needs, and a broken policy.
fn directory() -> Directory {
    let directory = Directory::new();
    directory.write(
        "policy.yaml",
        "realm: demo\ncredentials:\n- {header: authorization, scheme: Bearer}\nkeys: []\n",
    );
    directory.write("keys.yaml", &format!("keys:\n- {{id: a, hash: '{HASH}', scopes: [read]}}\n"));
    directory.write(
        "peppered.yaml",
        &format!("keys:\n- {{id: a, hash: '{PEPPERED}', scopes: [read]}}\n"),
    );
    directory.write("broken.yaml", "credentials:\n- header: x-key\nkey: []\nkeys: []\n");
    directory
}

/// The built filter.
fn wasm() -> String {
    support::wasm().display().to_string()
}

/// The policies of `envoy/systems`.
fn systems() -> Vec<PathBuf> {
    let files = std::fs::read_dir(repository("envoy/systems")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    // `NAME.yaml` is a policy; `NAME.PART.yaml` and `NAME.demo` are for Envoy and for people.
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.strip_suffix(".yaml").is_some_and(|name| !name.contains('.'))
    });
    assert!(files.len() >= 4);
    files
}

#[test]
fn a_file_that_does_not_parse_is_a_failure_with_its_place() {
    let directory = directory();
    directory.write("twice.yaml", "realm: a\nrealm: b\n");
    for command in ["render twice.yaml --to json", "explain twice.yaml a.org"] {
        TestCommand::new(&directory, command).prints(
            1,
            "",
            "error: twice.yaml:2:1: duplicate field `realm`\n",
        );
    }
}

#[test]
fn wrong_usage_is_2() {
    TestCommand::new(&directory(), "render policy.yaml --to ecds").prints(
        2,
        "",
        "error: this form needs `--wasm PATH` or `--module PATH`, where the proxy finds the filter\n",
    );
}

const COMMANDS: [&str; 13] = [
    "check",
    "completions",
    "doctor",
    "explain",
    "image",
    "key",
    "man",
    "push",
    "render",
    "schema",
    "test",
    "usage",
    "verify",
];

#[test]
fn every_command_shows_an_example() {
    let keys = ["key list", "key new", "key prune", "key revoke", "key rotate"];
    for command in COMMANDS.into_iter().chain(keys) {
        for help in ["-h", "--help"] {
            let help = TestCommand::new(&directory(), &format!("{command} {help}")).output();
            let (_, example) = help.split_once("\nExample").unwrap_or_else(|| panic!("{help}"));
            assert!(example.contains(&format!("latchkey {command} ")), "{help}");
        }
    }
}

#[test]
fn every_command_is_completed_in_every_shell() {
    for shell in ["bash", "fish", "zsh"] {
        let script = TestCommand::new(&directory(), &format!("completions {shell}")).output();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} {command}");
        }
        assert!(script.contains("deny-warnings"), "{shell}");
    }
    let directory = directory();
    assert_eq!(TestCommand::new(&directory, "completions powershell").code(), 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = directory();
    assert_eq!(TestCommand::new(&directory, "man --out man").output(), "");
    for command in COMMANDS {
        let page = directory.path().join(format!("man/latchkey-{command}.1"));
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(&format!("latchkey {command} ")), "{command}");
    }
    directory.write("file", "");
    TestCommand::new(&directory, "man --out file/man").prints(
        1,
        "",
        "error: cannot write to `file/man`: Not a directory (os error 20)\n",
    );
}

#[test]
fn no_output_names_a_token() {
    let directory = directory();
    directory.write("cases.json", test::CASES);
    directory.write(
        "forwarding.yaml",
        "credentials: [{header: authorization, scheme: Bearer}, {query: k}]\n\
         forward_credential: true\nkeys: []\n",
    );
    directory.write(
        "lists.yaml",
        "credentials: [{header: x-api-key}, {query: 'key[]'}, {query: api_key}, {cookie: sid}]\n\
         forward_credential: true\nkeys: []\n",
    );
    let bearer = format!("authorization: Bearer {TOKEN}");
    for arguments in [
        vec!["check", "policy.yaml", "--keys", "keys.yaml"],
        vec!["render", "policy.yaml", "--keys", "keys.yaml", "--to", "json"],
        vec!["test", "policy.yaml", "cases.json", "--keys", "keys.yaml"],
        vec!["explain", "policy.yaml", "--keys", "keys.yaml", "-H", &bearer, "a.org"],
        vec!["explain", "forwarding.yaml", "--keys", "keys.yaml", "-H", &bearer, "a.org"],
        vec![
            "explain",
            "forwarding.yaml",
            "--keys",
            "keys.yaml",
            "a.org/?k=demo-token&l=demo-token",
        ],
        vec!["explain", "policy.yaml", "-H", &bearer, "-H", &bearer, "a.org/demo-token"],
        vec!["explain", "policy.yaml", "-u", "demo-token:", "a.org/demo-token?x=demo-token"],
        vec!["explain", "policy.yaml", "-u", "x:demo-token", "a.org/demo-token"],
        vec!["explain", "policy.yaml", "-u", "demo-token", "a.org"],
        vec!["explain", "forwarding.yaml", "-G", "--data-urlencode", "k=demo-token", "a.org"],
        vec!["explain", "lists.yaml", "a.org/?key[0]=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?key%5B%5D=demo-token&page=2"],
        vec!["explain", "lists.yaml", "a.org/?key[x]=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?key=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?a=b;key[]=demo-token"],
        vec!["explain", "lists.yaml", "a.org/x;key[]=demo-token?a=b"],
        vec!["explain", "lists.yaml", "a.org/x;key[0]=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?a=b?api_key=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?API.Key=demo-token"],
        vec!["explain", "lists.yaml", "a.org/?%61pi+key=demo-token"],
        vec!["explain", "lists.yaml", "-H", "X_Api.Key: demo-token", "a.org"],
        vec!["explain", "lists.yaml", "-e", "https://b.org/?api_key=demo-token", "a.org"],
        vec!["explain", "lists.yaml", "-b", "sid=demo-token", "a.org"],
    ] {
        let output = TestCommand::new(&directory, "").arguments(&arguments).everything();
        assert!(!output.contains(TOKEN), "{output}");
    }
}

#[test]
fn colours_are_for_terminals() {
    let directory = directory();
    let command = "check broken.yaml";
    assert!(!TestCommand::new(&directory, command).everything().contains('\u{1b}'));
    let forced = TestCommand::new(&directory, command).with("CLICOLOR_FORCE", "1").everything();
    assert!(forced.contains("\u{1b}[1m\u{1b}[31merror[unknown_field]\u{1b}[0m"), "{forced:?}");
    let json = TestCommand::new(&directory, "render policy.yaml --to json");
    assert!(!json.with("CLICOLOR_FORCE", "1").everything().contains('\u{1b}'));
}

/// On a terminal of its own, which `script` makes.
#[test]
fn no_color_is_respected_on_a_terminal() {
    let directory = directory();
    let on_terminal = |name: &str, value: &str| {
        let command = format!("{} check broken.yaml", env!("CARGO_BIN_EXE_latchkey"));
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(directory.path());
        script.env("TERM", "xterm").env_remove("CI").env_remove("NO_COLOR").env(name, value);
        let ran = script.output().expect("`script` is missing: install bsdutils");
        String::from_utf8(ran.stdout).unwrap()
    };
    assert!(on_terminal("X", "").contains('\u{1b}'));
    assert!(!on_terminal("NO_COLOR", "1").contains('\u{1b}'));
}
