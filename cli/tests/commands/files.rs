//! Files as editors, shells and other systems hand them over.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{HASH, TestCommand, directory, repository};

const POLICY: &str =
    "credentials:\n- header: x-key\nkeys:\n- id: a\n  hash: 'HASH'\n  scopes: [read]\n";

/// The text, a byte order mark before it or not, with line ends of Windows or without.
#[test]
fn a_mark_and_other_line_ends_change_nothing() {
    let directory = directory();
    let yaml = POLICY.replace("HASH", HASH);
    let json = format!(
        "{{\n\"credentials\": [{{\"header\": \"x-key\"}}],\n\"keys\": [{{\"id\": \"a\", \"hash\": \
         \"{HASH}\", \"scopes\": [\"read\"]}}]\n}}\n"
    );
    let mut rendered = Vec::new();
    for (name, text) in [("p.yaml", &yaml), ("p.json", &json), ("policy", &json), ("p", &yaml)] {
        for text in [text.clone(), format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
            directory.write(name, &text);
            let output = TestCommand::new(&directory, &format!("render {name} --to json")).output();
            rendered.push(output);
            TestCommand::new(&directory, &format!("check {name}")).prints(
                0,
                "0 errors, 0 warnings\n",
                "",
            );
        }
    }
    rendered.dedup();
    assert_eq!(rendered.len(), 1, "{rendered:?}");
    // Places count from the text's beginning.
    directory.write(
        "p.yaml",
        &format!("\u{feff}{}", yaml.replace("keys", "kyes").replace('\n', "\r\n")),
    );
    let told = TestCommand::new(&directory, "check p.yaml").everything();
    assert!(
        told.contains("p.yaml:3:1: error[unknown_field]: unknown field `kyes` (at /kyes)\n"),
        "{told}"
    );
    assert!(told.contains("p.yaml:1:1: error[missing_field]"), "{told}");
}

