//! `latchkey doctor` on dumps in the shapes of Istio and Envoy Gateway, made here: of their parts that matter, as their control
//! planes write them (Istio 1.31, Envoy Gateway 1.9).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Directory, HASH, TestCommand, directory};

/// A whole dump of these listeners, extensions and routes, as `/config_dump` prints it.
fn dump(node: &Value, listeners: &Value, extensions: &Value, routes: &Value) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}ConfigDump");
    json!({"configs": [
        {"@type": kind("Bootstrap"), "bootstrap": {"node": node}},
        {"@type": kind("Clusters")},
        {"@type": kind("Ecds"), "ecds_filters": extensions},
        {"@type": kind("Listeners"), "static_listeners": listeners["static"], "dynamic_listeners": listeners["dynamic"]},
        {"@type": kind("ScopedRoutes")},
        {"@type": kind("Routes"), "dynamic_route_configs": routes},
    ]})
}

fn listener(message: &Value) -> Value {
    json!({"name": message["name"], "active_state": {"listener": message}})
}

/// A filter chain of HTTP with these filters, and the router.
fn chain(name: &str, routes: &str, filters: &[Value]) -> Value {
    let mut filters = filters.to_vec();
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    json!({"name": name, "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": routes}, "http_filters": filters,
    }}]})
}

/// A route configuration with one route for each of these, with what it says of filters.
fn routes(name: &str, of: &[Value]) -> Value {
    let route = |(index, own): (usize, &Value)| {
        let name = format!("httproute/default/app/rule/{index}/match/0/*");
        json!({"name": name, "match": {"prefix": "/"}, "route": {"cluster": "app"}, "typed_per_filter_config": own})
    };
    let routes: Vec<Value> = of.iter().enumerate().map(route).collect();
    json!({"route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}})
}

fn plugin(policy: &str) -> Value {
    json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
        "name": "latchkey", "failure_policy": "FAIL_RELOAD", "vm_config": {"code": {"local": {"filename": "/var/lib/istio/data/a.wasm"}}},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy},
    }})
}

fn policy() -> String {
    let keys = json!([{"id": "a", "hash": HASH, "scopes": ["read"]}]);
    json!({"name": "shop", "credentials": [{"header": "x-key"}], "keys": keys}).to_string()
}

/// What an `EnvoyFilter` puts before the router.
fn guard() -> Value {
    json!({"name": "latchkey-guard", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"policies": {"latchkey-allowed": {
            "permissions": [{"any": true}],
            "principals": [{"filter_state": {"key": "wasm.latchkey", "string_match": {"prefix": "allow "}}}],
        }}},
    }})
}

/// Of a `WasmPlugin`; the misspelling is Istio's.
const PLUGIN: &str = "extenstions.istio.io/wasmplugin/istio-system.latchkey";

fn discovered() -> Value {
    json!({"name": PLUGIN, "config_discovery": {"config_source": {"ads": {}}}})
}

fn extension(config: &Value) -> Value {
    json!({"version_info": "2026-11-26T18:00:00Z/7", "ecds_filter": {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": PLUGIN, "typed_config": config}})
}

/// A proxy of Istio, with the listeners for probes and statistics that each has.
fn istio(kind: &str, listeners: &[Value], extensions: &Value) -> Value {
    let own = |port: u16| {
        let address = json!({"socket_address": {"address": "0.0.0.0", "port_value": port}});
        json!({"listener": {"address": address, "filter_chains": [chain("", "own", &[])]}})
    };
    let node = json!({"id": format!("{kind}~10.0.0.1~pod.ns~ns.svc.cluster.local"), "metadata": {"ISTIO_VERSION": "1.31.0"}});
    let dynamic: Vec<Value> = listeners.iter().map(listener).collect();
    let listeners = json!({"static": [own(15021), own(15090)], "dynamic": dynamic});
    dump(&node, &listeners, extensions, &json!([routes("http.8080", &[json!({})])]))
}

/// An inbound and an outbound listener, as a sidecar has them.
fn sidecar(inbound: &[Value], extensions: &Value) -> Value {
    let tcp = json!({"name": "virtualInbound", "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": "InboundPassthroughCluster"}}]});
    let inbound = json!({"name": "virtualInbound", "traffic_direction": "INBOUND",
        "filter_chains": [chain("0.0.0.0_8080", "http.8080", inbound), tcp]});
    let outbound = json!({"name": "0.0.0.0_80", "traffic_direction": "OUTBOUND", "filter_chains": [chain("", "http.8080", &[])]});
    istio("sidecar", &[inbound, outbound], extensions)
}

