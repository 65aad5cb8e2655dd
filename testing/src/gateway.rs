//! Envoy with the filter before an upstream that reports what it saw.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use http::HeaderMap;
use latchkey_cli::cases::CaseRequest;
use latchkey_cli::command::render;

use super::access_log::{self, Lines};
use super::{Connection, Envoy, Key, LogLine, Report, Response, Scratch, Stats};
use super::{ecds_of, http1, http2, inline, module, repository, system, until, wasm};

/// Changes a file before Envoy reads it.
type Change = Box<dyn Fn(&str) -> String>;

/// What a gateway is started with.
pub struct Setup {
    policy: String,
    code: Code,
    release: Option<&'static str>,
    environment: Vec<(&'static str, String)>,
    change_ecds: Change,
    change_bootstrap: Change,
    system: Option<&'static str>,
    other_upstream: Option<SocketAddr>,
    files: Vec<(&'static str, String)>,
    is_inline: bool,
}

impl Setup {
    /// The shipped bootstrap with this policy (JSON), and the Wasm filter or, where the environment variable `LATCHKEY_AS`
    /// is `module`, the native module.
    pub fn new(policy: impl ToString) -> Setup {
        let is_module = env::var_os("LATCHKEY_AS").is_some_and(|own| own == "module");
        Setup {
            policy: policy.to_string(),
            code: if is_module { Code::Module(module()) } else { Code::Wasm(wasm()) },
            release: None,
            environment: Vec::new(),
            change_ecds: Box::new(str::to_owned),
            change_bootstrap: Box::new(str::to_owned),
            system: None,
            other_upstream: None,
            files: Vec::new(),
            is_inline: false,
        }
    }

    /// The shipped bootstrap with the policy of a system, and with what the system needs beside it.
    pub fn of_system(name: &'static str) -> Setup {
        Setup::new(system(name)).system(name)
    }

    /// With another filter.
    pub fn wasm(mut self, wasm: &Path) -> Setup {
        self.code = Code::Wasm(wasm.to_owned());
        self
    }

    /// With the native module in place of the Wasm filter.
    pub fn module(self) -> Setup {
        self.module_at(&module())
    }

    /// The same with another module.
    pub fn module_at(mut self, module: &Path) -> Setup {
        self.code = Code::Module(module.to_owned());
        self
    }

    /// With an older Envoy, such as `1.39`.
    pub fn release(mut self, release: &'static str) -> Setup {
        self.release = Some(release);
        self
    }

    /// With `LATCHKEY_PEPPER` in Envoy's environment.
    pub fn pepper(self, pepper: &str) -> Setup {
        self.environment("LATCHKEY_PEPPER", pepper)
    }

    /// With a variable in Envoy's environment.
    pub fn environment(mut self, name: &'static str, value: &str) -> Setup {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// With every ECDS file changed.
    pub fn change_ecds(mut self, change: impl Fn(&str) -> String + 'static) -> Setup {
        self.change_ecds = Box::new(change);
        self
    }

    /// With the front's bootstrap changed.
    pub fn change_bootstrap(mut self, change: impl Fn(&str) -> String + 'static) -> Setup {
        self.change_bootstrap = Box::new(change);
        self
    }

    /// With what `envoy/systems` has for the bootstrap of a system beside its policy.
    pub fn system(mut self, name: &'static str) -> Setup {
        self.system = Some(name);
        self
    }

    /// With another upstream on loopback, of which nothing is reported.
    pub fn upstream(mut self, address: SocketAddr) -> Setup {
        self.other_upstream = Some(address);
        self
    }

    /// With a file beside the policy's.
    pub fn file(mut self, name: &'static str, text: String) -> Setup {
        self.files.push((name, text));
        self
    }

    /// With an access log that tells what is left in a request's headers: [`LogLine::left`].
    #[must_use]
    pub fn log_left(self) -> Setup {
        let values = access_log::LEFT.map(|name| format!("\"{name}\": \"%REQ({name})%\""));
        let line = "duration_ms: \"%DURATION%\"";
        let more = format!("{line}\n                          left: {{{}}}", values.join(", "));
        let change = self.change_bootstrap;
        let change_bootstrap: Change = Box::new(move |text| replaced(&change(text), line, &more));
        Setup { change_bootstrap, ..self }
    }

    /// With so many proxies before the front whose `x-forwarded-for` is believed.
    #[must_use]
    pub fn trusted_hops(self, count: usize) -> Setup {
        let line = "                use_remote_address: true";
        let more = format!("{line}\n                xff_num_trusted_hops: {count}");
        let change = self.change_bootstrap;
        let change_bootstrap: Change = Box::new(move |text| replaced(&change(text), line, &more));
        Setup { change_bootstrap, ..self }
    }

    /// With the filter in the bootstrap, in place of the watched file.
    pub fn inline(mut self) -> Setup {
        self.is_inline = true;
        self
    }

    pub fn start(self) -> Gateway {
        self.start_in(Scratch::new())
    }

    /// Starts in a folder that may hold files already.
    pub fn start_in(self, scratch: Scratch) -> Gateway {
        let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
        let upstream_address = upstream.listener();
        let ecds = (self.change_ecds)(&ecds_of(&scratch, &self.policy, self.code.as_rendered()));
        scratch.replace("ecds.yaml", &ecds);
        for (name, text) in &self.files {
            scratch.replace(name, text);
        }
        let address = self.other_upstream.unwrap_or(upstream_address);
        let bootstrap = front_bootstrap(&scratch, address, self.system);
        let bootstrap = match &self.code {
            Code::Module(_) => as_module(&bootstrap),
            Code::Wasm(_) => bootstrap,
        };
        let mut bootstrap = (self.change_bootstrap)(&bootstrap);
        if self.is_inline {
            bootstrap = inline(&bootstrap, &ecds);
        }
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let front = Envoy::start_release(self.release, &scratch, "front", &bootstrap, &environment);
        if !self.is_inline {
            // Taken or refused: some tests are about the latter.
            until("the first policy", || Pushes::of(&front.stats()).news(Pushes::default()));
        }
        Gateway {
            address: front.listener(),
            front: RefCell::new(front),
            upstream_address,
            upstream,
            log: RefCell::new((Lines::new(scratch.file("access.log")), Vec::new())),
            reports: RefCell::new(Lines::new(scratch.file("reports.log"))),
            fences: Cell::new(0),
            code: self.code,
            change_ecds: self.change_ecds,
            scratch,
        }
    }
}

/// A front and its upstream, both stopped when dropped.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    front: RefCell<Envoy>,
    upstream_address: SocketAddr,
    upstream: Envoy,
    /// The access log, and those of its lines that nobody has asked for yet.
    log: RefCell<(Lines, Vec<LogLine>)>,
    reports: RefCell<Lines>,
    fences: Cell<usize>,
    code: Code,
    change_ecds: Change,
    scratch: Scratch,
}

/// One request's response and its line in the access log.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub response: Response,
    pub log: LogLine,
}

impl Exchange {
    /// The filter's decision; empty where the request never reached the filter.
    pub fn decision(&self) -> &str {
        self.log.latchkey.as_deref().unwrap_or_default()
    }

