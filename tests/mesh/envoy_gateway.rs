//! On Envoy Gateway.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use latchkey_testing::gateway::upstream_bootstrap;
use latchkey_testing::{Connection, Envoy, Scratch, repository, until};

use super::files::Files;
use super::process::{Process, Rule, built, filled, free_port};
use super::site::{Plane, Site, policy};

/// Envoy Gateway, with the Envoy that it starts.
struct Gateway<'a> {
    scratch: &'a Scratch,
    /// Ends its Envoy with itself.
    _process: Process,
    /// What keeps Envoy from it.
    block: Option<Rule>,
    _host: HostEntries,
}

/// What Envoy Gateway's certificates take for granted of the machine, for which it takes root: gone when dropped.
struct HostEntries {
    hosts: String,
    authority: PathBuf,
}

const HOSTS: &str = "/etc/hosts";
const NAME: &str = "envoy-gateway.envoy-gateway-system.svc.cluster.local";

impl HostEntries {
    fn new(scratch: &Scratch) -> HostEntries {
        let hosts = fs::read_to_string(HOSTS).unwrap();
        let hosts: String = hosts
            .lines()
            .filter(|line| !line.contains(NAME))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(HOSTS, format!("{hosts}127.0.0.1 {NAME}\n"))
            .unwrap_or_else(|error| panic!("{HOSTS}: {error}: this test needs root"));
        let authority = PathBuf::from("/certs/ca.crt");
        fs::create_dir_all("/certs").unwrap();
        fs::copy(scratch.file("config/certs/envoy-gateway/ca.crt"), &authority).unwrap();
        HostEntries { hosts, authority }
    }
}

impl Drop for HostEntries {
    fn drop(&mut self) {
        let _ = fs::write(HOSTS, &self.hosts);
        let _ = fs::remove_file(&self.authority);
        let _ = fs::remove_dir("/certs");
    }
}

impl<'a> Gateway<'a> {
    fn new(
        scratch: &'a Scratch,
        [port, other]: [u16; 2],
        upstream: SocketAddr,
        takes_patches: bool,
    ) -> Gateway<'a> {
        let folder = scratch.path().display().to_string();
        let envoy = scratch.write("data/envoy-versions/1.40.0/bin/envoy", "");
        fs::copy(repository(".tools/envoy"), envoy).unwrap();
        for name in ["state", "run", "resources"] {
            fs::create_dir_all(scratch.file(name)).unwrap();
        }
        let made = Command::new(built("envoy-gateway"))
            .args(["certgen", "--local", "--config-home", &format!("{folder}/config")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let secret = |name: &str| {
            BASE64_STANDARD
                .encode(fs::read(scratch.file(&format!("config/certs/envoy/{name}"))).unwrap())
        };
        let values = [
            ("folder", folder.as_str()),
            ("patches", if takes_patches { "true" } else { "false" }),
            ("crt", &secret("tls.crt")),
            ("key", &secret("tls.key")),
            ("ca", &secret("ca.crt")),
            ("port", &port.to_string()),
            ("other", &other.to_string()),
            ("upstream", &upstream.port().to_string()),
        ];
        scratch.write("envoy-gateway.yaml", &filled(CONFIGURATION, &values));
        scratch.write("resources/base.yaml", &filled(RESOURCES, &values));
        let host = HostEntries::new(scratch);
        let mut command = Command::new(built("envoy-gateway"));
        command.args(["server", "--config-path"]).arg(scratch.file("envoy-gateway.yaml"));
        let process = Process::start(&mut command, &scratch.file("envoy-gateway.log"));
        let gateway = Gateway { scratch, _process: process, block: None, _host: host };
        until("Envoy Gateway's Envoy", || {
            let mut connection = Connection::open(gateway.admin_address()?).ok()?;
            connection.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\n\r\n").ok()?;
            (connection.response(false).ok()?.status == 200).then_some(())
        });
        gateway
    }

    /// The admin port of the Envoy that was started last.
    fn admin_address(&self) -> Option<SocketAddr> {
        let runs = fs::read_dir(self.scratch.file("run")).ok()?;
        let mut runs: Vec<PathBuf> = runs.map(|run| run.unwrap().path()).collect();
        runs.sort();
        fs::read_to_string(runs.last()?.join("admin-address.txt")).ok()?.trim().parse().ok()
    }

    fn stats(&self) -> BTreeMap<String, u64> {
        let Some(mut connection) =
            self.admin_address().and_then(|admin| Connection::open(admin).ok())
        else {
            return BTreeMap::new();
        };
        connection.write(b"GET /stats HTTP/1.1\r\nhost: admin\r\n\r\n").unwrap();
        let text = connection.response(false).unwrap().text();
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    fn file(document: &str) -> String {
        let value: serde_json::Value = yaml_serde::from_str(document).unwrap();
        let name = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        format!("resources/{}-{}.yaml", name(&value["kind"]), name(&value["metadata"]["name"]))
    }
}

impl Plane for Gateway<'_> {
    fn apply(&mut self, yaml: &str) {
        for document in yaml.split("---\n") {
            let name = Gateway::file(document);
            // Beside the folder that is watched.
            let new = self.scratch.write("new.yaml", document);
            fs::rename(new, self.scratch.file(&name)).unwrap();
        }
    }

    fn delete(&mut self, yaml: &str) {
        for document in yaml.split("---\n") {
            fs::remove_file(self.scratch.file(&Gateway::file(document))).unwrap();
        }
    }

    /// On its way to it: Envoy Gateway on a host ends its Envoy with itself.
    fn stop(&mut self) {
        let rule = "OUTPUT -o lo -p tcp --dport 18000 -j REJECT --reject-with tcp-reset";
        self.block = Some(Rule::new("filter", rule));
    }

    fn start(&mut self) {
        self.block = None;
    }

    fn refusals(&self) -> u64 {
        let stats = self.stats();
        let refused = stats.iter().filter(|(name, _)| name.ends_with(".update_rejected"));
        refused.map(|(_, count)| count).sum()
    }

    fn admin(&self) -> SocketAddr {
        self.admin_address().unwrap()
    }
}

const CONFIGURATION: &str = r#"
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider:
  type: Custom
  custom:
    resource: {type: File, file: {paths: ["{folder}/resources"]}}
    infrastructure:
      type: Host
      host:
        configHome: {folder}/config
        dataHome: {folder}/data
        stateHome: {folder}/state
        runtimeDir: {folder}/run
extensionApis: {enableBackend: true, enableEnvoyPatchPolicy: {patches}}
"#;

const RESOURCES: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: envoy, namespace: envoy-gateway-system}
type: kubernetes.io/tls
data: {tls.crt: {crt}, tls.key: {key}, ca.crt: {ca}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: host, namespace: envoy-gateway-system}
spec: {provider: {type: Host, host: {envoyVersion: 1.40.0}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: envoy-gateway-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg, namespace: default}
spec:
  gatewayClassName: eg
  listeners:
  - {name: http, protocol: HTTP, port: {port}}
  - {name: other, protocol: HTTP, port: {other}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: default}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: upstream}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: upstream, namespace: default}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: {upstream}}}]}
