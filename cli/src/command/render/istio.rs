//! Resources for Istio.

use std::io::Write;

use anyhow::{Result, ensure};

use super::kubernetes;
use super::module::{Module, Source};
use super::session::{Issuer, Jwks};
use super::target::Workload;
use super::{Arguments, GUARD, MeshVersion, quoted, write_indented, write_lines, write_start};
use crate::exit::Usage;
use crate::policy::Served;

/// The newest release that was tested.
const NEWEST: MeshVersion = MeshVersion(1, 31);

/// From here on a plugin that has trapped is started anew.
const FAIL_RELOAD: MeshVersion = MeshVersion(1, 27);

/// From here on an `EnvoyFilter` can name a Gateway.
const TARGET_REFS: MeshVersion = MeshVersion(1, 24);

/// Writes a `WasmPlugin`, the `EnvoyFilter` that carries the guard, and what verifies sessions. An
/// `AuthorizationPolicy` could not be the guard: it knows no filter state.
pub(super) fn write(
    policy: &Served,
    arguments: &Arguments,
    issuer: Option<&Issuer>,
    output: &mut dyn Write,
) -> Result<()> {
    let workload = Workload::parse(arguments.target.as_deref())?;
    let version = arguments.mesh_version.unwrap_or(NEWEST);
    let selection = Selection::new(&workload, version)?;
    let names = Names::new(arguments, &workload)?;
    write_plugin(policy, arguments, issuer.is_some(), &selection, &names, version, output)?;
    write!(
        output,
        "---
# The guard: right before the router, behind everything that Istio adds. It refuses what Latchkey has not
# allowed, should the proxy run without it.
{}",
        outside(&workload)
    )?;
    write_envoy_filter_start(&names, "-guard", &selection, output)?;
    output.write_all(b"  priority: 100\n  configPatches:\n")?;
    write_patch(&selection, "envoy.filters.http.router", "INSERT_BEFORE", output)?;
    output.write_all(b"        name: latchkey-guard\n        typed_config:\n")?;
    write_indented(GUARD, 10, output)?;
    match issuer {
        None => Ok(()),
        Some(issuer) if issuer.shares_header() => {
            write_filter_of_sessions(issuer, &selection, &names, output)
        }
        Some(issuer) => write_request_authentication(issuer, &selection, &names, output),
    }
}

/// Namespace and name of the resources.
struct Names<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Names<'_> {
    fn new<'a>(arguments: &'a Arguments, workload: &Workload) -> Result<Names<'a>, Usage> {
        let default = match workload {
            Workload::Ingress(_) => "istio-system",
            Workload::Gateway(_) | Workload::Sidecar(_) | Workload::Waypoint(_) => "default",
        };
        let namespace = arguments.namespace.as_deref().unwrap_or(default);
        Ok(Names {
            namespace: kubernetes::namespace(namespace)?,
            name: kubernetes::name(arguments.name())?,
        })
    }
}

/// How resources name the workload, and where in its proxy the guard stands.
struct Selection {
    /// Lines below `spec` of a `WasmPlugin` and of a `RequestAuthentication`.
    plugin: String,
    /// The same of an `EnvoyFilter`.
    filter: String,
    context: &'static str,
    /// Below `match.listener`.
    listener: &'static str,
    is_sidecar: bool,
}

impl Selection {
    fn new(workload: &Workload, version: MeshVersion) -> Result<Selection> {
        let (plugin, filter) = match workload {
            Workload::Ingress(labels) | Workload::Sidecar(labels) => by_labels(labels)?,
            Workload::Gateway(name) if version < TARGET_REFS => {
                by_labels(&[(GATEWAY_NAME.to_owned(), name.clone())])?
            }
            Workload::Gateway(name) | Workload::Waypoint(name) => {
                ensure!(
                    version >= TARGET_REFS,
                    Usage::new(format!(
                        "a waypoint takes the guard from Istio {TARGET_REFS} on, not in {version}"
                    ))
                );
                let reference = format!(
                    "  targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: {}\n",
                    quoted(name)?
                );
                (reference.clone(), reference)
            }
        };
        let (context, listener) = match workload {
            Workload::Gateway(_) | Workload::Ingress(_) => ("GATEWAY", ""),
            Workload::Sidecar(_) => ("SIDECAR_INBOUND", ""),
            // In the listener before it nothing has been decided yet.
            Workload::Waypoint(_) => ("SIDECAR_INBOUND", "        name: main_internal\n"),
        };
        let is_sidecar = matches!(workload, Workload::Sidecar(_));
        Ok(Selection { plugin, filter, context, listener, is_sidecar })
    }
}

/// The label of pods that Istio runs for a Gateway.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

fn by_labels(labels: &[(String, String)]) -> Result<(String, String)> {
    let lines = labels.iter().map(|(label, value)| {
        // Unquoted, `on` is true and `1` a number to a reader of YAML.
        Ok(format!("      {}: {}\n", quoted(label)?, quoted(value)?))
    });
    let lines = lines.collect::<Result<String>>()?;
    Ok((
        format!("  selector:\n    matchLabels:\n{lines}"),
        format!("  workloadSelector:\n    labels:\n{lines}"),
    ))
}

/// What the guard does not reach.
fn outside(workload: &Workload) -> &'static str {
    match workload {
        Workload::Sidecar(_) => {
            "# Not reached: ports that Istio takes for TCP. Name each port of the Service `http…`, or give it `appProtocol: \
             http`,\n# and let a NetworkPolicy close the others.\n"
        }
        Workload::Gateway(_) | Workload::Ingress(_) => {
            "# Not reached: listeners of the protocols TCP and TLS (passthrough), which carry no HTTP filter.\n"
        }
        Workload::Waypoint(_) => {
            "# Not reached: TCP, and whatever does not pass the waypoint: Services and workloads without the label\n\
             # `istio.io/use-waypoint`, and clients outside the mesh.\n"
        }
    }
}

