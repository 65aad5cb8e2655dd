//! A dump of an Envoy's configuration, as far as Latchkey's protection is concerned.
//!
//! Envoy prints protobuf messages as JSON with their fields in `snake_case`, Envoy Gateway's `egctl` in `camelCase`; both
//! leave out what has its default value.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::time;

/// The field `name`, given in `snake_case`, of a message.
pub(super) fn field<'v>(message: &'v Value, name: &str) -> Option<&'v Value> {
    message.get(name).or_else(|| message.get(camel_case(name)))
}

/// The field at the end of a path such as `config.vm_config`.
pub(super) fn at<'v>(message: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(message, field)
}

/// The text at the end of a path; empty where there is none.
pub(super) fn text<'v>(message: &'v Value, path: &str) -> &'v str {
    at(message, path).and_then(Value::as_str).unwrap_or_default()
}

/// The list at the end of a path; empty where there is none.
pub(super) fn items<'v>(message: &'v Value, path: &str) -> &'v [Value] {
    at(message, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether the switch at the end of a path is on.
pub(super) fn is_set(message: &Value, path: &str) -> bool {
    at(message, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The type of an `Any`, without what stands before its slash, and its message, taken out of a `TypedStruct`.
pub(super) fn typed(any: &Value) -> (&str, &Value) {
    let kind = type_of(text(any, "@type"));
    match kind {
        "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct" | "xds.type.v1.TypedStruct" => {
            (type_of(text(any, "type_url")), field(any, "value").unwrap_or(&Value::Null))
        }
        kind => (kind, any),
    }
}

fn type_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn camel_case(name: &str) -> String {
    let mut is_first = false;
    let letter = |letter: char| match letter {
        '_' => {
            is_first = true;
            None
        }
        letter if std::mem::take(&mut is_first) => Some(letter.to_ascii_uppercase()),
        letter => Some(letter),
    };
    name.chars().filter_map(letter).collect()
}

/// The dumps in a document, with the names under which they stand in it: `NAMESPACE/POD`, or none where the document is
/// one dump.
pub(crate) fn dumps(document: &Value) -> Vec<(Option<String>, &Value)> {
    if document.get("configs").is_some() {
        return vec![(None, document)];
    }
    let mut found = Vec::new();
    for (namespace, pods) in document.as_object().into_iter().flatten() {
        for (pod, dump) in pods.as_object().into_iter().flatten() {
            if dump.get("configs").is_some() {
                found.push((Some(format!("{namespace}/{pod}")), dump));
            }
        }
    }
    found
}

/// What Envoy runs, by name.
#[derive(Debug, Default)]
pub(super) struct Dump<'v> {
    pub(super) listeners: Vec<Listener<'v>>,
    /// What control planes or files deliver of filters.
    pub(super) extensions: BTreeMap<&'v str, Extension<'v>>,
    routes: BTreeMap<&'v str, &'v Value>,
    /// For a name of `scoped_routes` its scopes.
    scopes: BTreeMap<&'v str, Vec<&'v Value>>,
    clusters: BTreeMap<&'v str, &'v Value>,
    /// The `node.id`, such as `sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local` on Istio.
    node: &'v str,
    is_istio: bool,
    /// Whether it told of listeners at all.
    pub(super) has_listeners: bool,
}

/// One state of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener<'v> {
    pub(super) name: &'v str,
    pub(super) message: &'v Value,
    pub(super) state: State,
    /// What Envoy said when it refused the newest of this name.
    pub(super) refusal: Option<&'v str>,
}

/// How far a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// It serves.
    Active,
    /// Envoy refused it, and has no other of this name.
    Refused,
    /// It stands in the bootstrap, and serves.
    Static,
    /// It serves soon.
    Warming,
}

/// A filter's configuration that was delivered by discovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'v> {
    /// The version with which this configuration came first, taken or not.
    pub(super) version: &'v str,
    /// When it came, in Unix milliseconds.
    pub(super) offered: Option<i64>,
    pub(super) config: Option<&'v Value>,
    /// What Envoy said when it refused the newest.
    pub(super) refusal: Option<&'v str>,
}

