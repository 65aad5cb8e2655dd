//! `latchkey render`: a policy in the form that a proxy takes.

mod code;
mod envoy;
mod envoy_gateway;
mod istio;
mod kubernetes;
mod module;
mod options;
mod session;
mod target;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use ureq::http::HeaderName;

use crate::Exit;
use crate::document::{Document, Fields, json_for_yaml};
use crate::finding;
use crate::policy::{Needs, PolicyFiles, Served};
use crate::progress::Progress;
use crate::style::warn;

pub use code::Code;
pub(crate) use envoy::{FILTER, ecds_version, write_ecds};
use session::Issuer;

/// Print a policy in the form that a proxy takes
///
/// A policy with errors is not rendered: they are printed instead. `created` and `hint` of keys are for
/// people and left out, and so is `name`, unless a header has `{key.name}`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, after_long_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// What to print
    #[arg(long, value_enum)]
    to: Form,
    /// Where the proxy finds the filter: a path; for istio and envoy-gateway also an image or an https:// URL
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    wasm: Option<String>,
    /// In place of `--wasm` where the proxy finds the native module; not for istio
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = ["wasm", "sha256"],
        value_parser = NonEmptyStringValueParser::new(),
    )]
    module: Option<String>,
    /// SHA-256 of the filter, or of the image's manifest, where it is fetched; `sha256:` may stand before it
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// istio and envoy-gateway: what is protected, such as `gateway/NAME`
    #[arg(long)]
    target: Option<String>,
    /// Kubernetes namespace of the target; default istio-system for `ingress:`, else default
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// What the rendered resources are called; ecds: what the filter is called in Envoy; default latchkey
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Version of Istio or Envoy Gateway, such as `1.27`; default the newest that was tested
    #[arg(long, value_name = "VERSION")]
    mesh_version: Option<MeshVersion>,
    /// envoy-gateway: what the guard is; default policy, or patch before 1.9
    #[arg(long, value_enum)]
    guard: Option<Guard>,
    /// envoy-gateway with `--guard patch`: the listener's port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// With `sessions`: who issues them, the claim `iss`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    issuer: Option<String>,
    /// With `sessions`: the issuer's public keys, a file of which the content is taken, or where the proxy fetches them
    #[arg(long, value_name = "FILE_OR_URL", value_parser = NonEmptyStringValueParser::new())]
    jwks: Option<String>,
    /// With `sessions`: for whom they must be, the claim `aud`
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    audience: Option<String>,
    /// With `sessions`: the header with the token, after `Bearer `; default authorization
    #[arg(long, value_name = "NAME", value_parser = header_name)]
    session_header: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| gone("--target ingress:istio=NAME` or `--target gateway/NAME"))]
    gateway: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| gone("--target gateway/NAME/LISTENER"))]
    listener: Option<String>,
}

const EXAMPLE: &str = "Example:\n  \
    latchkey render policy.yaml --to envoy --wasm /etc/latchkey/latchkey.wasm > envoy.yaml";

const AFTER: &str = "\
Examples:
  latchkey render policy.yaml --to envoy --wasm /etc/latchkey/latchkey.wasm > envoy.yaml
  latchkey render policy.yaml --keys keys.yaml --to istio --target sidecar:app=orders \\
    --wasm registry.example.com/latchkey:0.1.0 --sha256 DIGEST | kubectl apply --server-side -f -
  latchkey render policy.yaml --to envoy-gateway --target gateway/eg --wasm registry.example.com/latchkey@sha256:DIGEST \\
    --issuer https://auth.example.com --jwks jwks.json | kubectl apply --server-side -f -

Each form but json and ecds carries the guard: a filter after Latchkey that refuses whatever
Latchkey has not allowed, for the case that a proxy leaves it out. Beside ecds it belongs into the
bootstrap, as in what `--to envoy` prints.

  json           the plugin's configuration
  ecds           the file that Envoy's extension configuration discovery watches
  envoy          a bootstrap for one upstream
  istio          a WasmPlugin, and an EnvoyFilter with the guard
  envoy-gateway  an EnvoyExtensionPolicy, and a SecurityPolicy with the guard

Targets: `ingress:LABEL=VALUE`, `gateway/NAME`, `sidecar:LABEL=VALUE`, `waypoint/NAME` for istio; `gateway/NAME`,
`gateway/NAME/LISTENER`, `route/NAME` for envoy-gateway.

