//! What an HTTP chain does with requests that have passed its filters.

use serde_json::Value;

use super::dump::{field, items, text, typed};

/// A route, or one of the clusters among which it divides its requests.
#[derive(Clone, Debug)]
pub(super) struct Route<'v> {
    /// Its name, or its virtual host and what it matches.
    pub(super) label: String,
    /// `typed_per_filter_config` of whatever has one, the most specific first.
    pub(super) layers: Vec<&'v Value>,
    /// The cluster to which it sends, where it names one.
    pub(super) cluster: Option<&'v str>,
    /// Whether requests go on from here, and are not answered by Envoy itself with a redirection or a fixed text.
    pub(super) goes_on: bool,
}

/// The routes of a route configuration.
pub(super) fn routes(config: &Value) -> Vec<Route<'_>> {
    let mut found = Vec::new();
    for host in items(config, "virtual_hosts") {
        let mut routes: Vec<&Value> = items(host, "routes").iter().collect();
        if let Some(matcher) = field(host, "matcher") {
            collect_matched(matcher, &mut routes);
        }
        for route in routes {
            let layers = [route, host, config];
            let layers: Vec<&Value> = layers.into_iter().filter_map(filter_configs).collect();
            add(route, label(host, route), layers, &mut found);
        }
    }
    found
}

fn add<'v>(route: &'v Value, label: String, layers: Vec<&'v Value>, found: &mut Vec<Route<'v>>) {
    let action = field(route, "route");
    let goes_on = field(route, "redirect").is_none() && field(route, "direct_response").is_none();
    let weighted = action.and_then(|action| field(action, "weighted_clusters"));
    let clusters = weighted.map_or(&[][..], |weighted| items(weighted, "clusters"));
    if clusters.is_empty() {
        let cluster = action.and_then(|action| field(action, "cluster")).and_then(Value::as_str);
        found.push(Route { label, layers, cluster, goes_on });
        return;
    }
    for cluster in clusters {
        let all = filter_configs(cluster).into_iter().chain(layers.iter().copied()).collect();
        let name = field(cluster, "name").and_then(Value::as_str);
        found.push(Route { label: label.clone(), layers: all, cluster: name, goes_on });
    }
}

fn filter_configs(message: &Value) -> Option<&Value> {
    field(message, "typed_per_filter_config")
}

/// The routes in a tree of matchers.
fn collect_matched<'v>(message: &'v Value, routes: &mut Vec<&'v Value>) {
    match typed(message) {
        ("envoy.config.route.v3.Route", route) => routes.push(route),
        _ => match message {
            Value::Array(items) => items.iter().for_each(|item| collect_matched(item, routes)),
            Value::Object(fields) => {
                fields.values().for_each(|value| collect_matched(value, routes))
            }
            _ => {}
        },
    }
}

fn label(host: &Value, route: &Value) -> String {
    let name = text(route, "name");
    if !name.is_empty() && name != "default" {
        return name.to_owned();
    }
    let paths = ["path", "prefix", "path_separated_prefix", "safe_regex.regex"];
    let matched = field(route, "match").unwrap_or(&Value::Null);
    let path = paths.into_iter().map(|path| text(matched, path)).find(|path| !path.is_empty());
    match path {
        Some(path) => format!("{} {path}", text(host, "name")),
        None => text(host, "name").to_owned(),
    }
}
