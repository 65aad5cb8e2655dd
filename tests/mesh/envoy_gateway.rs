//! On Envoy Gateway.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use latchkey_testing::gateway::upstream_bootstrap;
use latchkey_testing::{Connection, Envoy, Scratch, until};

use super::files::Files;
use super::process::{Process, Rule, built, filled, free_port, local, turn};
use super::site::{Plane, Site, Sites, commented_specs, policy};

/// Envoy Gateway, with the Envoys that it starts.
struct Gateway<'a> {
    scratch: &'a Scratch,
    /// Ends its Envoys with itself.
    _process: Process,
    /// What keeps Envoy from it.
    block: Option<Rule>,
    _host: HostEntries,
}

/// It serves at a fixed port.
static ONE: Mutex<()> = Mutex::new(());

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

/// What it is told at first.
struct Setup<'a> {
    /// Name and port of each Gateway, which has a route of the same name.
    gateways: &'a [(&'a str, u16)],
    upstream: SocketAddr,
    /// What else the `spec` of the EnvoyProxy has, in one line of YAML.
    proxy: &'a str,
    takes_patches: bool,
}

impl<'a> Gateway<'a> {
    fn new(scratch: &'a Scratch, setup: &Setup<'_>) -> Gateway<'a> {
        let folder = scratch.path().display().to_string();
        let programs = scratch.file("data/envoy-versions/1.40.0/bin");
        fs::create_dir_all(&programs).unwrap();
        symlink(latchkey_testing::envoy(None), programs.join("envoy")).unwrap();
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
            ("patches", if setup.takes_patches { "true" } else { "false" }),
            ("crt", &secret("tls.crt")),
            ("key", &secret("tls.key")),
            ("ca", &secret("ca.crt")),
            ("proxy", setup.proxy),
            ("upstream", &setup.upstream.port().to_string()),
        ];
        scratch.write("envoy-gateway.yaml", &filled(CONFIGURATION, &values));
        let gateways = setup
            .gateways
            .iter()
            .map(|(name, port)| filled(GATEWAY, &[("name", name), ("port", &port.to_string())]));
        let resources = filled(RESOURCES, &values) + &gateways.collect::<String>();
        scratch.write("resources/base.yaml", &resources);
        let host = HostEntries::new(scratch);
        let mut command = Command::new(built("envoy-gateway"));
        command.args(["server", "--config-path"]).arg(scratch.file("envoy-gateway.yaml"));
        let process = Process::start(&mut command, &scratch.file("envoy-gateway.log"));
        let gateway = Gateway { scratch, _process: process, block: None, _host: host };
        until("Envoy Gateway's Envoys", || {
            let is_open = |(_, port): &(&str, u16)| Connection::open(local(*port)).is_ok();
            setup.gateways.iter().all(is_open).then_some(())
        });
        gateway
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

    fn admins(&self) -> Vec<SocketAddr> {
        let runs = fs::read_dir(self.scratch.file("run")).unwrap();
        let address = |run: PathBuf| fs::read_to_string(run.join("admin-address.txt")).ok();
        let addresses = runs.filter_map(|run| address(run.unwrap().path()));
        addresses.map(|address| address.trim().parse().unwrap()).collect()
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
spec:
  provider: {type: Host, host: {envoyVersion: 1.40.0}}
  # There are several on this machine.
  extraArgs: [--disable-hot-restart]
  {proxy}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: envoy-gateway-system}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: upstream, namespace: default}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: {upstream}}}]}
"#;

const GATEWAY: &str = r#"---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: {name}, namespace: default}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: {port}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: {name}, namespace: default}
spec:
  parentRefs: [{name: {name}}]
  rules: [{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: upstream}]}]
"#;