A policy with `sessions` needs --issuer and --jwks for envoy, istio and envoy-gateway: what verifies them is rendered, so that
a key and a session are both let in.

Sizes at which a road ends, each with a warning: 262,144 bytes for `kubectl apply` without
--server-side, 1.5 MiB for etcd, 4 MiB for gRPC, as between Istio's agent and Envoy.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The policy as compact JSON: the plugin's configuration
    Json,
    /// A whole bootstrap
    Envoy,
    /// The file that Envoy's extension configuration discovery watches
    Ecds,
    /// Resources for Istio
    Istio,
    /// Resources for Envoy Gateway
    EnvoyGateway,
}

/// What refuses whatever Latchkey has not allowed, in Envoy Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Guard {
    /// A SecurityPolicy
    Policy,
    /// An EnvoyPatchPolicy, which must be enabled
    Patch,
    /// The rule, for a SecurityPolicy that is there already
    Rule,
}

/// Major and minor version of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MeshVersion(u32, u32);

impl FromStr for MeshVersion {
    type Err = &'static str;

    /// `1.27`, `v1.27`, `1.27.3` or `1.27-rc.1`.
    fn from_str(text: &str) -> Result<MeshVersion, &'static str> {
        let numbers = text.strip_prefix('v').unwrap_or(text).split(['.', '-']);
        let mut numbers = numbers.map(|number| number.parse().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok(MeshVersion(major, minor)),
            _ => Err("not a version such as `1.27`"),
        }
    }
}

impl fmt::Display for MeshVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

/// What an option that is gone says.
fn gone(instead: &str) -> Result<String, String> {
    Err(format!("this option no longer exists: write `{instead}`"))
}

/// A header's name in lower case.
fn header_name(text: &str) -> Result<String, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not the name of a header")?;
    Ok(name.as_str().to_owned())
}

impl Arguments {
    /// What the resources, or the filter, are called.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(FILTER)
    }
}

/// Prints the rendered policy; one with errors ends with [`Exit::Findings`].
///
/// # Errors
/// A file cannot be read or parsed, the filter is not where that form can take it from, or the
/// output cannot be written; or it was called in a way that makes no sense.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    options::check(arguments)?;
    let progress = Progress::start();
    progress.step("reading the policy");
    let policy = arguments.files.load()?;
    progress.step("checking the policy");
    let engine = match policy.compile()? {
        Ok(engine) => engine,
        Err(mut findings) => {
            drop(progress);
            finding::locate(&mut findings);
            // Not to the output, which is often a file that Envoy watches.
            finding::print(&findings, &mut anstream::stderr())?;
            return Ok(Exit::Findings);
        }
    };
    if matches!(arguments.to, Form::Istio | Form::EnvoyGateway)
        && arguments.module.is_none()
        && let Some(rule) = engine.rules().iter().find(|rule| rule.holds_headers())
    {
        bail!(
            "`{}/graphql/hold` is `headers`, which takes a switch of Envoy's that these resources do not \
             have, so its requests would hang: write `body`",
            rule.pointer()
        );
    }
    let payload = engine.session_payload();
    let issuer = match arguments.to {
        Form::Json | Form::Ecds => None,
        Form::Envoy | Form::Istio | Form::EnvoyGateway => Issuer::new(arguments, payload)?,
    };
    let policy = policy.into_served(Needs::of(&engine));
    progress.step("writing");
    let mut output = Counting { output, bytes: 0 };
    match arguments.to {
        Form::Json => {
            serde_json::to_writer(&mut output, &policy.document)?;
            writeln!(output)?;
        }
        Form::Ecds => {
            drop(write_ecds(&policy, Code::of(arguments)?, arguments.name(), &mut output)?);
        }
        Form::Envoy => {
            let code = Code::of(arguments)?;
            envoy::write_bootstrap(&policy, code, issuer.as_ref(), &mut output)?;
        }
        Form::Istio | Form::EnvoyGateway => {
            let write =
                if arguments.to == Form::Istio { istio::write } else { envoy_gateway::write };
            // All or nothing: a cluster that takes what is printed must not get the plugin without its guard.
            let mut resources = Vec::new();
            write(&policy, arguments, issuer.as_ref(), &mut resources)?;
            output.write_all(&resources)?;
        }
    }
    drop(progress);
    for limit in LIMITS.iter().filter(|limit| limit.ends(arguments.to, output.bytes)) {
        warn(format_args!("{} bytes are {}", output.bytes, limit.message));
    }
    Ok(Exit::Fine)
}

