//! A first look at what the filter costs, printed and not asserted:
//! `cargo test --test envoy cost -- --ignored --nocapture`. `NOOP_WASM` names a filter to compare with.

use std::path::Path;

use serde_json::json;

use crate::harness::gateway::replaced;
use crate::harness::{Gateway, Key, Setup};

const REQUESTS: usize = 5_000;
const ROUNDS: usize = 5;

/// Switches a filter off for a route.
const OFF: &str =
    r#"{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}"#;

#[test]
#[ignore = "prints figures; run it by name on a quiet machine"]
fn processor_time_of_a_request() {
    let key = Key::new("good");
    let policy = json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read"], "account": "ws_1"}],
        "upstream_headers": {"x-workspace-id": "{key.account}"},
    });
    let without = |filters: &'static [&'static str]| {
        move |text: &str| {
            const PLACE: &str = "                      # systems/NAME.host.yaml goes here";
            let off = filters.iter().map(|name| format!("{name}: {OFF}")).collect::<Vec<_>>();
            let off = format!("typed_per_filter_config: {{{}}}", off.join(", "));
            replaced(text, PLACE, &format!("                      {off}\n{PLACE}"))
        }
    };
    let mut gateways = vec![
        (
            "neither filter nor guard",
            Setup::new(&policy).change_bootstrap(without(&["latchkey", "guard"])).start(),
        ),
        ("latchkey", Gateway::start(&policy)),
    ];
    // Such as a filter of the SDK that does nothing; the guard would refuse all that it lets through.
    if let Some(noop) = std::env::var_os("NOOP_WASM") {
        let setup = Setup::new(&policy).wasm(Path::new(&noop));
        let setup = setup.change_bootstrap(without(&["guard"]));
        gateways.push(("the filter of NOOP_WASM, no guard", setup.start()));
    }
    let request = format!(
        "GET /v1/things HTTP/1.1\r\nhost: a\r\nuser-agent: t\r\naccept: */*\r\nauthorization: {}\r\n\r\n",
        key.bearer()
    );
    for round in 0..ROUNDS {
        for (name, gateway) in &gateways {
            let mut connection = gateway.connect();
            let before = gateway.processor_time();
            for _ in 0..REQUESTS {
                connection.write(request.as_bytes()).unwrap();
                assert_eq!(connection.response(false).unwrap().status, 200, "{name}");
            }
            let spent = gateway.processor_time() - before;
            println!("round {round}: {name}: {} ns a request", spent / REQUESTS as u64);
        }
    }
}
