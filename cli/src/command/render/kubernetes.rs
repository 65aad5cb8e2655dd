//! The forms for a control plane in Kubernetes.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Arguments, GUARD, quoted, write_lines};
use crate::filter;
use crate::policy::Served;
use crate::style::warn;

/// Writes a `WasmPlugin`, and the `EnvoyFilter` that carries the guard. An `AuthorizationPolicy`
/// could not: it knows no filter state.
pub(super) fn write_istio(
    policy: &Served,
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<()> {
    let namespace = quoted(arguments.namespace.as_deref().unwrap_or("istio-system"))?;
    let gateway = quoted(arguments.gateway.as_deref().unwrap_or("ingressgateway"))?;
    let mut module = Module::new(arguments)?;
    let url = match module.source {
        Source::File => {
            if module.sha256.is_none() {
                module.sha256 = Some(sha256_of(Path::new(&module.url))?);
            }
            ensure!(
                module.url.starts_with('/'),
                "`--wasm` is a path in the proxy's container: it must be absolute, not `{}`",
                module.url
            );
            format!("file://{}", module.url)
        }
        Source::Image | Source::Web => module.url.clone(),
    };
    write!(
        output,
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: latchkey
  namespace: {namespace}
spec:
  selector:
    matchLabels:
      istio: {gateway}
  url: {}
",
        quoted(&url)?
    )?;
    if let Some(sha256) = &module.sha256 {
        writeln!(output, "  sha256: {}", quoted(sha256)?)?;
    }
    output.write_all(b"  phase: AUTHN\n  failStrategy: FAIL_CLOSE\n  pluginName: latchkey\n")?;
    if policy.needs_pepper {
        output.write_all(
            b"  vmConfig:\n    env:\n    - name: LATCHKEY_PEPPER\n      valueFrom: HOST\n",
        )?;
    }
    writeln!(output, "  pluginConfig:")?;
    write_lines(&policy.document, 4, output)?;
    write!(
        output,
        "---
# The guard: right before the router, behind everything that Istio adds. It refuses what Latchkey
# has not allowed, should the proxy run without it.
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: latchkey-guard
  namespace: {namespace}
spec:
  workloadSelector:
    labels:
      istio: {gateway}
  priority: 100
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: GATEWAY
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter:
              name: envoy.filters.http.router
    patch:
      operation: INSERT_BEFORE
      value:
        name: latchkey-guard
        typed_config:
"
    )?;
    write_guard(10, output)
}

/// Writes an `EnvoyExtensionPolicy`, and the `EnvoyPatchPolicy` that carries the guard.
pub(super) fn write_envoy_gateway(
    policy: &Served,
    arguments: &Arguments,
    output: &mut dyn Write,
) -> Result<()> {
    let namespace = arguments.namespace.as_deref().unwrap_or("default");
    let gateway = arguments.gateway.as_deref().unwrap_or("eg");
    let listener = quoted(&format!("{namespace}/{gateway}/{}", arguments.listener))?;
    let (namespace, gateway) = (quoted(namespace)?, quoted(gateway)?);
    let module = Module::new(arguments)?;
    let (kind, field, url) = match module.source {
        Source::File => bail!(
            "Envoy Gateway fetches the filter: `--wasm` must be an oci:// or https:// URL, not `{}`",
            module.url
        ),
        Source::Image => ("Image", "image", module.url.trim_start_matches("oci://")),
        Source::Web => ("HTTP", "http", module.url.as_str()),
    };
    write!(
        output,
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  name: latchkey
  namespace: {namespace}
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: Gateway
    name: {gateway}
  wasm:
  - name: latchkey
    failOpen: false
    code:
      type: {kind}
      {field}:
        url: {}
",
        quoted(url)?
    )?;
    if let Some(sha256) = &module.sha256 {
        writeln!(output, "        sha256: {}", quoted(sha256)?)?;
    }
    if policy.needs_pepper {
        output.write_all(b"    env:\n      hostKeys: [LATCHKEY_PEPPER]\n")?;
    }
    writeln!(output, "    config:")?;
    write_lines(&policy.document, 6, output)?;
    write!(
        output,
        "---
# The guard: an item added at the router's place stands before it. It refuses what Latchkey has
# not allowed, should the proxy run without it. Each listener of the Gateway needs one.
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyPatchPolicy
metadata:
  name: latchkey-guard
  namespace: {namespace}
spec:
  targetRef:
    group: gateway.networking.k8s.io
    kind: Gateway
    name: {gateway}
  type: JSONPatch
  jsonPatches:
  - type: type.googleapis.com/envoy.config.listener.v3.Listener
    name: {listener}
    operation:
      op: add
      jsonPath: \"$..http_filters[?(@.name=='envoy.filters.http.router')]\"
      value:
        name: latchkey-guard
        typed_config:
"
    )?;
    write_guard(10, output)
}

fn write_guard(indent: usize, output: &mut dyn Write) -> Result<()> {
    for line in GUARD.lines() {
        writeln!(output, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// Where a control plane gets the filter from, and what it must hash to.
struct Module {
    source: Source,
    url: String,
    sha256: Option<String>,
}

enum Source {
    /// A path in the proxy's container.
    File,
    /// An OCI image.
    Image,
    /// An address of the web.
    Web,
}

impl Module {
    fn new(arguments: &Arguments) -> Result<Module> {
        let url = arguments.wasm.clone().unwrap_or_default();
        let url = url.strip_prefix("file://").map(str::to_owned).unwrap_or(url);
        let source = match url.split_once("://") {
            None => Source::File,
            Some(("oci", _)) => Source::Image,
            Some(("http" | "https", _)) => Source::Web,
            Some(_) => bail!("`--wasm` is a path or an oci:// or https:// URL, not `{url}`"),
        };
        let sha256 = arguments.sha256.as_deref().map(checked).transpose()?;
        let is_fetched = !matches!(source, Source::File);
        if is_fetched && sha256.is_none() && !url.contains("@sha256:") {
            warn(format_args!("without `--sha256` the proxy runs whatever that URL serves"));
        }
        Ok(Module { source, url, sha256 })
    }
}

fn checked(digits: &str) -> Result<String> {
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_hash, "`--sha256` is 64 hex digits");
    Ok(digits.to_ascii_lowercase())
}

fn sha256_of(path: &Path) -> Result<String> {
    filter::digest(path).with_context(|| {
        format!("cannot read `{}` for its hash; give it with `--sha256`", path.display())
    })
}
