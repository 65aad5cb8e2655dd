//! Real servers on loopback, each a folder of `tests/differential/servers`: `install` brings its packages, once, and
//! `run PORT` becomes the server. One that cannot be installed or does not answer fails the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use latchkey_testing::{repository, until};

/// A running server. It ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// Package managers keep caches that two of them may not write at once.
static INSTALLING: Mutex<()> = Mutex::new(());

impl Server {
    /// Installs the server of that folder, if it is not, and starts it on a free port.
    pub(crate) fn start(name: &str) -> Server {
        let folder = repository(&format!("tests/differential/servers/{name}"));
        let home = repository(&format!(".tools/differential/{name}"));
        fs::create_dir_all(&home).unwrap();
        install(name, &folder, &home);

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let log = home.join("run.log");
        // A group of its own, so that what it starts ends with it.
        let process = command(&folder.join("run"), &log)
            .arg(address.port().to_string())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
        let mut server = Server { name: name.to_owned(), process, address, log };
        until(&format!("{name} to listen"), || {
            assert!(server.is_running(), "{name} ended:\n{}", server.last_lines());
            TcpStream::connect(address).ok()
        });
        server
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is still the process that was started.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The end of what it wrote, to be shown when it does not do what it should.
    pub(crate) fn last_lines(&self) -> String {
        last_lines(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.process.wait();
    }
}

fn install(name: &str, folder: &Path, home: &Path) {
    // A test that panicked has left nothing half done that the next `install` does not see to.
    let _guard = INSTALLING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let log = home.join("install.log");
    let status = command(&folder.join("install"), &log).status();
    let status = status.unwrap_or_else(|error| panic!("cannot install {name}: {error}"));
    assert!(status.success(), "{name} cannot be installed:\n{}", last_lines(&log));
}

/// A program without input whose output goes to a file.
fn command(program: &Path, log: &Path) -> Command {
    let file = File::create(log).unwrap();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    command
}

fn last_lines(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
