//! Each alert fires for what it is about and for nothing else, and each query of the dashboard has an answer.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Gateway, Key, Setup, policies, repository, until, wasm};

use crate::picture;
use crate::prometheus::{Firing, Prometheus};

/// How many unknown keys a client presents: more than one for each second of the rules' shortened window.
const UNKNOWN: usize = 200;

#[test]
fn each_alert_fires_for_what_it_is_about_and_each_query_has_an_answer() {
    let mut prometheus = Prometheus::start();
    let good = Key::new("good_1");
    let healthy = ["module", "plain", "wasm"].map(|job| (job, healthy(job)));
    for (job, gateway) in &healthy {
        prometheus.scrape(job, gateway.admin_address());
        for _ in 0..3 {
            assert_eq!(status(gateway, &good.token), 200);
        }
        let query = format!("latchkey:allowed{{job=\"{job}\"}} == 3");
        until(&query, || (!prometheus.ask(&query).is_empty()).then_some(()));
    }
    prometheus.all_rules_are_evaluated();
    assert_eq!(prometheus.firing(), BTreeSet::new());

    let mut seen = Seen::default();
    for (job, gateway) in &healthy {
        for index in 0..UNKNOWN {
            assert_eq!(status(gateway, &format!("unknown-{index}")), 401);
        }
        for id in ["revoked", "expired", "revoked"] {
            assert_eq!(status(gateway, &Key::new(id).token), 401);
        }
        let broken = replaced(&gateway.ecds(policy()), "\"keys\":", "\"kees\":");
        gateway.push_ecds(&broken).unwrap_err();
        for alert in [
            "UnknownKeys",
            "RefusesMost",
            "RevokedKeyUsed",
            "ExpiredKeyUsed",
            "ConfigurationRefused",
        ] {
            seen.expect(&prometheus, job, alert);
        }
        // Under the same names, whoever counts.
        let own = format!("{{job=\"{job}\", policy=\"billing\", runtime=\"{job}\"}}");
        for (name, labels, value) in [
            ("denied", "reason=\"unknown_key\"", UNKNOWN),
            ("denied", "reason=\"revoked_key\"", 2),
            ("denied", "reason=\"expired_key\"", 1),
            ("key_allowed", "key=\"good_1\"", 3),
            ("key_denied", "key=\"revoked\"", 2),
        ] {
            let query = format!(
                "latchkey:{name}{} == {value}",
                replaced(&own, "}", &format!(", {labels}}}"))
            );
            until(&query, || (prometheus.ask(&query).len() == 1).then_some(()));
        }
        for (name, value) in [("keys", 3), ("undecided", 0)] {
            let query = format!("latchkey:{name}{own} == {value}");
            until(&query, || (prometheus.ask(&query).len() == 1).then_some(()));
        }
    }

    let [(_, module), _, (_, wasm)] = &healthy;
    for index in 0..25 {
        let mut policy = policy();
        policy["realm"] = json!(format!("realm {index}"));
        wasm.push(policy);
    }
    seen.expect(&prometheus, "wasm", "PushedOften");
    let mut policy = policy();
    policy["keys"] = json!([]);
    module.push(policy);
    seen.expect(&prometheus, "module", "NoKeys");

    let left_out = setup("60s").change_bootstrap(|text| {
        let filter = "- name: latchkey\n                    ";
        replaced(
            &watched(text, "60s"),
            filter,
            &format!("{filter}disabled: true\n                    "),
        )
    });
    let left_out = begin(&mut prometheus, "left-out", left_out, "latchkey:guard_refusals");
    assert_eq!(status(&left_out, &good.token), 403);
    seen.expect(&prometheus, "left-out", "GuardRefuses");

    let without = setup("60s").change_ecds(|_| "resources: [".to_owned());
    let without =
        begin(&mut prometheus, "without-policy", without, "latchkey:configurations_taken");
    assert_eq!(status(&without, &good.token), 500);
    seen.expect(&prometheus, "without-policy", "NotServing");

    let scratch = latchkey_testing::Scratch::new();
    fs::write(scratch.file("crashing.wasm"), wat::parse_str(CRASHING).unwrap()).unwrap();
    let crashing = setup("60s").wasm(&scratch.file("crashing.wasm"));
    let crashing = begin(&mut prometheus, "crashing", crashing, "latchkey:restarts");
    assert_eq!(status(&crashing, &good.token), 503);
    // Envoy starts the filter anew with the next request.
    assert_eq!(status(&crashing, &good.token), 503);
    seen.expect(&prometheus, "crashing", "Restarts");

    // Its watchdog misses a worker after 20 ms; this push takes some 65.
    let stalling = begin(&mut prometheus, "stalling", setup("0.02s"), "latchkey:stalls");
    stalling.push(policies::with_keys(50_000));
    seen.expect(&prometheus, "stalling", "Stalls");

    let mut policy = self::policy();
    policy["mode"] = json!("observe");
    let observing = Setup::new(policy).change_bootstrap(|text| watched(text, "60s"));
    let observing = begin(&mut prometheus, "observing", observing, "latchkey:observed_allowed");
    for token in [&good.token, "unknown"] {
        assert_eq!(status(&observing, token), 200);
    }
    seen.expect(&prometheus, "observing", "Observing");
    let query = "latchkey:observed_denied{job=\"observing\", reason=\"unknown_key\"} == 1";
    until(query, || (!prometheus.ask(query).is_empty()).then_some(()));

    prometheus.all_rules_are_evaluated();
    seen.look(&prometheus);
    assert_eq!(seen.fired, seen.expected);
    let alerts: BTreeSet<_> = seen.fired.iter().map(|(_, alert)| alert.clone()).collect();
    let rules = fs::read_to_string(repository("ops/alert-rules.yaml")).unwrap();
    let own = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    assert_eq!(alerts, own.map(str::to_owned).collect(), "an alert that no test has seen fire");

    each_query_of_the_dashboard_has_an_answer(&prometheus);
    picture::draw(&prometheus, &dashboard());
}

