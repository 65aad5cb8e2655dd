//! One Envoy before all servers, with a listener for each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::server::Server;
use latchkey_testing::gateway::front_bootstrap;
use latchkey_testing::{Connection, Envoy, Response, Scratch, ecds, http1, http2, inline, wasm};

use super::policy;
use super::requests::Attempt;

/// The servers that speak HTTP/2 without TLS: it reaches them as it came, with trailers.
pub(crate) const SPEAKS_HTTP2: [&str; 5] = ["chi", "echo4", "echo5", "gin", "net-http"];

/// The Envoy, and where the servers are behind it.
pub(crate) struct Front {
    addresses: BTreeMap<String, SocketAddr>,
    _envoy: Envoy,
    _scratch: Scratch,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The filter refused it, for that reason.
    Refused(String),
    /// The framework told of it, under the key by whose id the filter let it in, if it was one.
    Ran { report: Value, key: Option<String> },
    /// Envoy or the server's parser wanted none of it: the status, if there was one.
    Other(Option<u16>),
}

impl Answer {
    fn of(response: &Response) -> Answer {
        if response.body == b"RBAC: access denied" {
            return Answer::Refused("by the guard".to_owned());
        }
        match serde_json::from_slice::<Value>(&response.body) {
            Ok(body) if body["latchkey"].is_string() => {
                Answer::Refused(body["latchkey"].as_str().unwrap_or_default().to_owned())
            }
            Ok(report) if report["handler"].is_string() => {
                Answer::Ran { report, key: response.values(policy::DECIDED).into_iter().next() }
            }
            _ => Answer::Other(Some(response.status)),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Answer::Refused(reason) => format!("refused: {reason}"),
            Answer::Ran { report, key } => format!("ran for {key:?}: {report}"),
            Answer::Other(status) => format!("no report, status {status:?}"),
        }
    }
}

impl Front {
    /// With a listener for each server and each of the policies that it stands behind, its framework's the last.
    pub(crate) fn start(servers: &[(Server, Vec<&str>)]) -> Front {
        let scratch = Scratch::new();
        let envoy = Envoy::start_quietly(&scratch, "front", &bootstrap(&scratch, servers));
        let listeners = envoy.admin("/listeners?format=json").unwrap();
        let listeners: Value = serde_json::from_str(&listeners).unwrap();
        let address = |listener: &Value| {
            let port = listener["local_address"]["socket_address"]["port_value"].as_u64().unwrap();
            let port = u16::try_from(port).unwrap();
            let name = listener["name"].as_str().unwrap().to_owned();
            (name, SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let statuses = listeners["listener_statuses"].as_array().unwrap();
        let addresses = statuses.iter().map(address).collect();
        Front { addresses, _envoy: envoy, _scratch: scratch }
    }

    /// Sends a request to a server over a connection of its own, past the policy with that `upstream`.
    pub(crate) fn send(&self, server: &str, upstream: &str, attempt: &Attempt) -> Answer {
        let address = self.addresses[&listener_name(server, upstream)];
        let response = if attempt.request.http2 {
            let exchanged = http2::try_exchange(address, &attempt.request, trailers(attempt));
            exchanged.ok().map(|(response, _)| response)
        } else {
            Connection::open(address).ok().and_then(|mut connection| {
                connection.write(&http1::bytes(&attempt.request)).ok()?;
                connection.response(attempt.request.method == "HEAD").ok()
            })
        };
        response.map_or(Answer::Other(None), |response| Answer::of(&response))
    }
}

fn listener_name(server: &str, upstream: &str) -> String {
    format!("{server} {upstream}")
}

fn trailers(attempt: &Attempt) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    attempt.trailers.iter().map(pair).collect()
}

/// The shipped bootstrap, whose one listener and cluster stand for each server's and policy's. What it does itself about a client's
/// `x-account-id` is left out: that is what the filter must do. WebSockets may be asked for.
fn bootstrap(scratch: &Scratch, servers: &[(Server, Vec<&str>)]) -> String {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let text = front_bootstrap(scratch, nowhere, None);
    let with_policy = |upstream: &str| -> Value {
        let policy = policy::json(upstream).to_string();
        yaml_serde::from_str(&inline(&text, &ecds(scratch, &policy, &wasm()))).unwrap()
    };
    let mut bootstrap = with_policy("cautious");
    let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
    for (server, policies) in servers {
        for upstream in policies {
            let mut listener = with_policy(upstream)["static_resources"]["listeners"][0].take();
            listener["name"] = json!(listener_name(server.name(), upstream));
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] =
                json!(server.name());
            manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
            manager["early_header_mutation_extensions"] = json!([]);
            manager["access_log"] = json!([]);
            listeners.push(listener);
        }
        clusters.push(cluster(&bootstrap["static_resources"]["clusters"][0], server));
    }
    let resources = &mut bootstrap["static_resources"];
    resources["listeners"] = json!(listeners);
    resources["clusters"] = json!(clusters);
    bootstrap.to_string()
}

/// The shipped cluster, as that of a server.
fn cluster(shipped: &Value, server: &Server) -> Value {
    let mut cluster = shipped.clone();
    cluster["name"] = json!(server.name());
    let endpoints = &mut cluster["load_assignment"]["endpoints"][0];
    endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] =
        json!(server.address().port());
    if !SPEAKS_HTTP2.contains(&server.name()) {
        let options = &mut cluster["typed_extension_protocol_options"];
        let options = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        options["use_downstream_protocol_config"].take();
        options["explicit_http_config"] = json!({"http_protocol_options": {}});
    }
    cluster
}
