//! What envoy/README.md tells people to put into a bootstrap of their own, as they would.

use std::fs;

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Connection, Envoy, Key, Scratch, Setup, ecds, repository, until, wasm};
use serde_json::json;

/// A bootstrap as somebody has it who does not know of Latchkey. It answers by itself, with the account that it saw.
const BOOTSTRAP: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
    - name: main
      address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: main
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {prefix: "/"}
                          direct_response: {status: 200}
                          response_headers_to_add: [{header: {key: saw, value: "%REQ(X-ACCOUNT-ID)%"}}]
                http_filters:
                  # http_filters
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: ACCESS_LOG
                      log_format:
                        json_format:
                          path: "%PATH(NQ:PATH)%"
                          # json_format
"#;

/// The block of the document with that word behind `yaml`, without its indentation.
fn block(name: &str) -> String {
    let readme = fs::read_to_string(repository("envoy/README.md")).unwrap();
    let mut blocks = readme.split("```yaml ").skip(1);
    let block = blocks.find_map(|block| block.strip_prefix(&format!("{name}\n"))).unwrap();
    let block = block.split("```").next().unwrap();
    let indent = block.len() - block.trim_start().len();
    let lines = block.trim_end().lines();
    lines.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

/// The bootstrap with the blocks at their places, and the files of this test in it.
fn with(scratch: &Scratch, blocks: &[&str]) -> String {
    let mut text = BOOTSTRAP.to_owned();
    for name in blocks {
        let mark = format!("# {name}\n");
        if *name == "bootstrap" {
            text = block(name) + &text;
            continue;
        }
        let (before, after) = text.split_once(&mark).unwrap();
        let indent = before.len() - before.trim_end_matches(' ').len();
        let lines: Vec<String> =
            block(name).lines().map(|line| format!("{:indent$}{line}\n", "")).collect();
        text = format!("{}{}{after}", before.trim_end_matches(' '), lines.concat());
    }
    let folder = scratch.path().display().to_string();
    text.replace("/etc/latchkey", &folder).replace("ACCESS_LOG", &format!("{folder}/access.log"))
}

fn policy(key: &Key) -> String {
    let rule = block("rules");
    let (start, end) = (rule.find('{').unwrap(), rule.rfind('}').unwrap() + 1);
    // A rule in flow style is one line.
    let rule = latchkey_cli::document::parse("rule.yaml".as_ref(), &rule[start..end]).unwrap();
    let rule: serde_json::Value = serde_json::from_str(&rule.to_json().unwrap()).unwrap();
    json!({
        "credentials": [{"header": "authorization", "scheme": "Bearer"}],
        "keys": [{"id": key.id, "hash": key.hash(), "account": "acme", "scopes": ["read"]}],
        "rules": [rule],
        "upstream_headers": {"x-account-id": "{key.account}"},
    })
    .to_string()
}

/// Status, and what the upstream saw as the account.
fn get(envoy: &Envoy, path: &str, headers: &str) -> (u16, Option<String>) {
    let mut connection = Connection::open(envoy.listener()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a.org\r\n{headers}\r\n");
    connection.write(request.as_bytes()).unwrap();
    let response = connection.response(false).unwrap();
    (response.status, response.values("saw").first().map(ToString::to_string))
}

#[test]
fn the_readme_s_parts_protect_a_bootstrap_of_one_s_own() {
    let (scratch, key) = (Scratch::new(), Key::new("ci"));
    scratch.replace("ecds.yaml", &ecds(&scratch, &policy(&key), &wasm()));
    let bootstrap = with(&scratch, &["bootstrap", "http_filters", "json_format"]);
    let envoy = Envoy::start(&scratch, "own", &bootstrap, &[]);
    let authorization = format!("authorization: {}\r\n", key.bearer());
    let saw = |text: &str| Some(text.to_owned());
    until("the policy", || (get(&envoy, "/v1", "").0 == 401).then_some(()));
    assert_eq!(get(&envoy, "/v1", &authorization), (200, saw("acme")));
    assert_eq!(get(&envoy, "/v1", "x-account-id: evil\r\n").0, 401);
    assert_eq!(get(&envoy, "/healthz", "x-account-id: evil\r\n"), (200, None));
    assert_eq!(get(&envoy, "/healthz/../v1", "").0, 400);
    until("the statistics", || {
        let own = envoy.admin("/stats/prometheus")?;
        own.contains("latchkey_key_allowed{latchkey_key=\"ci\"} 1\n").then_some(())
    });
    until("the log", || {
        let log = fs::read_to_string(scratch.file("access.log")).ok()?;
        log.contains("\"latchkey\":\"allow key:ci\"").then_some(())
    });
    // Without the node Envoy does not start.
    let without = with(&scratch, &["http_filters", "json_format"]);
    let (status, log) = Envoy::run_to_end(&scratch, "nobody", &without, &[]);
    assert!(!status.success() && log.contains("node 'id' and 'cluster' are required"), "{log}");
}

/// As the document says of it.
#[test]
fn a_route_that_is_let_out_is_not_judged_at_all() {
    let key = Key::new("ci");
    let start = |change: fn(String) -> String| {
        let policy = policy(&key).replace("/healthz", "/other");
        let setup = Setup::new(policy).change_bootstrap(move |bootstrap| {
            let indent = " ".repeat(24);
            let routes = change(block("routes"));
            let routes: String = routes.lines().map(|line| format!("{indent}{line}\n")).collect();
            let first = format!("{indent}- match: {{prefix: \"/\"}}\n");
            replaced(bootstrap, &first, &format!("{routes}{first}"))
        });
        setup.start()
    };
    let evil = [("x-account-id", "evil")];
    let gateway = start(|routes| routes);
    let exchange = gateway.get("/healthz", &evil);
    assert_eq!((exchange.response.status, exchange.log.latchkey), (200, None));
    assert_eq!(gateway.report().values("x-account-id"), [""; 0]);
    assert_eq!(gateway.get("/healthz/../v1", &[]).response.status, 400);
    assert_eq!(gateway.get("/v1", &[]).response.status, 401);
    drop(gateway);

    // Without what the document warns of.
    let gateway = start(|routes| {
        replaced(&routes, "  request_headers_to_remove: [x-account-id, x-key-id]\n", "")
    });
    assert_eq!(gateway.get("/healthz", &evil).response.status, 200);
    assert_eq!(gateway.report().values("x-account-id"), ["evil"]);
    drop(gateway);
    let gateway = start(|routes| replaced(&routes, "{path: /healthz}", "{prefix: /healthz}"));
    assert_eq!(gateway.get("/healthz/../v1", &[]).response.status, 200);
    drop(gateway);
    let gateway = start(|routes| {
        let guard = routes.lines().find(|line| line.contains("guard:")).unwrap().to_owned();
        replaced(&routes, &format!("{guard}\n"), "")
    });
    assert_eq!(gateway.get("/healthz", &[]).response.status, 403);
}