"#;

fn site(port: u16, files: &Files, target: &str) -> Site {
    files.site(port, &format!("--to envoy-gateway {target}"))
}

#[test]
#[ignore = "make mesh-test"]
fn gateway_listener_and_route() {
    let scratch = Scratch::new();
    let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
    let files = Files::serve(&scratch);
    let (port, other) = (free_port(), free_port());
    let mut gateway = Gateway::new(&scratch, [port, other], upstream.listener(), false);
    let whole = site(port, &files, "--target gateway/eg");
    whole.goes_through_life(&mut gateway, &scratch);
    whole.takes_sessions(&mut gateway, &scratch);
    for target in ["--target gateway/eg/http", "--target route/orders"] {
        let site = site(port, &files, target);
        let rendered = site.render(&scratch, &policy("first", None), &site.wasm);
        gateway.apply(&rendered);
        site.wait_for("judged", ["401", "200", "403 scope"]);
        let (plugin, guard) = rendered.split_once("---\n").unwrap();
        gateway.delete(plugin);
        site.wait_for("the plugin taken away", ["403 guard"; 3]);
        gateway.delete(guard);
        site.wait_for("all taken away", ["200"; 3]);
    }

    let own = site(port, &files, "--target gateway/eg/http");
    let beside = site(other, &files, "--target gateway/eg/other --name other");
    own.stands_beside(&beside, &mut gateway, &scratch);
    whole.takes_images(&files.images(), &mut gateway, &scratch);
}

#[test]
#[ignore = "make mesh-test"]
fn the_guard_as_a_patch() {
    let scratch = Scratch::new();
    let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
    let files = Files::serve(&scratch);
    let port = free_port();
    let ports = [port, free_port()];
    let mut gateway = Gateway::new(&scratch, ports, upstream.listener(), true);
    let site = site(port, &files, &format!("--target gateway/eg/http --guard patch --port {port}"));
    let rendered = site.render(&scratch, &policy("first", None), &site.wasm);
    gateway.apply(&rendered);
    site.wait_for("judged", ["401", "200", "403 scope"]);
    let mut connection = Connection::open(gateway.admin()).unwrap();
    connection.write(b"GET /config_dump HTTP/1.1\r\nhost: admin\r\n\r\n").unwrap();
    let dump = connection.response(false).unwrap().text();
    assert!(dump.contains("\"failure_policy\": \"FAIL_RELOAD\""));
    let (plugin, _) = rendered.split_once("---\n").unwrap();
    gateway.delete(plugin);
    site.wait_for("the plugin taken away", ["403 guard"; 3]);
}
