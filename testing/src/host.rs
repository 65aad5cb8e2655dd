//! A proxy-wasm host in this process, on the interpreter `wasmi`: it drives the built filter the
//! way Envoy does, and keeps what the filter did as plain data.
//!
//! Start with [`Host::load`] and [`Host::exchange`]. `imports.rs` holds what the filter may call,
//! `headers.rs` what Envoy does to a header map and to a local reply.
//!
//! The module is `dist/latchkey.wasm`; the environment variable `LATCHKEY_WASM` names another.

mod headers;
mod imports;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use latchkey::{Claim, Claims};
use wasmi::{CompilationMode, Config, Engine, Instance, Module, Store, StoreLimitsBuilder, Val};

use headers::HeaderMap;
use imports::Stage;

use crate::wasm;

/// The property that tells of the client.
const CLIENT: &str = "source\0address";

/// Headers in order, as they cross the border: names in lower case, values as bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// What became of one request.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub outcome: Outcome,
    /// The request's headers as the filter left them.
    pub request: Headers,
    /// What the client gets as headers, `:status` included; empty where nothing came back.
    pub response: Headers,
    /// What of the request's body the upstream sees.
    pub body: Vec<u8>,
    /// By the name the filter gave: Envoy puts `wasm.` before it.
    pub filter_state: BTreeMap<String, Vec<u8>>,
    /// The names of the host calls made for this request, in order.
    pub calls: Vec<String>,
    /// What the interpreter charged for this request: deterministic, so fit for comparing builds.
    pub fuel: u64,
}

/// How the last callback for a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Let through; the upstream sees these headers.
    Continue(Headers),
    /// Paused without a reply: where nothing more comes, the client would wait for ever.
    Hang,
    /// Refused, with what the filter passed to `send_http_response`.
    Reply { status: u16, headers: Headers, body: Vec<u8> },
    /// The module trapped: Envoy answers 503, to this request and to all later ones.
    Trap(String),
}

/// One line of the filter's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    pub level: &'static str,
    pub text: String,
}

/// A metric that the filter has defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Counter(u64),
    Gauge(u64),
}

/// A configuration that was accepted, by its root context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration(u32);

/// A request that is under way.
#[derive(Debug)]
pub struct Stream {
    context: u32,
    request: HeaderMap,
    /// What of the request's body was held back.
    held: Vec<u8>,
    exchange: Exchange,
}

/// One VM with the filter in it, as one worker of Envoy has it.
#[derive(Debug)]
pub struct Host {
    store: Store<Stage>,
    instance: Instance,
    /// The root contexts that have not been retired, oldest first; the last one takes new streams.
    roots: Vec<u32>,
    next_context: u32,
    /// Set by the first trap. Nothing is called any more after it.
    trap: Option<String>,
}

impl Host {
    /// Loads the filter into a new VM and starts it.
    pub fn load() -> Host {
        Host::load_with_environment(&[])
    }

    /// The same, with environment variables of the VM.
    pub fn load_with_environment(environment: &[(&str, &str)]) -> Host {
        let module = module();
        let mut store = Store::new(module.engine(), Stage::new(environment));
        store.set_fuel(u64::MAX).unwrap();
        let linker = imports::linker(module);
        let instance = linker.instantiate_and_start(&mut store, module).unwrap();
        let mut host = Host { store, instance, roots: Vec::new(), next_context: 1, trap: None };
        host.call("_initialize", &[]);
        let root = host.create_context(0);
        host.roots.push(root);
        assert_eq!(host.call("proxy_on_vm_start", &[root, 0]).unwrap_or(1), 1, "vm start failed");
        host
    }

    /// Gives the plugin a configuration. The first goes to the root context of the VM's start; a
    /// later one gets a root context of its own, and streams under way keep the one they have.
    pub fn configure(&mut self, configuration: &[u8]) -> bool {
        let first = self.store.data().configuration.is_none();
        self.store.data_mut().configuration = Some(configuration.to_vec());
        let root = if first { self.roots[0] } else { self.create_context(0) };
        let size = u32::try_from(configuration.len()).unwrap();
        let accepted = self.call("proxy_on_configure", &[root, size]) == Some(1);
        if accepted && !first {
            self.roots.push(root);
        }
        accepted
    }

    /// The configuration that new streams open under.
    pub fn newest_configuration(&self) -> Configuration {
        Configuration(*self.roots.last().unwrap())
    }

    /// Opens new streams under an earlier configuration, as Envoy does without a word when its text
    /// is pushed again while its root context is there.
    pub fn serve_again(&mut self, earlier: Configuration) {
        self.roots.retain(|root| *root != earlier.0);
        self.roots.push(earlier.0);
    }

