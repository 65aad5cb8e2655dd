//! What the built filter costs: the interpreter's fuel and the host calls of each kind of request,
//! held against `budget.json`. Fuel is not a clock, but the same module always burns the same, so a
//! request that became dearer fails here before it is seen in a benchmark.
//!
//! A change that is meant to cost more, or that made something cheaper, rewrites the file:
//!
//! ```sh
//! make wasm && LATCHKEY_WRITE_BUDGET=1 cargo test --workspace --test budget
//! ```

#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use latchkey::{Engine, Environment, limits};
use latchkey_testing::host::{Exchange, Headers, Host};
use latchkey_testing::policies;
use serde_json::{Value, json};

/// A token of the right shape that is not a key's.
const UNKNOWN: &str = "Bearer lk_live_000000000000000000unknown";

/// Fuel and host calls, by what was done.
type Costs = BTreeMap<String, (u64, usize)>;

#[test]
fn every_cost_is_within_its_budget() {
    let costs = measured();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/budget.json");
    if std::env::var_os("LATCHKEY_WRITE_BUDGET").is_some() {
        let budget = serde_json::to_string_pretty(&costs).unwrap();
        std::fs::write(&path, budget + "\n").unwrap();
        return;
    }
    let budget: Costs = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let wrong = deviations(&costs, &budget);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_deviation_is_told_in_either_direction() {
    let costs = |fuel, calls| Costs::from([("x".to_owned(), (fuel, calls))]);
    assert!(deviations(&costs(1_000, 4), &costs(1_000, 4)).is_empty());
    assert!(deviations(&costs(1_049, 4), &costs(1_000, 4)).is_empty());
    assert_eq!(
        deviations(&costs(1_051, 4), &costs(1_000, 4)),
        ["x: 1051 fuel, more than 5 % above its budget of 1000"]
    );
    assert_eq!(
        deviations(&costs(899, 4), &costs(1_000, 4)),
        ["x: 899 fuel, more than 10 % below its budget of 1000: lower the budget"]
    );
    assert_eq!(deviations(&costs(1_000, 5), &costs(1_000, 4)), ["x: 5 host calls instead of 4"]);
    assert_eq!(deviations(&costs(1, 1), &Costs::new()), ["x: not in the budget"]);
    assert_eq!(deviations(&Costs::new(), &costs(1, 1)), ["x: in the budget, and not measured"]);
}

/// What the issuer of many keys and the owner of many routes is promised.
#[test]
fn the_number_of_keys_and_rules_hardly_matters() {
    let fuel = |keys, rules| {
        let mut host = configured(&policies::with(keys, rules));
        // The last rule is the one that decides, for one of the last keys.
        let key = (keys - 1) / 4 * 4;
        let path = format!("/v1/service{}/items/7", rules.max(1) - 1);
        let exchange = warm(&mut host, &get(&path, &bearer(key), 0));
        assert_eq!(exchange.decision(), format!("allow key:key_{key:07}"));
        exchange.fuel
    };
    let (few, many) = (fuel(10, 0), fuel(20_000, 0));
    assert!(many * 5 <= few * 6, "20,000 keys cost {many}, 10 keys {few}");
    let (one, all) = (fuel(4, 1), fuel(4, 10_000));
    assert!(all * 2 <= one * 3, "10,000 rules cost {all}, one rule {one}");
}

#[test]
fn refusing_an_unknown_key_is_no_dearer_than_allowing() {
    let mut host = configured(&policies::with_keys(10));
    let allowed = warm(&mut host, &get("/", &bearer(0), 0));
    let refused = warm(&mut host, &get("/", UNKNOWN, 0));
    assert_eq!(refused.decision(), "deny unknown_key");
    assert!(refused.fuel <= allowed.fuel, "{} against {}", refused.fuel, allowed.fuel);
}

#[test]
fn a_body_costs_next_to_nothing_where_no_rule_reads_it() {
    let mut host = configured(&policies::with_keys(10));
    let request = get("/", &bearer(0), 0);
    let without = warm(&mut host, &request);
    let piece = vec![b'x'; 16 * 1024];
    let with = host.exchange_with_body(&request, &[piece.as_slice(); 64]);
    assert_eq!(with.decision(), without.decision());
    assert_eq!(with.calls, without.calls);
    let piece = (with.fuel - without.fuel) / 64;
    assert!(piece * 80 <= without.fuel, "{piece} a piece, the request {}", without.fuel);
}

/// Twice the length may cost twice as much, and not four times.
#[test]
fn a_graphql_document_costs_by_its_length() {
    let graphql = json!({"require": "{field}:{operation}", "nested": {}, "max_bytes": 1 << 20});
    let mut policy: Value = serde_json::from_str(&policies::with_keys(3)).unwrap();
    policy["rules"] = json!([{"paths": ["/graphql"], "graphql": graphql}]);
    let mut host = configured(&policy.to_string());
    let mut query = post("/graphql", &bearer(2));
    query.push(("content-type".to_owned(), b"application/graphql".to_vec()));
    let mut fuel = |document: &str| {
        let exchange = host.exchange_with_body(&query, &[document.as_bytes()]);
        assert_eq!(exchange.decision(), "allow key:key_0000002");
        exchange.fuel
    };
    let repeat =
        |count: usize, text: &dyn Fn(usize) -> String| -> String { (0..count).map(text).collect() };
    let operations = |count| {
        let fields = repeat(count, &|index| format!("f{index} "));
        repeat(count, &|index| format!("query Q{index} {{ ...F }} "))
            + &format!("fragment F on Q {{ {fields} }}")
    };
    let fragments = |count| {
        let chain = repeat(count, &|index| format!("fragment F{index} on Q {{ f{index} ...F0 }} "));
        let spreads = repeat(count, &|index| format!("...F{index} "));
        format!("{{ {spreads} }} {}", chain.replacen("...F0", "", 1))
    };
    let fields = |count| format!("{{ {} }}", repeat(count, &|index| format!("f{index} ")));
    let strings = |count| {
        let one =
            |index| format!("\"d\" # c\nquery Q{index} {{ f(a: \"\\n\", b: \"\"\"c\"\"\") }} ");
        repeat(count, &one)
    };
    let shapes: [&dyn Fn(usize) -> String; 4] = [&operations, &fragments, &fields, &strings];
    for shape in shapes {
        let (half, whole) = (fuel(&shape(200)), fuel(&shape(400)));
        assert!(whole <= half * 5 / 2, "{half} for half of it, {whole} for {:.60}", shape(400));
    }
}

/// A million keys are for `docs/benchmarks/core.md`: here they would take minutes.
#[test]
fn two_generations_of_keys_live_side_by_side() {
    const KEYS: usize = 20_000;
    let (first, second) = (policies::with_keys(KEYS - 1), policies::with_keys(KEYS));
    let mut host = Host::load();
    let empty = host.memory_bytes();
    assert!(host.configure(first.as_bytes()), "{:?}", host.logs());
    let loaded = host.memory_bytes() - empty;
    let stream = host.open();
    assert!(host.configure(second.as_bytes()), "{:?}", host.logs());
    let updated = host.memory_bytes() - empty;
    host.close(stream);

    // At most 100 bytes a key, and the strings: an id, and a fourth of an account, a key.
    let kept = KEYS * (100 + 11 + 3);
    assert!(loaded <= first.len() + 2 * kept, "{loaded} bytes for {} of JSON", first.len());
    assert!(updated <= first.len() + second.len() + 3 * kept, "{updated} bytes");
    // The text lies in one piece, so it may have to lie elsewhere once.
    let mut again = || {
        host.retire_old_configurations();
        assert!(host.configure(first.as_bytes()), "{:?}", host.logs());
        host.memory_bytes() - empty
    };
    let settled = [again(), again()][1];
    assert!(settled <= updated + first.len(), "{settled} bytes, {updated} before");
    for _ in 0..3 {
        assert_eq!(again(), settled, "updates one after the other take no more");
    }
}

/// A part besides the keys that is as large as it may be, and takes much.
#[test]
fn two_generations_of_rules_take_no_more_than_what_is_counted() {
    const MIB: usize = 1024 * 1024;
    // 10,000 rules that fill what a policy may have besides its keys.
    let mut policy: Value = serde_json::from_str(&policies::with(0, 0)).unwrap();
    let rule = |index: usize| {
        let paths: Vec<String> =
            (0..10).map(|path| format!("/s{index}/{{a}}/b{path}/{{c}}/d{index}")).collect();
        json!({"paths": paths, "require": ["items:{action}", "x:read"], "where": {"plan": "pro"}})
    };
    policy["rules"] = (0..10_000).map(rule).collect();
    let policy = policy.to_string();
    assert!((3 * MIB..4 * MIB).contains(&policy.len()), "{} bytes", policy.len());
    let mut host = Host::load();
    assert!(host.configure(policy.as_bytes()), "{:?}", host.logs());
    let stream = host.open();
    assert!(host.configure(policy.as_bytes()), "{:?}", host.logs());
    let taken = host.memory_bytes();
    host.close(stream);
    let engine = Engine::compile(policy.as_bytes(), &Environment::default()).unwrap();
    let counted = engine.memory().to_replace() - limits::HELD_BYTES - limits::REQUEST_BYTES;
    assert!(taken <= counted, "{} MiB and {} MiB", taken / MIB, counted / MIB);
}

fn deviations(costs: &Costs, budget: &Costs) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, (fuel, calls)) in costs {
        let Some((allowed, allowed_calls)) = budget.get(name) else {
            wrong.push(format!("{name}: not in the budget"));
            continue;
        };
        if fuel * 100 > allowed * 105 {
            wrong.push(format!("{name}: {fuel} fuel, more than 5 % above its budget of {allowed}"));
        } else if fuel * 100 < allowed * 90 {
            wrong.push(format!(
                "{name}: {fuel} fuel, more than 10 % below its budget of {allowed}: lower the budget"
            ));
        }
        if calls != allowed_calls {
            wrong.push(format!("{name}: {calls} host calls instead of {allowed_calls}"));
        }
    }
    let gone = budget.keys().filter(|name| !costs.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name}: in the budget, and not measured")));
    wrong
}

