//! `latchkey doctor` on a real Envoy: for each mistake, what it says and what Envoy really does with a request without a key.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use serde_json::{Value, json};

use latchkey_cli::command::render::Code;
use latchkey_testing::gateway::front_bootstrap;
use latchkey_testing::{Connection, Envoy, Key, Scratch, ecds, ecds_of, module, system, wasm};

/// What Envoy answers where the request went on: nobody listens upstream.
const LET_THROUGH: u16 = 503;
/// What Latchkey answers.
const JUDGED: u16 = 401;
/// What the guard answers.
const REFUSED: u16 = 403;
/// What Envoy answers where a filter never came.
const NOT_DELIVERED: u16 = 500;

/// The shipped bootstrap and the policy in it, for a test to change.
struct Front {
    bootstrap: Value,
    ecds: String,
    scratch: Scratch,
}

impl Front {
    fn new() -> Front {
        let key = Key::new("a");
        let keys = json!([{"id": "a", "hash": key.hash(), "scopes": ["read"]}]);
        Front::of(&json!({"credentials": [{"header": "x-key"}], "keys": keys}).to_string(), None)
    }

    fn of(policy: &str, name: Option<&str>) -> Front {
        let scratch = Scratch::new();
        // A port that was free a moment ago, where nobody listens.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let bootstrap = yaml_serde::from_str(&front_bootstrap(&scratch, free, name)).unwrap();
        let ecds = ecds(&scratch, policy, &wasm());
        Front { bootstrap, ecds, scratch }
    }

    fn at(&mut self, pointer: &str) -> &mut Value {
        self.bootstrap.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"))
    }

    fn list(&mut self, pointer: &str) -> &mut Vec<Value> {
        self.at(pointer).as_array_mut().unwrap()
    }

    fn filters(&mut self) -> &mut Vec<Value> {
        self.list(&format!("{MANAGER}/http_filters"))
    }

    fn start(self) -> Running {
        self.scratch.replace("ecds.yaml", &self.ecds);
        let envoy = Envoy::start_quietly(&self.scratch, "front", &self.bootstrap.to_string());
        Running { address: envoy.listener(), envoy, scratch: self.scratch }
    }
}

struct Running {
    address: SocketAddr,
    envoy: Envoy,
    scratch: Scratch,
}