    /// Decision and status, which is what most tests are about.
    pub fn outcome(&self) -> (&str, u16) {
        (self.decision(), self.response.status)
    }
}

impl Gateway {
    /// The shipped bootstrap with this policy (JSON).
    pub fn start(policy: impl ToString) -> Gateway {
        Setup::new(policy).start()
    }

    /// Sends a request over a connection of its own.
    pub fn exchange(&self, request: &CaseRequest) -> Exchange {
        if request.http2 {
            let (response, client) = http2::exchange(self.address, request);
            return Exchange { response, log: self.log_line(client) };
        }
        self.raw(&http1::bytes(request))
    }

    /// Sends a request over HTTP/2, with trailers behind its body.
    pub fn exchange_with_trailers(&self, request: &CaseRequest, trailers: HeaderMap) -> Exchange {
        let (response, client) = http2::exchange_with_trailers(self.address, request, trailers);
        Exchange { response, log: self.log_line(client) }
    }

    /// Sends a `GET`.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Exchange {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: api.example.com\r\n{lines}\r\n");
        self.raw(request.as_bytes())
    }

    /// Sends these bytes over a connection of its own, and reads one response.
    pub fn raw(&self, request: &[u8]) -> Exchange {
        let mut connection = self.connect();
        connection.write(request).unwrap();
        let response = connection
            .response(request.starts_with(b"HEAD "))
            .unwrap_or_else(|error| panic!("{error} in answer to `{}`", request.escape_ascii()));
        Exchange { response, log: self.log_line(connection.client()) }
    }