/// Each finding in one line, and whether the proxies are protected.
fn findings(dump: &Value) -> (Vec<String>, bool) {
    let directory = Directory::new();
    directory.write("dump.json", &dump.to_string());
    let printed = TestCommand::new(&directory, "doctor dump.json --format json").everything();
    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
    let proxies = report["proxies"].as_array().unwrap();
    let findings = proxies.iter().flat_map(|proxy| proxy["findings"].as_array().unwrap());
    let line = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap_or("-");
        format!("{} {} {} {}", text("severity"), text("code"), text("listener"), text("chain"))
    };
    (findings.map(line).collect(), report["protected"] == true)
}

fn of(findings: &[&str]) -> Vec<String> {
    findings.iter().map(|finding| (*finding).to_owned()).collect()
}

#[test]
fn a_sidecar_of_istio_is_judged_by_what_comes_in() {
    const TCP: &str = "note not_http virtualInbound virtualInbound";
    let served = json!([extension(&plugin(&policy()))]);
    let both = [discovered(), guard()];
    assert_eq!(findings(&sidecar(&both, &served)), (of(&[TCP]), true));
    for (filters, extensions, error) in [
        (vec![guard()], &served, "error no_latchkey virtualInbound 0.0.0.0_8080"),
        (vec![], &served, "error no_latchkey virtualInbound 0.0.0.0_8080"),
        (vec![discovered()], &served, "error no_guard virtualInbound 0.0.0.0_8080"),
        (
            vec![guard(), discovered()],
            &served,
            "error guard_before_latchkey virtualInbound 0.0.0.0_8080",
        ),
        // Not there yet, and replaced since the module cannot be had.
        (both.to_vec(), &json!([]), "error not_delivered virtualInbound 0.0.0.0_8080"),
        (
            both.to_vec(),
            &json!([extension(&guard()["typed_config"])]),
            "error not_delivered virtualInbound 0.0.0.0_8080",
        ),
        (
            both.to_vec(),
            &json!([extension(&plugin(""))]),
            "error no_policy virtualInbound 0.0.0.0_8080",
        ),
        (
            both.to_vec(),
            &json!([extension(&plugin("{\"keys\": []}"))]),
            "error no_policy virtualInbound 0.0.0.0_8080",
        ),
        (
            both.to_vec(),
            &json!([extension(
                &json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {"failure_policy": "FAIL_RELOAD"}})
            )]),
            "error no_policy virtualInbound 0.0.0.0_8080",
        ),
    ] {
        assert_eq!(findings(&sidecar(&filters, extensions)), (of(&[error, TCP]), false));
    }
    let mut refused = served.clone();
    refused[0]["error_state"] = json!({"details": "no such file"});
    assert_eq!(
        findings(&sidecar(&both, &refused)),
        (of(&["error update_refused virtualInbound 0.0.0.0_8080", TCP]), false)
    );
}

