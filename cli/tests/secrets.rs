//! Scanners of secrets, with what `ops/` has for them, find what `latchkey key new` mints, and nothing else in this repository.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Directory, TestCommand, repository};

/// How many tokens of each kind. Each has another entropy; of 800,000, none had so little that the rules would leave it out.
const COUNT: usize = 20;

#[test]
fn gitleaks_finds_each_minted_token_with_a_prefix_or_without() {
    let (found, keys) = (Directory::new(), Directory::new());
    let mut tokens = BTreeSet::new();
    for (index, (prefix, before, after)) in [
        ("", "token: ", ""),
        ("", "curl -H 'authorization: Bearer ", "' https://api.example.com"),
        ("flk_live_", "export KEY=\"", "\""),
        ("rw-", "https://api.example.com/?auth_token=", "&page=2"),
    ]
    .iter()
    .enumerate()
    {
        for number in 0..COUNT {
            let token = minted(&keys, &format!("k{index}-{number}"), prefix);
            found.write(&format!("{index}-{number}.txt"), &format!("{before}{token}{after}\n"));
            tokens.insert(token);
        }
    }
    // What looks alike: a digest, an identifier, a name, and a token that has next to no randomness.
    found.write(
        "others.txt",
        "secret: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\n\
         token: 8e03978e40d543ddbc936894a57f9324\n\
         key: the_name_of_a_metric_that_is_rather_long_but_no_token\n\
         flk_ro_demo00000000000000000000000000000000\n",
    );
    let secrets = leaks(found.path()).into_iter().map(|(_, secret)| secret);
    assert_eq!(secrets.collect::<BTreeSet<_>>(), tokens);
}

/// What GitHub shows as a token of its own, in tests of ours.
const OF_GITHUB: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

#[test]
fn gitleaks_finds_nothing_in_this_repository_but_the_token_of_a_page() {
    let copy = Directory::new();
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository("")).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let files = listed.split_terminator('\0');
    // One that was deleted and not yet committed is listed.
    for file in files.filter(|file| repository(file).is_file()) {
        let place = copy.file(file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(repository(file), place).unwrap();
    }
    assert!(copy.file("docs/keys.md").is_file(), "`git ls-files` tells nothing");
    let found = leaks(copy.path()).into_iter().filter(|(_, secret)| secret != OF_GITHUB);
    let found: Vec<_> = found.map(|(file, _)| copy.hide(&file)).collect();
    assert_eq!(found, ["docs/keys.md"]);
}

#[test]
fn the_patterns_for_other_scanners_are_that_of_gitleaks() {
    let [gitleaks, trufflehog, page] =
        ["ops/gitleaks.toml", "ops/trufflehog.yaml", "docs/operations.md"]
            .map(|file| fs::read_to_string(repository(file)).unwrap());
    let pattern = gitleaks.split("'''").nth(1).unwrap();
    assert!(trufflehog.contains(&format!("token: '{pattern}'")));
    let inner = pattern.trim_start_matches("\\b(").trim_end_matches(")\\b");
    assert!(page.contains(&format!("\n{inner}\n")), "{inner}");
}

fn minted(directory: &Directory, id: &str, prefix: &str) -> String {
    let mut arguments = vec!["key", "new", "--keys", "keys.yaml", "--id", id];
    if !prefix.is_empty() {
        arguments.extend(["--prefix", prefix]);
    }
    TestCommand::new(directory, "").arguments(&arguments).output().trim().to_owned()
}

/// The files of a folder in which our rules find something, and what they find.
fn leaks(folder: &Path) -> Vec<(String, String)> {
    let program = repository(".tools/gitleaks");
    assert!(program.is_file(), "no `{}`: run `envoy/install-tools gitleaks`", program.display());
    let ran = Command::new(program)
        .arg("dir")
        .arg(folder)
        .arg("--config")
        .arg(repository("ops/gitleaks.toml"))
        .args(["--enable-rule", "latchkey-token", "--enable-rule", "latchkey-token-without-prefix"])
        .args(["--no-banner", "--report-format", "json", "--report-path", "-", "--exit-code", "0"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let text = |own: &Value| own.as_str().unwrap().to_owned();
    report
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .map(|find| (text(&find["File"]), text(&find["Secret"])))
        .collect()
}
