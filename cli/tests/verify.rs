//! `latchkey verify`, and tokens as QR codes.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use support::{Directory, TestCommand, repository};

const POLICY: &str = "\
credentials:
- {header: authorization, scheme: Bearer}
key_types:
  live: {prefix: flk_live_}
  other: {prefix: flk_}
  formatted: {prefix: flz_, format: {length: 16, charset: hex}}
keys: []
";

/// That of a token that GitHub gave out and its owner published after it had been revoked.
const REST: &str = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17";

/// What is said of a string, which is not in it.
fn verify(directory: &Directory, more: &str, input: &[u8]) -> (i32, String) {
    verify_under("", directory, more, input)
}

/// The same under a pepper, unless that is empty.
fn verify_under(pepper: &str, directory: &Directory, more: &str, input: &[u8]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.current_dir(directory.path()).arg("verify").args(more.split_whitespace());
    command.env_remove("LATCHKEY_PEPPER");
    command.envs((!pepper.is_empty()).then_some(("LATCHKEY_PEPPER", pepper)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A string that is too long is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let ran = child.wait_with_output().unwrap();
    let told = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
    assert!(!told.contains("zQWB") && !told.contains("0mLq17"));
    (ran.status.code().unwrap(), told)
}

#[test]
fn a_token_is_known_by_prefix_and_checksum() {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    let with = "--policy policy.yaml";
    let live = "one of ours: it has the prefix of the type `live`, and its checksum fits\n";
    let other = "one of ours: it has the prefix of the type `other`, and its checksum fits\n";
    let format =
        "one of ours: it has prefix and format of the type `formatted`, which has no checksum\n";
    let none = "not one of ours: it cannot be a token\n";
    let no_prefix = "not one of ours: its checksum fits, but what stands before it is no prefix\n";
    let no_checksum = "not one of ours: its checksum does not fit\n";
    for (more, input, code, told) in [
        ("", REST.to_owned(), 0, "one of ours: its checksum fits\n"),
        ("", format!("any_{REST}\r\n"), 0, "one of ours: its checksum fits\n"),
        ("", format!("any.{REST}"), 0, "one of ours: its checksum fits\n"),
        ("", format!("any{REST}"), 1, no_prefix),
        ("", format!("{REST}{REST}"), 1, no_prefix),
        ("", format!("{REST} "), 1, none),
        ("", format!(" {REST}"), 1, none),
        ("", format!("Authorization: Bearer {REST}"), 1, none),
        ("", format!("foo bar\n{REST}"), 1, none),
        ("", format!("{REST}\n{REST}"), 1, none),
        ("", format!("{REST}\n\n"), 1, none),
        ("", format!("\x01{REST}"), 1, none),
        ("", format!("é_{REST}"), 1, none),
        ("", REST.replace('z', "y"), 1, no_checksum),
        ("", String::new(), 1, none),
        ("", "x".repeat(5000), 1, none),
        (with, format!("flk_live_{REST}\n"), 0, live),
        (with, format!("flk_live_ci_{REST}\n"), 0, live),
        (with, format!("flk_{REST}\n"), 0, other),
        (with, format!("flk_live_x y {REST}"), 1, none),
        (with, format!("flk_live_Z{REST}"), 1, no_prefix),
        (with, format!("flk_live_{}\n", REST.to_lowercase()), 1, no_checksum),
        (with, format!("ghp_{REST}\n"), 1, "not one of ours: no key type has its prefix\n"),
        (with, "flz_0123456789abcdef\n".to_owned(), 0, format),
        (with, "flz_0123456789abcdeg\n".to_owned(), 1, "not one of ours: it has another format\n"),
    ] {
        assert_eq!(verify(&directory, more, input.as_bytes()), (code, told.to_owned()), "{input}");
    }
    assert_eq!(verify(&directory, "", b"\xff").1, "not one of ours: it cannot be a token\n");
    directory.write("policy.yaml", &POLICY.replace("flk_live_", "''"));
    assert_eq!(verify(&directory, with, b"x").0, 3);
}

/// A script must not take one for the other.
#[test]
fn what_was_not_verified_is_not_called_not_ours() {
    let directory = Directory::new();
    for (more, code, told) in [
        ("--keys -", 2, "error: standard input is the string: `--keys` must be a file\n"),
        ("--policy -", 2, "error: standard input is the string: `--policy` must be a file\n"),
        (
            "--keys none.yaml",
            1,
            "error: cannot read `none.yaml`: No such file or directory (os error 2)\n",
        ),
    ] {
        let command = format!("verify {more}");
        TestCommand::new(&directory, &command).prints(code, "", told);
    }
}

#[test]
fn what_is_minted_is_verified() {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    for name in ["live", "other", "formatted"] {
        let new =
            format!("key new --keys keys.yaml --policy policy.yaml --id {name} --type {name}");
        let token = TestCommand::new(&directory, &new).output();
        assert_eq!(verify(&directory, "--policy policy.yaml", token.as_bytes()).0, 0);
    }
}

/// Where the prefix ends nobody can tell, and `key new` says so.
#[test]
fn a_prefix_that_does_not_end_as_one_is_warned_of() {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    let policy = "--policy policy.yaml";
    for (index, (more, with, told)) in [
        ("--prefix abc", "", Some("abc")),
        ("--prefix flk_live_abc --policy policy.yaml --type live", policy, Some("abc")),
        ("--prefix flk_live_abc --type live", "", Some("flk_live_abc")),
        ("--prefix flk_live_ --policy policy.yaml --type live", policy, None),
        ("--prefix a.", "", None),
        ("--prefix a-", "", None),
        ("", "", None),
    ]
    .into_iter()
    .enumerate()
    {
        let new = format!("key new --keys keys.yaml --id k{index} {more}");
        let new: Vec<&str> = new.split_whitespace().collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        let ran = command.current_dir(directory.path()).args(new).output().unwrap();
        let warned = String::from_utf8(ran.stderr).unwrap();
        let (code, verified) = verify(&directory, with, &ran.stdout);
        assert_eq!(code, i32::from(told.is_some()), "{more}: {verified}");
        match told {
            None => assert!(!warned.contains("does not end in"), "{warned}"),
            Some(prefix) => assert!(
                warned.contains(&format!("warning: `{prefix}` does not end in `_`, `-` or `.`: ")),
                "{warned}"
            ),
        }
        assert_eq!(verify(&directory, "--keys keys.yaml", &ran.stdout).0, 0);
    }
}

#[test]
fn the_key_of_a_token_is_named() {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    let mut tokens = Vec::new();
    for more in
        ["--id web --account shop --policy policy.yaml --type live", "--id gone --prefix x_"]
    {
        let new = format!("key new --keys keys.yaml {more}");
        tokens.push(TestCommand::new(&directory, &new).output());
    }
    TestCommand::new(&directory, "key revoke gone --keys keys.yaml").output();
    // Keys from elsewhere, with a hash in capitals, and with a pepper.
    directory.write("imported.txt", "old imported-before\n");
    let import = "key import --from tokens imported.txt --keys keys.yaml --apply";
    TestCommand::new(&directory, import).output();
    let file = directory.file("keys.yaml");
    let old = hex::encode(Sha256::digest("imported-before"));
    let keys = std::fs::read_to_string(&file).unwrap();
    assert!(keys.contains(&old));
    std::fs::write(&file, keys.replace(&old, &old.to_uppercase())).unwrap();
    let with = "--keys keys.yaml";
    for (more, input, code, told) in [
        (with, &*tokens[0], 0, "one of ours: key `web`, account `shop`, active\n"),
        (with, &tokens[1], 0, "one of ours: key `gone`, revoked\n"),
        (with, "imported-before\n", 0, "one of ours: key `old`, active\n"),
        (with, "imported-after\n", 1, "not one of ours: its checksum does not fit\n"),
        (with, REST, 0, "one of ours: its checksum fits; no key that is there has it\n"),
        (
            "--keys policy.yaml",
            &tokens[0],
            0,
            "one of ours: its checksum fits; no key that is there has it\n",
        ),
        (
            "--policy policy.yaml --keys keys.yaml",
            "imported-before",
            0,
            "one of ours: key `old`, active\n",
        ),
    ] {
        assert_eq!(verify(&directory, more, input.as_bytes()), (code, told.to_owned()), "{told}");
    }
}

#[test]
fn the_key_of_a_token_is_named_under_a_pepper() {
    const PEPPER: &str = "0123456789abcdef0123456789abcdef";
    let directory = Directory::new();
    let token = TestCommand::new(&directory, "key new --keys keys.yaml --id web")
        .with("LATCHKEY_PEPPER", PEPPER)
        .output();
    assert!(std::fs::read_to_string(directory.file("keys.yaml")).unwrap().contains("hmac-"));
    let known = "one of ours: key `web`, active\n";
    let unknown = "one of ours: its checksum fits; no key that is there has it\n";
    let untold = "one of ours: its checksum fits; whether a key that is there has it cannot be told, as LATCHKEY_PEPPER is not set\n";
    for (pepper, told) in [(PEPPER, known), ("", untold), ("another", unknown)] {
        let verified = verify_under(pepper, &directory, "--keys keys.yaml", token.as_bytes());
        assert_eq!(verified, (0, told.to_owned()), "{pepper}");
    }
    // One that came from elsewhere is not called nobody's, either.
    let (code, told) = verify_under("", &directory, "--keys keys.yaml", b"imported");
    assert_eq!(code, 1);
    assert!(told.starts_with("error: cannot tell whether it is one of ours: "), "{told}");
}

#[test]
fn a_key_of_a_disabled_type_is_not_called_good() {
    let directory = Directory::new();
    let off = |policy: &str| policy.replace("{prefix: flk_}", "{prefix: flk_, enabled: false}");
    directory.write("policy.yaml", &off(POLICY));
    let new = "key new --keys keys.yaml --policy policy.yaml --id a --type other";
    let token = TestCommand::new(&directory, new).output();
    let with = "--policy policy.yaml --keys keys.yaml";
    let told = "one of ours: key `a`, active, but its type `other` is disabled\n".to_owned();
    assert_eq!(verify(&directory, with, token.as_bytes()), (0, told));
    directory.write("policy.yaml", POLICY);
    let told = "one of ours: key `a`, active\n".to_owned();
    assert_eq!(verify(&directory, with, token.as_bytes()), (0, told));
}

/// The function in the documentation is run on tokens of ours.
#[test]
fn the_documented_checksum_is_the_one_of_ours() {
    let page = std::fs::read_to_string(repository("docs/keys.md")).unwrap();
    let code = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = Directory::new();
    let token =
        TestCommand::new(&directory, "key new --keys keys.yaml --id a --prefix p_").output();
    let token = token.trim_end();
    let script = format!(
        "{code}
assert all(map(is_ours, ['flk_live_{REST}', '{REST}', '{token}']))
assert not is_ours('{token}'[:-1] + '-')
for before in ['any', '{REST}', ' ', 'Authorization: Bearer ', '{REST}\\n', '\\x01', 'é_', 'a b_']:
    assert not is_ours(before + '{REST}'), before
for other in ['', '{REST} ', '{REST}\\n', '{REST}'[1:]]:
    assert not is_ours(other), other
"
    );
    let ran = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_camera_reads_the_token() {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    for arguments in [
        "new --id a --prefix flk_live_ --qr",
        "rotate a --qr",
        "new --id b --policy policy.yaml --type formatted --qr",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.current_dir(directory.path()).arg("key").args(arguments.split(' '));
        let ran = command.args(["--keys", "keys.yaml"]).output().unwrap();
        let token = String::from_utf8(ran.stdout).unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(seen(&told), token.trim_end(), "{told}");
    }
}

/// What the QR code says that a text shows, two rows of modules in each line.
fn seen(text: &str) -> String {
    const SCALE: usize = 4;
    let is_picture = |line: &&str| line.chars().all(|c| " ▀▄█".contains(c));
    let mut rows: Vec<Vec<bool>> = Vec::new();
    for line in text.lines().filter(is_picture) {
        rows.push(line.chars().map(|c| "▀█".contains(c)).collect());
        rows.push(line.chars().map(|c| "▄█".contains(c)).collect());
    }
    let (width, height) = (rows[0].len() * SCALE, rows.len() * SCALE);
    let mut image =
        rqrr::PreparedImage::prepare_from_bitmap(width, height, |x, y| rows[y / SCALE][x / SCALE]);
    let grids = image.detect_grids();
    grids[0].decode().unwrap().1
}
