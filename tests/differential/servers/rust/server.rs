//! The routes of routers.rs, on axum and on actix-web: server NAME PORT.

mod with_actix;
mod with_axum;

use std::collections::BTreeMap;
use std::env;

use serde::Deserialize;
use serde_json::{Value, json};

/// The routes, those for every method without one.
pub const ROUTES: [(&[&str], &str, &str); 12] = [
    (&["GET"], "/", "root"),
    (&["GET"], "/health", "health"),
    (&["POST"], "/docs", "docs.create"),
    (&["GET"], "/docs/{id}", "docs.get"),
    (&["PUT", "PATCH"], "/docs/{id}", "docs.update"),
    (&["DELETE"], "/docs/{id}", "docs.delete"),
    (&[], "/admin/{*rest}", "admin"),
    (&["GET", "POST"], "/search", "search"),
    (&[], "/orgs/{org}/x", "orgs"),
    (&["DELETE"], "/public/{name}", "public.delete"),
    (&["GET"], "/public/{*rest}", "public.get"),
    (&["GET"], "/typed", "typed"),
];

/// What an extractor makes of a query or of a form.
#[derive(Default, Deserialize)]
pub struct Search {
    #[serde(default)]
    pub hydrate: Option<String>,
    #[serde(default, rename = "type[]")]
    pub types: Vec<String>,
}

/// A request as a framework tells it.
#[derive(Default)]
pub struct Told {
    pub handler: &'static str,
    pub method: String,
    pub params: BTreeMap<String, String>,
    pub url: String,
    pub query: String,
    /// What extractors gave.
    pub searches: Vec<Search>,
    pub headers: Vec<(String, String)>,
}

impl Told {
    pub fn report(&self) -> Value {
        let header = |name: &str| {
            let values: Vec<&str> =
                self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let query: Vec<(String, String)> =
            form_urlencoded::parse(self.query.as_bytes()).into_owned().collect();
        let values = |name: &str| {
            let named = query.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone());
            named.collect::<Vec<String>>()
        };
        let (mut hydrate, mut types) = (values("hydrate"), values("type[]"));
        for search in &self.searches {
            hydrate.extend(search.hydrate.clone());
            types.extend(search.types.clone());
        }
        let mut credentials = values("api_key");
        credentials.extend([header("authorization"), header("x-api-key")].into_iter().flatten());
        for pair in header("cookie").iter().flat_map(|cookies| cookies.split([';', ','])) {
            credentials.extend(pair.trim().strip_prefix("api_key=").map(str::to_owned));
        }
        json!({
            "handler": self.handler,
            "method": self.method,
            "params": self.params,
            "hydrate": if hydrate.is_empty() { Value::Null } else { json!(hydrate) },
            "types": types,
            "type": header("x-type"),
            "account": header("x-account-id"),
            "key": header("x-key-id"),
            "credentials": credentials,
            "connection": header("connection"),
            "url": self.url,
            "query": query,
            "headers": self.headers,
        })
    }

    pub fn status(&self) -> u16 {
        if self.handler == "none" { 404 } else { 200 }
    }
}

/// The headers of either framework as text.
pub fn texts<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Vec<(String, String)> {
    headers.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned())).collect()
}

fn main() {
    let [name, port] = env::args().skip(1).collect::<Vec<String>>().try_into().unwrap();
    let address = format!("127.0.0.1:{port}");
    if name == "axum" { with_axum::serve(&address) } else { with_actix::serve(&address) }
}