    /// A GraphQL request of which the headers were sent, and the body, so long, was not.
    pub fn begun(&self, key: &Key, length: usize) -> Connection {
        let mut connection = self.connect();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            key.bearer()
        );
        connection.write(head.as_bytes()).unwrap();
        connection
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address).unwrap()
    }

    /// The oldest line of the access log about a client that nobody has asked for yet.
    pub fn log_line(&self, client: SocketAddr) -> LogLine {
        let mut log = self.log.borrow_mut();
        let (file, lines) = &mut *log;
        until(&format!("a line of the access log about {client}"), || {
            lines.extend(file.more::<LogLine>());
            let index = lines.iter().position(|line| line.client == client)?;
            Some(lines.remove(index))
        })
    }

    /// What the upstream saw since the last call. A request that broke off before it was whole, as
    /// one does that is refused for its body, is none.
    pub fn reports(&self) -> Vec<Report> {
        // A request of our own past the front: what it finds in the file before itself is all.
        let number = self.fences.get() + 1;
        self.fences.set(number);
        let fence = format!("/fence/{number}");
        let mut connection = Connection::open(self.upstream_address).unwrap();
        let request = format!("GET {fence} HTTP/1.1\r\nhost: upstream\r\n\r\n");
        connection.write(request.as_bytes()).unwrap();
        assert_eq!(connection.response(false).unwrap().status, 200);
        let (mut file, mut reports) = (self.reports.borrow_mut(), Vec::new());
        until("the upstream's report", || {
            reports.extend(file.more::<Report>());
            reports.pop_if(|report| report.path.as_deref() == Some(&fence))
        });
        reports
    }

    /// What the upstream saw of the one request that reached it since the last call.
    pub fn report(&self) -> Report {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{reports:#?}");
        reports.remove(0)
    }

    /// Puts a policy (JSON) into force.
    pub fn push(&self, policy: impl ToString) {
        let text = self.ecds(policy);
        // Envoy takes no notice of what does not change anything.
        if fs::read_to_string(self.ecds_file()).is_ok_and(|old| old == text) {
            return;
        }
        if let Err(refusal) = self.push_ecds(&text) {
            panic!("Envoy refused the policy:\n{refusal}");
        }
    }

    /// The ECDS file for a policy (JSON).
    pub fn ecds(&self, policy: impl ToString) -> String {
        (self.change_ecds)(&ecds_of(&self.scratch, &policy.to_string(), self.code.as_rendered()))
    }

    /// Replaces the ECDS file, and waits until Envoy has taken it.
    ///
    /// # Errors
    /// Envoy refused it: what its log says since.
    pub fn push_ecds(&self, text: &str) -> Result<(), String> {
        self.pushed_by(|| {
            self.scratch.replace("ecds.yaml", text);
        })
    }

    /// Lets `push` replace [`Gateway::ecds_file`], and waits until Envoy has taken it.
    ///
    /// # Errors
    /// Envoy refused it: what its log says since.
    pub fn pushed_by(&self, push: impl FnOnce()) -> Result<(), String> {
        let before = Pushes::of(&self.stats());
        let log = self.log_text().len();
        push();
        match until("Envoy to take the policy", || Pushes::of(&self.stats()).news(before)) {
            News::Taken => Ok(()),
            News::Refused => Err(self.log_text().split_off(log)),
        }
    }

    /// The file that the front watches.
    pub fn ecds_file(&self) -> PathBuf {
        self.scratch.file("ecds.yaml")
    }

    /// The filter that the front runs.
    pub fn wasm(&self) -> &Path {
        let (Code::Module(path) | Code::Wasm(path)) = &self.code;
        path
    }

    /// Lets what is pushed from now on name another module.
    pub fn set_module(&mut self, module: &Path) {
        self.code = Code::Module(module.to_owned());
    }

    /// Where the front's admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.front.borrow().admin_address()
    }

    /// Where the admin port of the upstream is.
    pub fn upstream_admin_address(&self) -> SocketAddr {
        self.upstream.admin_address()
    }

    /// The front's counters and gauges.
    pub fn stats(&self) -> Stats {
        self.front.borrow().stats()
    }

    /// What the front's admin port answers to a `GET`.
    pub fn admin(&self, path: &str) -> String {
        self.front.borrow().admin(path).unwrap()
    }

    /// All that the front has written to its own log.
    pub fn log_text(&self) -> String {
        self.front.borrow().log()
    }

    /// The front's access log as it stands.
    pub fn access_log_text(&self) -> String {
        let bytes = fs::read(self.scratch.file("access.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the front is still the process that was started.
    pub fn is_running(&self) -> bool {
        self.front.borrow_mut().is_running()
    }

    /// The processor time that the front has used, in nanoseconds.
    pub fn processor_time(&self) -> u64 {
        self.front.borrow().processor_time()
    }
}

/// The filter that a front runs.
#[derive(Clone, Debug)]
enum Code {
    Module(PathBuf),
    Wasm(PathBuf),
}

impl Code {
    fn as_rendered(&self) -> render::Code<'_> {
        match self {
            Code::Module(path) => render::Code::Module(path.to_str().unwrap()),
            Code::Wasm(path) => render::Code::Wasm(path.to_str().unwrap()),
        }
    }
}

/// What an Envoy counts of the files it was given.
#[derive(Clone, Copy, Debug, Default)]
struct Pushes {
    /// Files with an acceptable policy.
    accepted: u64,
    /// Files with a policy that was refused.
    rejected: u64,
    /// Files that could not be read as such.
    failed: u64,
    /// Policies that every worker has been told of, the old one again where the new was refused.
    applied: u64,
}

/// What became of a file.
#[derive(Clone, Copy, Debug)]
enum News {
    Refused,
    Taken,
}

impl Pushes {
    fn of(stats: &Stats) -> Pushes {
        let count = |name: &str| {
            let name = format!("extension_config_discovery.http_filter.latchkey.{name}");
            stats.get(&name).copied().unwrap_or_default()
        };
        Pushes {
            accepted: count("update_success"),
            rejected: count("update_rejected"),
            failed: count("update_failure"),
            applied: count("config_reload"),
        }
    }

    /// What became of the one file since `before`; none while the workers have not been told.
    fn news(self, before: Pushes) -> Option<News> {
        let is_applied = self.applied > before.applied;
        if self.failed > before.failed || (self.rejected > before.rejected && is_applied) {
            Some(News::Refused)
        } else if self.accepted > before.accepted && is_applied {
            Some(News::Taken)
        } else {
            None
        }
    }
}

/// `envoy/envoy.yaml` with this run's ports and files, and with what a system brings along. The log
/// names clients with their ports, by which tests find the line of a request.
pub fn front_bootstrap(scratch: &Scratch, upstream: SocketAddr, system: Option<&str>) -> String {
    let folder = scratch.path().display().to_string();
    let mut text = fs::read_to_string(repository("envoy/envoy.yaml")).unwrap();
    if let Some(system) = system {
        text = with_system(&text, system);
    }
    for (from, to) in [
        ("port_value: 9901}", "port_value: 0}"),
        ("port_value: 10000}", "port_value: 0}"),
        ("port_value: 10001}", &format!("port_value: {}}}", upstream.port())),
        ("/etc/latchkey", &folder),
        ("path: /dev/stdout", &format!("path: {folder}/access.log")),
        // Who connects, whatever is said of whose request it is.
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"),
    ] {
        text = replaced(&text, from, to);
    }
    text
}

/// A bootstrap that takes the native module by discovery.
pub fn as_module(bootstrap: &str) -> String {
    replaced(
        bootstrap,
        "envoy.extensions.filters.http.wasm.v3.Wasm]",
        "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter]",
    )
}

/// A bootstrap with the parts of a system at their places, as `envoy/demo` makes it.
fn with_system(bootstrap: &str, system: &str) -> String {
    let part = |place: &str| {
        let file = repository(&format!("envoy/systems/{system}.{place}.yaml"));
        fs::read_to_string(file).unwrap_or_default()
    };
    let with_part = |line: &str| match ["before", "behind", "host"]
        .into_iter()
        .find(|place| line.contains(&format!("# systems/NAME.{place}.yaml goes here")))
    {
        Some(place) => format!("{line}\n{}", part(place)),
        None => format!("{line}\n"),
    };
    bootstrap.lines().map(with_part).collect()
}

/// `envoy/upstream.yaml` with this run's port, an admin port, and a log of its reports: the answer
/// to a HEAD has no body that could hold one.
pub fn upstream_bootstrap(scratch: &Scratch) -> String {
    const FILTERS: &str = "                http_filters:\n";
    let log = format!(
        r#"                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: {}
                      log_format: {{text_format_source: {{inline_string: "%DYNAMIC_METADATA(echo:report)%\n"}}}}
{FILTERS}"#,
        scratch.file("reports.log").display()
    );
    let text = fs::read_to_string(repository("envoy/upstream.yaml")).unwrap();
    let text = replaced(&text, "port_value: 10001}", "port_value: 0}");
    let text = replaced(&text, FILTERS, &log);
    format!("admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\n{text}")
}

/// `text` with `from` replaced, which must be in it.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the file any more");
    text.replace(from, to)
}