/// Alerts that fired, and those that should.
#[derive(Default)]
struct Seen {
    fired: BTreeSet<Firing>,
    expected: BTreeSet<Firing>,
}

impl Seen {
    fn look(&mut self, prometheus: &Prometheus) {
        self.fired.extend(prometheus.firing());
    }

    fn expect(&mut self, prometheus: &Prometheus, job: &str, alert: &str) {
        let firing = (job.to_owned(), format!("Latchkey{alert}"));
        self.expected.insert(firing.clone());
        until(&format!("{alert} about {job}"), || {
            self.look(prometheus);
            self.fired.contains(&firing).then_some(())
        });
    }
}

fn each_query_of_the_dashboard_has_an_answer(prometheus: &Prometheus) {
    let dashboard = dashboard();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        queries.extend(targets.iter().map(|target| target["expr"].as_str().unwrap()));
    }
    queries.extend(
        dashboard["annotations"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|own| own["expr"].as_str().unwrap()),
    );
    assert!(queries.len() > 20, "{queries:#?}");
    for query in queries {
        let own = with_variables(query);
        until(query, || (!prometheus.ask(&own).is_empty()).then_some(()));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let query = with_variables(query);
        let (series, label) = query.trim_start_matches("label_values(").split_once(", ").unwrap();
        let label = label.trim_end_matches(')');
        let values = prometheus.ask(&format!("count by ({label}) ({series})"));
        assert!(
            values.iter().any(|value| value["metric"][label].is_string()),
            "{query}: {values:?}"
        );
    }
}

pub(crate) fn dashboard() -> Value {
    let text = fs::read_to_string(repository("ops/grafana-dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A query as Grafana sends it when nothing is chosen.
pub(crate) fn with_variables(query: &str) -> String {
    let query =
        query.replace("$job", ".*").replace("$policy", ".*").replace("$__rate_interval", "60s");
    assert!(!query.contains('$'), "{query}");
    query.replace("[5m]", "[60s]").replace("[1m]", "[60s]")
}

/// An Envoy that serves the policy as the native module, as the filter without tags, or as the filter with them.
fn healthy(job: &str) -> Gateway {
    match job {
        "module" => setup("60s").module(),
        "plain" => setup("60s").change_bootstrap(|text| {
            let (start, rest) = text.split_once("stats_config:\n").unwrap();
            let (_, rest) = rest.split_once("static_resources:\n").unwrap();
            watched(&format!("{start}static_resources:\n{rest}"), "60s")
        }),
        _ => setup("60s"),
    }
    .start()
}

fn setup(patience: &'static str) -> Setup {
    Setup::new(policy()).wasm(&wasm()).change_bootstrap(move |text| watched(text, patience))
}

/// With a watchdog that misses workers after so long: a machine that is busy with other work must stall none by itself.
fn watched(bootstrap: &str, patience: &str) -> String {
    format!("watchdogs: {{worker_watchdog: {{miss_timeout: {patience}}}}}\n{bootstrap}")
}

/// Starts an Envoy, and waits until Prometheus has a sample of that series of it: an increase is one since then.
fn begin(prometheus: &mut Prometheus, job: &str, setup: Setup, series: &str) -> Gateway {
    let gateway = setup.start();
    prometheus.scrape(job, gateway.admin_address());
    let query = format!("{series}{{job=\"{job}\"}}");
    until(&query, || (!prometheus.ask(&query).is_empty()).then_some(()));
    gateway
}

fn policy() -> Value {
    json!({
        "name": "billing",
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [
            {"id": "good_1", "hash": Key::new("good_1").hash(), "scopes": ["*:read"]},
            {"id": "revoked", "hash": Key::new("revoked").hash(), "scopes": ["*:read"], "disabled": true},
            {"id": "expired", "hash": Key::new("expired").hash(), "scopes": ["*:read"], "expires_at": 1_700_000_000},
        ],
    })
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/", &[("authorization", &format!("Bearer {token}"))]).response.status
}

/// A filter that is configured well, and traps on each request.
const CRASHING: &str = r#"
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))
"#;
