//! Who issues the sessions that a policy takes, and what verifies them.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use ureq::http::Uri;

use super::{Arguments, quoted, write_indented};
use crate::document::json_for_yaml;
use crate::exit::Usage;

/// The issuer of the sessions.
pub(super) struct Issuer {
    pub(super) issuer: String,
    pub(super) audience: Option<String>,
    pub(super) jwks: Jwks,
    /// Where claims lie for Latchkey.
    pub(super) payload: String,
    /// The header with the token.
    pub(super) header: String,
}

/// The issuer's public keys.
pub(super) enum Jwks {
    /// The keys themselves, as JSON in one line.
    Inline(String),
    /// Where they are fetched from.
    Remote(Remote),
}

/// An address of the web.
pub(super) struct Remote {
    pub(super) url: String,
    host: String,
    port: u16,
    is_encrypted: bool,
}

impl Issuer {
    /// The issuer that the arguments name; none for a policy without sessions, which has no `payload`.
    ///
    /// # Errors
    /// Wrong usage: it is not named though the policy has sessions, or named though it has none. The
    /// file of keys cannot be read or is not a JWKS.
    pub(super) fn new(arguments: &Arguments, payload: Option<&str>) -> Result<Option<Issuer>> {
        let Some(payload) = payload else {
            let given = [
                ("--issuer", arguments.issuer.is_some()),
                ("--jwks", arguments.jwks.is_some()),
                ("--audience", arguments.audience.is_some()),
                ("--session-header", arguments.session_header.is_some()),
            ];
            if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                let message =
                    format!("`{option}` is for a policy with `sessions`, and this has none");
                bail!(Usage::new(message));
            }
            return Ok(None);
        };
        let (Some(issuer), Some(jwks)) = (&arguments.issuer, &arguments.jwks) else {
            let message =
                "the policy has `sessions`, which need `--issuer` and `--jwks`".to_owned();
            let help = "--issuer https://auth.example.com --jwks jwks.json, or \
                        --jwks https://auth.example.com/.well-known/jwks.json\n";
            return Err(Usage { message, help: help.to_owned() }.into());
        };
        let header = arguments.session_header.as_deref().unwrap_or("authorization");
        Ok(Some(Issuer {
            issuer: issuer.clone(),
            audience: arguments.audience.clone(),
            jwks: Jwks::load(jwks)?,
            payload: payload.to_owned(),
            header: header.to_owned(),
        }))
    }

    /// Whether keys stand in the same header.
    pub(super) fn shares_header(&self) -> bool {
        self.header == "authorization"
    }

    /// Writes the `typed_config` of Envoy's `jwt_authn` that verifies sessions and refuses nothing itself, each
    /// line after `indent` spaces.
    pub(super) fn write_filter(&self, indent: usize, output: &mut dyn Write) -> Result<()> {
        let mut text = String::from(START);
        text.push_str(&format!("    issuer: {}\n", quoted(&self.issuer)?));
        if let Some(audience) = &self.audience {
            text.push_str(&format!("    audiences: [{}]\n", quoted(audience)?));
        }
        text.push_str("    require_expiration: true\n");
        text.push_str(&match &self.jwks {
            Jwks::Inline(json) => {
                format!("    local_jwks: {{inline_string: {}}}\n", quoted(json)?)
            }
            Jwks::Remote(remote) => format!(
                "    remote_jwks:\n      http_uri: {{uri: {}, cluster: {CLUSTER}, timeout: 5s}}\n      \
                 cache_duration: 300s\n      async_fetch: {{}}\n",
                quoted(&remote.url)?
            ),
        });
        text.push_str(&format!("    payload_in_metadata: {}\n", quoted(&self.payload)?));
        text.push_str("    # Envoy compares letters as they are, so each way to write the scheme stands here.\n");
        text.push_str("    from_headers:\n");
        for prefix in PREFIXES {
            let header = quoted(&self.header)?;
            text.push_str(&format!("    - {{name: {header}, value_prefix: \"{prefix}\"}}\n"));
        }
        text.push_str(END);
        write_indented(&text, indent, output)
    }

    /// Writes the filter that hands the claims to the native module, which reads filter state only, each line after
    /// `indent` spaces.
    pub(super) fn write_copy(&self, indent: usize, output: &mut dyn Write) -> Result<()> {
        let key = quoted(&format!("latchkey.session.{}", self.payload))?;
        let claims = format!("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:{})%", self.payload);
        let claims = quoted(&claims)?;
        let text = format!(
            r#"# Hands the claims to Latchkey, which as a module cannot read them where jwt_authn leaves them.
- name: latchkey-session
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
    on_request_headers:
    - object_key: {key}
      factory_key: envoy.string
      format_string: {{text_format_source: {{inline_string: {claims}}}, omit_empty_values: true}}
      skip_if_empty: true
"#
        );
        write_indented(&text, indent, output)
    }

    /// Writes the cluster from which the keys are fetched, if they are, each line after `indent` spaces
    /// and the first after `first`.
    pub(super) fn write_cluster(
        &self,
        first: &str,
        indent: usize,
        output: &mut dyn Write,
    ) -> Result<()> {
        let Jwks::Remote(remote) = &self.jwks else { return Ok(()) };
        let host = quoted(&remote.host)?;
        let mut text = format!(
            "name: {CLUSTER}
type: LOGICAL_DNS
connect_timeout: 5s
load_assignment:
  cluster_name: {CLUSTER}
  endpoints:
  - lb_endpoints:
    - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {}}}}}}}
