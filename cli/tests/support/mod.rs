//! What the tests of the command line share.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

pub(crate) use latchkey_testing::{Scratch as Directory, repository, wasm};

/// `latchkey`, run in a directory, without a pepper.
#[derive(Debug)]
pub(crate) struct TestCommand(Command, Option<Directory>);

impl TestCommand {
    /// `latchkey` with `arguments`, which are separated by spaces.
    pub(crate) fn new(directory: &Directory, arguments: &str) -> TestCommand {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.current_dir(directory.path()).args(arguments.split(' '));
        command.env_remove("LATCHKEY_PEPPER");
        TestCommand(command, None)
    }

    /// In place of what it was made with, for arguments with spaces in them.
    pub(crate) fn arguments(self, arguments: &[&str]) -> TestCommand {
        let mut command = Command::new(self.0.get_program());
        command.current_dir(self.0.get_current_dir().unwrap()).args(arguments);
        command.env_remove("LATCHKEY_PEPPER");
        TestCommand(command, None)
    }

    /// Keeps the directory until it has run.
    pub(crate) fn keeping(mut self, directory: Directory) -> TestCommand {
        self.1 = Some(directory);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> TestCommand {
        self.0.env(name, value);
        self
    }

    /// Runs it and compares its exit code and everything that it prints.
    #[track_caller]
    pub(crate) fn prints(mut self, code: i32, output: &str, error: &str) {
        let ran = self.0.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(
            (text(ran.stdout).as_str(), text(ran.stderr).as_str(), ran.status.code()),
            (output, error, Some(code))
        );
    }

    /// Runs it and compares its exit code and what it complains of, which is all that it prints.
    #[track_caller]
    pub(crate) fn prints_error(mut self, code: i32, error: &str) {
        let ran = self.0.output().unwrap();
        let complaint = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((complaint.as_str(), ran.status.code()), (error, Some(code)));
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), "");
    }

    /// Runs it and compares its exit code; what it complains of. That is all that it prints, if it fails.
    #[track_caller]
    pub(crate) fn complaint(mut self, code: i32) -> String {
        let ran = self.0.output().unwrap();
        let complaint = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{complaint}");
        if code != 0 {
            assert_eq!(String::from_utf8(ran.stdout).unwrap(), "");
        }
        complaint
    }

    /// Runs it and returns what it complains of.
    pub(crate) fn error(mut self) -> String {
        String::from_utf8(self.0.output().unwrap().stderr).unwrap()
    }

    /// Runs it and returns its exit code.
    pub(crate) fn code(mut self) -> i32 {
        self.0.output().unwrap().status.code().unwrap()
    }

    /// Runs it and returns what it prints and what it complains of.
    pub(crate) fn everything(mut self) -> String {
        let ran = self.0.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        text(ran.stdout) + &text(ran.stderr)
    }

    /// Runs it, which must go well, and returns what it prints.
    #[track_caller]
    pub(crate) fn output(mut self) -> String {
        let ran = self.0.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }
}

/// A server on loopback that answers each request with the JSON that `answer` has for its path.
pub(crate) fn listening(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let body = answer(request.split(' ').nth(1).unwrap());
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    format!("http://{address}")
}
