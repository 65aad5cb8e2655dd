//! A request as the proxy hands it over: headers and body as bytes, a clock, and verified claims.

use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The claims of a verified token, by name.
pub type Claims = Vec<(String, Claim)>;

/// What a claim says, where that can be who asks or what they may. Any JSON is one.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(from = "RawClaim")]
pub enum Claim {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawClaim {
    Text(String),
    Number(f64),
    List(Vec<String>),
    Other(IgnoredAny),
}

impl From<RawClaim> for Claim {
    fn from(raw: RawClaim) -> Claim {
        match raw {
            RawClaim::Text(text) => Claim::Text(text),
            RawClaim::Number(number) => Claim::Number(number),
            RawClaim::List(items) => Claim::List(items),
            RawClaim::Other(_) => Claim::Other,
        }
    }
}

/// One request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The request's headers in order, names in lower case, with the pseudo headers `:method`,
    /// `:path` and `:authority`. Values are any bytes.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What is known of the request's body.
    pub body: Body<'a>,
    /// The time in Unix seconds, or `None` where the host has no clock. It is asked at most once a
    /// decision, and only for a key whose validity depends on it.
    pub clock: &'a dyn Fn() -> Option<i64>,
    /// The client's address and port as Envoy writes them, `203.0.113.5:443` or `[2001:db8::1]:443`, or `None` where
    /// the host cannot tell. It is asked only for a key that is good for some addresses only.
    pub address: &'a dyn Fn() -> Option<Vec<u8>>,
    /// The claims that a filter before this one has verified and left under a name, if it has. They
    /// are asked for at most once a decision, and only where the policy has `sessions`.
    pub claims: &'a dyn Fn(&str) -> Option<Rc<Claims>>,
}

/// What is known of a request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// It is larger than [`Hold::max_bytes`](crate::Hold::max_bytes) of what asked for it.
    TooLarge,
    /// It has not been read yet.
    Unread,
    /// It has been read whole; a request without a body has an empty one.
    Whole(&'a [u8]),
}

impl fmt::Debug for Request<'_> {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} headers)", self.headers.len())
    }
}

impl fmt::Debug for Body<'_> {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Body::TooLarge => "TooLarge",
            Body::Unread => "Unread",
            Body::Whole(_) => "Whole(…)",
        })
    }
}

impl fmt::Debug for Claim {
    /// Shows nothing that a client sent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Claim::Text(_) => "Text(…)",
            Claim::Number(_) => "Number(…)",
            Claim::List(_) => "List(…)",
            Claim::Other => "Other",
        })
    }
}

impl<'a> Request<'a> {
    /// A request without a body, without verified claims, and of a client whose address nobody knows.
    pub fn new(headers: &'a [(&'a str, &'a [u8])], clock: &'a dyn Fn() -> Option<i64>) -> Self {
        Request { headers, body: Body::Whole(b""), clock, address: &|| None, claims: &|_| None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_is_a_claim() {
        let read = |json: &str| serde_json::from_str::<Claim>(json).unwrap();
        let texts = |items: &[&str]| Claim::List(items.iter().map(ToString::to_string).collect());
        for (json, expected) in [
            (r#""a""#, Claim::Text("a".to_owned())),
            ("7", Claim::Number(7.0)),
            ("-1", Claim::Number(-1.0)),
            ("1.5", Claim::Number(1.5)),
            ("18446744073709551616", Claim::Number(18_446_744_073_709_551_616.0)),
            (r#"["a", "b"]"#, texts(&["a", "b"])),
            ("[]", texts(&[])),
            (r#"["a", 1]"#, Claim::Other),
            ("true", Claim::Other),
            ("null", Claim::Other),
            (r#"{"a": ["b"]}"#, Claim::Other),
        ] {
            assert!(read(json) == expected, "{json}");
        }
    }
}