",
            remote.port
        );
        if remote.is_encrypted {
            text.push_str(&format!(
                "transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {host}
    common_tls_context:
      validation_context:
        # Where Debian, Ubuntu and Alpine keep the authorities that are trusted.
        trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}
        match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: {host}}}}}]
"
            ));
        }
        let (start, rest) = text.split_once('\n').unwrap_or((&text, ""));
        writeln!(output, "{first:indent$}{start}")?;
        write_indented(rest, indent, output)
    }
}

/// The usual ways to write the scheme.
pub(super) const PREFIXES: [&str; 3] = ["Bearer ", "bearer ", "BEARER "];

const CLUSTER: &str = "latchkey-jwks";

const START: &str = r#""@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
providers:
  sessions:
"#;

/// The token stays where it is: Latchkey sees if a key was sent along, and takes it out.
const END: &str = r#"    forward: true
rules:
- match: {prefix: "/"}
  # A session, or none: what is not a good token stays where it is, and Latchkey judges it as a key.
  requires:
    requires_any:
      requirements:
      - provider_name: sessions
      - allow_missing_or_failed: {}
"#;

impl Jwks {
    fn load(text: &str) -> Result<Jwks> {
        if text.contains("://") {
            return Remote::parse(text).map(Jwks::Remote);
        }
        let json = std::fs::read_to_string(Path::new(text))
            .with_context(|| format!("cannot read `{text}`"))?;
        let value: Value =
            serde_json::from_str(&json).with_context(|| format!("`{text}` is not JSON"))?;
        let keys = value.get("keys").and_then(Value::as_array);
        ensure!(
            keys.is_some_and(|keys| !keys.is_empty()),
            "`{text}` has no list `keys`: it is not a JWKS"
        );
        Ok(Jwks::Inline(json_for_yaml(&value.to_string())))
    }
}

impl Remote {
    /// # Errors
    /// Wrong usage: it is no address of the web.
    fn parse(url: &str) -> Result<Remote> {
        let wrong = || Usage::new(format!("`--jwks` is a file or an https:// URL, not `{url}`"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.host().unwrap_or_default().to_owned();
        let is_web = matches!(scheme, "http" | "https") && !host.is_empty();
        ensure!(is_web, wrong());
        let is_encrypted = scheme == "https";
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Remote { url: url.to_owned(), host, port, is_encrypted })
    }
}
