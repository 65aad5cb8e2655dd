//! On Istio's pilot.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use latchkey_testing::gateway::upstream_bootstrap;
use latchkey_testing::{Connection, Envoy, Scratch, until};

use super::files::Files;
use super::process::{Process, Rule, built, filled, free_port, local};
use super::site::{Plane, policy};

/// The pilot, with the proxies that it drives.
struct Pilot<'a> {
    scratch: &'a Scratch,
    process: Option<Process>,
    xds: u16,
    api: u16,
    is_ambient: bool,
    /// The documents in force, each with its kind, namespace and name.
    applied: Vec<(String, String)>,
    /// Each with Istio's agent, which fetches modules for it.
    proxies: Vec<(Envoy, Process)>,
    _modules: Modules,
}

/// The folder in which agents keep modules; gone when dropped, unless it was there before.
struct Modules(bool);

const MODULES: &str = "/var/lib/istio/data";

impl Modules {
    fn new() -> Modules {
        let is_new = !Path::new(MODULES).exists();
        fs::create_dir_all(MODULES)
            .unwrap_or_else(|error| panic!("{MODULES}: {error}: this test needs root"));
        Modules(is_new)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_dir_all(MODULES);
            let _ = fs::remove_dir("/var/lib/istio");
        }
    }
}

impl<'a> Pilot<'a> {
    fn new(scratch: &'a Scratch, kubernetes: &str, config: &str, is_ambient: bool) -> Pilot<'a> {
        scratch.write("kubernetes.yaml", kubernetes);
        let (xds, api) = (free_port(), free_port());
        let (applied, proxies, _modules) = (Vec::new(), Vec::new(), Modules::new());
        let mut pilot =
            Pilot { scratch, process: None, xds, api, is_ambient, applied, proxies, _modules };
        pilot.remember(config);
        pilot.start();
        pilot
    }

    fn remember(&mut self, yaml: &str) {
        for document in yaml.split("---\n").filter(|document| !document.trim().is_empty()) {
            let identity = identity(document);
            self.applied.retain(|(own, _)| *own != identity);
            self.applied.push((identity, document.to_owned()));
        }
    }

    fn call(&self, request: &str, body: &str) -> Option<(u16, String)> {
        let mut connection = Connection::open(local(self.api)).ok()?;
        let length = body.len();
        let request =
            format!("{request} HTTP/1.1\r\nhost: pilot\r\ncontent-length: {length}\r\n\r\n{body}");
        connection.write(request.as_bytes()).ok()?;
        let response = connection.response(false).ok()?;
        Some((response.status, response.text()))
    }

    /// Adds a plain Envoy with the labels of a workload, and Istio's agent.
    fn add_proxy(&mut self, kind: &str, ip: &str, name: &str, namespace: &str, label: &str) {
        let socket = self.scratch.file(&format!("{name}.xds"));
        let bootstrap = filled(
            PROXY,
            &[
                ("kind", kind),
                ("ip", ip),
                ("name", name),
                ("namespace", namespace),
                ("label", label),
                ("xds", &socket.display().to_string()),
            ],
        );
        let mut agent = Command::new(built("pilot"));
        agent
            .args(["-test.run", "^TestAgent$", "-test.timeout", "0"])
            .env("PILOT_XDS", local(self.xds).to_string())
            .env("AGENT_XDS", &socket)
            .current_dir(self.scratch.path());
        let agent = Process::start(&mut agent, &self.scratch.file(&format!("{name}-agent.log")));
        until("the agent", || socket.exists().then_some(()));
        self.proxies.push((Envoy::start(self.scratch, name, &bootstrap, &[]), agent));
    }
}

/// Kind, namespace and name of a resource.
fn identity(document: &str) -> String {
    let value: Value = yaml_serde::from_str(document).unwrap();
    format!("{} {} {}", value["kind"], value["metadata"]["namespace"], value["metadata"]["name"])
}

impl Plane for Pilot<'_> {
    fn apply(&mut self, yaml: &str) {
        self.remember(yaml);
        let answer = self.call("PUT /", yaml).unwrap();
        assert_eq!(answer.0, 204, "Istio refuses a resource: {}", answer.1);
    }