    /// Ends the root contexts of earlier configurations, as Envoy does when their streams are gone.
    pub fn retire_old_configurations(&mut self) {
        let last = self.roots.len() - 1;
        for root in self.roots.drain(..last).collect::<Vec<_>>() {
            self.call("proxy_on_done", &[root]);
            self.call("proxy_on_delete", &[root]);
        }
    }

    /// Fires the timer of every root context that has asked for one.
    pub fn tick(&mut self) {
        for root in self.roots.clone() {
            if self.store.data().tick_periods.get(&root).is_some_and(|period| *period > 0) {
                self.call("proxy_on_tick", &[root]);
            }
        }
    }

    /// One whole request; an upstream, where it is let through, answers 200 without a body.
    pub fn exchange(&mut self, request: &[(String, Vec<u8>)]) -> Exchange {
        self.exchange_with_body(request, &[])
    }

    /// The same, with a body in pieces. The pieces behind a reply are not sent.
    pub fn exchange_with_body(
        &mut self,
        request: &[(String, Vec<u8>)],
        pieces: &[&[u8]],
    ) -> Exchange {
        let mut stream = self.open();
        self.request_headers(&mut stream, request, pieces.is_empty());
        for (index, piece) in pieces.iter().enumerate() {
            if let Outcome::Reply { .. } | Outcome::Trap(_) = stream.exchange.outcome {
                break;
            }
            self.request_body(&mut stream, piece, index + 1 == pieces.len());
        }
        if let Outcome::Continue(_) = stream.exchange.outcome {
            self.respond(&mut stream, &[(":status".to_owned(), b"200".to_vec())]);
        }
        self.close(stream)
    }

    /// Opens a stream under the configuration of now.
    pub fn open(&mut self) -> Stream {
        let root = *self.roots.last().unwrap();
        let exchange = Exchange {
            outcome: Outcome::Hang,
            request: Vec::new(),
            response: Vec::new(),
            body: Vec::new(),
            filter_state: BTreeMap::new(),
            calls: Vec::new(),
            fuel: 0,
        };
        let (request, held) = (HeaderMap::default(), Vec::new());
        let mut stream = Stream { context: 0, request, held, exchange };
        self.measure(&mut stream, |host, stream| stream.context = host.create_context(root));
        stream
    }

    /// Passes the headers of a request without a body.
    pub fn request(&mut self, stream: &mut Stream, headers: &[(String, Vec<u8>)]) -> Outcome {
        self.request_headers(stream, headers, true)
    }

    /// Passes the request's headers.
    pub fn request_headers(
        &mut self,
        stream: &mut Stream,
        headers: &[(String, Vec<u8>)],
        is_end: bool,
    ) -> Outcome {
        let count = u32::try_from(headers.len()).unwrap();
        stream.request = HeaderMap::new(headers);
        self.step(stream, "proxy_on_request_headers", &[count, is_end.into()])
    }

    /// Passes a piece of the request's body, behind those that were held back.
    pub fn request_body(&mut self, stream: &mut Stream, piece: &[u8], is_end: bool) -> Outcome {
        stream.held.extend(piece);
        let size = u32::try_from(stream.held.len()).unwrap();
        self.step(stream, "proxy_on_request_body", &[size, is_end.into()])
    }

    /// Ends the request with trailers, and says which the upstream gets.
    pub fn request_trailers(
        &mut self,
        stream: &mut Stream,
        trailers: &[(String, Vec<u8>)],
    ) -> (Outcome, Headers) {
        let count = u32::try_from(trailers.len()).unwrap();
        self.store.data_mut().trailers = HeaderMap::new(trailers);
        let outcome = self.step(stream, "proxy_on_request_trailers", &[count]);
        (outcome, self.store.data().trailers.entries().to_vec())
    }

    /// Calls back for a part of a request; a reply of the filter goes through its own response
    /// callback, as in Envoy.
    fn step(&mut self, stream: &mut Stream, callback: &str, arguments: &[u32]) -> Outcome {
        const CONTINUE: u32 = 0;
        const PAUSE: u32 = 1;
        self.store.data_mut().reply = None;
        let mut action = None;
        self.measure(stream, |host, stream| {
            action = host.call(callback, &[&[stream.context], arguments].concat());
        });
        let outcome = match (&self.trap, self.store.data_mut().reply.take(), action) {
            (Some(trap), _, _) => Outcome::Trap(trap.clone()),
            (None, Some(reply), action) => {
                assert_eq!(action, Some(PAUSE), "a reply has to be followed by a pause");
                reply
            }
            (None, None, None | Some(CONTINUE)) => {
                stream.exchange.body.append(&mut stream.held);
                Outcome::Continue(stream.request.entries().to_vec())
            }
            (None, None, Some(_)) => Outcome::Hang,
        };
        stream.exchange.outcome = outcome.clone();
        if let Outcome::Reply { status, headers, body } = &outcome {
            self.respond(stream, &headers::local_reply(*status, headers, body));
        }
        outcome
    }