impl Running {
    /// What the command prints, and its exit code.
    fn run(&self, more: &[&str]) -> (String, Option<i32>) {
        let admin = format!("http://{}", self.envoy.admin_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        let ran = command.args(["doctor", "--admin", &admin]).args(more).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
        (String::from_utf8(ran.stdout).unwrap(), ran.status.code())
    }

    fn report(&self) -> Value {
        let (printed, code) = self.run(&["--format", "json"]);
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(code, Some(if report["protected"] == true { 0 } else { 1 }), "{printed}");
        report["proxies"][0].clone()
    }

    /// Each finding in one line.
    fn findings(&self) -> Vec<String> {
        let report = self.report();
        let line = |finding: &Value| {
            let text = |name: &str| finding[name].as_str().unwrap_or("-").to_owned();
            let routes: Vec<&str> = finding["routes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|own| own.as_str().unwrap())
                .collect();
            let place = format!("{} {}", text("listener"), text("chain"));
            format!("{} {} {place} {routes:?}", text("severity"), text("code")).replace(" []", "")
        };
        report["findings"].as_array().unwrap().iter().map(line).collect()
    }

    fn status(&self, path: &str) -> u16 {
        let mut connection = Connection::open(self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        connection.write(request.as_bytes()).unwrap();
        connection.response(false).unwrap().status
    }
}

const LISTENERS: &str = "/static_resources/listeners";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const GUARD: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/1";
const RULES: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/1/typed_config/rules";
const HOST: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0";

/// A mistake in the only chain, what it is called, and what Envoy does with a request without a key.
type Mistake = (fn(&mut Front), &'static [&'static str], u16);

const MISTAKES: &[Mistake] = &[
    (|_| {}, &[], JUDGED),
    (|front| drop(front.filters().remove(0)), &["error no_latchkey ingress 0"], REFUSED),
    (|front| drop(front.filters().drain(..2)), &["error no_latchkey ingress 0"], LET_THROUGH),
    (|front| drop(front.filters().remove(1)), &["error no_guard ingress 0"], JUDGED),
    (|front| front.filters().swap(0, 1), &["error guard_before_latchkey ingress 0"], REFUSED),
    (
        |front| {
            let rules = front.at(RULES).take();
            front.at(GUARD)["typed_config"] = json!({"@type": RBAC, "shadow_rules": rules});
        },
        &["error weak_guard ingress 0"],
        JUDGED,
    ),
    (|front| front.at(RULES)["action"] = json!("DENY"), &["error weak_guard ingress 0"], JUDGED),
    (
        |front| {
            let all = json!({"permissions": [{"any": true}], "principals": [{"any": true}]});
            front.at(RULES)["policies"]["all"] = all;
        },
        &["error weak_guard ingress 0"],
        JUDGED,
    ),
    (|front| front.at(GUARD)["disabled"] = json!(true), &["error guard_off ingress 0"], JUDGED),
    (
        |front| front.filters()[0]["disabled"] = json!(true),
        &["error latchkey_off ingress 0"],
        REFUSED,
    ),
    (
        // Writes the decision before Latchkey is asked.
        |front| {
            let own = json!({"object_key": "wasm.latchkey", "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": "allow all"}}});
            let config = json!({"@type": SET_FILTER_STATE, "on_request_headers": [own]});
            front.filters().remove(0);
            front.filters().insert(0, json!({"name": "a", "typed_config": config}));
        },
        &["error forged_decision ingress 0", "error no_latchkey ingress 0"],
        LET_THROUGH,
    ),
    (
        |front| front.ecds = front.ecds.replace("FAIL_RELOAD", "FAIL_OPEN"),
        &["error fail_open ingress 0"],
        JUDGED,
    ),
    (
        // Refused before it was ever served.
        |front| front.ecds = front.ecds.replace("\"keys\"", "\"kees\""),
        &["error no_policy ingress 0", "error update_refused ingress 0"],
        NOT_DELIVERED,
    ),
    (
        |front| front.ecds = "resources: []\nversion_info: \"1\"\n".to_owned(),
        &["error not_delivered ingress 0"],
        NOT_DELIVERED,
    ),
    (
        // Of the filter that runs Latchkey only where its matcher does not say otherwise.
        |front| {
            let resource: Value = yaml_serde::from_str(&front.ecds).unwrap();
            let plugin = resource["resources"][0]["typed_config"].clone();
            let config = json!({
                "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
                "extension_config": {"name": "latchkey", "typed_config": plugin},
                "xds_matcher": {"matcher_tree": {
                    "input": {"name": "path", "typed_config": {
                        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                        "header_name": "x-skip",
                    }},
                    "exact_match_map": {"map": {"yes": {"action": {"name": "skip", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter",
                    }}}}},
                }},
            });
            front.filters()[0] = json!({"name": "latchkey", "typed_config": config});
        },
        &["error latchkey_conditional ingress 0"],
        JUDGED,
    ),
    (
        |front| {
            let config = json!({"@type": CORS});
            front.filters().insert(2, json!({"name": "cors", "typed_config": config}));
            let policy = json!({"@type": CORS_POLICY, "allow_origin_string_match": [{"exact": "https://a"}]});
            front.at(HOST)["typed_per_filter_config"] = json!({"cors": policy});
        },
        &["warning cors_after_latchkey ingress 0"],
        JUDGED,
    ),
    (
        |front| {
            let config = json!({"@type": HEALTH_CHECK, "pass_through_mode": false,
                "headers": [{"name": ":path", "string_match": {"exact": "/up"}}]});
            front.filters().insert(0, json!({"name": "health", "typed_config": config}));
        },
        &["note health_check_before_latchkey ingress 0"],
        JUDGED,
    ),
    (
        // An upgrade has filters of its own, which stand in place of all others.
        |front| {
            let router = front.filters().last().unwrap().clone();
            front.at(MANAGER)["upgrade_configs"] =
                json!([{"upgrade_type": "websocket", "filters": [router]}]);
        },
        &["error no_latchkey ingress 0 (upgrade websocket)"],
        JUDGED,
    ),
    (
        |front| {
            let mut open = front.at(LISTENERS)[0].clone();
            open["name"] = json!("open");
            let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
            open.pointer_mut(filters).unwrap().as_array_mut().unwrap().drain(..2);
            front.list(LISTENERS).push(open);
        },
        &["error no_latchkey open 0"],
        JUDGED,
    ),
    (
        |front| {
            let mut open = front.at(LISTENERS)[0]["filter_chains"][0].clone();
            open["filters"][0]["typed_config"]["http_filters"].as_array_mut().unwrap().remove(1);
            front.at(LISTENERS)[0]["default_filter_chain"] = open;
        },
        &["error no_guard ingress default"],
        JUDGED,
    ),
    (
        // What only redirects needs no protection.
        |front| {
            let mut plain = front.at(LISTENERS)[0].clone();
            plain["name"] = json!("plain");
            let manager = plain.pointer_mut("/filter_chains/0/filters/0/typed_config").unwrap();
            manager["http_filters"].as_array_mut().unwrap().drain(..2);
            manager["route_config"]["virtual_hosts"][0]["routes"] =
                json!([{"match": {"prefix": "/"}, "redirect": {"https_redirect": true}}]);
            front.list(LISTENERS).push(plain);
        },
        &[],
        JUDGED,
    ),
    (
        |front| {
            let config = json!({"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": "upstream"});
            let filter = json!({"name": "tcp", "typed_config": config});
            let address = front.at(LISTENERS)[0]["address"].clone();
            let chains = json!([{"name": "raw", "filters": [filter]}]);
            front
                .list(LISTENERS)
                .push(json!({"name": "tcp", "address": address, "filter_chains": chains}));
        },
        &["note not_http tcp raw"],
        JUDGED,
    ),
];