impl<'v> Dump<'v> {
    pub(super) fn new(dump: &'v Value) -> Dump<'v> {
        let mut new = Dump::default();
        for part in items(dump, "configs") {
            match type_of(text(part, "@type")) {
                "envoy.admin.v3.BootstrapConfigDump" => {
                    new.node = text(part, "bootstrap.node.id");
                    new.is_istio = at(part, "bootstrap.node.metadata.ISTIO_VERSION").is_some();
                }
                "envoy.admin.v3.ClustersConfigDump" => new.add_clusters(part),
                "envoy.admin.v3.EcdsConfigDump" => new.add_extensions(part),
                "envoy.admin.v3.ListenersConfigDump" => new.add_listeners(part),
                "envoy.admin.v3.RoutesConfigDump" => new.add_routes(part),
                "envoy.admin.v3.ScopedRoutesConfigDump" => new.add_scopes(part),
                _ => {}
            }
        }
        new
    }

    fn add_clusters(&mut self, part: &'v Value) {
        let lists = ["static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"];
        for cluster in lists.into_iter().flat_map(|list| items(part, list)) {
            if let Some(cluster) = field(cluster, "cluster") {
                self.clusters.insert(text(cluster, "name"), cluster);
            }
        }
    }

    fn add_extensions(&mut self, part: &'v Value) {
        for entry in items(part, "ecds_filters") {
            let extension = field(entry, "ecds_filter").unwrap_or(&Value::Null);
            let name = text(extension, "name");
            let new = Extension {
                version: text(entry, "version_info"),
                offered: time::milliseconds(text(entry, "last_updated")),
                config: field(extension, "typed_config"),
                refusal: refusal(entry),
            };
            self.extensions.insert(name, new);
        }
    }

    fn add_listeners(&mut self, part: &'v Value) {
        self.has_listeners = true;
        for entry in items(part, "static_listeners") {
            let Some(message) = field(entry, "listener") else { continue };
            let name = text(message, "name");
            self.listeners.push(Listener { name, message, state: State::Static, refusal: None });
        }
        for entry in items(part, "dynamic_listeners") {
            let mut refusal = refusal(entry);
            // Beside the entry with its name a refused listener has one without.
            let name = match text(entry, "name") {
                "" => text(entry, "error_state.failed_configuration.name"),
                name => name,
            };
            for (part, state) in
                [("active_state", State::Active), ("warming_state", State::Warming)]
            {
                if let Some(message) = at(entry, part).and_then(|state| field(state, "listener")) {
                    let refusal = refusal.take();
                    self.listeners.push(Listener { name, message, state, refusal });
                }
            }
            if let Some(refusal) = refusal {
                let refusal = Some(refusal);
                let state = State::Refused;
                self.listeners.push(Listener { name, message: &Value::Null, state, refusal });
            }
        }
    }

    fn add_routes(&mut self, part: &'v Value) {
        // What stands in a listener stands there; a name in the bootstrap is for none.
        for entry in items(part, "dynamic_route_configs") {
            if let Some(config) = field(entry, "route_config") {
                self.routes.insert(text(config, "name"), config);
            }
        }
    }

    fn add_scopes(&mut self, part: &'v Value) {
        for list in ["inline_scoped_route_configs", "dynamic_scoped_route_configs"] {
            for entry in items(part, list) {
                let scopes = items(entry, "scoped_route_configs");
                self.scopes.entry(text(entry, "name")).or_default().extend(scopes);
            }
        }
    }

    /// The configurations of routes of a connection manager; `None` for one that is not in the dump.
    pub(super) fn route_configs(&self, manager: &'v Value) -> Vec<Option<&'v Value>> {
        if let Some(config) = field(manager, "route_config") {
            return vec![Some(config)];
        }
        if let Some(discovery) = field(manager, "rds") {
            return vec![self.routes.get(text(discovery, "route_config_name")).copied()];
        }
        let Some(scoped) = field(manager, "scoped_routes") else { return Vec::new() };
        let inline = items(scoped, "scoped_route_configurations_list.scoped_route_configurations");
        let mut scopes: Vec<&Value> = inline.iter().collect();
        if scopes.is_empty() {
            scopes.extend(self.scopes.get(text(scoped, "name")).into_iter().flatten());
        }
        let config = |scope: &&'v Value| {
            let named = self.routes.get(text(scope, "route_configuration_name")).copied();
            field(scope, "route_configuration").or(named)
        };
        if scopes.is_empty() { vec![None] } else { scopes.iter().map(config).collect() }
    }

    /// The internal listeners to which a cluster leads, if it leads to nothing else.
    pub(super) fn internal_listeners(&self, cluster: &str) -> Option<Vec<&'v str>> {
        let cluster = self.clusters.get(cluster)?;
        let localities = items(cluster, "load_assignment.endpoints");
        let endpoints = localities.iter().flat_map(|locality| items(locality, "lb_endpoints"));
        let name = |endpoint: &'v Value| {
            let path = "endpoint.address.envoy_internal_address.server_listener_name";
            at(endpoint, path)?.as_str()
        };
        let names: Vec<&str> = endpoints.map(name).collect::<Option<_>>()?;
        (!names.is_empty()).then_some(names)
    }

    /// Whether a listener is for requests that leave the workload, whose keys are others' to judge. A gateway of Istio has
    /// the same mark on listeners for what comes in.
    pub(super) fn is_outbound(&self, listener: &Listener<'_>) -> bool {
        self.node.starts_with("sidecar~")
            && text(listener.message, "traffic_direction") == "OUTBOUND"
    }

    /// Whether a listener is one that a mesh gives each of its proxies for probes and statistics.
    pub(super) fn is_of_mesh(&self, listener: &Listener<'_>) -> bool {
        let port =
            at(listener.message, "address.socket_address.port_value").and_then(Value::as_u64);
        let is_istio = self.is_istio && matches!(port, Some(15021 | 15090));
        let of_envoy_gateway = ["envoy-gateway-proxy-ready-", "envoy-gateway-proxy-stats-"];
        listener.state == State::Static
            && (is_istio || of_envoy_gateway.iter().any(|start| listener.name.starts_with(start)))
    }
}

