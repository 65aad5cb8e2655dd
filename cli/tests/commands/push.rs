//! `latchkey push`, as far as it goes without an Envoy.

use std::fs;

use super::{BROKEN, TestCommand, directory};

const PUSH: &str = "push policy.yaml --keys keys.yaml --ecds ecds.yaml";

#[test]
fn push_writes_what_render_prints_and_remembers_where_the_filter_is() {
    let directory = directory();
    let ecds = || fs::read_to_string(directory.path().join("ecds.yaml")).unwrap();
    let pushed = format!("{PUSH} --wasm /etc/latchkey/latchkey.wasm");
    let render = pushed.replace("push", "render").replace("--ecds ecds.yaml", "--to ecds");
    let rendered = TestCommand::new(&directory, &render).output();
    let told = format!("replaced ecds.yaml: 1 key, {} bytes\n", rendered.len());
    TestCommand::new(&directory, &pushed).prints(0, &told, "");
    assert_eq!(ecds(), rendered);

    TestCommand::new(&directory, PUSH).prints(0, &told, "");
    assert_eq!(ecds(), rendered);
    let kept = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(kept, 5, "something was left beside the file");
}

#[test]
fn a_policy_with_errors_replaces_nothing() {
    let directory = directory();
    directory.write("ecds.yaml", "old");
    let command = "push broken.yaml --ecds ecds.yaml --wasm x.wasm";
    TestCommand::new(&directory, command).prints(3, "", BROKEN);
    assert_eq!(fs::read_to_string(directory.path().join("ecds.yaml")).unwrap(), "old");
}

#[test]
fn a_target_that_cannot_be_is_refused() {
    let directory = directory();
    directory.write("odd.yaml", "resources: []\n");
    for (command, message) in [
        (
            "push policy.yaml --ecds none/ecds.yaml --wasm x.wasm",
            "`none` is no folder, so Envoy cannot watch it",
        ),
        (
            "push policy.yaml --ecds keys.yaml/ecds.yaml --wasm x.wasm",
            "`keys.yaml` is no folder, so Envoy cannot watch it",
        ),
        (
            "push policy.yaml --ecds ecds.yaml",
            "`ecds.yaml` is new: say where Envoy finds the filter with `--wasm`",
        ),
        (
            "push policy.yaml --ecds odd.yaml",
            "`odd.yaml` does not say where the filter is: say so with `--wasm`",
        ),
    ] {
        TestCommand::new(&directory, command).prints(1, "", &format!("error: {message}\n"));
    }
}
