//! On Istio's pilot.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use latchkey_testing::gateway::upstream_bootstrap;
use latchkey_testing::{Connection, Envoy, Scratch, until};

use super::files::Files;
use super::process::{Process, Rule, built, filled, free_port, local, turn};
use super::site::{Plane, Sites};

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

/// Its proxies listen at fixed ports, and its agents keep modules in one folder.
static ONE: Mutex<()> = Mutex::new(());

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
        let process = None;
        let mut pilot =
            Pilot { scratch, process, xds, api, is_ambient, applied, proxies, _modules };
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
                // Newer waypoints have filter state of kinds that only Istio's own Envoy has.
                ("version", if kind == "waypoint" { "1.29.1" } else { "1.31.0" }),
                ("ip", ip),
                ("name", name),
                ("namespace", namespace),
                ("label", label),
                ("xds", &socket.display().to_string()),
                ("folder", &self.scratch.path().display().to_string()),
            ],
        );
        let mut agent = Command::new(built("pilot"));
        agent
            .args(["-test.run", "^TestAgent$", "-test.timeout", "0"])
            .env("PILOT_XDS", local(self.xds).to_string())
            .env("AGENT_XDS", &socket)
            .env("IDENTITY", if kind == "waypoint" { IDENTITY } else { "" })
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

    fn admins(&self) -> Vec<SocketAddr> {
        self.proxies.iter().map(|(envoy, _)| envoy.admin_address()).collect()
    }
}

const PROXY: &str = r#"
node:
  id: {kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local
  cluster: {name}.{namespace}
  metadata:
    NAMESPACE: {namespace}
    ISTIO_VERSION: {version}
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
# For waypoints, as in the bootstrap of Istio's own.
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config: {"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener}
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
  # Asked for certificates, by waypoints only.
  - name: sds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: sds-grpc
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {pipe: {path: {folder}/var/run/secrets/workload-spiffe-uds/socket}}}
"#;

/// Whom the certificate of a waypoint names.
const IDENTITY: &str = "spiffe://cluster.local/ns/default/sa/waypoint";

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
fn gateways_and_a_sidecar() {
    let _turn = turn(&ONE);
    let scratch = Scratch::new();
    let upstream = upstream(&scratch);
    let ports = [free_port(), free_port(), free_port()];
    let [front, web, orders] = ports.map(|port| port.to_string());
    let kubernetes = filled(GATEWAY_API, &[("port", &web)]);
    let port_of_upstream = port_of(&upstream);
    let config = [
        filled(INGRESS, &[("name", "front"), ("port", &front)]),
        filled(UPSTREAM, &[("upstream", &port_of_upstream)]),
        filled(INSTANCE, &[("name", "web"), ("ip", "127.0.0.3")]),
        filled(SIDECAR, &[("port", &orders), ("upstream", &port_of_upstream)]),
    ];
    let mut pilot = Pilot::new(&scratch, &kubernetes, &config.concat(), false);
    pilot.add_proxy("router", "127.0.0.2", "front", "istio-system", "istio: front");
    let label = "gateway.networking.k8s.io/gateway-name: web";
    pilot.add_proxy("router", "127.0.0.3", "web", "default", label);
    pilot.add_proxy("sidecar", "127.0.0.1", "orders", "default", "app: orders");
    // As Istio's own rules do for a Pod.
    let redirect =
        format!("OUTPUT -p tcp -d 127.0.0.1 --dport {orders} -j REDIRECT --to-ports 15006");
    let _redirect = Rule::new("nat", &redirect);
    let files = Files::serve(&scratch);
    let [front, web, orders] = ports;
    let sites = vec![
        files.site(front, "--to istio --target ingress:istio=front --name front"),
        files.site(web, "--to istio --target gateway/web --name web"),
        files.site(orders, "--to istio --target sidecar:app=orders --name orders"),
    ];
    let mut sites = Sites { sites, plane: &mut pilot, scratch: &scratch };
    sites.go_through_life();
    sites.stand_beside_each_other();
    sites.take_images();
    sites.take_sessions(None);
    sites.take_sessions(Some("x-session"));
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

const SIDECAR: &str = r#"---
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
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: {upstream}}]
  resolution: STATIC
  workloadSelector: {labels: {app: orders}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: orders, namespace: default, labels: {app: orders}}
