//! What Envoy keeps of a request: access logs and traces are written when it has ended.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use latchkey_cli::cases::{CaseRequest, Value};
use serde_json::json;

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Key, PATIENCE, Scratch, Setup, until};

const ZIPKIN: &str = r#"{
    name: envoy.tracers.zipkin,
    typed_config: {
        "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig,
        collector_cluster: collector,
        collector_endpoint: /api/v2/spans,
        collector_endpoint_version: HTTP_JSON,
    },
}"#;

const OPEN_TELEMETRY: &str = r#"{
    name: envoy.tracers.opentelemetry,
    typed_config: {
        "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig,
        http_service: {http_uri: {uri: "http://collector/v1/traces", cluster: collector, timeout: 5s}},
        service_name: front,
    },
}"#;

#[test]
fn no_log_and_no_trace_keeps_a_credential() {
    for tracer in [ZIPKIN, OPEN_TELEMETRY] {
        let scratch = Scratch::new();
        let collector = Collector::start();
        let key = Key::new("good");
        let log = scratch.file("default.log");
        let (address, place) = (collector.address, log.display().to_string());
        let gateway = Setup::new(json!({
            "credentials": [
                {"header": "authorization", "scheme": "Bearer"},
                {"header": "x-api-key"},
                {"query": "api_key"},
                {"cookie": "api_key"},
            ],
            "keys": [{"id": key.id, "hash": key.hash(), "scopes": ["*:read"]}],
            "rules": [
                {"paths": ["/deny"], "access": "deny"},
                {"paths": ["/graphql"], "graphql": {"require": "{field}:{operation}"}},
                {"paths": ["/held"], "graphql": {"require": "{field}:{operation}", "hold": "headers"}},
                {"paths": ["/**"]},
            ],
        }))
        .change_bootstrap(move |text| observed(text, tracer, address, &place))
        .log_left()
        .start();

        let (bearer, token) = (key.bearer(), key.token.as_str());
        let cookie = format!("a=1; api_key={token}");
        let referer = format!("https://app.example.com/?api_key={token}&a=1");
        let mut count = 0;
        let mut ask = |request: &CaseRequest, decision: &str| {
            let exchange = gateway.exchange(request);
            assert_eq!(exchange.decision(), decision, "{request:?}");
            for (name, value) in exchange.log.left() {
                let value = String::from_utf8_lossy(&value).into_owned();
                assert!(!value.contains(token), "{name}: {value}");
            }
            count += 1;
        };
        for (line, headers, decision) in [
            ("GET /things?api_key=TOKEN&a=1", &[][..], "allow key:good"),
            ("GET /things", &[("authorization", bearer.as_str())], "allow key:good"),
            ("GET /things", &[("authorization", &bearer), ("referer", &referer)], "allow key:good"),
            ("GET /things", &[("referer", &referer)], "deny missing_credential"),
            ("POST /things?api_key=TOKEN&a=1", &[], "deny insufficient_scope key:good"),
            ("POST /things", &[("authorization", &bearer)], "deny insufficient_scope key:good"),
            ("POST /things", &[("x-api-key", token)], "deny insufficient_scope key:good"),
            ("POST /things", &[("cookie", &cookie)], "deny insufficient_scope key:good"),
            ("GET /deny?api_key=TOKEN", &[], "deny denied_by_rule key:good"),
            ("GET /../things?api_key=TOKEN", &[], "deny malformed_path"),
            (
                "GET /things?api_key=TOKEN",
                &[("authorization", &bearer)],
                "deny ambiguous_credential",
            ),
            ("GET /things?api_key=xTOKEN", &[], "deny unknown_key"),
            ("GET /things?api_key=TOKEN%20", &[], "deny malformed_credential"),
            ("GET /things?Api.Key=TOKEN", &[("x_api_key", token)], "deny missing_credential"),
            ("GET /things", &[("authorization", token)], "deny malformed_credential"),
            (
                "POST /graphql?api_key=TOKEN",
                &[("cookie", "a=1")],
                "deny malformed_graphql key:good",
            ),
            ("POST /held?api_key=TOKEN", &[("cookie", "a=1")], "deny malformed_graphql key:good"),
            ("GET /held?api_key=TOKEN", &[("cookie", &cookie)], "deny ambiguous_credential"),
        ] {
            for http2 in [false, true] {
                let (method, path) = line.split_once(' ').unwrap();
                let value = |text: &str| Value(text.as_bytes().to_vec());
                let headers = headers.iter().map(|(name, text)| ((*name).to_owned(), value(text)));
                let request = CaseRequest {
                    method: method.to_owned(),
                    path: Some(path.replace("TOKEN", token)),
                    headers: headers.collect(),
                    body: (method == "POST").then(|| "{".to_owned()),
                    http2,
                    ..CaseRequest::default()
                };
                ask(&request, decision);
            }
        }
        let log = until("every line of the default log", || {
            fs::read_to_string(&log).ok().filter(|log| log.lines().count() == count)
        });
        assert!(!log.contains(token), "{log}");
        let spans = collector.spans(count);
        assert!(!spans.contains(token), "{spans}");
    }
}