const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
const CORS: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
const CORS_POLICY: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";
const HEALTH_CHECK: &str =
    "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck";
const SET_FILTER_STATE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config";
const TCP_PROXY: &str =
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

#[test]
fn each_mistake_in_a_chain_is_told_as_what_it_is() {
    for (index, (change, expected, status)) in MISTAKES.iter().enumerate() {
        let mut front = Front::new();
        change(&mut front);
        let running = front.start();
        assert_eq!(running.findings(), *expected, "mistake {index}");
        assert_eq!(running.status("/"), *status, "mistake {index}: {expected:?}");
    }
}

/// A route has its say about each filter.
#[test]
fn a_route_that_turns_a_filter_off_is_named() {
    const FILTER_CONFIG: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
    let off = json!({"@type": FILTER_CONFIG, "disabled": true});
    let no_rules =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"});
    for (filters, expected, status) in [
        (
            json!({"latchkey": off, "guard": off}),
            "error latchkey_off ingress 0 [\"upstream /open\"]",
            LET_THROUGH,
        ),
        (json!({"latchkey": off}), "error latchkey_off ingress 0 [\"upstream /open\"]", REFUSED),
        (json!({"guard": off}), "error guard_off ingress 0 [\"upstream /open\"]", JUDGED),
        (json!({"guard": no_rules}), "error no_guard ingress 0 [\"upstream /open\"]", JUDGED),
    ] {
        let mut front = Front::new();
        let route = json!({"match": {"path": "/open"}, "route": {"cluster": "upstream"}, "typed_per_filter_config": filters});
        front.list(&format!("{HOST}/routes")).insert(0, route);
        let running = front.start();
        assert_eq!(running.findings(), [expected]);
        assert_eq!((running.status("/open"), running.status("/")), (status, JUDGED), "{expected}");
    }
    // Off for all routes but those that turn it on, as Envoy Gateway does it.
    let mut front = Front::new();
    front.filters()[0]["disabled"] = json!(true);
    let on = json!({"latchkey": {"@type": FILTER_CONFIG, "config": {}}});
    front.at(&format!("{HOST}/routes"))[0]["typed_per_filter_config"] = on;
    let running = front.start();
    assert_eq!((running.findings(), running.status("/")), (vec![], JUDGED));
}