    /// Passes the headers of a response through the filter.
    pub fn respond(&mut self, stream: &mut Stream, headers: &[(String, Vec<u8>)]) {
        let count = u32::try_from(headers.len()).unwrap();
        self.store.data_mut().response = HeaderMap::new(headers);
        self.measure(stream, |host, stream| {
            host.call("proxy_on_response_headers", &[stream.context, count, 1]);
        });
        stream.exchange.response = self.store.data().response.entries().to_vec();
    }

    /// Ends a stream and says what became of it.
    pub fn close(&mut self, mut stream: Stream) -> Exchange {
        self.measure(&mut stream, |host, stream| {
            host.call("proxy_on_log", &[stream.context]);
            host.call("proxy_on_done", &[stream.context]);
            host.call("proxy_on_delete", &[stream.context]);
        });
        if let Some(trap) = &self.trap {
            stream.exchange.outcome = Outcome::Trap(trap.clone());
        }
        stream.exchange.request = stream.request.entries().to_vec();
        stream.exchange
    }

    /// From now on the VM gets no more memory than so many bytes.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.store.data_mut().limits = StoreLimitsBuilder::new().memory_size(bytes).build();
        self.store.limiter(|stage| &mut stage.limits);
    }

    /// Logs what is for the record and more, as Envoy does unless it is told otherwise, from the next configuration on.
    pub fn log_as_by_default(&mut self) {
        const INFO: u32 = 2;
        self.store.data_mut().log_level = INFO;
    }

    /// Sets the clock, in Unix seconds. It stands until it is set again; at first it says 0.
    pub fn set_clock(&mut self, seconds: i64) {
        self.store.data_mut().nanoseconds = u64::try_from(seconds).unwrap() * 1_000_000_000;
    }

    /// From now on the proxy has these claims to tell, under the name that a session's payload has
    /// in `jwt_authn`; or none.
    pub fn set_claims(&mut self, payload: &str, claims: Option<&Claims>) {
        let path = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", payload];
        let properties = &mut self.store.data_mut().properties;
        properties.retain(|known, _| !known.starts_with("metadata"));
        let owned = |(name, claim): &(String, Claim)| (name.clone(), value(claim));
        properties.extend(claims.map(|claims| {
            let pairs: Headers = claims.iter().map(owned).collect();
            (path.join("\0"), imports::serialized(&pairs))
        }));
    }

    /// From now on the proxy has this to tell of the client's address and port, or nothing.
    pub fn set_client(&mut self, address: Option<Vec<u8>>) {
        let properties = &mut self.store.data_mut().properties;
        properties.remove(CLIENT);
        properties.extend(address.map(|address| (CLIENT.to_owned(), address)));
    }

    /// Asks the module for memory, as the proxy does before it hands bytes over.
    pub fn allocate(&mut self, size: u32) -> Option<u32> {
        self.call("proxy_on_memory_allocate", &[size])
    }

    /// From now on the named host call fails, with `InternalFailure`.
    pub fn fail_calls_to(&mut self, name: &str) {
        assert!(module().imports().any(|import| import.name() == name), "no import `{name}`");
        self.store.data_mut().failing.push(name.to_owned());
    }

    /// What the filter has logged.
    pub fn logs(&self) -> &[LogLine] {
        &self.store.data().logs
    }

    /// The host calls made since the last time they were taken, by name; those of an [`Exchange`]
    /// stand there and not here.
    pub fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.store.data_mut().calls)
    }

    /// The metrics defined so far, by name.
    pub fn metrics(&self) -> &BTreeMap<String, Metric> {
        &self.store.data().metrics
    }

    /// Why the module trapped, if it did.
    pub fn trap(&self) -> Option<&str> {
        self.trap.as_deref()
    }

    /// The VM's memory now, in bytes. It never shrinks.
    pub fn memory_bytes(&self) -> usize {
        let memory = self.instance.get_memory(&self.store, "memory").unwrap();
        memory.data_size(&self.store)
    }

    /// What of the interpreter's fuel is left.
    pub fn fuel(&self) -> u64 {
        self.store.get_fuel().unwrap()
    }

    /// Creates a context: a root context where `parent` is 0, else a stream of that root.
    fn create_context(&mut self, parent: u32) -> u32 {
        let context = self.next_context;
        self.next_context += 1;
        self.call("proxy_on_context_create", &[context, parent]);
        context
    }

    /// Runs a step of a stream and books on it what the step called, set and cost.
    fn measure(&mut self, stream: &mut Stream, step: impl FnOnce(&mut Host, &mut Stream)) {
        let fuel = self.store.get_fuel().unwrap();
        let before = self.take_calls();
        let stage = self.store.data_mut();
        stage.filter_state = std::mem::take(&mut stream.exchange.filter_state);
        stage.request = std::mem::take(&mut stream.request);
        stage.body.clone_from(&stream.held);
        step(self, stream);
        stream.exchange.fuel += fuel - self.store.get_fuel().unwrap();
        let stage = self.store.data_mut();
        stream.exchange.filter_state = std::mem::take(&mut stage.filter_state);
        stream.request = std::mem::take(&mut stage.request);
        stream.exchange.calls.append(&mut stage.calls);
        stage.calls = before;
    }

    /// Calls an export. `None`: the module has no such export, has trapped, or returns nothing.
    fn call(&mut self, export: &str, arguments: &[u32]) -> Option<u32> {
        if self.trap.is_some() {
            return None;
        }
        let function = self.instance.get_func(&self.store, export)?;
        self.store.data_mut().context = arguments.first().copied().unwrap_or_default();
        let arguments: Vec<Val> = arguments.iter().map(|a| Val::I32(a.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        if let Err(trap) = function.call(&mut self.store, &arguments, &mut results) {
            self.trap = Some(format!("{export}: {trap}"));
            return None;
        }
        results.first()?.i32().map(i32::cast_unsigned)
    }
}

impl Exchange {
    /// The decision as access logs read it: `allow key:ID`, `deny REASON`, …
    pub fn decision(&self) -> String {
        let state = self.filter_state.get("latchkey").cloned().unwrap_or_default();
        String::from_utf8(state).unwrap()
    }

    /// The headers that the upstream sees; panics where the request was not let through.
    pub fn upstream(&self) -> &Headers {
        match &self.outcome {
            Outcome::Continue(headers) => headers,
            other => panic!("not let through: {other}"),
        }
    }

    /// The filter's reply as status and body; panics where there was none.
    pub fn reply(&self) -> (u16, &str) {
        match &self.outcome {
            Outcome::Reply { status, body, .. } => (*status, str::from_utf8(body).unwrap()),
            other => panic!("not answered by the filter: {other}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Continue(_) => write!(formatter, "let through"),
            Outcome::Hang => write!(formatter, "left hanging"),
            Outcome::Reply { status, body, .. } => {
                write!(formatter, "{status} {}", String::from_utf8_lossy(body))
            }
            Outcome::Trap(trap) => write!(formatter, "trap in {trap}"),
        }
    }
}

impl LogLine {
    /// One of the six levels of the proxy-wasm ABI.
    fn new(level: u32, text: &[u8]) -> LogLine {
        const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];
        LogLine { level: LEVELS[level as usize], text: String::from_utf8_lossy(text).into_owned() }
    }
}

/// All values of a header, in order.
pub fn values<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Vec<&'h [u8]> {
    let named = headers.iter().filter(|(candidate, _)| candidate == name);
    named.map(|(_, value)| value.as_slice()).collect()
}