impl<'v> Listener<'v> {
    /// Its name, or its address where it has none.
    pub(super) fn label(&self) -> String {
        if !self.name.is_empty() {
            return self.name.to_owned();
        }
        let address = field(self.message, "address").unwrap_or(&Value::Null);
        let port = at(address, "socket_address.port_value").and_then(Value::as_u64);
        match port {
            Some(port) => format!("{}:{port}", text(address, "socket_address.address")),
            None => text(address, "pipe.path").to_owned(),
        }
    }

    /// Whether it can be reached from inside this Envoy only.
    pub(super) fn is_internal(&self) -> bool {
        field(self.message, "internal_listener").is_some()
            || at(self.message, "address.envoy_internal_address").is_some()
    }

    /// Its filter chains, with their names or numbers.
    pub(super) fn chains(&self) -> impl Iterator<Item = (String, &'v Value)> {
        let chains = items(self.message, "filter_chains").iter().enumerate();
        let chains = chains.map(|(index, chain)| match text(chain, "name") {
            "" => (format!("{index}"), chain),
            name => (name.to_owned(), chain),
        });
        let default = field(self.message, "default_filter_chain");
        let default = default.map(|chain| match text(chain, "name") {
            "" => ("default".to_owned(), chain),
            name => (name.to_owned(), chain),
        });
        chains.chain(default)
    }
}

fn refusal(entry: &Value) -> Option<&str> {
    field(entry, "error_state").map(|state| text(state, "details"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_found_in_either_spelling() {
        let message = json!({"vm_config": {"a": 1}, "vmConfig2": 2, "httpFilters": [{"typedConfig": {"x_y": true}}]});
        assert_eq!(at(&message, "vm_config.a"), Some(&json!(1)));
        let filter = items(&message, "http_filters").first().unwrap();
        assert!(is_set(filter, "typed_config.x_y"));
        assert_eq!(text(&message, "http_filters"), "");
    }

    #[test]
    fn a_document_holds_one_dump_or_one_for_each_pod() {
        let dump = json!({"configs": []});
        assert_eq!(dumps(&dump), [(None, &dump)]);
        let of_pods = json!({"ns": {"a": dump, "b": dump}, "other": {"c": 1}});
        let names: Vec<_> = dumps(&of_pods).into_iter().filter_map(|(name, _)| name).collect();
        assert_eq!(names, ["ns/a", "ns/b"]);
        assert_eq!(dumps(&json!([{"name": "ingress"}])), []);
    }
}