    fn delete(&mut self, yaml: &str) {
        for document in yaml.split("---\n") {
            let identity = identity(document);
            self.applied.retain(|(own, _)| *own != identity);
        }
        let answer = self.call("DELETE /", yaml).unwrap();
        assert_eq!(answer.0, 204, "{}", answer.1);
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn start(&mut self) {
        let config: Vec<&str> =
            self.applied.iter().map(|(_, document)| document.as_str()).collect();
        self.scratch.write("config.yaml", &config.join("\n---\n"));
        let mut command = Command::new(built("pilot"));
        command
            .args(["-test.run", "^TestPilot$", "-test.timeout", "0"])
            .env("PILOT_XDS", local(self.xds).to_string())
            .env("PILOT_API", local(self.api).to_string())
            .env("PILOT_KUBERNETES", self.scratch.file("kubernetes.yaml"))
            .env("PILOT_CONFIG", self.scratch.file("config.yaml"))
            // Filters that only Istio's own Envoy has.
            .env("PILOT_ENABLE_METADATA_EXCHANGE", "false")
            .env("PILOT_ENABLE_ALPN_FILTER", "false")
            .env("PILOT_ENABLE_AMBIENT", self.is_ambient.to_string())
            .current_dir(self.scratch.path());
        let log = self.scratch.file("pilot.log");
        self.process = Some(Process::start(&mut command, &log));
        until("the pilot to answer", || {
            let log = || fs::read_to_string(&log).unwrap();
            assert!(!log().contains("--- FAIL"), "{}", log());
            self.call("PUT /", "").filter(|answer| answer.0 == 204)
        });
    }

    fn refusals(&self) -> u64 {
        let refused = |envoy: &Envoy| -> u64 {
            let stats = envoy.stats();
            let names = stats.iter().filter(|(name, _)| {
                name.ends_with(".update_rejected") || name.ends_with(".config_fail")
            });
            names.map(|(_, count)| count).sum()
        };
        self.proxies.iter().map(|(envoy, _)| refused(envoy)).sum()
    }

    fn admin(&self) -> SocketAddr {
        self.proxies[0].0.admin_address()
    }
}

const PROXY: &str = r#"
node:
  id: {kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local
  cluster: {name}.{namespace}
  metadata:
    NAMESPACE: {namespace}
    ISTIO_VERSION: 1.31.0
    # Labels of what is not a Pod count with this one only.
    LABELS: {istio.io/test-vm: x, {label}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: {xds}}}}}]}]
"#;

const INGRESS: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: {name}, namespace: istio-system}
spec:
  selector: {istio: {name}}
  servers:
  - port: {number: {port}, name: http, protocol: HTTP}
    bind: 127.0.0.1
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: {name}, namespace: istio-system}
spec:
  hosts: ["*"]
  gateways: [{name}]
  http:
  - route: [{destination: {host: upstream.example.com, port: {number: 80}}}]
---
"#;

const UPSTREAM: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: upstream, namespace: istio-system}
spec:
  hosts: [upstream.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: {upstream}}}]
"#;

fn upstream(scratch: &Scratch) -> Envoy {
    Envoy::start(scratch, "upstream", &upstream_bootstrap(scratch), &[])
}

fn port_of(envoy: &Envoy) -> String {
    envoy.listener().port().to_string()
}

#[test]
#[ignore = "make mesh-test"]
fn ingress_by_label() {
    let scratch = Scratch::new();
    let upstream = upstream(&scratch);
    let (port, other) = (free_port(), free_port());
    let of =
        |name: &str, port: u16| filled(INGRESS, &[("name", name), ("port", &port.to_string())]);
    let config = of("front", port)
        + &of("other", other)
        + &filled(UPSTREAM, &[("upstream", &port_of(&upstream))]);
    let mut pilot = Pilot::new(&scratch, "", &config, false);
    pilot.add_proxy("router", "127.0.0.2", "front", "istio-system", "istio: front");
    pilot.add_proxy("router", "127.0.0.3", "other", "istio-system", "istio: other");
    let files = Files::serve(&scratch);
    let front = files.site(port, "--to istio --target ingress:istio=front");
    front.goes_through_life(&mut pilot, &scratch);

    let second = files.site(other, "--to istio --target ingress:istio=other --name other");
    front.stands_beside(&second, &mut pilot, &scratch);
    front.takes_images(&files.images(), &mut pilot, &scratch);
    front.takes_sessions(&mut pilot, &scratch);
}

#[test]
#[ignore = "make mesh-test"]
fn gateway_of_the_gateway_api() {
    let scratch = Scratch::new();
    let upstream = upstream(&scratch);
    let port = free_port();
    let kubernetes = filled(GATEWAY_API, &[("port", &port.to_string())]);
    let config = filled(UPSTREAM, &[("upstream", &port_of(&upstream))])
        + &filled(INSTANCE, &[("name", "web"), ("ip", "127.0.0.2")]);
    let mut pilot = Pilot::new(&scratch, &kubernetes, &config, false);
    let label = "gateway.networking.k8s.io/gateway-name: web";
    pilot.add_proxy("router", "127.0.0.2", "web", "default", label);
    let files = Files::serve(&scratch);
    let web = files.site(port, "--to istio --target gateway/web");
    web.goes_through_life(&mut pilot, &scratch);
    web.takes_sessions(&mut pilot, &scratch);
}

const GATEWAY_API: &str = r#"apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.0.0.1
  selector: {gateway.networking.k8s.io/gateway-name: web}
  ports: [{name: http, port: {port}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: web.default.svc.cluster.local}]
  listeners:
  - {name: http, port: {port}, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: istio-system}
spec:
  parentRefs: [{name: web, namespace: default}]
  rules:
  - backendRefs: [{group: networking.istio.io, kind: Hostname, name: upstream.example.com, port: 80}]
"#;

/// The proxy of a Gateway.
const INSTANCE: &str = r#"---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: {name}, namespace: default}
spec:
  address: {ip}
  labels: {gateway.networking.k8s.io/gateway-name: {name}}