/// Does everything that has a budget.
fn measured() -> Costs {
    let mut costs = Costs::new();
    let mut note = |name: &str, decision: &str, exchange: &Exchange| {
        assert!(exchange.decision().starts_with(decision), "{name}: {}", exchange.decision());
        costs.insert(name.to_owned(), (exchange.fuel, exchange.calls.len()));
    };
    let good = bearer(0);
    let plain = get("/v1/service0/items/7", &good, 0);

    let mut host = configured(&policies::with(10, 0));
    for (name, request, decision) in [
        ("allow, 5 headers", get("/", &good, 0), "allow key:"),
        ("allow, 25 headers", get("/", &good, 20), "allow key:"),
        ("unknown key", get("/", UNKNOWN, 0), "deny unknown_key"),
        ("malformed", get("/", "Bearer", 0), "deny malformed_credential"),
        ("missing", get("/", "Basic YTpi", 0), "deny missing_credential"),
        ("insufficient scope", post("/", &good), "deny insufficient_scope"),
        ("preflight", preflight(), "allow preflight"),
    ] {
        note(name, decision, &warm(&mut host, &request));
    }
    let mut stream = host.open();
    host.request_headers(&mut stream, &get("/", &good, 0), false);
    for index in 0..64 {
        host.request_body(&mut stream, &[b'x'; 16 * 1024], index == 63);
    }
    note("allow, body of 1 MiB in 64 pieces", "allow key:", &host.close(stream));

    for (keys, rules) in [(10_000, 0), (10, 1), (10, 100), (10, 10_000)] {
        let mut host = configured(&policies::with(keys, rules));
        let exchange = warm(&mut host, &plain);
        note(&format!("allow, {keys} keys, {rules} rules"), "allow key:", &exchange);
    }

    let changed = |change: Value| {
        let mut policy: Value = serde_json::from_str(&policies::with_keys(10)).unwrap();
        let fields = policy.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        configured(&policy.to_string())
    };
    for upstream in ["exact", "cautious"] {
        let mut host = changed(json!({"upstream": upstream, "rules": [
            {"paths": ["/items/{item}"], "methods": ["DELETE"], "require": ["items:delete"]},
            {"paths": ["/items/{item}"], "require": ["orders:{action}"]},
        ]}));
        let plain = post("/items/7", &good);
        note(&format!("allow, one reading, {upstream}"), "allow key:", &warm(&mut host, &plain));
        let path = post("/items/Seven.json", &good);
        note(
            &format!("allow, readings of a path, {upstream}"),
            "allow key:",
            &warm(&mut host, &path),
        );
        let mut form = plain;
        form.push(("content-type".to_owned(), b"application/x-www-form-urlencoded".to_vec()));
        let body: &[&[u8]] = &[b"name=a&tags[]=b&amount=1"];
        host.exchange_with_body(&form, body);
        let exchange = host.exchange_with_body(&form, body);
        note(&format!("allow, a form, {upstream}"), "allow key:", &exchange);
    }
    // Who has no key makes it ask many rules about many readings.
    let rules = (0..10).map(|index| {
        let accept = [format!("a/{index}"), format!("b/{index}")];
        json!({"paths": ["/orders/**"], "headers": {"accept": accept}})
    });
    let mut host = changed(json!({"rules": rules.collect::<Vec<_>>()}));
    let parts: Vec<String> = (0..240).map(|part| format!("A{part}")).collect();
    let mut headers = get(&format!("/orders/{}", parts.join(",")), "", 0);
    headers.push(("accept".to_owned(), ",".repeat(1020).into_bytes()));
    headers.push(("x-http-method-override".to_owned(), b"PUT,DELETE,PATCH".to_vec()));
    note("many readings, ten rules", "deny missing_credential", &warm(&mut host, &headers));
    let mut host = changed(json!({"rules": [{"paths": ["/"], "access": "public"}]}));
    note("public", "allow public", &warm(&mut host, &get("/", "", 0)));
    let mut host = changed(json!({"sessions": {"payload": "session", "id": "sub"}}));
    note("allow, sessions configured", "allow key:", &warm(&mut host, &plain));
    let mut host = changed(json!({"response_headers": {"request-id": "req_{request_id}"}}));
    note("allow, a response header", "allow key:", &warm(&mut host, &plain));
    let graphql = json!({"require": "{field}:{operation}", "fields": {"items": "items"}});
    let mut host = changed(json!({"rules": [{"paths": ["/graphql"], "graphql": graphql}]}));
    let mut query = post("/graphql", &good);
    query.push(("content-type".to_owned(), b"application/json".to_vec()));
    let body = br#"{"query":"query { items(first: 10) { id name } }"}"#;
    host.exchange_with_body(&query, &[body]);
    note("allow, GraphQL", "allow key:", &host.exchange_with_body(&query, &[body]));

    let graphql = json!({"require": "{field}:{operation}", "fields": {"items": "items"}});
    let mut host = changed(json!({
        "rules": [{"paths": ["/graphql"], "graphql": graphql}],
        "sessions": {"payload": "session", "id": "sub"},
    }));
    note(
        "allow, GraphQL, sessions configured",
        "allow key:",
        &host.exchange_with_body(&query, &[body]),
    );

    let policy = policies::with_keys(1_000);
    let mut host = Host::load();
    host.take_calls();
    let before = host.fuel();
    assert!(host.configure(policy.as_bytes()), "{:?}", host.logs());
    let cost = (before - host.fuel(), host.take_calls().len());
    costs.insert("configure, 1000 keys".to_owned(), cost);
    costs
}