/// The file that ECDS delivers, as YAML.
///
/// # Errors
/// None that a policy can cause; writing is fallible by type.
pub fn ecds(policy: &Served, code: Code<'_>) -> Result<String> {
    let mut output = Vec::new();
    write_ecds(policy, code, FILTER, &mut output)?;
    Ok(String::from_utf8(output)?)
}

/// A size at which a way to a proxy ends.
struct Limit {
    bytes: usize,
    forms: &'static [Form],
    message: &'static str,
}

const LIMITS: [Limit; 3] = [
    Limit {
        bytes: 262_144,
        forms: &[Form::Istio, Form::EnvoyGateway],
        message: "more than the 262,144 of the annotation in which `kubectl apply` keeps a copy: \
                  use `kubectl apply --server-side`",
    },
    Limit {
        bytes: 3 << 19,
        forms: &[Form::Istio, Form::EnvoyGateway],
        message: "more than the 1.5 MiB that etcd takes by default: hand the policy over as a \
                  file, with `--to ecds`",
    },
    Limit {
        bytes: 4 << 20,
        forms: &[Form::Ecds, Form::Istio, Form::EnvoyGateway],
        message: "more than the 4 MiB that gRPC, as Istio's agent uses it, takes by default: have \
                  Envoy watch a file",
    },
];

impl Limit {
    fn ends(&self, form: Form, bytes: usize) -> bool {
        bytes > self.bytes && self.forms.contains(&form)
    }
}

/// Writes JSON with one line for each field and each key or rule, so that people can read it and
/// a `diff` shows what changed, each line after `indent` spaces.
fn write_lines(policy: &Document, indent: usize, output: &mut dyn Write) -> Result<()> {
    let Document::Object(Fields(fields)) = policy else {
        writeln!(output, "{:indent$}{}", "", json_for_yaml(&policy.to_json()?))?;
        return Ok(());
    };
    writeln!(output, "{:indent$}{{", "")?;
    for (index, (name, value)) in fields.iter().enumerate() {
        let name = json_for_yaml(&serde_json::to_string(name)?);
        let end = comma(index, fields.len());
        match value {
            Document::Array(items) if items.iter().any(|item| item.as_str().is_none()) => {
                writeln!(output, "{:indent$}  {name}: [", "")?;
                for (index, item) in items.iter().enumerate() {
                    let end = comma(index, items.len());
                    writeln!(output, "{:indent$}    {}{end}", "", json_for_yaml(&item.to_json()?))?;
                }
                writeln!(output, "{:indent$}  ]{end}", "")?;
            }
            value => {
                let value = json_for_yaml(&value.to_json()?);
                writeln!(output, "{:indent$}  {name}: {value}{end}", "")?;
            }
        }
    }
    writeln!(output, "{:indent$}}}", "")?;
    Ok(())
}

fn comma(index: usize, length: usize) -> &'static str {
    if index + 1 < length { "," } else { "" }
}

/// Writes lines, each after `indent` spaces.
fn write_indented(text: &str, indent: usize, output: &mut dyn Write) -> Result<()> {
    for line in text.lines() {
        writeln!(output, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// Writes a resource of Kubernetes up to what is in its `spec`.
fn write_start(
    version: &str,
    kind: &str,
    name: &str,
    namespace: &str,
    output: &mut dyn Write,
) -> Result<()> {
    let (name, namespace) = (quoted(name)?, quoted(namespace)?);
    writeln!(output, "apiVersion: {version}\nkind: {kind}")?;
    writeln!(output, "metadata:\n  name: {name}\n  namespace: {namespace}\nspec:")?;
    Ok(())
}

/// A text as a YAML scalar.
fn quoted(text: &str) -> Result<String> {
    Ok(json_for_yaml(&serde_json::to_string(text)?))
}

/// The filter that refuses whatever Latchkey has not allowed, by the filter state that Latchkey
/// alone writes.
const GUARD: &str = r#""@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
rules_stat_prefix: latchkey_guard.
rules:
  action: ALLOW
  policies:
    latchkey-allowed:
      permissions: [{any: true}]
      principals: [{filter_state: {key: wasm.latchkey, string_match: {prefix: "allow "}}}]
"#;

/// Counts what is written.
struct Counting<'a> {
    output: &'a mut dyn Write,
    bytes: usize,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
