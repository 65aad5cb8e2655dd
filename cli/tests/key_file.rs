//! What happens to a keys file when something goes wrong: nothing is ever lost.
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use support::Directory;

fn latchkey(directory: &Directory) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.current_dir(directory.path()).env_remove("LATCHKEY_PEPPER");
    command
}

fn new_key(directory: &Directory, id: &str) -> Command {
    let mut command = latchkey(directory);
    command.args(["key", "new", "--keys", "keys.yaml", "--id", id]);
    command
}

fn read(directory: &Directory) -> String {
    fs::read_to_string(directory.path().join("keys.yaml")).unwrap()
}

fn names(directory: &Directory) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file with as many keys as this.
fn many_keys(number: usize) -> String {
    let mut text = "# Many keys\nkeys:\n".to_owned();
    for index in 0..number {
        text.push_str(&format!("  # number {index}\n  - id: old-{index}\n"));
        text.push_str(&format!("    hash: 'sha256:{index:064x}'\n    scopes: [read]\n"));
    }
    text
}

/// Runs a command and returns its token and what it said.
fn output(mut command: Command) -> (Option<i32>, String, String) {
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn eight_at_once_lose_nothing() {
    const PROCESSES: usize = 8;
    const KEYS: usize = 10;
    let directory = Directory::new();
    let mint = |process: usize| -> Vec<String> {
        let mint = |key| {
            let (code, token, error) = output(new_key(&directory, &format!("p{process}-k{key}")));
            assert_eq!(code, Some(0), "{error}");
            token.trim_end().to_owned()
        };
        (0..KEYS).map(mint).collect()
    };
    let tokens: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..PROCESSES).map(|process| scope.spawn(move || mint(process))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let file = read(&directory);
    let ids: BTreeSet<&str> =
        file.lines().filter_map(|line| line.strip_prefix("  - id: ")).collect();
    assert_eq!(ids.len(), PROCESSES * KEYS);
    assert_eq!(file.matches("hash: ").count(), PROCESSES * KEYS);
    for token in &tokens {
        assert!(file.contains(&hex::encode(Sha256::digest(token))));
    }
    assert_eq!(names(&directory), ["keys.yaml"]);
}

#[test]
fn a_kill_at_any_time_leaves_the_old_or_the_new_file() {
    let directory = Directory::new();
    directory.write("keys.yaml", &many_keys(100));
    // How long a run takes says only how far apart the kills are.
    let start = Instant::now();
    assert!(new_key(&directory, "first").output().unwrap().status.success());
    let step = start.elapsed() / 80;
    let (mut delay, mut kills, mut finished) = (Duration::ZERO, 0, 0);
    // Later and later, until they come too late.
    while finished < 5 {
        let before = read(&directory);
        let id = format!("after-{}", delay.as_nanos());
        let mut child =
            new_key(&directory, &id).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(delay);
        // SIGKILL; nothing is wrong where the child has ended by itself.
        let _ = child.kill();
        match child.wait().unwrap().code() {
            None => kills += 1,
            Some(code) => {
                assert_eq!(code, 0);
                finished += 1;
            }
        }
        let after = read(&directory);
        if after != before {
            let added = after.strip_prefix(&before).unwrap();
            assert!(added.starts_with(&format!("  - id: {id}\n    hash: ")), "{added}");
            assert!(added.ends_with("Z\n"), "{added}");
        }
        delay += step;
    }
    assert!(kills > 0);
    // Nobody is kept out by what the killed have left, and it is cleared away.
    let (code, _, error) = output(new_key(&directory, "last"));
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(names(&directory), ["keys.yaml"]);
}

#[test]
fn a_full_disk_is_an_error_and_the_file_stays() {
    let directory = Directory::new();
    let before = many_keys(100);
    directory.write("keys.yaml", &before);
    // A limit on the size of files stops the same calls as a full disk does, and needs no rights.
    let mut shell = Command::new("sh");
    shell.current_dir(directory.path()).env("LATCHKEY", env!("CARGO_BIN_EXE_latchkey"));
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$LATCHKEY" "$@""#, "sh"]);
    shell.args(["key", "new", "--keys", "keys.yaml", "--id", "a"]);
    let (code, token, error) = output(shell);
    let file = fs::canonicalize(directory.path()).unwrap().join("keys.yaml");
    assert_eq!(
        error,
        format!(
            "error: cannot replace `{}`, which is unchanged: File too large (os error 27)\n",
            file.display()
        )
    );
    assert_eq!((code, token.as_str()), (Some(1), ""));
    assert_eq!(read(&directory), before);
    assert_eq!(names(&directory), ["keys.yaml"]);
}

#[test]
fn a_read_only_folder_is_an_error_and_the_file_stays() {
    let directory = Directory::new();
    let before = many_keys(1);
    let file = directory.write("keys.yaml", &before);
    // Root may write everywhere, so the command runs as nobody, who must be able to reach it.
    let binary = directory.path().join("latchkey");
    // Copied by a process of its own: were it open for writing in this one, a command that another
    // test starts at that moment would hold it open, and nobody could run it.
    let mut copy = Command::new("install");
    copy.args(["-m", "755", env!("CARGO_BIN_EXE_latchkey")]).arg(&binary);
    assert_eq!(output(copy).0, Some(0));
    set_mode(&file, 0o644);
    set_mode(directory.path(), 0o555);
    let ran = ["new --id a", "revoke old-0", "rotate old-0", "prune --older-than 1d"].map(|verb| {
        let mut command = Command::new(&binary);
        command.current_dir(directory.path()).arg("key").args(verb.split(' '));
        command.args(["--keys", "keys.yaml"]);
        if fs::metadata(directory.path()).unwrap().uid() == 0 {
            command.uid(65534);
        }
        output(command)
    });
    set_mode(directory.path(), 0o755);
    let lock = fs::canonicalize(directory.path()).unwrap().join(".keys.yaml.lock");
    let error = format!(
        "error: cannot change `keys.yaml`: cannot take the lock `{}`: Permission denied (os \
         error 13)\n",
        lock.display()
    );
    for ran in ran {
        assert_eq!(ran, (Some(1), String::new(), error.clone()));
    }
    assert_eq!(read(&directory), before);
    assert_eq!(names(&directory), ["keys.yaml", "latchkey"]);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
