//! Pages of the documentation, walked as a reader would: files written, commands typed, answers compared.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use latchkey_testing::{PATIENCE, repository};

/// A page's blocks, each with what stands behind its opening fence.
pub(crate) fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap())
}

/// The commands of a `console` block, each with its answer. A command whose line ends with `\` goes on in the next.
pub(crate) fn steps(block: &str) -> impl Iterator<Item = (&str, &str)> {
    block.strip_prefix("$ ").unwrap().split("\n$ ").map(|step| {
        let ends = step.match_indices('\n').find(|(index, _)| !step[..*index].ends_with('\\'));
        ends.map_or((step, ""), |(index, _)| (&step[..index], &step[index + 1..]))
    })
}

/// Whether an answer is what a page shows of it, where `…` stands for anything in a line, and a line of `…` for any lines.
pub(crate) fn shows(page: &str, answer: &str) -> bool {
    fn all(page: &[&str], answer: &[&str]) -> bool {
        match (page, answer) {
            ([], []) => true,
            (["…", page @ ..], _) => (0..=answer.len()).any(|start| all(page, &answer[start..])),
            ([first, page @ ..], [line, answer @ ..]) => {
                line_shows(first, line) && all(page, answer)
            }
            _ => false,
        }
    }
    all(
        &page.trim_end().lines().collect::<Vec<_>>(),
        &answer.trim_end().lines().collect::<Vec<_>>(),
    )
}

fn line_shows(page: &str, answer: &str) -> bool {
    let mut parts = page.trim_end().split('…');
    let Some(mut rest) = answer.trim_end().strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        // What is last must be the end.
        let found = if parts.peek().is_some() { rest.find(part) } else { rest.rfind(part) };
        let Some(index) = found else { return false };
        rest = &rest[index + part.len()..];
        if parts.peek().is_none() && part.is_empty() {
            return true;
        }
    }
    rest.is_empty()
}

/// A shell that stays between commands. What it started ends with it.
#[derive(Debug)]
pub(crate) struct Shell {
    process: Child,
    printed: Receiver<Vec<u8>>,
}

/// What stands behind the answer to each command.
const MARK: &str = "\u{1}\n";

impl Shell {
    /// Bash in a folder, with the command line that was built, and the tools of the repository.
    pub(crate) fn new(folder: &Path) -> Shell {
        use std::os::unix::process::CommandExt;
        let built = Path::new(env!("CARGO_BIN_EXE_latchkey")).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        let mut process = Command::new("bash")
            .current_dir(folder)
            .env("PATH", format!("{built}:{}:{path}", repository(".tools").display()))
            .env("no_proxy", "127.0.0.1")
            .env("TMPDIR", folder)
            .env_remove("LATCHKEY_PEPPER")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, printed) = channel();
        let mut output = process.stdout.take().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut shell = Shell { process, printed };
        // As on a terminal: one place for output and errors, and no progress of a transfer.
        shell.run("exec 2>&1; curl() { command curl --no-progress-meter -m 30 \"$@\"; }");
        shell
    }

    /// What a command prints.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let input = self.process.stdin.as_mut().unwrap();
        write!(input, "{command}\nprintf '\\1\\n'\n").unwrap();
        input.flush().unwrap();
        let (start, mut bytes) = (Instant::now(), Vec::new());
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let text = String::from_utf8_lossy(&bytes);
            if let Some(answer) = text.strip_suffix(MARK) {
                return answer.to_owned();
            }
            match self.printed.recv_timeout(left) {
                Ok(more) => bytes.extend(more),
                Err(_) => panic!("$ {command}\n{text}\n\nand then nothing more"),
            }
        }
    }

    /// Runs a command, whose answer must be what a page shows of it. What Envoy logs and counts, it
    /// writes a moment later: so whoever looks there may have to look again. What it really printed.
    pub(crate) fn step(
        &mut self,
        command: &str,
        shown: &str,
        hide: impl Fn(&str) -> String,
    ) -> String {
        let start = Instant::now();
        loop {
            let got = hide(&self.run(command));
            if shows(shown, &got) {
                return got;
            }
            let is_late = ["access.log", "/stats"].iter().any(|own| command.contains(own));
            let may_come = is_late && start.elapsed() < PATIENCE / 12;
            assert!(may_come, "$ {command}\n{shown}\n\nbut it answers\n\n{got}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The group is the shell's own.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}
