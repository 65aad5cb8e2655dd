//! Resources for Envoy Gateway.

use std::io::Write;

use anyhow::{Result, bail, ensure};

use super::code::warn_of_unversioned;
use super::kubernetes;
use super::module::{Module, Source};
use super::session::{Issuer, Jwks, PREFIXES};
use super::target::Attachment;
use super::{
    Arguments, GUARD, Guard, MeshVersion, quoted, write_indented, write_lines, write_start,
};
use crate::exit::Usage;
use crate::policy::Served;

/// The newest release that was tested.
const NEWEST: MeshVersion = MeshVersion(1, 9);

/// Of every kind here.
const VERSION: &str = "gateway.envoyproxy.io/v1alpha1";

/// From here on a rule of a `SecurityPolicy` can be an expression.
const CEL: MeshVersion = MeshVersion(1, 9);

/// From here on it has native modules.
const MODULES: MeshVersion = MeshVersion(1, 8);

/// Writes an `EnvoyExtensionPolicy`, and the guard with what verifies sessions.
pub(super) fn write(
    policy: &Served,
    arguments: &Arguments,
    issuer: Option<&Issuer>,
    output: &mut dyn Write,
) -> Result<()> {
    let attachment = Attachment::parse(arguments.target.as_deref())?;
    let version = arguments.mesh_version.unwrap_or(NEWEST);
    let default = if version < CEL { Guard::Patch } else { Guard::Policy };
    let guard = arguments.guard.unwrap_or(default);
    ensure!(
        guard == Guard::Patch || version >= CEL,
        Usage::new(format!(
            "a rule of a SecurityPolicy is an expression from Envoy Gateway {CEL} on, not in {version}: `--guard patch`"
        ))
    );
    ensure!(
        issuer.is_none() || version >= CEL,
        "a key and a session in one proxy need `jwt.failOpen`, which Envoy Gateway has from {CEL} on, and {version} lacks"
    );
    if arguments.port.is_some() && guard != Guard::Patch {
        bail!(Usage::new("`--port` is for `--guard patch`"));
    }
    let place = Place {
        namespace: kubernetes::namespace(arguments.namespace.as_deref().unwrap_or("default"))?,
        name: kubernetes::name(arguments.name())?,
        target: target(&attachment)?,
    };
    let native = arguments.module.as_deref().map(Native::new).transpose()?;
    if let Some(native) = &native {
        ensure!(
            version >= MODULES,
            Usage::new(format!(
                "Envoy Gateway has native modules from {MODULES} on, not in {version}: write `--wasm`"
            ))
        );
        ensure!(
            issuer.is_none(),
            "a native module reads sessions from filter state, which Envoy Gateway has no resource for: write `--wasm`"
        );
        native.write_entry(output)?;
    }
    write_extension(policy, arguments, native.as_ref(), &place, output)?;
    match guard {
        Guard::Policy => {
            output.write_all(
                b"---
# The guard. It refuses what Latchkey has not allowed, should the proxy run without it. Filter state is bytes, so the
# rule compares bytes: what begins with `allow `.
# A SecurityPolicy that is attached closer to a route takes this one's place there, unless it is merged by `mergeType`:
# put the same rule into each (`--guard rule`). Not reached: TCP, UDP and TLS (passthrough).
",
            )?;
            write_security_policy_start(&place, output)?;
            write_jwt(issuer, 2, output)?;
            write_indented(RULE, 2, output)
        }
        Guard::Rule => {
            output.write_all(
                b"# The guard, to be put into the `spec` of the SecurityPolicy that is there already. Without it the proxy lets\n\
                  # everything through, should it run without Latchkey.\n#\n",
            )?;
            let mut rule = Vec::new();
            write_jwt(issuer, 2, &mut rule)?;
            write_indented(RULE, 2, &mut rule)?;
            writeln!(output, "# spec:")?;
            for line in String::from_utf8(rule)?.lines() {
                writeln!(output, "# {line}")?;
            }
            Ok(())
        }
        Guard::Patch => {
            write_patch(&attachment, arguments, &place, output)?;
            if issuer.is_none() {
                return Ok(());
            }
            output.write_all(b"---\n# Verifies sessions.\n")?;
            write_security_policy_start(&place, output)?;
            write_jwt(issuer, 2, output)
        }
    }
}

