//! The HTTP filters of a chain, by what they are and not by what they are called.

use latchkey::{Engine, Environment};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::dump::{Dump, Extension, at, field, is_set, items, text, typed};
use crate::document::Document;
use crate::policy;

/// A filter as the connection manager names it, its configuration taken from where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'v> {
    pub(super) name: &'v str,
    /// The type of `config`, without what stands before its slash; empty where it was never delivered.
    pub(super) kind: &'v str,
    pub(super) config: &'v Value,
    /// Whether it is off for every route that does not turn it on.
    is_disabled: bool,
    /// What was delivered, if it comes by discovery.
    pub(super) discovered: Option<Extension<'v>>,
}

impl<'v> Filter<'v> {
    /// One of `http_filters`, or of a chain's `filters`.
    pub(super) fn new(filter: &'v Value, dump: &Dump<'v>) -> Filter<'v> {
        let name = text(filter, "name");
        let is_disabled = is_set(filter, "disabled");
        let discovery = field(filter, "config_discovery");
        let discovered = discovery.map(|discovery| {
            // Envoy runs the default as long as nothing has come.
            let config = field(discovery, "default_config");
            let nothing = Extension { version: "", offered: None, config, refusal: None };
            dump.extensions.get(name).copied().unwrap_or(nothing)
        });
        let config = match discovered {
            Some(extension) => extension.config,
            None => field(filter, "typed_config"),
        };
        let (kind, config) = config.map_or(("", &Value::Null), typed);
        Filter { name, kind, config, is_disabled, discovered }
    }

    /// What holds for it on a route, of whose `typed_per_filter_config` the most specific comes first: `None` where it is
    /// off, else the route's own configuration, if it has one.
    pub(super) fn on_route(&self, layers: &[&'v Value]) -> Option<Option<(&'v str, &'v Value)>> {
        let Some(config) = layers.iter().find_map(|layer| layer.get(self.name)) else {
            return (!self.is_disabled).then_some(None);
        };
        match typed(config) {
            ("envoy.config.route.v3.FilterConfig", wrapper) if is_set(wrapper, "disabled") => None,
            ("envoy.config.route.v3.FilterConfig", wrapper) => {
                let inner = field(wrapper, "config").filter(|config| config.get("@type").is_some());
                Some(inner.map(typed))
            }
            config => Some(Some(config)),
        }
    }

    /// Whether this is Latchkey, and how much of it is here.
    pub(super) fn latchkey(&self) -> Option<Latchkey<'v>> {
        let Filter { name, kind, config, .. } = *self;
        let plugin = field(config, "config").unwrap_or(&Value::Null);
        let code = at(plugin, "vm_config.code").unwrap_or(&Value::Null);
        let is_named = |names: &[&str]| {
            names.iter().any(|name| name.to_ascii_lowercase().contains("latchkey"))
        };
        let (configuration, names) = match kind {
            WASM => {
                let location = location(code).unwrap_or_default();
                let called = text(plugin, "name");
                // In a mesh the filter's name has others in it, such as that of a namespace.
                let called = if called.is_empty() { name } else { called };
                let names = [called, text(plugin, "vm_config.vm_id"), location];
                (field(plugin, "configuration"), is_named(&names))
            }
            MODULE => {
                let names = [text(config, "filter_name")];
                (field(config, "filter_config"), is_named(&names))
            }
            // Never delivered, or replaced by what refuses everything, as Istio does for a module that it cannot get.
            _ if self.discovered.is_some() && is_named(&[name]) => {
                return Some(Latchkey { configuration: None, is_here: false, ..Latchkey::NONE });
            }
            _ => return None,
        };
        let configuration = configuration.and_then(Configuration::new);
        let looks_right = || configuration.as_ref().is_some_and(Configuration::looks_like_a_policy);
        (names || looks_right()).then(|| Latchkey {
            configuration,
            is_here: true,
            location: location(code).or_else(|| module_location(config)),
            sha256: sha256(code, text(plugin, "vm_config.vm_id")),
            on_failure: on_failure(kind, plugin),
        })
    }
}

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
pub(super) const MODULE: &str =
    "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// Whether a filter's configuration holds a Latchkey that it runs for some requests only.