/// Its outer listener only ends the tunnel; one that leaves it is TCP.
#[test]
fn a_waypoint_of_istio_is_judged_inside() {
    let served = json!([extension(&plugin(&policy()))]);
    let inside = |filters: &[Value]| {
        json!({"name": "main_internal", "internal_listener": {},
            "filter_chains": [chain("inbound-vip|80|http|app", "http.8080", filters), chain("direct-http", "http.8080", filters)]})
    };
    let waypoint = |filters: &[Value]| {
        let terminate =
            json!({"name": "connect_terminate", "filter_chains": [chain("", "terminate", &[])]});
        let mut dump = istio("waypoint", &[terminate, inside(filters)], &served);
        let to_inside = json!({"route_config": {"name": "terminate", "virtual_hosts": [{"name": "all", "routes": [
            {"match": {"connect_matcher": {}}, "route": {"cluster": "main_internal"}}]}]}});
        dump["configs"][5]["dynamic_route_configs"].as_array_mut().unwrap().push(to_inside);
        let address = json!({"envoy_internal_address": {"server_listener_name": "main_internal"}});
        dump["configs"][1]["static_clusters"] = json!([{"cluster": {"name": "main_internal", "load_assignment": {
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}}}]);
        dump
    };
    assert_eq!(findings(&waypoint(&[discovered(), guard()])), (vec![], true));
    let errors = [
        "error no_latchkey main_internal inbound-vip|80|http|app",
        "error no_latchkey main_internal direct-http",
    ];
    assert_eq!(findings(&waypoint(&[])), (of(&errors), false));
    // The same through a listener of TCP.
    let mut open = waypoint(&[]);
    let filter = json!({"name": "tcp", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": "main_internal"}});
    open["configs"][3]["dynamic_listeners"][0]["active_state"]["listener"]["filter_chains"] =
        json!([{"filters": [filter]}]);
    let [first, second] = errors;
    let all = [first, second, "note not_http connect_terminate 0"];
    assert_eq!(findings(&open), (of(&all), false));
}

/// Whatever it is called; and another plugin that has Latchkey's name around it is not.
#[test]
fn latchkey_is_known_by_what_it_is() {
    let named = |name: &str, config: Value| json!({"name": name, "typed_config": config});
    let gateway = |filters: &[Value]| {
        let listener = json!({"name": "http", "filter_chains": [chain("", "http.8080", filters)]});
        findings(&istio("router", &[listener], &json!([])))
    };
    let any = |value: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value});
    let module = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": "latchkey_1"}, "filter_name": "latchkey", "filter_config": any(&policy()),
    });
    let mut other_name = plugin(&policy());
    other_name["config"]["name"] = json!("auth");
    let mut structure = plugin("");
    let value: Value = serde_json::from_str(&policy()).unwrap();
    structure["config"]["configuration"] =
        json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value});
    for own in [module, other_name, structure] {
        assert_eq!(gateway(&[named("a", own), guard()]), (vec![], true));
    }
    let mut other = plugin("{}");
    other["config"]["name"] = json!("headers");
    let around =
        named("envoy.filters.http.wasm/envoyextensionpolicy/latchkey/headers/wasm/0", other);
    let expected = (of(&["error no_latchkey http 0"]), false);
    assert_eq!(gateway(&[around, guard()]), expected);

    let mut closing = plugin(&policy());
    closing["config"].as_object_mut().unwrap().remove("failure_policy");
    assert_eq!(
        gateway(&[named("a", closing.clone()), guard()]),
        (of(&["note no_reload http 0"]), true)
    );
    closing["config"]["fail_open"] = json!(true);
    assert_eq!(gateway(&[named("a", closing), guard()]), (of(&["error fail_open http 0"]), false));
}

/// Two chains with one filter, by discovery: each has its findings and its status.
#[test]
fn what_is_wrong_with_a_policy_is_told_for_each_chain_that_runs_it() {
    let mut broken = plugin("{");
    broken["config"]["failure_policy"] = json!("FAIL_OPEN");
    let served = json!([extension(&broken)]);
    let filters = [discovered(), guard()];
    let chains = [chain("a", "http.8080", &filters), chain("b", "http.8080", &filters)];
    let listener = json!({"name": "http", "filter_chains": chains});
    let directory = Directory::new();
    directory.write("dump.json", &istio("router", &[listener], &served).to_string());
    let printed = TestCommand::new(&directory, "doctor dump.json").everything();
    for chain in ["a", "b"] {
        let of = format!("listener `http`, chain `{chain}`: error");
        let mistake = "its configuration is not a policy that it takes: not JSON: EOF while parsing an object at line 1 \
                       column 1\n";
        for told in [
            format!("{of}[no_policy]: filter `{PLUGIN}`: {mistake}"),
            format!("{of}[fail_open]: filter `{PLUGIN}`: `FAIL_OPEN` lets"),
        ] {
            assert!(printed.contains(&told), "{told} in {printed}");
        }
    }
    assert!(printed.ends_with("\nnot protected: 0 of 2 HTTP filter chains\n"), "{printed}");
    let printed = TestCommand::new(&directory, "doctor dump.json --format json").everything();
    let report: Value = serde_json::from_str(&printed).unwrap();
    let chains = report["proxies"][0]["chains"].as_array().unwrap();
    let statuses: Vec<_> = chains.iter().filter(|chain| chain["listener"] == "http").collect();
    assert!(statuses.iter().all(|chain| chain["status"] == "not_protected"), "{printed}");
    assert_eq!(statuses.len(), 2);
}