fn write_plugin(
    policy: &Served,
    arguments: &Arguments,
    has_sessions: bool,
    selection: &Selection,
    names: &Names<'_>,
    version: MeshVersion,
    output: &mut dyn Write,
) -> Result<()> {
    let module = Module::new(arguments)?;
    let url = match module.source {
        Source::File => {
            ensure!(
                module.url.starts_with('/'),
                Usage::new(format!(
                    "`--wasm` is a path in the proxy's container: it must be absolute, not `{}`",
                    module.url
                ))
            );
            ensure!(
                module.sha256.is_none(),
                Usage::new(
                    "`--sha256` is for what is fetched: Istio does not compare it with a file"
                )
            );
            format!("file://{}", module.url)
        }
        Source::Image => format!("oci://{}", module.url),
        Source::Web => module.url,
    };
    write_start("extensions.istio.io/v1alpha1", "WasmPlugin", names.name, names.namespace, output)?;
    output.write_all(selection.plugin.as_bytes())?;
    if selection.is_sidecar {
        // Else requests that the pod itself sends would be judged.
        output.write_all(b"  match:\n  - mode: SERVER\n")?;
    }
    writeln!(output, "  url: {}", quoted(&url)?)?;
    if let Some(sha256) = &module.sha256 {
        writeln!(output, "  sha256: {}", quoted(sha256)?)?;
    }
    // In phase AUTHN it would stand before what verifies sessions.
    let phase = if has_sessions { "AUTHZ" } else { "AUTHN" };
    let strategy = if version >= FAIL_RELOAD { "FAIL_RELOAD" } else { "FAIL_CLOSE" };
    writeln!(output, "  phase: {phase}\n  failStrategy: {strategy}\n  pluginName: latchkey")?;
    if policy.needs_pepper {
        output.write_all(
            b"  vmConfig:\n    env:\n    - name: LATCHKEY_PEPPER\n      valueFrom: HOST\n",
        )?;
    }
    writeln!(output, "  pluginConfig:")?;
    write_lines(&policy.document, 4, output)
}

fn write_envoy_filter_start(
    names: &Names<'_>,
    suffix: &str,
    selection: &Selection,
    output: &mut dyn Write,
) -> Result<()> {
    let name = format!("{}{suffix}", names.name);
    let version = "networking.istio.io/v1alpha3";
    write_start(version, "EnvoyFilter", &name, names.namespace, output)?;
    output.write_all(selection.filter.as_bytes())?;
    Ok(())
}

/// Writes a patch of the workload's HTTP filters, up to its value.
fn write_patch(
    selection: &Selection,
    beside: &str,
    operation: &str,
    output: &mut dyn Write,
) -> Result<()> {
    let beside = if beside.is_empty() {
        String::new()
    } else {
        format!("            subFilter:\n              name: {beside}\n")
    };
    write!(
        output,
        "  - applyTo: HTTP_FILTER
    match:
      context: {}
      listener:
{}        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
{beside}    patch:
      operation: {operation}
      value:
",
        selection.context, selection.listener,
    )?;
    Ok(())
}

fn write_filter_of_sessions(
    issuer: &Issuer,
    selection: &Selection,
    names: &Names<'_>,
    output: &mut dyn Write,
) -> Result<()> {
    output.write_all(
        b"---
# Verifies sessions. A RequestAuthentication would answer 401 to every key in the same header.
",
    )?;
    write_envoy_filter_start(names, "-sessions", selection, output)?;
    output.write_all(b"  configPatches:\n")?;
    if let Jwks::Remote(_) = issuer.jwks {
        write!(
            output,
            "  - applyTo: CLUSTER
    match:
      context: {}
    patch:
      operation: ADD
      value:
",
            selection.context
        )?;
        issuer.write_cluster("", 8, output)?;
    }
    write_patch(selection, "", "INSERT_FIRST", output)?;
    output.write_all(b"        name: latchkey-sessions\n        typed_config:\n")?;
    issuer.write_filter(10, output)
}

fn write_request_authentication(
    issuer: &Issuer,
    selection: &Selection,
    names: &Names<'_>,
    output: &mut dyn Write,
) -> Result<()> {
    ensure!(
        issuer.payload == "payload",
        "`/sessions/payload` is `{}`, and Istio's RequestAuthentication leaves claims under `payload` only: write \
         `payload`, or leave `--session-header` out",
        issuer.payload
    );
    output.write_all(b"---\n# Verifies sessions, in a header of their own.\n")?;
    let name = format!("{}-sessions", names.name);
    let version = "security.istio.io/v1";
    write_start(version, "RequestAuthentication", &name, names.namespace, output)?;
    output.write_all(selection.plugin.as_bytes())?;
    writeln!(output, "  jwtRules:\n  - issuer: {}", quoted(&issuer.issuer)?)?;
    if let Some(audience) = &issuer.audience {
        writeln!(output, "    audiences: [{}]", quoted(audience)?)?;
    }
    match &issuer.jwks {
        Jwks::Inline(json) => writeln!(output, "    jwks: {}", quoted(json)?)?,
        Jwks::Remote(remote) => writeln!(output, "    jwksUri: {}", quoted(&remote.url)?)?,
    }
    writeln!(
        output,
        "    fromHeaders:\n    - name: {}\n      prefix: \"Bearer \"",
        quoted(&issuer.header)?
    )?;
    Ok(())
}