"#;

const SIDECAR: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: orders, namespace: default}
spec:
  hosts: [orders.example.com]
  ports: [{number: {port}, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: orders}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: orders, namespace: default}
spec:
  address: 127.0.0.1
  labels: {app: orders}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: orders, namespace: default}
spec:
  workloadSelector: {labels: {app: orders}}
  ingress:
  - port: {number: {port}, protocol: HTTP, name: http}
    defaultEndpoint: 127.0.0.1:{upstream}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders, namespace: default}
spec: {mtls: {mode: DISABLE}}
"#;

#[test]
#[ignore = "make mesh-test"]
fn sidecar() {
    let scratch = Scratch::new();
    let upstream = upstream(&scratch);
    let port = free_port();
    let config = filled(SIDECAR, &[("port", &port.to_string()), ("upstream", &port_of(&upstream))]);
    let mut pilot = Pilot::new(&scratch, "", &config, false);
    pilot.add_proxy("sidecar", "127.0.0.1", "orders", "default", "app: orders");
    // As Istio's own rules do for a Pod.
    let redirect =
        format!("OUTPUT -p tcp -d 127.0.0.1 --dport {port} -j REDIRECT --to-ports 15006");
    let _redirect = Rule::new("nat", &redirect);
    let files = Files::serve(&scratch);
    let orders = files.site(port, "--to istio --target sidecar:app=orders");
    orders.goes_through_life(&mut pilot, &scratch);
    orders.takes_sessions(&mut pilot, &scratch);
}

const WAYPOINT_KUBERNETES: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: waypoint
  namespace: default
  labels: {gateway.networking.k8s.io/gateway-name: waypoint}
spec:
  clusterIP: 3.0.0.0
  selector: {gateway.networking.k8s.io/gateway-name: waypoint}
  ports: [{name: mesh, port: 15008, appProtocol: hbone}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: default}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
status:
  addresses: [{type: Hostname, value: waypoint.default.svc.cluster.local}]
"#;

const WAYPOINT_BOTH: &str = r#"---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: orders
  namespace: default
  labels: {istio.io/use-waypoint: waypoint}
spec:
  hosts: [orders.example.com]
  addresses: [1.2.3.4]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: orders}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: orders
  namespace: default
  labels: {app: orders}
  annotations: {ambient.istio.io/redirection: enabled}
spec: {address: 1.1.1.1, labels: {app: orders}}
"#;

/// A plain Envoy cannot stand for a waypoint, which waits for certificates: the chains are compared that the pilot
/// writes for it.
#[test]
#[ignore = "make mesh-test"]
fn waypoint() {
    let scratch = Scratch::new();
    let both =
        WAYPOINT_BOTH.to_owned() + &filled(INSTANCE, &[("name", "waypoint"), ("ip", "3.0.0.1")]);
    let kubernetes = format!("{WAYPOINT_KUBERNETES}{both}").replace("---\n", "\n---\n");
    let mut pilot = Pilot::new(&scratch, &kubernetes, &both, true);
    let site = Files::serve(&scratch).site(0, "--to istio --target waypoint/waypoint");
    let without = chains(&pilot);
    assert!(without.iter().any(|(listener, _)| listener == "main_internal"), "{without:?}");
    let rendered = site.render(&scratch, &policy("first", None), &site.wasm);
    pilot.apply(&rendered);
    until("the waypoint's filters", || {
        let chains = chains(&pilot);
        let is_right = chains.iter().all(|(listener, filters)| {
            let at = |part: &str| filters.iter().position(|name| name.contains(part));
            let (plugin, guard, router) =
                (at("default.latchkey"), at("latchkey-guard"), at("http.router"));
            match listener.as_str() {
                "main_internal" => {
                    plugin.is_some() && plugin < guard && guard.map(|guard| guard + 1) == router
                }
                _ => plugin.is_none() && guard.is_none(),
            }
        });
        is_right.then_some(())
    });
    let inner = chains(&pilot).iter().filter(|(listener, _)| listener == "main_internal").count();
    println!("waypoint: plugin and guard in all {inner} inner HTTP chains, and in no other");
    assert!(inner >= 2);
}

/// The listener and the names of the filters of each HTTP chain of the waypoint.
fn chains(pilot: &Pilot<'_>) -> Vec<(String, Vec<String>)> {
    let (status, text) = pilot.call("GET /waypoint/default/3.0.0.1?gateway=waypoint", "").unwrap();
    assert_eq!(status, 200, "{text}");
    let listeners: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for listener in listeners.as_array().unwrap() {
        let chains = listener["filterChains"].as_array().into_iter().flatten();
        for chain in chains.chain(std::iter::once(&listener["defaultFilterChain"])) {
            for filter in chain["filters"].as_array().into_iter().flatten() {
                if let Some(filters) = filter["typedConfig"]["httpFilters"].as_array() {
                    let names =
                        filters.iter().map(|filter| filter["name"].as_str().unwrap().to_owned());
                    found.push((listener["name"].as_str().unwrap().to_owned(), names.collect()));
                }
            }
        }
    }
    found
}