/// The native module.
struct Native {
    path: String,
    /// What the gateway calls it.
    name: String,
}

impl Native {
    /// The module at a path in the proxy's container.
    fn new(path: &str) -> Result<Native> {
        ensure!(
            path.starts_with('/'),
            Usage::new(format!(
                "`--module` is a path in the proxy's container: it must be absolute, not `{path}`"
            ))
        );
        warn_of_unversioned(path);
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.strip_prefix("lib").unwrap_or(file);
        let name = name.strip_suffix(".so").unwrap_or(name).to_ascii_lowercase();
        let name = name
            .replace(|character: char| !character.is_ascii_alphanumeric() && character != '.', "-");
        let name = name.trim_matches(['-', '.']).to_owned();
        ensure!(!name.is_empty(), Usage::new(format!("`--module {path}` names no file")));
        Ok(Native { path: path.to_owned(), name })
    }

    /// Tells whoever runs the proxies what they must allow.
    fn write_entry(&self, output: &mut dyn Write) -> Result<()> {
        let (name, path) = (quoted(&self.name)?, quoted(&self.path)?);
        write!(
            output,
            "# The module runs in Envoy's own process, so whoever runs the proxies must list it: in the EnvoyProxy of the\n\
             # Gateway or of its class, which also has to bring the file into the proxy's container.\n\
             #\n\
             # spec:\n\
             #   dynamicModules:\n\
             #   - name: {name}\n\
             #     source: {{type: Local, local: {{path: {path}}}}}\n"
        )?;
        Ok(())
    }
}

/// Where the resources stand, and what they are attached to.
struct Place<'a> {
    namespace: &'a str,
    name: &'a str,
    /// The lines of `targetRefs`.
    target: String,
}

impl Place<'_> {
    /// What the guard is called.
    fn guard(&self) -> String {
        format!("{}-guard", self.name)
    }
}

fn target(attachment: &Attachment) -> Result<String> {
    let (kind, name, listener) = match attachment {
        Attachment::Gateway { name, listener } => ("Gateway", name, listener.as_deref()),
        Attachment::Route(name) => ("HTTPRoute", name, None),
    };
    let mut target = format!(
        "  targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: {kind}\n    name: {}\n",
        quoted(name)?
    );
    if let Some(listener) = listener {
        target.push_str(&format!("    sectionName: {}\n", quoted(listener)?));
    }
    Ok(target)
}

fn write_extension(
    policy: &Served,
    arguments: &Arguments,
    native: Option<&Native>,
    place: &Place<'_>,
    output: &mut dyn Write,
) -> Result<()> {
    write_start(VERSION, "EnvoyExtensionPolicy", place.name, place.namespace, output)?;
    output.write_all(place.target.as_bytes())?;
    if let Some(native) = native {
        write!(
            output,
            "  dynamicModule:\n  - name: {}\n    filterName: latchkey\n    config:\n",
            quoted(&native.name)?
        )?;
        return write_lines(&policy.document, 6, output);
    }
    let module = Module::new(arguments)?;
    let (kind, field) = match module.source {
        Source::File => bail!(Usage::new(format!(
            "Envoy Gateway fetches the filter: `--wasm` must be an image or an https:// URL, not `{}`",
            module.url
        ))),
        Source::Image => ("Image", "image"),
        Source::Web => ("HTTP", "http"),
    };
    write!(
        output,
        "  wasm:
  - name: latchkey
    failOpen: false
    code:
      type: {kind}
      {field}:
        url: {}
",
        quoted(&module.url)?
    )?;
    if let Some(sha256) = &module.sha256 {
        writeln!(output, "        sha256: {}", quoted(sha256)?)?;
    }
    if policy.needs_pepper {
        output.write_all(b"    env:\n      hostKeys: [LATCHKEY_PEPPER]\n")?;
    }
    writeln!(output, "    config:")?;
    write_lines(&policy.document, 6, output)
}

fn write_security_policy_start(place: &Place<'_>, output: &mut dyn Write) -> Result<()> {
    write_start(VERSION, "SecurityPolicy", &place.guard(), place.namespace, output)?;
    output.write_all(place.target.as_bytes())?;
    Ok(())
}

