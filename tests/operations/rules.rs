//! The rules as `promtool` reads them, and on the series of `ops/rules-test.yaml`.

use std::process::Command;

use latchkey_testing::repository;

use crate::prometheus::tool;

#[test]
fn the_rules_are_well_formed_and_do_what_their_tests_say() {
    promtool(&["check", "rules", "recording-rules.yaml", "alert-rules.yaml"]);
    promtool(&["test", "rules", "rules-test.yaml"]);
}

fn promtool(arguments: &[&str]) {
    let mut command = Command::new(tool("promtool"));
    let ran = command.args(arguments).current_dir(repository("ops")).output().unwrap();
    let text = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ran.status.success(), "{}", text.concat());
}
