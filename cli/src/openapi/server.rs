//! Servers: the hosts and base paths of operations.

use anyhow::{Result, bail};

use super::Node;
use crate::document::Document;

/// Where operations are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Server {
    /// In lower case, without a port; `None` where the document does not say.
    pub(crate) host: Option<String>,
    /// What stands before each path: empty, or with a slash before it and none behind.
    pub(crate) base: String,
}

/// Where what stands in some part of a document is served.
#[derive(Clone, Debug)]
pub(super) enum Served {
    /// Whatever the document says.
    Given(Vec<Server>),
    /// As the document says so far.
    Read(Vec<Server>),
}

impl Served {
    /// Where what stands in a part of it is served that may have `servers` of its own.
    pub(super) fn within(&self, servers: Option<Node<'_>>) -> Result<Served> {
        match (self, servers) {
            (Served::Read(_), Some(servers)) => list(&servers).map(Served::Read),
            _ => Ok(self.clone()),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Server> {
        match self {
            Served::Given(servers) | Served::Read(servers) => servers,
        }
    }
}

fn list(node: &Node<'_>) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for item in node.items("`servers` must be a list")? {
        let Some(Document::String(url)) = item.value.field("url") else {
            bail!(item.wrong("a server needs a `url`"));
        };
        let shown = url.escape_debug();
        let place = item.field("url").unwrap_or_else(|| item.clone());
        let Some(filled) = filled(url, &item) else {
            let message = format!(
                "`{shown}` has a variable without a default: say with --server where the API is served"
            );
            bail!(place.wrong(&message));
        };
        let Some(server) = Server::parse(&filled) else {
            bail!(place.wrong(&format!("`{shown}` is not the URL of a server")));
        };
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        servers.push(Server::default());
    }
    Ok(servers)
}

/// A URL with its variables' defaults; `None` if one has none.
fn filled(url: &str, server: &Node<'_>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let default = server.value.field("variables")?.field(name)?.field("default")?;
        filled.push_str(before);
        match default {
            Document::String(text) => filled.push_str(text),
            // A port or a version, in YAML without quotes.
            Document::Number(number) => filled.push_str(&number.to_string()),
            _ => return None,
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

impl Server {
    /// The server of a URL, or of the path of one.
    pub(crate) fn parse(url: &str) -> Option<Server> {
        let url = url.trim();
        let url = url.split_once(['?', '#']).map_or(url, |(url, _)| url);
        let (host, path) = match url.split_once("//") {
            Some(("" | "http:" | "https:" | "ws:" | "wss:", rest)) => {
                let (authority, path) =
                    rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                let host = match host.rsplit_once(':') {
                    Some((host, port)) if !port.contains(']') => host,
                    _ => host,
                };
                (Some(host.to_ascii_lowercase()), path)
            }
            _ => (None, url),
        };
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.as_ref().is_some_and(|host| host.is_empty() || !host.bytes().all(is_word)) {
            return None;
        }
        // A path without a slash before it starts where the document was found, which nobody knows here.
        let path = path.strip_prefix("./").unwrap_or(path).trim_matches('/');
        let base = if matches!(path, "" | ".") { String::new() } else { format!("/{path}") };
        Some(Server { host, base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_base_path() {
        for (url, host, base) in [
            ("https://API.example.com/v1/", Some("api.example.com"), "/v1"),
            ("https://user@api.example.com:8443", Some("api.example.com"), ""),
            ("//api.example.com/v1/v2?x#y", Some("api.example.com"), "/v1/v2"),
            ("http://[::1]:80/v1", Some("[::1]"), "/v1"),
            ("/v1", None, "/v1"),
            ("./v1", None, "/v1"),
            ("/", None, ""),
            (".", None, ""),
            ("", None, ""),
        ] {
            let server = Server { host: host.map(str::to_owned), base: base.to_owned() };
            assert_eq!(Server::parse(url), Some(server), "{url}");
        }
        for url in ["https://", "https://a b/v1", "https://{tenant}.example.com"] {
            assert_eq!(Server::parse(url), None, "{url}");
        }
    }
}
