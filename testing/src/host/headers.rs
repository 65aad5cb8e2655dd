//! What Envoy does to a header map, and how it dresses up a filter's reply.

use super::Headers;

/// A header map with Envoy's rules: names in lower case, pseudo-headers first, replacing a name
/// removes all of its values.
#[derive(Debug, Default)]
pub(crate) struct HeaderMap(Headers);

impl HeaderMap {
    pub(crate) fn new(entries: &[(String, Vec<u8>)]) -> HeaderMap {
        let mut map = HeaderMap::default();
        for (name, value) in entries {
            map.add(name, value);
        }
        map
    }

    pub(crate) fn entries(&self) -> &[(String, Vec<u8>)] {
        &self.0
    }

    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        let name = name.to_ascii_lowercase();
        self.0.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        let pseudo_headers = self.0.iter().take_while(|(name, _)| name.starts_with(':')).count();
        let place = if name.starts_with(':') { pseudo_headers } else { self.0.len() };
        self.0.insert(place, (name.to_ascii_lowercase(), value.to_vec()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(candidate, _)| *candidate != name);
    }

    pub(crate) fn replace(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }
}

/// The response headers that Envoy makes of a filter's reply, before the response-headers callback
/// sees them. What Envoy makes of a reply to a gRPC request is left out.
pub(crate) fn local_reply(status: u16, headers: &[(String, Vec<u8>)], body: &[u8]) -> Headers {
    let mut map = HeaderMap::default();
    map.add(":status", status.to_string().as_bytes());
    for (name, value) in headers {
        map.add(name, value);
    }
    if body.is_empty() {
        map.remove("content-length");
        map.remove("content-type");
    } else {
        map.replace("content-length", body.len().to_string().as_bytes());
        if map.first("content-type").is_none() {
            map.add("content-type", b"text/plain");
        }
    }
    map.0
}
