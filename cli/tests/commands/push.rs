//! `latchkey push`, as far as it goes without an Envoy.

use std::fs;

use super::{BROKEN, Directory, TestCommand, directory, wasm};

const PUSH: &str = "push policy.yaml --keys keys.yaml --ecds ecds.yaml";

const TAKES: &str = "Envoy takes it within about a second, or refuses it: `--admin` says which\n";

#[test]
fn push_writes_what_render_prints_and_remembers_where_the_filter_is() {
    let directory = directory();
    let ecds = || fs::read_to_string(directory.path().join("ecds.yaml")).unwrap();
    let pushed = format!("{PUSH} --wasm {}", wasm());
    let render = pushed.replace("push", "render").replace("--ecds ecds.yaml", "--to ecds");
    let rendered = TestCommand::new(&directory, &render).output();
    let (bytes, version) = (rendered.len(), version(&rendered));
    let told = format!("replaced ecds.yaml: 1 key, {bytes} bytes, version {version}\n{TAKES}");
    TestCommand::new(&directory, &pushed).prints(0, &told, "");
    assert_eq!(ecds(), rendered);

    TestCommand::new(&directory, PUSH).prints(0, &told, "");
    assert_eq!(ecds(), rendered);
    let kept = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(kept, 5, "something was left beside the file");
}

/// One of several filters, each with a file of its own.
#[test]
fn a_filter_of_another_name_is_pushed_to_its_own_file() {
    let directory = directory();
    let pushed = format!("{PUSH} --wasm {} --name latchkey-b", wasm());
    let render = pushed.replace("push", "render").replace("--ecds ecds.yaml", "--to ecds");
    let rendered = TestCommand::new(&directory, &render).output();
    assert!(rendered.contains("\n  name: \"latchkey-b\"\n"), "{rendered}");
    TestCommand::new(&directory, &pushed).output();
    assert_eq!(fs::read_to_string(directory.path().join("ecds.yaml")).unwrap(), rendered);
    TestCommand::new(&directory, &format!("{PUSH} --name latchkey-b")).output();
    for (more, name) in [("", "latchkey"), (" --name latchkey-c", "latchkey-c")] {
        let message = format!(
            "error: `ecds.yaml` is not a file of `latchkey push`, so it is not replaced (name another, or \
             remove it): its extension is not `{name}`\n"
        );
        TestCommand::new(&directory, &format!("{PUSH}{more}")).prints(1, "", &message);
    }
}

/// The last line's.
fn version(ecds: &str) -> &str {
    let line = ecds.lines().last().unwrap();
    line.strip_prefix("version_info: \"").unwrap().strip_suffix('"').unwrap()
}

#[test]
fn a_version_is_that_of_what_is_served() {
    let directory = directory();
    let filter = directory.path().join("filter.wasm");
    fs::copy(wasm(), &filter).unwrap();
    let pushed = |policy: &str, wasm: &str| {
        let command = format!("push {policy} --keys keys.yaml --ecds ecds.yaml --wasm {wasm}");
        assert_eq!(TestCommand::new(&directory, &command).code(), 0);
        version(&fs::read_to_string(directory.path().join("ecds.yaml")).unwrap()).to_owned()
    };
    let first = pushed("policy.yaml", "filter.wasm");
    assert_eq!(first.len(), 16);
    assert_eq!(pushed("policy.yaml", "filter.wasm"), first);
    assert_ne!(pushed("policy.yaml", "./filter.wasm"), first);
    // Another build of the filter in the same place: a custom section, which changes nothing else.
    let mut other = fs::read(&filter).unwrap();
    other.extend(b"\x00\x03\x01x-");
    fs::write(&filter, other).unwrap();
    assert_ne!(pushed("policy.yaml", "filter.wasm"), first);
    // Comments and the fields that are for people do not reach Envoy.
    fs::copy(wasm(), &filter).unwrap();
    let policy = fs::read_to_string(directory.path().join("policy.yaml")).unwrap();
    directory.write("commented.yaml", &format!("# a comment\n{policy}"));
    assert_eq!(pushed("commented.yaml", "filter.wasm"), first);
    directory.write("other.yaml", &policy.replace("demo", "other"));
    assert_ne!(pushed("other.yaml", "filter.wasm"), first);
}