#[test]
fn a_file_that_is_none_is_told_in_its_place() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("latin.yaml"), b"realm: x\nkeys:\n- {id: \"caf\xe9\"}\n").unwrap();
    fs::write(path("wide.yaml"), b"\xff\xfek\0e\0y\0s\0").unwrap();
    fs::write(path("wide.json"), b"\xfe\xff\0{").unwrap();
    fs::write(path("image.yaml"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    for (name, text) in [
        ("empty.yaml", ""),
        ("empty.json", " \n"),
        ("marked.json", "\u{feff}"),
        ("comments.yaml", "# keys: []\n"),
        ("two.yaml", "realm: a\n---\nrealm: b\n"),
        ("twice.yaml", "realm: a\nrules:\n- {name: b, name: c}\n"),
        ("twice.json", "{\"realm\": \"a\",\n\"realm\": \"b\"}"),
        ("tabs.yaml", "credentials:\n\t- header: x\n"),
        ("merge.yaml", "a: &a {header: x}\ncredentials:\n- <<: *a\n"),
        ("tag.yaml", "realm: !env REALM\n"),
        ("names.yaml", "[realm]: x\n"),
        ("half.json", "{\"realm\": "),
        ("open.yaml", "realm: \"x\nkeys: []\n"),
        ("list.yaml", "- realm\n"),
    ] {
        directory.write(name, text);
    }
    for (name, place, code, message) in [
        ("empty.yaml", ":1:1", "invalid_yaml", "there is nothing in it"),
        ("empty.json", ":1:1", "invalid_json", "there is nothing in it"),
        ("marked.json", ":1:1", "invalid_json", "there is nothing in it"),
        ("comments.yaml", ":1:1", "invalid_yaml", "there is nothing in it"),
        ("latin.yaml", ":3:12", "invalid_yaml", "it is not UTF-8 from here on"),
        ("wide.yaml", ":1:1", "invalid_yaml", "it is UTF-16: save it as UTF-8"),
        ("wide.json", ":1:1", "invalid_json", "it is UTF-16: save it as UTF-8"),
        ("image.yaml", ":1:1", "invalid_yaml", "it is not UTF-8 from here on"),
        ("two.yaml", ":2:1", "invalid_yaml", "a second document starts here: a file has one"),
        ("twice.yaml", ":3:13", "duplicate", "duplicate field `name`"),
        ("twice.json", ":2:7", "duplicate", "duplicate field `realm`"),
        (
            "merge.yaml",
            ":3:3",
            "unknown_field",
            "unknown field `<<`: YAML 1.2 has no merge keys; write the fields out, or let an alias stand for \
             a whole value",
        ),
        ("tag.yaml", ":1:8", "invalid_yaml", "the tag `!env` is not known here"),
        ("names.yaml", ":1:1", "invalid_yaml", "a field's name must be a text"),
        ("half.json", ":1:10", "invalid_json", "EOF while parsing a value"),
        (
            "tabs.yaml",
            ":2:2",
            "invalid_yaml",
            "tabs disallowed within this context (block indentation)",
        ),
        ("open.yaml", ":1:8", "invalid_yaml", "invalid indentation in quoted scalar"),
    ] {
        TestCommand::new(&directory, &format!("check {name}")).prints(
            3,
            &format!("{name}{place}: error[{code}]: {message}\n1 error, 0 warnings\n"),
            "",
        );
        TestCommand::new(&directory, &format!("render {name} --to json")).prints(
            1,
            "",
            &format!("error: {name}{place}: {message}\n"),
        );
        let keys = format!("render policy.yaml --keys {name} --to json");
        let told = format!("error: {name}{place}: {message}\n");
        TestCommand::new(&directory, &keys).prints(1, "", &told);
    }
    TestCommand::new(&directory, "render policy.yaml --keys list.yaml --to json").prints(
        1,
        "",
        "error: list.yaml:1:1: a keys file must be an object with a list `keys`\n",
    );
    fs::create_dir(path("folder")).unwrap();
    for (name, cause) in [
        ("folder", "Is a directory (os error 21)"),
        ("none.yaml", "No such file or directory (os error 2)"),
        ("policy.yaml/x", "Not a directory (os error 20)"),
    ] {
        TestCommand::new(&directory, &format!("check {name}")).prints(
            3,
            &format!(
                "{name}: error[missing_file]: cannot read `{name}`: {cause}\n1 error, 0 warnings\n"
            ),
            "",
        );
        TestCommand::new(&directory, &format!("render {name} --to json")).prints(
            1,
            "",
            &format!("error: cannot read `{name}`: {cause}\n"),
        );
    }
}

/// With its places, though it can be read once only.
#[test]
fn a_policy_may_come_from_standard_input() {
    let directory = directory();
    let run = |arguments: &[&str], text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.current_dir(directory.path()).args(arguments).env_remove("LATCHKEY_PEPPER");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let ran = child.wait_with_output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let good = POLICY.replace("HASH", HASH);
    assert_eq!(run(&["check", "-"], &good), (Some(0), "0 errors, 0 warnings\n".to_owned()));
    let json =
        TestCommand::new(&directory, "render policy.yaml --keys keys.yaml --to json").output();
    assert_eq!(run(&["render", "-", "--to", "json"], &json), (Some(0), json.clone()));
    let (code, told) = run(&["check", "-"], &good.replace("keys", "kyes"));
    assert_eq!(code, Some(3));
    assert!(
        told.contains("-:3:1: error[unknown_field]: unknown field `kyes` (at /kyes)\n"),
        "{told}"
    );
    let keys = fs::read_to_string(directory.path().join("keys.yaml")).unwrap();
    assert_eq!(run(&["check", "policy.yaml", "--keys", "-"], &keys).0, Some(0));
}

/// Another reader of YAML takes the files that we ship for the same.
#[test]
fn our_files_are_read_as_others_read_them() {
    let mut count = 0;
    for folder in ["envoy", "envoy/systems"] {
        for file in fs::read_dir(repository(folder)).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let own = latchkey_cli::document::parse(&file, &text).unwrap().to_json().unwrap();
            let own: Value = serde_json::from_str(&own).unwrap();
            let other: Value = yaml_serde::from_str(&text).unwrap();
            assert_eq!(own, other, "{}", file.display());
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}