spec: {address: 127.0.0.1, labels: {app: orders}}
"#;

/// Takes out of a waypoint the filters that only Istio's own Envoy has.
const PLAIN: &str = r#"---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: plain, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: waypoint_downstream_peer_metadata}
    patch: {operation: REMOVE}
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: waypoint_upstream_peer_metadata}
    patch: {operation: REMOVE}
"#;

/// Where ztunnel would be: it takes each connection to the waypoint by HBONE, as one to the Service, with the certificate of
/// the waypoint itself.
const ZTUNNEL: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: ztunnel
          cluster: waypoint
          tunneling_config: {hostname: "1.2.3.4:80"}
  clusters:
  - name: waypoint
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_params: {tls_maximum_protocol_version: TLSv1_3}
          alpn_protocols: [h2]
          tls_certificates: [{certificate_chain: {filename: {folder}/identity/certificate.pem}, private_key: {filename: {folder}/identity/key.pem}}]
          validation_context: {trusted_ca: {filename: {folder}/identity/certificate.pem}}
    load_assignment:
      cluster_name: waypoint
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 15008}}}
"#;

#[test]
#[ignore = "make mesh-test"]
fn waypoint() {
    let _turn = turn(&ONE);
    let scratch = Scratch::new();
    let upstream = upstream(&scratch);
    let both = filled(WAYPOINT_BOTH, &[("upstream", &port_of(&upstream))])
        + &filled(INSTANCE, &[("name", "waypoint"), ("ip", "3.0.0.1")]);
    let kubernetes = format!("{WAYPOINT_KUBERNETES}{both}").replace("---\n", "\n---\n");
    let mut pilot = Pilot::new(&scratch, &kubernetes, &(both + PLAIN), true);
    let label = "gateway.networking.k8s.io/gateway-name: waypoint";
    pilot.add_proxy("waypoint", "3.0.0.1", "waypoint", "default", label);
    let folder = scratch.path().display().to_string();
    let ztunnel = Envoy::start(&scratch, "ztunnel", &filled(ZTUNNEL, &[("folder", &folder)]), &[]);
    let files = Files::serve(&scratch);
    let port = ztunnel.listener().port();
    let sites = vec![files.site(port, "--to istio --target waypoint/waypoint")];
    let mut sites = Sites { sites, plane: &mut pilot, scratch: &scratch };
    sites.go_through_life();
    sites.take_sessions(None);
    sites.take_sessions(Some("x-session"));
    sites.protect();
    stand_in_every_inner_chain(&pilot);
}

/// Plugin and guard stand in each chain of the waypoint in which they can decide, and in no other.
fn stand_in_every_inner_chain(pilot: &Pilot<'_>) {
    let chains = chains(pilot);
    for (listener, filters) in &chains {
        let at = |part: &str| filters.iter().position(|name| name.contains(part));
        let (plugin, guard, router) =
            (at("default.latchkey"), at("latchkey-guard"), at("http.router"));
        if listener == "main_internal" {
            assert!(plugin.is_some() && plugin < guard, "{filters:?}");
            assert_eq!(guard.map(|guard| guard + 1), router, "{filters:?}");
        } else {
            assert_eq!((plugin, guard), (None, None), "{listener}: {filters:?}");
        }
    }
    let inner = chains.iter().filter(|(listener, _)| listener == "main_internal").count();
    println!("waypoint: plugin and guard in all {inner} inner HTTP chains, and in no other");
    assert!(inner >= 2 && inner < chains.len(), "{chains:?}");
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