#[test]
fn a_policy_with_errors_replaces_nothing() {
    let directory = directory();
    TestCommand::new(&directory, &format!("{PUSH} --wasm {}", wasm())).output();
    let old = fs::read(directory.path().join("ecds.yaml")).unwrap();
    TestCommand::new(&directory, "push broken.yaml --ecds ecds.yaml").prints(3, "", BROKEN);
    assert_eq!(fs::read(directory.path().join("ecds.yaml")).unwrap(), old);
}

#[test]
fn a_target_that_cannot_be_is_refused() {
    let directory = directory();
    directory.write("empty.yaml", "");
    fs::create_dir(directory.path().join("folder")).unwrap();
    for (command, message) in [
        (
            "push policy.yaml --ecds none/ecds.yaml --wasm x.wasm",
            "`none` is not a folder, so Envoy cannot watch it",
        ),
        (
            "push policy.yaml --ecds keys.yaml/ecds.yaml --wasm x.wasm",
            "`keys.yaml` is not a folder, so Envoy cannot watch it",
        ),
        ("push policy.yaml --ecds folder --wasm x.wasm", "`folder` is not a regular file"),
        ("push policy.yaml --ecds /dev/null --wasm x.wasm", "`/dev/null` is not a regular file"),
    ] {
        TestCommand::new(&directory, command).prints(1, "", &format!("error: {message}\n"));
    }
    directory.write(
        "without.yaml",
        "resources: [{'@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig, name: latchkey}]\n",
    );
    for (ecds, message) in [
        ("ecds.yaml", "`ecds.yaml` is new: say where Envoy finds the filter with `--wasm`"),
        ("empty.yaml", "`empty.yaml` is new: say where Envoy finds the filter with `--wasm`"),
        ("without.yaml", "`without.yaml` does not say where the filter is: say so with `--wasm`"),
        ("- --wasm x.wasm", "Envoy watches a file: `--ecds` cannot be standard output"),
    ] {
        TestCommand::new(&directory, &format!("push policy.yaml --ecds {ecds}")).prints(
            2,
            "",
            &format!("error: {message}\n"),
        );
    }
    assert!(!directory.path().join("-").exists());
    let command = "push policy.yaml --ecds ecds.yaml --wasm x.wasm";
    TestCommand::new(&directory, &format!("{command} --admin 127.0.0.1:9901")).prints(
        2,
        "",
        "error: `--admin` is an address such as `http://127.0.0.1:9901`, not `127.0.0.1:9901`\n",
    );
    let command = "push policy.yaml --ecds ecds.yaml --wasm x.wasm --timeout 5s";
    assert_eq!(TestCommand::new(&directory, command).code(), 2);
}

/// Whatever name it goes by.
#[test]
fn nothing_is_replaced_but_an_earlier_push() {
    const RESOURCE: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    std::os::unix::fs::symlink("policy.yaml", path("link.yaml")).unwrap();
    fs::hard_link(path("keys.yaml"), path("other.yaml")).unwrap();
    fs::copy(wasm(), path("filter.wasm")).unwrap();
    for (target, input) in [
        ("policy.yaml", "policy.yaml"),
        ("./policy.yaml", "policy.yaml"),
        ("link.yaml", "policy.yaml"),
        ("keys.yaml", "keys.yaml"),
        ("other.yaml", "keys.yaml"),
        ("filter.wasm", "filter.wasm"),
    ] {
        let command =
            format!("push policy.yaml --keys keys.yaml --ecds {target} --wasm filter.wasm");
        let message =
            format!("error: `{target}` is `{input}`, which would be lost: name another file\n");
        refuses(&directory, &command, target, &message);
    }
    directory.write("bootstrap.yaml", include_str!("../../../envoy/envoy.yaml"));
    directory.write("another.yaml", "credentials: [{header: x-key}]\nkeys: []\n");
    directory.write("nothing.yaml", "resources: []\n");
    directory.write("list.json", "[1]");
    directory.write("notes.txt", "not: [yaml");
    directory.write("blank.yaml", "\n");
    let of = |name: &str, kind: &str| {
        format!("resources:\n- {{\"@type\": \"{kind}\", name: {name}, typed_config: {{}}}}\n")
    };
    directory.write("lua.yaml", &of("lua", RESOURCE));
    directory.write(
        "cluster.yaml",
        &of("latchkey", "type.googleapis.com/envoy.config.cluster.v3.Cluster"),
    );
    const NO_EXTENSION: &str = "it holds no extension's configuration";
    for (target, cause) in [
        ("bootstrap.yaml", NO_EXTENSION),
        ("another.yaml", NO_EXTENSION),
        ("nothing.yaml", NO_EXTENSION),
        ("list.json", NO_EXTENSION),
        ("lua.yaml", "its extension is not `latchkey`"),
        ("cluster.yaml", NO_EXTENSION),
        ("notes.txt", "notes.txt:"),
        ("blank.yaml", ""),
        ("filter.wasm", ""),
    ] {
        let command = format!("push policy.yaml --keys keys.yaml --ecds {target} --wasm x.wasm");
        let message = format!(
            "error: `{target}` is not a file of `latchkey push`, so it is not replaced (name another, or \
             remove it): {cause}"
        );
        refuses(&directory, &command, target, &message);
    }
}