pub(super) fn holds_latchkey(message: &Value) -> bool {
    match message {
        Value::Array(items) => items.iter().any(holds_latchkey),
        Value::Object(fields) => {
            let (kind, config) = typed(message);
            let name = text(message, "name");
            let filter = Filter { name, kind, config, is_disabled: false, discovered: None };
            filter.latchkey().is_some() || fields.values().any(holds_latchkey)
        }
        _ => false,
    }
}

/// What a dump tells of a Latchkey.
#[derive(Debug)]
pub(super) struct Latchkey<'v> {
    configuration: Option<Configuration>,
    /// Whether the filter itself stands there.
    pub(super) is_here: bool,
    location: Option<&'v str>,
    sha256: Option<String>,
    pub(super) on_failure: OnFailure,
}

impl Latchkey<'_> {
    const NONE: Latchkey<'static> = Latchkey {
        configuration: None,
        is_here: false,
        location: None,
        sha256: None,
        on_failure: OnFailure::Close,
    };

    /// What it was told to do.
    pub(super) fn policy(&self, name: &str, version: Option<&str>) -> Policy {
        let mut policy = Policy {
            filter: name.to_owned(),
            version: version.filter(|version| !version.is_empty()).map(str::to_owned),
            version_in_force: None,
            name: None,
            keys: None,
            sha256: None,
            module: self.location.map(str::to_owned),
            module_sha256: self.sha256.clone(),
            on_failure: self.on_failure,
            has_sessions: false,
            only_observes: false,
            observes: false,
            mistake: None,
        };
        let Some(configuration) = &self.configuration else {
            policy.mistake = Some("it has no configuration".to_owned());
            return policy;
        };
        // Any pepper will do: no token is looked up.
        let pepper = policy::pepper().unwrap_or_else(|| b"pepper".to_vec());
        let environment = Environment { pepper: Some(&pepper) };
        match Engine::compile(configuration.text.as_bytes(), &environment) {
            Ok(engine) => {
                policy.name = engine.name().map(str::to_owned);
                policy.keys = Some(engine.key_count());
                policy.has_sessions = engine.has_sessions();
                policy.only_observes = engine.only_observes();
                policy.observes = engine.observes();
                policy.sha256 = configuration.sha256();
            }
            Err(findings) => {
                let mut errors =
                    findings.iter().filter(|finding| finding.severity == latchkey::Severity::Error);
                let first = errors.next().map(|finding| match &*finding.pointer {
                    "" => finding.message.clone(),
                    pointer => format!("{} (at {pointer})", finding.message),
                });
                let first = first.unwrap_or_default();
                policy.mistake =
                    Some(format!("its configuration is not a policy that it takes: {first}"));
            }
        }
        policy
    }
}

/// A policy as a proxy has it. The fields are those of `doctor --format json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Policy {
    /// The filter's name in the dump.
    pub(crate) filter: String,
    /// The version that was offered last, where it comes by discovery.
    pub(crate) version: Option<String>,
    /// The version that Envoy's statistics name.
    pub(crate) version_in_force: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) keys: Option<usize>,
    /// SHA-256 of the policy as `latchkey render --to json` prints it.
    pub(crate) sha256: Option<String>,
    /// Where Envoy has the module from: a path, an address or a name.
    pub(crate) module: Option<String>,
    /// SHA-256 of the module, or its beginning, as far as the dump tells.
    pub(crate) module_sha256: Option<String>,
    pub(crate) on_failure: OnFailure,
    #[serde(skip)]
    pub(super) has_sessions: bool,
    /// Whether it refuses nothing.
    #[serde(skip)]
    pub(super) only_observes: bool,
    /// Whether it has a rule that refuses no good key.
    #[serde(skip)]
    pub(super) observes: bool,
    /// Why it is not one.
    #[serde(skip)]
    pub(super) mistake: Option<String>,
}