/// Its listeners are marked as outbound.
#[test]
fn a_gateway_of_istio_is_judged_by_all_that_it_has() {
    let served = json!([extension(&plugin(&policy()))]);
    let listener = |name: &str, filters: &[Value]| json!({"name": name, "traffic_direction": "OUTBOUND", "filter_chains": [chain("", "http.8080", filters)]});
    let good = listener("0.0.0.0_8080", &[discovered(), guard()]);
    assert_eq!(findings(&istio("router", std::slice::from_ref(&good), &served)), (vec![], true));
    let open = istio("router", &[good.clone(), listener("0.0.0.0_8443", &[])], &served);
    assert_eq!(findings(&open), (of(&["error no_latchkey 0.0.0.0_8443 0"]), false));

    let mut warming = istio("router", &[good], &served);
    let state = &mut warming["configs"][3]["dynamic_listeners"][0];
    state["warming_state"] = json!({"listener": listener("0.0.0.0_8080", &[guard()])});
    state["error_state"] =
        json!({"details": "no such route", "failed_configuration": {"name": "0.0.0.0_8080"}});
    // As Envoy prints it: once more, without the name.
    let unnamed = json!({"error_state": state["error_state"]});
    warming["configs"][3]["dynamic_listeners"].as_array_mut().unwrap().push(unnamed);
    let errors =
        ["error update_refused 0.0.0.0_8080 -", "error no_latchkey 0.0.0.0_8080 (warming) 0"];
    assert_eq!(findings(&warming), (of(&errors), false));

    let none = istio("router", &[], &served);
    assert_eq!(findings(&none), (of(&["error no_http - -"]), false));
}

/// Of an `EnvoyExtensionPolicy`.
const EXTENSION: &str = "envoy.filters.http.wasm/envoyextensionpolicy/default/auth/wasm/0";

/// What a SecurityPolicy's rule in CEL becomes: rules for a route.
fn authorization(default: &str) -> Value {
    let state = json!({"call_expr": {"function": "_[_]", "args": [
        {"id": "1", "ident_expr": {"name": "filter_state"}},
        {"id": "2", "const_expr": {"string_value": "wasm.latchkey"}},
    ]}});
    let compare = |function: &str, bytes: &str| json!({"call_expr": {"function": function, "args": [state, {"const_expr": {"bytes_value": bytes}}]}});
    let both = [compare("_>=_", "YWxsb3cg"), compare("_<_", "YWxsb3ch")];
    let cel = json!({"cel_expr_parsed": {"expr": {"call_expr": {"function": "_&&_", "args": both}}, "source_info": {}}});
    let action = |name: &str| {
        let mut action =
            json!({"@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": name});
        if name == "DENY" {
            action["action"] = json!(name);
        }
        json!({"action": {"name": "a", "typed_config": action}})
    };
    let matcher = json!({"single_predicate": {
        "input": {"name": "cel", "typed_config": {"@type": "type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput"}},
        "custom_match": {"name": "cel_matcher", "typed_config": {
            "@type": "type.googleapis.com/xds.type.matcher.v3.CelMatcher", "expr_match": cel}},
    }});
    json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {"matcher": {
        "matcher_list": {"matchers": [{"predicate": matcher, "on_match": action("ALLOW")}]},
        "on_no_match": action(default),
    }}})
}

/// A proxy of Envoy Gateway: both filters in the chain, and turned on by each route; printed by `egctl`.
fn envoy_gateway(of_routes: &[Value]) -> Value {
    let mut wasm = plugin(&policy());
    wasm["config"]["vm_config"]["code"] = json!({"remote": {"http_uri": {"uri": "https://envoy-gateway:18002/a.wasm"}, "sha256": "0".repeat(64)}});
    let filters = [
        json!({"name": EXTENSION, "disabled": true, "typed_config": wasm}),
        json!({"name": "envoy.filters.http.rbac", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}}),
    ];
    let message = json!({"name": "default/eg/http", "default_filter_chain": chain("default/eg/http", "default/eg/http", &filters)});
    let ready = json!({"listener": {"name": "envoy-gateway-proxy-ready-0.0.0.0-19003", "filter_chains": [chain("", "own", &[])]}});
    let listeners = json!({"static": [ready], "dynamic": [listener(&message)]});
    let routes = json!([routes("default/eg/http", of_routes)]);
    let dump = dump(&json!({"id": "envoy"}), &listeners, &json!([]), &routes);
    json!({"envoy-gateway-system": {"envoy-default-eg": camel_case(&dump)}})
}

