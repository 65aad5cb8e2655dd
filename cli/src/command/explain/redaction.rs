//! What an explanation must not show: the tokens that the request presents.

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;

use crate::cases::Headers;
use crate::document::Document;

const HIDDEN: &str = "[hidden]";

/// A shorter token is hidden where it stands, and not wherever its letters are found.
const LEAST: usize = 6;

/// Hides tokens by the names of what carries them, and by their text wherever else it stands.
pub(super) struct Redaction {
    headers: Vec<String>,
    parameters: Vec<String>,
    tokens: Vec<String>,
}

impl Redaction {
    pub(super) fn new(policy: &Document, headers: &Headers) -> Redaction {
        let sources = match policy.field("credentials") {
            Some(Document::Array(sources)) => sources.as_slice(),
            _ => &[],
        };
        let named = |field: &'static str| {
            sources.iter().filter_map(move |source| source.field(field)?.as_str())
        };
        let own = named("header").map(str::to_ascii_lowercase);
        let always = ["authorization", "cookie", "proxy-authorization"].map(str::to_owned);
        let mut redaction = Redaction {
            headers: always.into_iter().chain(own).collect(),
            parameters: named("query").map(str::to_owned).collect(),
            tokens: Vec::new(),
        };
        let mut tokens: Vec<String> = Vec::new();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value);
            if name == ":path" {
                for (_, value) in redaction.secret_parameters(&value) {
                    tokens.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
                    tokens.push(value.to_owned());
                }
            } else if redaction.is_secret(name) {
                for part in value.split([',', ';']).map(str::trim) {
                    tokens.push(part.to_owned());
                    // Behind a scheme, or a cookie's name.
                    let inner = [' ', '='].map(|mark| part.split_once(mark));
                    tokens
                        .extend(inner.into_iter().flatten().map(|(_, own)| own.trim().to_owned()));
                    tokens.extend(part.split_once(' ').into_iter().flat_map(|(_, own)| basic(own)));
                }
            }
        }
        tokens.retain(|token| token.len() >= LEAST);
        tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        tokens.dedup();
        redaction.tokens = tokens;
        redaction
    }

    /// A path or a URL without the tokens in its query.
    pub(super) fn target(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
        let shown = query.split('&').map(|pair| match self.secret_parameter(pair) {
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => pair.to_owned(),
        });
        format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
    }

    /// A header's value, unless the header may carry a token.
    pub(super) fn value(&self, name: &str, value: &[u8]) -> String {
        if self.is_secret(name) {
            return HIDDEN.to_owned();
        }
        match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.escape_ascii().to_string(),
        }
    }

    /// A text without the tokens in it.
    pub(super) fn hide(&self, text: &str) -> String {
        self.tokens.iter().fold(text.to_owned(), |text, token| text.replace(token, HIDDEN))
    }

    fn is_secret(&self, header: &str) -> bool {
        self.headers.iter().any(|own| own == header)
    }

    fn secret_parameters<'t>(&self, target: &'t str) -> Vec<(&'t str, &'t str)> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(|pair| self.secret_parameter(pair)).collect()
    }

    /// Name and value of a parameter that may carry a token.
    fn secret_parameter<'t>(&self, pair: &'t str) -> Option<(&'t str, &'t str)> {
        let (name, value) = pair.split_once('=')?;
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        self.parameters.iter().any(|own| **own == *decoded).then_some((name, value))
    }
}

/// User and password, as `Basic` encodes them; none in what is no base64.
fn basic(encoded: &str) -> Vec<String> {
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok();
    let Some(decoded) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Vec::new();
    };
    let sides =
        decoded.split_once(':').map(|(user, password)| [user.to_owned(), password.to_owned()]);
    sides.into_iter().flatten().chain([decoded]).collect()
}