/// Where a listener hands on to an internal one, one of the two must judge.
#[test]
fn an_internal_listener_counts_where_nobody_has_judged_before() {
    for (outer, inner, expected, status) in [
        (true, false, vec![], JUDGED),
        (false, true, vec![], JUDGED),
        (false, false, vec!["error no_latchkey inner 0"], LET_THROUGH),
    ] {
        let mut front = Front::new();
        front.bootstrap["bootstrap_extensions"] = json!([{"name": "envoy.bootstrap.internal_listener", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}]);
        let mut copy = front.at(LISTENERS)[0].clone();
        copy["name"] = json!("inner");
        copy.as_object_mut().unwrap().remove("address");
        copy["internal_listener"] = json!({});
        if !inner {
            let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
            copy.pointer_mut(filters).unwrap().as_array_mut().unwrap().drain(..2);
        }
        if !outer {
            front.filters().drain(..2);
        }
        front.at(&format!("{HOST}/routes"))[0]["route"]["cluster"] = json!("inside");
        front.list(LISTENERS).push(copy);
        let address = json!({"envoy_internal_address": {"server_listener_name": "inner"}});
        let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
        front.list("/static_resources/clusters").push(json!({
            "name": "inside", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "inside", "endpoints": endpoints},
        }));
        let running = front.start();
        assert_eq!(running.findings(), expected, "{outer} {inner}");
        assert_eq!(running.status("/"), status, "{outer} {inner}");
    }
}

