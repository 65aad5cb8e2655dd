//! One Envoy process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};

use serde_json::Value;

use super::{Connection, Scratch, envoy, until};

/// A running Envoy, killed when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    admin: SocketAddr,
    log: PathBuf,
}

/// Counters and gauges by name.
pub type Stats = BTreeMap<String, u64>;

impl Envoy {
    /// Starts Envoy and waits until it is ready to serve. `name` names its files in `scratch`.
    /// Every port in the bootstrap should be 0, so that the system chooses free ones.
    pub fn start(
        scratch: &Scratch,
        name: &str,
        bootstrap: &str,
        environment: &[(&str, &str)],
    ) -> Envoy {
        Envoy::start_release(None, scratch, name, bootstrap, environment)
    }

    /// The same for an older release, such as `1.39`.
    pub fn start_release(
        release: Option<&str>,
        scratch: &Scratch,
        name: &str,
        bootstrap: &str,
        environment: &[(&str, &str)],
    ) -> Envoy {
        let process = spawn(release, scratch, name, bootstrap, environment, ALL, 1);
        Envoy::ready(scratch, name, process)
    }

    /// The same with the log that Envoy writes by itself, as users run it.
    pub fn start_quietly(scratch: &Scratch, name: &str, bootstrap: &str) -> Envoy {
        Envoy::start_with_workers(1, scratch, name, bootstrap)
    }

    /// The same with so many workers.
    pub fn start_with_workers(
        workers: usize,
        scratch: &Scratch,
        name: &str,
        bootstrap: &str,
    ) -> Envoy {
        let process = spawn(None, scratch, name, bootstrap, &[], "wasm:info", workers);
        Envoy::ready(scratch, name, process)
    }

    fn ready(scratch: &Scratch, name: &str, mut process: Child) -> Envoy {
        let log = scratch.file(&format!("{name}.log"));
        let ended = |status: ExitStatus| -> ! {
            panic!("{name} ended with {status}:\n{}", warnings(&fs::read_to_string(&log).unwrap()))
        };
        let admin = until(&format!("the address of {name}'s admin port"), || {
            if let Some(status) = process.try_wait().unwrap() {
                ended(status);
            }
            fs::read_to_string(scratch.file(&format!("{name}.admin"))).ok()?.parse().ok()
        });
        let mut envoy = Envoy { process, admin, log: log.clone() };
        until(&format!("{name} to be ready"), || {
            if let Some(status) = envoy.process.try_wait().unwrap() {
                ended(status);
            }
            (envoy.admin("/ready").as_deref() == Some("LIVE\n")).then_some(())
        });
        envoy
    }

    /// Starts an Envoy that must end by itself; its status and its log.
    pub fn run_to_end(
        scratch: &Scratch,
        name: &str,
        bootstrap: &str,
        environment: &[(&str, &str)],
    ) -> (ExitStatus, String) {
        let process = spawn(None, scratch, name, bootstrap, environment, ALL, 1);
        let log = scratch.file(&format!("{name}.log"));
        // As an `Envoy`, so that it ends with this call in any case.
        let mut envoy = Envoy { process, admin: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        let status = until(&format!("{name} to end"), || envoy.process.try_wait().unwrap());
        (status, envoy.log())
    }

    /// The address of the only listener.
    pub fn listener(&self) -> SocketAddr {
        let listeners = self.admin("/listeners?format=json").unwrap();
        let listeners: Value = serde_json::from_str(&listeners).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
        SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
    }

    /// Where its admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Every counter and gauge; histograms and texts are left out.
    pub fn stats(&self) -> Stats {
        // Its main thread may be reading a large policy.
        let text = until("the statistics", || self.admin("/stats"));
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// What the admin port answers to a `GET`; none while it does not answer 200.
    pub fn admin(&self, path: &str) -> Option<String> {
        let mut connection = Connection::open(self.admin).ok()?;
        connection.write(format!("GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").as_bytes()).ok()?;
        let response = connection.response(false).ok()?;
        (response.status == 200).then(|| response.text())
    }

    /// All that it has written to its own log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Whether it is still the process that was started.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The memory that it holds now, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has held since [`Envoy::forget_peak`], in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Lets [`Envoy::peak_memory`] begin anew.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The processor time it has used, in nanoseconds, by all its threads.
    pub fn processor_time(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.process.id());
        let of_task = |task: fs::DirEntry| -> Option<u64> {
            let schedule = fs::read_to_string(task.path().join("schedstat")).ok()?;
            schedule.split(' ').next()?.parse().ok()
        };
        fs::read_dir(tasks).unwrap().flatten().filter_map(of_task).sum()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All that the filter has to say, so that a test can see that it does not say too much.
const ALL: &str = "wasm:debug,dynamic_modules:debug";

fn spawn(
    release: Option<&str>,
    scratch: &Scratch,
    name: &str,
    bootstrap: &str,
    environment: &[(&str, &str)],
    log_level: &str,
    workers: usize,
) -> Child {
    let program = envoy(release);
    let file = scratch.file(&format!("{name}.yaml"));
    fs::write(&file, bootstrap).unwrap();
    let log = File::create(scratch.file(&format!("{name}.log"))).unwrap();
    let mut command = Command::new(&program);
    command
        .arg("-c")
        .arg(file)
        .arg("--admin-address-path")
        .arg(scratch.file(&format!("{name}.admin")))
        .args(["--disable-hot-restart", "--file-flush-interval-msec", "5"])
        .args(["--concurrency", &workers.to_string()])
        .args(["--log-level", "info", "--component-log-level", log_level])
        .env_remove("LATCHKEY_PEPPER")
        .envs(environment.iter().copied())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("cannot run `{}`: {error}", program.display()))
}

/// The lines that tell why an Envoy did not start.
fn warnings(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains("][info]") && !line.contains("][debug]"));
    lines.collect::<Vec<_>>().join("\n")
}
