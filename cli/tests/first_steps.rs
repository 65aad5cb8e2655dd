//! docs/first-steps.md, walked as a reader would: its files written, its commands typed, its answers compared.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

mod support;
use support::{Directory, repository, wasm};

const PAGE: &str = include_str!("../../docs/first-steps.md");

/// What stands before the answer to each command.
const MARK: &str = "\u{1}";

#[test]
fn the_first_steps_lead_where_they_say() {
    let directory = Directory::new();
    // Nothing waits for ever, and neither ports nor folders are those that somebody else uses.
    let mut script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n\
         export no_proxy=127.0.0.1 TMPDIR='{}'\n\
         curl() {{ command curl -s -m 10 \"$@\"; }}\n\
         sleep() {{ command sleep 0.2; tries=$((tries + 1)); [ $tries -lt 150 ] || exit 9; }}\n",
        directory.path().display()
    );
    let mut expected = Vec::new();
    for (language, block) in blocks() {
        match language.split_once(' ') {
            Some((_, file)) => write!(script, "cat > {file} <<'END'\n{block}\nEND\n").unwrap(),
            None if language == "console" => {
                for step in block.split("\n$ ") {
                    let step = step.strip_prefix("$ ").unwrap_or(step);
                    let (command, answer) = step.split_once('\n').unwrap_or((step, ""));
                    write!(script, "echo '{MARK}'\n{command}\n").unwrap();
                    expected.push((command, answer));
                }
            }
            None => {}
        }
    }
    let answers = run(&here(&script), &directory);
    let answers: Vec<&str> = answers.split(&format!("{MARK}\n")).skip(1).collect();
    for (index, (command, answer)) in expected.iter().enumerate() {
        let got = answers.get(index).unwrap_or_else(|| panic!("no answer to `{command}`"));
        assert!(shows(answer, got.trim_end()), "$ {command}\n{answer}\n\nbut it answers\n\n{got}");
    }
    assert!(expected.len() > 15, "{expected:?}");
}

/// The script with what it uses of this machine: the tools that were built, and free ports.
fn here(script: &str) -> String {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [api, ingress, admin] = listeners.map(|own| own.local_addr().unwrap().port().to_string());
    let ports = format!(
        "| sed 's/port_value: 10000/port_value: {ingress}/; s/port_value: 9901/port_value: {admin}/' > envoy.yaml"
    );
    let tools = Path::new(env!("CARGO_BIN_EXE_latchkey")).parent().unwrap().display().to_string();
    let mut script = script.to_owned();
    for (of_page, of_test) in [
        ("PATH=$LATCHKEY/dist:", &*format!("PATH={tools}:")),
        ("$LATCHKEY/dist/latchkey.wasm", &wasm().display().to_string()),
        ("> envoy.yaml", &ports),
        ("8080", &api),
        ("127.0.0.1:10000", &format!("127.0.0.1:{ingress}")),
        ("127.0.0.1:9901", &format!("127.0.0.1:{admin}")),
        ("envoy -c", "envoy --disable-hot-restart --concurrency 1 -c"),
    ] {
        assert!(script.contains(of_page), "`{of_page}` is not in the page");
        script = script.replace(of_page, of_test);
    }
    script
}

/// What a script prints, run in the repository.
fn run(script: &str, directory: &Directory) -> String {
    let printed = directory.file("printed");
    let output = File::create(&printed).unwrap();
    let mut shell = Command::new("bash")
        .args(["-c", script])
        .current_dir(repository(""))
        .env_remove("LATCHKEY_PEPPER")
        .stdin(Stdio::null())
        .stderr(output.try_clone().unwrap())
        .stdout(output)
        .spawn()
        .unwrap();
    let status = shell.wait().unwrap();
    let printed = fs::read_to_string(printed).unwrap();
    assert!(status.success(), "{script}\n\n{printed}");
    printed
}

/// The page's blocks, each with what stands behind its opening fence.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap())
}

/// Whether an answer is what the page shows of it, where `…` stands for anything in a line.
fn shows(page: &str, answer: &str) -> bool {
    let line_shows = |(page, answer): (&str, &str)| {
        let mut parts = page.trim_end().split('…');
        let Some(mut rest) = answer.trim_end().strip_prefix(parts.next().unwrap()) else {
            return false;
        };
        let mut last = None;
        for part in parts {
            let Some((_, behind)) = rest.split_once(part) else { return false };
            (rest, last) = (behind, Some(part));
        }
        rest.is_empty() || last == Some("")
    };
    page.lines().count() == answer.lines().count()
        && page.lines().zip(answer.lines()).all(line_shows)
}

#[test]
fn an_answer_that_is_another_is_seen() {
    assert!(shows("a … c", "a b c") && shows("a…", "abc") && shows("a\n\n b", "a\n\n b"));
    for other in ["a b d", "b c", "a c d", "a b c\nd", ""] {
        assert!(!shows("a … c", other), "{other}");
    }
}