/// What Envoy does once the filter has crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// It refuses all requests.
    Close,
    /// A native module that crashes ends Envoy; Latchkey's refuses the request in which it panics.
    Exit,
    /// It lets all requests through.
    Open,
    /// It starts the filter anew.
    Reload,
}

fn on_failure(kind: &str, plugin: &Value) -> OnFailure {
    match text(plugin, "failure_policy") {
        _ if kind == MODULE => OnFailure::Exit,
        "FAIL_OPEN" => OnFailure::Open,
        "FAIL_RELOAD" => OnFailure::Reload,
        "" | "UNSPECIFIED" if is_set(plugin, "fail_open") => OnFailure::Open,
        _ => OnFailure::Close,
    }
}

fn location(code: &Value) -> Option<&str> {
    let paths = ["local.filename", "remote.http_uri.uri"];
    paths.into_iter().map(|path| text(code, path)).find(|path| !path.is_empty())
}

fn module_location(config: &Value) -> Option<&str> {
    let paths = ["dynamic_module_config.module.local.filename", "dynamic_module_config.name"];
    paths.into_iter().map(|path| text(config, path)).find(|path| !path.is_empty())
}

/// What is fetched has its digest; what Latchkey's command line renders has the beginning of it in the id of the VM; and
/// what Istio's agent has fetched has it in the name of the file.
fn sha256(code: &Value, vm_id: &str) -> Option<String> {
    let is_hex =
        |text: &&str| text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fetched = Some(text(code, "remote.sha256")).filter(is_hex);
    let told = vm_id.strip_prefix("latchkey-").filter(is_hex);
    let file = text(code, "local.filename").rsplit('/').next().unwrap_or_default();
    let named = file.strip_suffix(".wasm").filter(is_hex).filter(|name| name.len() == 64);
    fetched.or(told).or(named).map(str::to_owned)
}

/// A filter's configuration as the text that the filter gets.
#[derive(Debug)]
struct Configuration {
    text: String,
}

impl Configuration {
    fn new(any: &Value) -> Option<Configuration> {
        let (kind, message) = typed(any);
        let text = match (kind, field(message, "value")) {
            ("google.protobuf.StringValue", Some(Value::String(text))) => text.clone(),
            // A `Struct`, as such or taken out of a `TypedStruct`.
            (_, Some(value @ Value::Object(_))) => value.to_string(),
            (_, None)
                if message.as_object().is_some_and(|fields| !fields.contains_key("@type")) =>
            {
                message.to_string()
            }
            _ => return None,
        };
        (!text.trim().is_empty()).then_some(Configuration { text })
    }

    fn looks_like_a_policy(&self) -> bool {
        // A list of tokens' sources and one of keys: no other plugin's configuration has both.
        let Ok(value) = serde_json::from_str::<Document>(&self.text) else { return false };
        ["credentials", "keys"]
            .into_iter()
            .all(|name| matches!(value.field(name), Some(Document::Array(_))))
    }

    fn sha256(&self) -> Option<String> {
        let json = serde_json::from_str::<Document>(&self.text).ok()?.to_json().ok()?;
        Some(hex::encode(Sha256::new().chain_update(json).chain_update(b"\n").finalize()))
    }
}

/// Whether a filter writes the decision itself, in which case the guard guards nothing.
pub(super) fn forges_decision(filter: &Filter<'_>) -> bool {
    sets_filter_state(filter, |key| key == "wasm.latchkey")
}

/// Whether a filter copies the claims of a session to where the native module reads them.
pub(super) fn hands_sessions_over(filter: &Filter<'_>) -> bool {
    sets_filter_state(filter, |key| key.starts_with("latchkey.session."))
}

fn sets_filter_state(filter: &Filter<'_>, is_such: impl Fn(&str) -> bool) -> bool {
    let lists = ["on_request_headers", "on_new_connection", "on_downstream_tls_handshake"];
    filter.kind.contains(".set_filter_state.")
        && lists
            .into_iter()
            .flat_map(|list| items(filter.config, list))
            .any(|value| is_such(text(value, "object_key")))
}