/// The second of two equal requests: what the first alone does is not counted.
fn warm(host: &mut Host, request: &Headers) -> Exchange {
    host.exchange(request);
    host.exchange(request)
}

fn configured(policy: &str) -> Host {
    let mut host = Host::load();
    // 2026-06-01T00:00:00Z
    host.set_clock(1_780_272_000);
    host.log_as_by_default();
    assert!(host.configure(policy.as_bytes()), "{:?}", host.logs());
    host
}

fn bearer(key: usize) -> String {
    format!("Bearer {}", policies::token(key))
}

/// A request with five headers, `:authority` and the credential included, and as many more as a
/// browser would send.
fn get(path: &str, authorization: &str, more: usize) -> Headers {
    let mut headers = vec![
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), path.as_bytes().to_vec()),
        (":authority".to_owned(), b"api.example.com".to_vec()),
        (":scheme".to_owned(), b"https".to_vec()),
    ];
    if !authorization.is_empty() {
        headers.push(("authorization".to_owned(), authorization.as_bytes().to_vec()));
    }
    let value = b"a value of a browser's header, as long as they are";
    headers.extend((0..more).map(|index| (format!("sec-ch-ua-{index:02}"), value.to_vec())));
    headers
}

fn post(path: &str, authorization: &str) -> Headers {
    let mut headers = get(path, authorization, 0);
    for (name, value) in &mut headers {
        if name == ":method" {
            *value = b"POST".to_vec();
        }
    }
    headers
}

fn preflight() -> Headers {
    let mut headers = get("/", "", 0);
    headers.retain(|(name, _)| name != ":method");
    for (name, value) in [
        (":method", "OPTIONS"),
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "GET"),
    ] {
        headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    headers
}
