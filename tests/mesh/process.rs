//! Programs that run beside a test.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use latchkey_testing::repository;

/// A program that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it with its output in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Process {
        let log = File::options().append(true).create(true).open(log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Process(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for one's turn with what there is once, whatever became of those before.
pub(crate) fn turn(of: &'static Mutex<()>) -> MutexGuard<'static, ()> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A rule of iptables, taken away when dropped. That takes root.
#[derive(Debug)]
pub(crate) struct Rule(Vec<String>);

impl Rule {
    /// A table, a chain and what follows them, divided by blanks.
    pub(crate) fn new(table: &str, rule: &str) -> Rule {
        let words = ["-t", table].into_iter().chain(rule.split(' '));
        let rule = Rule(words.map(str::to_owned).collect());
        assert!(
            rule.run("-A"),
            "iptables cannot add `{rule:?}`: this test needs root and iptables"
        );
        rule
    }

    fn run(&self, action: &str) -> bool {
        let (table, rule) = self.0.split_at(2);
        let ran = Command::new("iptables").args(table).arg(action).args(rule).output();
        ran.is_ok_and(|ran| ran.status.success())
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.run("-D");
    }
}

/// A place in Cargo's folder of what it has built.
pub(crate) fn target(path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| repository("target")).join(path)
}

/// A control plane that `make mesh-test` has built.
pub(crate) fn built(name: &str) -> PathBuf {
    let file = target("mesh").join(name);
    assert!(file.is_file(), "no `{}`: run `make mesh-test`", file.display());
    file
}

/// A port of loopback that is free.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// `text` with each `{NAME}` replaced.
pub(crate) fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