/// A bootstrap with Envoy's default access log beside its own, and with a tracer to whom every request
/// is of interest, header and all.
fn observed(text: &str, tracer: &str, collector: SocketAddr, log: &str) -> String {
    let flow = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let tag = |name| format!("{{tag: {name}, request_header: {{name: {name}}}}}");
    let tags = ["authorization", "cookie", "referer", "x-api-key"].map(tag).join(", ");
    let line = "                generate_request_id: true\n";
    let tracing = format!(
        "{line}                tracing: {{provider: {}, custom_tags: [{tags}]}}\n",
        flow(tracer)
    );
    let text = replaced(text, line, &tracing);
    let line = "                access_log:\n";
    let second = format!(
        r#"{line}                  - {{name: default, typed_config: {{"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {log}}}}}
"#
    );
    let text = replaced(&text, line, &second);
    let line = "  clusters:\n";
    let cluster = format!(
        "{line}    - {{name: collector, type: STATIC, load_assignment: {{cluster_name: collector, \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, \
         port_value: {}}}}}}}}}]}}]}}}}\n",
        collector.port()
    );
    let text = replaced(&text, line, &cluster);
    let each = "min_flush_spans: 1";
    format!(
        "{text}\nlayered_runtime: {{layers: [{{name: spans, static_layer: {{tracing: {{zipkin: {{{each}}}, \
         opentelemetry: {{{each}}}}}}}}}]}}\n"
    )
}

/// Somebody to whom Envoy sends its spans.
struct Collector {
    address: SocketAddr,
    batches: Receiver<Vec<u8>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, batches) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let sender = sender.clone();
                thread::spawn(move || Collector::serve(&connection.unwrap(), &sender));
            }
        });
        Collector { address, batches }
    }

    /// Takes batches until the connection ends; Envoy sends them in chunks (RFC 9112 section 7.1).
    fn serve(connection: &TcpStream, sender: &Sender<Vec<u8>>) -> Option<()> {
        let mut reader = BufReader::new(connection);
        let line = |reader: &mut BufReader<&TcpStream>| {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            Some(line.trim_end().to_owned())
        };
        let mut writer = connection;
        loop {
            while !line(&mut reader)?.is_empty() {}
            let mut batch = Vec::new();
            loop {
                let size = usize::from_str_radix(&line(&mut reader)?, 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    break;
                }
                batch.extend(&chunk[..size]);
            }
            sender.send(batch).ok()?;
            writer.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").ok()?;
        }
    }

    /// As many spans as there were requests, each with its URL.
    fn spans(&self, count: usize) -> String {
        let mut all = String::new();
        while all.matches("http.url").count() < count {
            let batch = self.batches.recv_timeout(PATIENCE).unwrap();
            all += &String::from_utf8_lossy(&batch);
        }
        all
    }
}
