//! What Envoys write about each request: the front's access log, and the upstream's reports.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A line of the front's access log.
#[derive(Clone, Debug, Deserialize)]
pub struct LogLine {
    /// Whose request it was, with the port.
    pub client: SocketAddr,
    pub request_id: Option<String>,
    pub protocol: Option<String>,
    pub method: Option<String>,
    pub authority: Option<String>,
    pub path: Option<String>,
    pub status: u16,
    pub details: Option<String>,
    pub flags: Option<String>,
    /// The filter's decision; none where a request never reached the filter.
    pub latchkey: Option<String>,
    pub key: Option<String>,
    pub account: Option<String>,
    pub rule: Option<String>,
    pub reason: Option<String>,
    pub response_request_id: Option<String>,
    /// What else the request's headers hold when it is logged, `:path` with its query among them.
    #[serde(default)]
    left: BTreeMap<String, Option<String>>,
}

impl LogLine {
    /// What the policy has told besides the decision, by the words of its `publish`.
    pub fn published(&self) -> Vec<(String, String)> {
        let LogLine { key, account, rule, reason, .. } = self;
        let told = [("key", key), ("account", account), ("rule", rule), ("reason", reason)];
        told.into_iter().filter_map(|(word, told)| Some((word.to_owned(), told.clone()?))).collect()
    }

    /// What else the request's headers hold when it is logged: those of [`LEFT`] that there are.
    pub fn left(&self) -> Vec<(String, Vec<u8>)> {
        let values = self.left.iter();
        let present = |(name, value): (&String, &Option<String>)| {
            Some((name.clone(), value.clone()?.into_bytes()))
        };
        values.filter_map(present).collect()
    }
}

/// The headers in which a credential may be left.
pub const LEFT: [&str; 11] = [
    ":path",
    "authorization",
    "cookie",
    "hx-current-url",
    "referer",
    "sec-websocket-protocol",
    "x-api-key",
    "x-auth-token",
    "x-forwarded-url",
    "x-note",
    "x_auth_token",
];

/// What the upstream saw of one request. Bytes that are not ASCII stand as the characters of the
/// same numbers.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub method: String,
    pub path: Option<String>,
    pub authority: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body_bytes: usize,
    /// The checksum of the whole body (RFC 1950).
    pub body_adler32: u32,
    pub body: Option<String>,
}

impl Report {
    /// The values of every header of that name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(given, _)| given == name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    pub fn request_id(&self) -> Option<&str> {
        self.values("x-request-id").first().copied()
    }
}

/// The bytes that a text of a [`Report`] stands for.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

/// A file of JSON lines that an Envoy goes on writing.
#[derive(Debug)]
pub struct Lines {
    file: PathBuf,
    read: u64,
}

impl Lines {
    pub fn new(file: PathBuf) -> Lines {
        Lines { file, read: 0 }
    }

    /// The whole lines that have come since the last call.
    pub fn more<T: DeserializeOwned>(&mut self) -> Vec<T> {
        let Ok(mut file) = File::open(&self.file) else { return Vec::new() };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read += end as u64;
        let text = String::from_utf8_lossy(&bytes[..end]);
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}`"))
        };
        // `-` stands for nothing to report; and a report brings a line end of its own.
        text.lines().filter(|line| !matches!(*line, "" | "-")).map(parse).collect()
    }
}