/// Runs a push that leaves its target as it is, and compares how its complaint starts.
#[track_caller]
fn refuses(directory: &Directory, command: &str, target: &str, message: &str) {
    let old = fs::read(directory.path().join(target)).unwrap();
    let told = TestCommand::new(directory, command).error();
    assert!(told.starts_with(message), "{told}");
    assert_eq!(TestCommand::new(directory, command).code(), 1);
    assert_eq!(fs::read(directory.path().join(target)).unwrap(), old);
    assert!(fs::symlink_metadata(directory.path().join("link.yaml")).unwrap().is_symlink());
}

#[test]
fn what_is_here_and_is_not_the_filter_replaces_nothing() {
    let directory = directory();
    TestCommand::new(&directory, &format!("{PUSH} --wasm {}", wasm())).output();
    let old = fs::read(directory.path().join("ecds.yaml")).unwrap();
    let filter = fs::read(wasm()).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("empty.wasm", b"");
    write("module.so", b"\x7fELF\x02\x01\x01\0");
    write("nothing.wasm", b"\0asm\x01\0\0\0");
    write("half.wasm", &filter[..filter.len() / 2]);
    let mut flipped = filter.clone();
    flipped[20] ^= 0xff;
    write("flipped.wasm", &flipped);
    // A module that is called with requests, and no more.
    write("other.wasm", b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x1c\x01\x18proxy_on_request_headers\0\0\x0a\x04\x01\x02\0\x0b");
    fs::create_dir(directory.path().join("folder")).unwrap();
    for (path, message) in [
        ("empty.wasm", "`empty.wasm` is not the filter: it is not a WebAssembly module"),
        ("module.so", "`module.so` is not the filter: it is not a WebAssembly module"),
        ("policy.yaml", "`policy.yaml` is not the filter: it is not a WebAssembly module"),
        ("half.wasm", "`half.wasm` is broken: it is not a whole WebAssembly module"),
        ("flipped.wasm", "`flipped.wasm` is broken: it is not a whole WebAssembly module"),
        ("nothing.wasm", "`nothing.wasm` is a WebAssembly module, but not Latchkey's filter"),
        ("other.wasm", "`other.wasm` is a WebAssembly module, but not Latchkey's filter"),
        ("folder", "`folder` is a folder, not the filter"),
    ] {
        let command = format!("{PUSH} --wasm {path}");
        TestCommand::new(&directory, &command).prints(1, "", &format!("error: {message}\n"));
        assert_eq!(fs::read(directory.path().join("ecds.yaml")).unwrap(), old);
    }
    let url = "https://example.com/latchkey.wasm";
    TestCommand::new(&directory, &format!("{PUSH} --wasm {url}")).prints(
        2,
        "",
        &format!("error: Envoy opens the filter as a file: `--wasm` must be a path, not `{url}`\n"),
    );
    assert_eq!(fs::read(directory.path().join("ecds.yaml")).unwrap(), old);
}

/// It may be in Envoy's container only.
#[test]
fn a_filter_that_is_not_here_is_a_warning() {
    let directory = directory();
    let command = format!("{PUSH} --wasm /etc/none/latchkey.wasm");
    assert_eq!(
        TestCommand::new(&directory, &command).error(),
        "warning: `/etc/none/latchkey.wasm` cannot be read here, so whether it is the filter is not known: No \
         such file or directory (os error 2) (`--admin` asks Envoy)\n"
    );
    let ecds = fs::read_to_string(directory.path().join("ecds.yaml")).unwrap();
    assert!(ecds.contains("        vm_id: latchkey\n"));
}
