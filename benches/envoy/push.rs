//! How long clients wait while a policy of many keys replaces another, and what memory that takes: the native module beside
//! the Wasm filter, with few workers and with many.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use super::pauses::{Pauses, Span, become_real_time};
use super::variants::{as_module_in, bearer, bootstrap, get, latchkey_in, policy};
use latchkey_cli::command::render::Code;
use latchkey_testing::{Connection, Envoy, Scratch, ecds_of, module, policies, wasm};

/// Connections for each worker, so that there is one to each: the system spreads them as it likes.
const CONNECTIONS: usize = 3;

/// Between two rounds of requests, in which each connection has one: what is looked for are stalls, not load.
const PAUSE: Duration = Duration::from_micros(500);

/// How long clients are watched before anything is pushed: about as long as a push of a million keys takes, since the longest of
/// many waits is longer than that of a few.
pub(crate) const QUIET: Duration = Duration::from_secs(20);

/// How long a policy may take to come into force.
const PATIENCE: Duration = Duration::from_secs(600);

/// Replacing a policy by one of so many keys, a key more than it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    pub(crate) is_module: bool,
    pub(crate) workers: usize,
    pub(crate) keys: usize,
    /// The longest that a client waited for an answer before, in milliseconds, without the time for which the machine stood
    /// still.
    pub(crate) quiet: f64,
    /// The same while the policy was replaced.
    pub(crate) stall: f64,
    /// The longest that the machine stood still meanwhile, in milliseconds.
    pub(crate) pause: f64,
    /// Processor time of the push, in seconds.
    pub(crate) seconds: f64,
    /// Memory of the process with ten keys, with all of them, and at most during the push, in MB.
    pub(crate) memory: [f64; 3],
}

impl Push {
    pub(crate) fn host(&self) -> &'static str {
        if self.is_module { "native module" } else { "Wasm filter" }
    }
}

pub(crate) fn measured(scratch: &Scratch, keys: usize) -> Vec<Push> {
    let (module, wasm) = (module().display().to_string(), wasm().display().to_string());
    let mut pushes = Vec::new();
    for code in [Code::Module(&module), Code::Wasm(&wasm)] {
        let texts = [10, keys - 1, keys].map(|keys| ecds_of(scratch, &policy(keys, 1), code));
        for workers in [2, 8] {
            println!("pushing {keys} keys to {workers} workers");
            // A thread of its own, as it gets a priority of its own.
            let push = || pushed(scratch, &texts, code, workers, keys);
            pushes.push(scope(|scope| scope.spawn(push).join().unwrap()));
        }
    }
    pushes
}

fn pushed(
    scratch: &Scratch,
    [few, all, more]: &[String; 3],
    code: Code<'_>,
    workers: usize,
    keys: usize,
) -> Push {
    let is_module = matches!(code, Code::Module(_));
    let name = format!("push-{}-{workers}", if is_module { "module" } else { "wasm" });
    std::fs::create_dir(scratch.file(&name)).unwrap();
    let write = |text: &str| scratch.replace(&format!("{name}/ecds.yaml"), text);
    write(few);
    let folder = scratch.file(&name).display().to_string();
    let filter = if is_module { as_module_in(&folder) } else { latchkey_in(&folder) };
    let envoy = Envoy::start_with_workers(workers, scratch, &name, &bootstrap(&filter, None, 1));
    let open = |_| Connection::open(envoy.listener()).unwrap();
    let connections = (0..CONNECTIONS * workers).map(open).collect();
    // Clients have machines of their own: here, a core whenever they want one.
    if !become_real_time(1) {
        println!("no real-time priority for clients: what they wait for a core counts as well");
    }
    let mut clients = Clients { connections, pauses: Pauses::watch() };
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;

    clients.wait_for(9);
    let memory_few = megabytes(envoy.resident_memory());
    write(all);
    clients.wait_for(keys - 2);
    let memory_all = megabytes(envoy.resident_memory());
    let quiet = clients.watch(keys - 2, |_, start| start.elapsed() > QUIET);
    envoy.forget_peak();
    let (before, start) = (envoy.processor_time(), Instant::now());
    write(more);
    let stall = clients.wait_for(keys - 1);
    Push {
        is_module,
        workers,
        keys,
        quiet: milliseconds(quiet),
        stall: milliseconds(stall),
        pause: milliseconds(clients.pauses.longest_since(start)),
        seconds: (envoy.processor_time() - before) as f64 / 1e9,
        memory: [memory_few, memory_all, megabytes(envoy.peak_memory())],
    }
}

/// Clients that ask in turn.
struct Clients {
    connections: Vec<Connection>,
    pauses: Pauses,
}

impl Clients {
    /// Asks with a key until all of them are let in; the longest that one waited for its answer.
    fn wait_for(&mut self, key: usize) -> Duration {
        self.watch(key, |are_all_let_in, start| {
            assert!(start.elapsed() < PATIENCE, "the policy does not come into force");
            are_all_let_in
        })
    }

    /// Asks until `is_over` of whether all were let in this time and of the start; the longest that one waited, without the
    /// time for which the machine stood still.
    fn watch(&mut self, key: usize, is_over: impl Fn(bool, Instant) -> bool) -> Duration {
        let request = get(&bearer(&policies::token(key)));
        let (start, mut waits) = (Instant::now(), Vec::<Span>::new());
        loop {
            let mut are_all_let_in = true;
            for connection in &mut self.connections {
                let asked = Instant::now();
                connection.write(&request).unwrap();
                are_all_let_in &= connection.response(false).unwrap().status == 200;
                waits.push((asked, Instant::now()));
            }
            if is_over(are_all_let_in, start) {
                return self.pauses.longest_without(&waits);
            }
            sleep(PAUSE);
        }
    }
}