/// Three Gateways, each with a target of another kind, their Envoys being one or not.
fn gateways(proxy: &str, test: impl FnOnce(&mut Sites<'_>)) {
    let _turn = turn(&ONE);
    let scratch = Scratch::new();
    let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
    let files = Files::serve(&scratch);
    let [whole, listener, route] = [free_port(), free_port(), free_port()];
    let setup = Setup {
        gateways: &[("whole", whole), ("listener", listener), ("route", route)],
        upstream: upstream.listener(),
        proxy,
        takes_patches: false,
    };
    let mut gateway = Gateway::new(&scratch, &setup);
    let sites = vec![
        files.site(whole, "--to envoy-gateway --target gateway/whole --name whole"),
        files.site(listener, "--to envoy-gateway --target gateway/listener/http --name listener"),
        files.site(route, "--to envoy-gateway --target route/route --name route"),
    ];
    test(&mut Sites { sites, plane: &mut gateway, scratch: &scratch });
}

#[test]
#[ignore = "make mesh-test"]
fn a_gateway_a_listener_and_a_route() {
    gateways("mergeGateways: false", |sites| {
        sites.go_through_life();
        sites.stand_beside_each_other();
        sites.take_images();
        sites.take_sessions(None);
        sites.take_sessions(Some("x-session"));
    });
}

/// Each is named, as a GatewayClass cannot be a target.
#[test]
#[ignore = "make mesh-test"]
fn merged_gateways() {
    gateways("mergeGateways: true", |sites| sites.stand_beside_each_other());
}

#[test]
#[ignore = "make mesh-test"]
fn the_guard_as_a_patch() {
    let _turn = turn(&ONE);
    let scratch = Scratch::new();
    let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
    let files = Files::serve(&scratch);
    let port = free_port();
    let setup = Setup {
        gateways: &[("eg", port)],
        upstream: upstream.listener(),
        proxy: "mergeGateways: false",
        takes_patches: true,
    };
    let mut gateway = Gateway::new(&scratch, &setup);
    let arguments =
        format!("--to envoy-gateway --target gateway/eg/http --guard patch --port {port}");
    let sites = vec![files.site(port, &arguments)];
    let mut sites = Sites { sites, plane: &mut gateway, scratch: &scratch };
    let rendered = sites.protect();
    until("the patch, which may come after the plugin", || {
        let dump = sites.plane.admin("/config_dump").concat();
        dump.contains("\"failure_policy\": \"FAIL_RELOAD\"").then_some(())
    });
    sites.lose_their_plugins(&rendered);
}

/// The native module, which whoever runs the proxies has listed.
#[test]
#[ignore = "make mesh-test"]
fn the_native_module() {
    let _turn = turn(&ONE);
    let scratch = Scratch::new();
    let upstream = Envoy::start(&scratch, "upstream", &upstream_bootstrap(&scratch), &[]);
    let port = free_port();
    let module = |path: &str| format!("--module {path}");
    let site = Site {
        address: local(port),
        arguments: "--to envoy-gateway --target gateway/eg".to_owned(),
        filter: module(&latchkey_testing::module().display().to_string()),
        bad: vec![("a module that nobody has listed", module("/nowhere/liblatchkey-0.0.1.so"))],
        images: Vec::new(),
    };
    let lost = module("/nowhere/liblatchkey-0.0.2.so");
    // As the comment of what is rendered says.
    let entry = |filter: &str| {
        let rendered = site.render(&scratch, &policy("first", None), filter);
        commented_specs(&rendered)[0]["dynamicModules"][0].clone()
    };
    let entries = serde_json::json!([entry(&site.filter), entry(&lost)]);
    let setup = Setup {
        gateways: &[("eg", port)],
        upstream: upstream.listener(),
        proxy: &format!("dynamicModules: {entries}"),
        takes_patches: false,
    };
    let mut gateway = Gateway::new(&scratch, &setup);
    let mut sites = Sites { sites: vec![site], plane: &mut gateway, scratch: &scratch };
    sites.go_through_life();
    sites.lack_the_file_of_their_module(&lost);
}
