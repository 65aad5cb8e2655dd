//! One Prometheus with the rules of `ops/`, their times shortened.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use latchkey_testing::{Connection, Scratch, repository, until};

/// In place of every span of time that a rule asks for: long enough for what a test does in one go.
const WINDOW: &str = "60s";

/// A running Prometheus, killed when dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    targets: Vec<Value>,
    scratch: Scratch,
}

/// An alert that fires: the job that it is about, and its name.
pub(crate) type Firing = (String, String);

impl Prometheus {
    pub(crate) fn start() -> Prometheus {
        let scratch = Scratch::new();
        scratch.replace("targets.json", "[]");
        let rules = |name: &str| fs::read_to_string(repository(&format!("ops/{name}"))).unwrap();
        scratch.replace("recording-rules.yaml", &rules("recording-rules.yaml"));
        scratch.replace("alert-rules.yaml", &hastened(&rules("alert-rules.yaml")));
        let configuration = "
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [recording-rules.yaml, alert-rules.yaml]
scrape_configs:
  - job_name: latchkey
    metrics_path: /stats/prometheus
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
";
        let file = scratch.replace("prometheus.yaml", configuration);
        let log = scratch.file("prometheus.log");
        let process = Command::new(tool("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", scratch.file("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(File::create(scratch.file("prometheus.out")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        // As a `Prometheus`, so that it ends with this call in any case.
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut prometheus = Prometheus { process, address, targets: Vec::new(), scratch };
        prometheus.address = until("the address of Prometheus", || {
            let log = fs::read_to_string(&log).unwrap();
            let addresses = log.split("address=").skip(1);
            let mut ports = addresses.filter_map(|rest| {
                rest.split_whitespace().next()?.trim_matches('"').parse::<SocketAddr>().ok()
            });
            ports.find(|address| address.port() > 0)
        });
        until("Prometheus to be ready", || prometheus.get("/-/ready"));
        prometheus
    }

    /// Asks this admin port as a job of that name, and waits until it has answered.
    pub(crate) fn scrape(&mut self, job: &str, admin: SocketAddr) {
        let labels = json!({"job": job, "instance": job});
        self.targets.push(json!({"targets": [admin.to_string()], "labels": labels}));
        self.scratch.replace("targets.json", &Value::from(self.targets.clone()).to_string());
        let query = format!("up{{job=\"{job}\"}} == 1");
        until(&format!("an answer of {job}"), || (!self.ask(&query).is_empty()).then_some(()));
    }

    /// The samples that a query gives now, each with `metric` and `value`.
    pub(crate) fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.api(&format!("query?query={}", escaped(query)));
        let result = &answer["data"]["result"];
        result.as_array().unwrap_or_else(|| panic!("`{query}`: {answer}")).clone()
    }

    /// The series that a query gives of the last `seconds`, each with `metric` and `values`.
    pub(crate) fn ask_range(&self, query: &str, end: f64, seconds: f64) -> Vec<Value> {
        let path = format!(
            "query_range?query={}&start={}&end={end}&step=1",
            escaped(query),
            end - seconds
        );
        let answer = self.api(&path);
        let result = &answer["data"]["result"];
        result.as_array().unwrap_or_else(|| panic!("`{query}`: {answer}")).clone()
    }

    /// Every alert that fires.
    pub(crate) fn firing(&self) -> BTreeSet<Firing> {
        let answer = self.api("alerts");
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        let label = |alert: &Value, name: &str| {
            alert["labels"][name].as_str().unwrap_or_default().to_owned()
        };
        firing.map(|alert| (label(alert, "job"), label(alert, "alertname"))).collect()
    }

    /// Waits until every rule has been evaluated since now; a rule that cannot be fails the test.
    pub(crate) fn all_rules_are_evaluated(&self) {
        let evaluated = || {
            let answer = self.api("rules");
            let groups = answer["data"]["groups"].as_array().unwrap().clone();
            let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
            rules.collect::<Vec<_>>()
        };
        let times = |rules: &[Value]| -> Vec<String> {
            rules.iter().map(|rule| rule["lastEvaluation"].to_string()).collect()
        };
        let before = times(&evaluated());
        let rules = until("every rule to be evaluated", || {
            let rules = evaluated();
            let is_new = times(&rules).iter().zip(&before).all(|(new, old)| new > old);
            (is_new && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
        });
        for rule in rules {
            assert_eq!(rule["health"], "ok", "{rule:#}");
        }
    }

    fn api(&self, path: &str) -> Value {
        let text = self.get(&format!("/api/v1/{path}")).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What it answers; none while it does not answer 200, but for queries, whose refusals say why.
    fn get(&self, path: &str) -> Option<String> {
        let mut connection = Connection::open(self.address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: prometheus\r\n\r\n");
        connection.write(request.as_bytes()).ok()?;
        let response = connection.response(false).ok()?;
        (response.status == 200 || path.starts_with("/api/")).then(|| response.text())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program of Debian's package of Prometheus.
pub(crate) fn tool(name: &str) -> PathBuf {
    let program = repository(&format!(".tools/{name}"));
    assert!(program.is_file(), "no `{}`: run `envoy/install-tools prometheus`", program.display());
    program
}

/// Rules that ask for the last [`WINDOW`], and fire at once.
fn hastened(rules: &str) -> String {
    let mut lines = String::new();
    for line in rules.lines().filter(|line| !line.trim_start().starts_with("for: ")) {
        let mut parts = line.split('[');
        lines += parts.next().unwrap();
        for part in parts {
            let (_, rest) = part.split_once(']').unwrap();
            lines += &format!("[{WINDOW}]{rest}");
        }
        lines.push('\n');
    }
    assert_ne!(lines, rules);
    lines
}

fn escaped(query: &str) -> String {
    utf8_percent_encode(query, NON_ALPHANUMERIC).to_string()
}