/// All fields as `egctl` prints them. Names of filters are no fields.
fn camel_case(value: &Value) -> Value {
    let field = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap().to_owned();
        words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(1);
            name + &initial.to_uppercase() + rest
        })
    };
    match value {
        Value::Array(items) => items.iter().map(camel_case).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (field(name), camel_case(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        value => value.clone(),
    }
}

#[test]
fn a_proxy_of_envoy_gateway_is_judged_route_by_route() {
    let on =
        json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let both = json!({EXTENSION: on, "envoy.filters.http.rbac": authorization("DENY")});
    assert_eq!(findings(&envoy_gateway(std::slice::from_ref(&both))), (vec![], true));
    for (route, code) in [
        (json!({}), "latchkey_off"),
        (json!({EXTENSION: on}), "no_guard"),
        (json!({"envoy.filters.http.rbac": authorization("DENY")}), "latchkey_off"),
        (json!({EXTENSION: on, "envoy.filters.http.rbac": authorization("ALLOW")}), "weak_guard"),
    ] {
        let expected = format!("error {code} default/eg/http default/eg/http");
        let (told, protected) = findings(&envoy_gateway(&[both.clone(), route]));
        assert_eq!((told, protected), (vec![expected], false));
    }
}

#[test]
fn people_are_told_where_and_what_to_do() {
    let directory = Directory::new();
    let on =
        json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let both = json!({EXTENSION: on, "envoy.filters.http.rbac": authorization("DENY")});
    directory.write("dump.json", &envoy_gateway(&[both, json!({EXTENSION: on})]).to_string());
    directory.write("policy.json", &policy());
    let rendered = TestCommand::new(&directory, "render policy.json --to json").output();
    let sha256 = hex::encode(Sha256::digest(rendered.as_bytes()));
    let zeros = "0".repeat(64);
    TestCommand::new(&directory, "doctor dump.json").prints(
        1,
        &format!(
            "envoy-gateway-system/envoy-default-eg, listener `default/eg/http`, chain `default/eg/http`: \
             error[no_guard]: there is no guard behind Latchkey: a worker in which Latchkey fails to start lets \
             every request through (route `httproute/default/app/rule/1/match/0/*`)\n  \
             help: put the guard behind Latchkey, as `latchkey render` prints it\n\
             filter `{EXTENSION}`: policy `shop`, 1 key, sha256 {sha256}, module \
             `https://envoy-gateway:18002/a.wasm` of sha256 {zeros}\n\
             envoy-gateway-system/envoy-default-eg: not protected: 0 of 1 HTTP filter chain\n"
        ),
        "",
    );
}

#[test]
fn what_is_no_dump_is_an_error() {
    let directory = directory();
    directory.write("listeners.json", "[{\"name\": \"ingress\"}]");
    directory.write("part.json", "{\"configs\": []}");
    const SHAPES: &str = "it has no `configs` (of `/config_dump`, `istioctl proxy-config all -o json` or `egctl config \
                          envoy-proxy all -o json`)";
    for (arguments, message) in [
        (
            "doctor policy.yaml",
            format!("`policy.yaml` is not a dump of an Envoy's configuration: {SHAPES}"),
        ),
        (
            "doctor listeners.json",
            format!("`listeners.json` is not a dump of an Envoy's configuration: {SHAPES}"),
        ),
        (
            "doctor part.json",
            "the dump does not tell of listeners: it must be of the whole configuration".to_owned(),
        ),
        (
            "doctor none.json",
            "cannot read `none.json`: No such file or directory (os error 2)".to_owned(),
        ),
    ] {
        TestCommand::new(&directory, arguments).prints(1, "", &format!("error: {message}\n"));
    }
    TestCommand::new(&directory, "doctor --admin localhost").prints(
        2,
        "",
        "error: `--admin` is an address such as `http://127.0.0.1:9901`, not `localhost`\n",
    );
    for arguments in ["doctor", "doctor dump.json --admin http://127.0.0.1:1"] {
        assert_eq!(TestCommand::new(&directory, arguments).code(), 2);
    }
}