/// The names of what the module imports, as `module.name`, sorted.
pub fn import_names() -> Vec<String> {
    let imports = module().imports();
    let mut names: Vec<_> = imports.map(|i| format!("{}.{}", i.module(), i.name())).collect();
    names.sort();
    names
}

/// The names of what the module exports, sorted.
pub fn export_names() -> Vec<String> {
    let mut names: Vec<_> = module().exports().map(|export| export.name().to_owned()).collect();
    names.sort();
    names
}

/// The compiled module, compiled once for all tests of a binary.
fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let bytes = std::fs::read(wasm()).unwrap();
        let mut config = Config::default();
        // Translating lazily would be charged to the request that comes first.
        config.consume_fuel(true).compilation_mode(CompilationMode::Eager);
        Module::new(&Engine::new(&config), bytes).unwrap()
    })
}

/// A claim's value as the proxy writes it.
fn value(claim: &Claim) -> Vec<u8> {
    match claim {
        Claim::Text(text) => text.clone().into_bytes(),
        Claim::Number(number) => number.to_le_bytes().to_vec(),
        Claim::List(items) => {
            let pairs: Headers = items.iter().map(|item| (item.clone(), Vec::new())).collect();
            imports::serialized(&pairs)
        }
        // As `true` is.
        Claim::Other => vec![1],
    }
}