/// All is where it belongs, and yet nobody is refused.
#[test]
fn a_policy_that_only_observes_protects_nothing() {
    let policy = |mode: &str, of_rule: &str| {
        format!(
            r#"{{"mode": "{mode}", "credentials": [{{"header": "x-key"}}], "keys": [],
                "rules": [{{"paths": ["/a"]{of_rule}}}]}}"#
        )
    };
    let running = Front::of(&policy("observe", ""), None).start();
    assert_eq!(running.findings(), ["error only_observed ingress 0"]);
    assert_eq!(running.status("/"), LET_THROUGH);
    let (printed, code) = running.run(&[]);
    assert!(printed.contains("error[only_observed]: the policy only observes"), "{printed}");
    assert_eq!(code, Some(1), "{printed}");
    drop(running);
    let running = Front::of(&policy("enforce", r#", "mode": "observe""#), None).start();
    assert_eq!(running.findings(), ["warning rule_only_observed ingress 0"]);
    assert_eq!(running.status("/"), JUDGED);
    assert_eq!(running.run(&[]).1, Some(0));
}

#[test]
fn sessions_must_be_handed_to_the_native_module() {
    let flowyte = || {
        let policy = system("flowyte");
        let mut front = Front::of(&policy, Some("flowyte"));
        let discovery = front.filters().iter_mut().find(|filter| filter["name"] == "latchkey");
        discovery.unwrap()["config_discovery"]["type_urls"] = json!([
            "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
        ]);
        let module = module().display().to_string();
        front.ecds = ecds_of(&front.scratch, &policy, Code::Module(&module));
        let keys = include_str!("../../envoy/systems/flowyte.jwks.json");
        front.scratch.replace("jwks.json", keys);
        front
    };
    let running = flowyte().start();
    assert_eq!(running.findings(), [""; 0]);
    let policy = &running.report()["policies"][0];
    assert_eq!(policy["module"], module().display().to_string());
    assert_eq!(policy["on_failure"], "exit");
    let mut front = flowyte();
    front.filters().retain(|filter| filter["name"] != "latchkey-session");
    assert_eq!(front.start().findings(), ["error sessions_not_handed_over ingress 0"]);
}

#[test]
fn sessions_need_jwt_authn_before_latchkey() {
    let flowyte = || {
        let front = Front::of(&system("flowyte"), Some("flowyte"));
        let keys = include_str!("../../envoy/systems/flowyte.jwks.json");
        front.scratch.replace("jwks.json", keys);
        front
    };
    assert_eq!(flowyte().start().findings(), [""; 0]);
    let mut front = flowyte();
    let is_jwt = |filter: &Value| filter["name"].as_str().unwrap().contains("jwt_authn");
    let index = front.filters().iter().position(is_jwt).unwrap();
    let jwt = front.filters().remove(index);
    let router = front.filters().len() - 1;
    front.filters().insert(router, jwt);
    assert_eq!(front.start().findings(), ["error jwt_authn_after_latchkey ingress 0"]);
    let mut front = flowyte();
    front.filters().remove(index);
    assert_eq!(front.start().findings(), ["error no_jwt_authn ingress 0"]);
}

#[test]
fn a_refused_update_is_told_while_the_old_policy_serves() {
    let front = Front::new();
    let good = front.ecds.clone();
    let running = front.start();
    let (told, code) = running.run(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with("filter `latchkey`: 1 key, version "), "{told}");
    assert!(told.ends_with("\nprotected: 1 of 1 HTTP filter chain\n"), "{told}");
    let report = running.report();
    let policy = &report["policies"][0];
    let version = policy["version"].as_str().unwrap().to_owned();
    assert_eq!(policy["version_in_force"], version.as_str());

    let broken = good.replace("\"keys\"", "\"kees\"").replace(&version, "other");
    running.scratch.replace("ecds.yaml", &broken);
    let rejected = "extension_config_discovery.http_filter.latchkey.update_rejected";
    latchkey_testing::until("the refusal", || {
        (running.envoy.stats().get(rejected) == Some(&1)).then_some(())
    });
    let report = running.report();
    assert_eq!(report["policies"][0]["version_in_force"], version.as_str());
    let (told, code) = running.run(&[]);
    let refused = format!(
        "error[update_refused]: filter `latchkey`: Envoy refuses version other and goes on serving {version}\n"
    );
    assert!(told.contains(&refused), "{told}");
    assert_eq!((code, running.status("/")), (Some(1), JUDGED));
}

#[test]
fn a_proxy_without_http_protects_nothing() {
    let mut front = Front::new();
    let config = json!({"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": "upstream"});
    front.at(LISTENERS)[0]["filter_chains"][0]["filters"][0] =
        json!({"name": "tcp", "typed_config": config});
    assert_eq!(front.start().findings(), ["error no_http - -", "note not_http ingress 0"]);

    let mut front = Front::new();
    front.at(&format!("{HOST}/routes"))[0] =
        json!({"match": {"prefix": "/"}, "direct_response": {"status": 204}});
    assert_eq!(front.start().findings(), ["error no_route - -"]);
}

/// By the same code, and without failing: the policy is in force.
#[test]
fn a_push_warns_where_the_proxy_is_open() {
    for (is_guarded, expected) in [
        (true, String::new()),
        (
            false,
            "warning: this Envoy is not protected: listener `ingress`, chain `0`: error[no_guard]: there is no guard \
             behind Latchkey: a worker in which Latchkey fails to start lets every request through\n"
                .to_owned(),
        ),
    ] {
        let mut front = Front::new();
        if !is_guarded {
            front.filters().remove(1);
        }
        let running = front.start();
        let policy = running.scratch.replace("policy.yaml", "credentials: [{header: x-key}]\nkeys: []\n");
        let ecds = running.scratch.file("ecds.yaml");
        let admin = format!("http://{}", running.envoy.admin_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.arg("push").arg(policy).arg("--ecds").arg(ecds).args(["--admin", &admin]);
        let ran = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stderr), expected);
        assert_eq!(ran.status.code(), Some(0));
    }
}