const RULE: &str = r#"authorization:
  defaultAction: Deny
  rules:
  - name: latchkey-allowed
    action: Allow
    cel: "filter_state['wasm.latchkey'] >= b'allow ' && filter_state['wasm.latchkey'] < b'allow!'"
"#;

/// Writes what verifies sessions and refuses nothing itself.
fn write_jwt(issuer: Option<&Issuer>, indent: usize, output: &mut dyn Write) -> Result<()> {
    let Some(issuer) = issuer else { return Ok(()) };
    // What is not a good token is judged as a key, by Latchkey. The provider's name is where claims lie.
    let mut text = format!(
        "jwt:\n  failOpen: true\n  providers:\n  - name: {}\n    issuer: {}\n",
        quoted(&issuer.payload)?,
        quoted(&issuer.issuer)?
    );
    if let Some(audience) = &issuer.audience {
        text.push_str(&format!("    audiences: [{}]\n", quoted(audience)?));
    }
    text.push_str(&match &issuer.jwks {
        Jwks::Inline(json) => {
            format!("    localJWKS:\n      type: Inline\n      inline: {}\n", quoted(json)?)
        }
        Jwks::Remote(remote) => format!("    remoteJWKS:\n      uri: {}\n", quoted(&remote.url)?),
    });
    text.push_str("    extractFrom:\n      headers:\n");
    for prefix in PREFIXES {
        let header = quoted(&issuer.header)?;
        text.push_str(&format!("      - name: {header}\n        valuePrefix: \"{prefix}\"\n"));
    }
    write_indented(&text, indent, output)
}

fn write_patch(
    attachment: &Attachment,
    arguments: &Arguments,
    place: &Place<'_>,
    output: &mut dyn Write,
) -> Result<()> {
    let (gateway, listener) = match attachment {
        Attachment::Gateway { name, listener: Some(listener) } => (name, listener),
        Attachment::Gateway { listener: None, .. } => {
            let message =
                "`--guard patch` needs the listener: `--target gateway/NAME/LISTENER`".to_owned();
            let help = "Envoy Gateway patches listeners one by one: render once for each, with a `--name` of its own\n";
            return Err(Usage { message, help: help.to_owned() }.into());
        }
        Attachment::Route(_) => bail!(Usage::new(format!(
            "`--guard patch` stands in a whole listener and would refuse what belongs to other routes: \
             protect a Gateway's listener, or use Envoy Gateway {CEL}"
        ))),
    };
    let Some(port) = arguments.port else {
        bail!(Usage::new(
            "`--guard patch` needs `--port`, the listener's, by which newer versions name it"
        ));
    };
    output.write_all(
        b"---
# The guard: an item added at the router's place stands before it. It refuses what Latchkey has not allowed, should the
# proxy run without it. Envoy Gateway takes it only with `extensionApis.enableEnvoyPatchPolicy: true`, and says so nowhere
# but in the status. Of the names below those count which this version gives its listeners; a status that
# others were not found does not mean a mistake. Where Gateways are merged or listeners share a port, see if the name is another's:
# `latchkey doctor` tells.
",
    )?;
    write_start(VERSION, "EnvoyPatchPolicy", &place.guard(), place.namespace, output)?;
    write!(
        output,
        "  targetRef:
    group: gateway.networking.k8s.io
    kind: Gateway
    name: {}
  type: JSONPatch
  jsonPatches:
",
        quoted(gateway)?
    )?;
    let old = format!("{}/{gateway}/{listener}", place.namespace);
    for name in [old.clone(), format!("{old}-quic"), format!("tcp-{port}"), format!("udp-{port}")] {
        let start = format!(
            "  - type: type.googleapis.com/envoy.config.listener.v3.Listener\n    name: {}\n    operation:\n      op: add\n",
            quoted(&name)?
        );
        write!(
            output,
            "{start}      jsonPath: \"$..http_filters[?(@.name=='envoy.filters.http.router')]\"
      value:
        name: latchkey-guard
        typed_config:
"
        )?;
        write_indented(GUARD, 10, output)?;
        if arguments.module.is_some() {
            continue;
        }
        // A plugin that has trapped is started anew, in place of answering 503 for good.
        write!(
            output,
            "{start}      jsonPath: \"$..http_filters[?(@.typed_config.config.name=='latchkey')].typed_config.config\"
      path: /failure_policy
      value: FAIL_RELOAD
"
        )?;
    }
    Ok(())
}
