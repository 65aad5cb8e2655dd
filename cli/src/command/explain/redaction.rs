//! What an explanation must not show: the tokens that the request presents.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use latchkey::{Engine, Source};
use percent_encoding::percent_decode_str;

use crate::cases::Headers;

const HIDDEN: &str = "[hidden]";

/// A shorter token is hidden where it stands, and not wherever its letters are found.
const LEAST: usize = 6;

/// Hides tokens by the names of what carries them, and by their text wherever else it stands.
pub(super) struct Redaction<'e> {
    engine: &'e Engine,
    tokens: Vec<String>,
}

impl<'e> Redaction<'e> {
    pub(super) fn new(engine: &'e Engine, headers: &Headers) -> Redaction<'e> {
        let mut redaction = Redaction { engine, tokens: Vec::new() };
        let mut tokens: Vec<String> = Vec::new();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value);
            // A header such as `referer` may hold a URL.
            if name == ":path" || value.contains('?') {
                for (_, value) in pieces(&value).filter_map(|(piece, _)| redaction.secret(piece)) {
                    tokens.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
                    tokens.push(value.to_owned());
                }
            }
            if redaction.is_secret(name) {
                for part in value.split([',', ';']).map(str::trim) {
                    tokens.push(part.to_owned());
                    // Behind a scheme, or a cookie's name.
                    let inner = [' ', '='].map(|mark| part.split_once(mark));
                    tokens.extend(
                        inner.into_iter().flatten().map(|(_, inner)| inner.trim().to_owned()),
                    );
                    tokens.extend(
                        part.split_once(' ').into_iter().flat_map(|(_, inner)| basic(inner)),
                    );
                    // Behind the prefix of a WebSocket's protocol.
                    let behind = |source: &Source| match source {
                        Source::WebSocketProtocol(prefix) => part.strip_prefix(&**prefix),
                        _ => None,
                    };
                    tokens.extend(engine.sources().iter().filter_map(behind).map(str::to_owned));
                }
            }
        }
        tokens.retain(|token| token.len() >= LEAST);
        tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        tokens.dedup();
        redaction.tokens = tokens;
        redaction
    }

    /// A path or a URL without the tokens in it.
    pub(super) fn target(&self, target: &str) -> String {
        let mut shown = String::new();
        for (piece, separator) in pieces(target) {
            match self.secret(piece) {
                Some((name, _)) => shown.push_str(&format!("{name}={HIDDEN}")),
                None => shown.push_str(piece),
            }
            shown.push_str(separator);
        }
        shown
    }

    /// A header's value, unless the header may carry a token.
    pub(super) fn value(&self, name: &str, value: &[u8]) -> String {
        if self.is_secret(name) {
            return HIDDEN.to_owned();
        }
        match std::str::from_utf8(value) {
            Ok(text) if text.contains('?') => self.target(text),
            Ok(text) => text.to_owned(),
            Err(_) => value.escape_ascii().to_string(),
        }
    }

    /// A text without the tokens in it.
    pub(super) fn hide(&self, text: &str) -> String {
        self.tokens.iter().fold(text.to_owned(), |text, token| text.replace(token, HIDDEN))
    }

    fn is_secret(&self, header: &str) -> bool {
        ["authorization", "cookie", "proxy-authorization"].contains(&header)
            || self.engine.is_credential_header(header)
    }

    /// Name and value of a parameter that may carry a token.
    fn secret<'t>(&self, piece: &'t str) -> Option<(&'t str, &'t str)> {
        let (name, value) = piece.split_once('=')?;
        let spaced = name.replace('+', " ");
        let decoded: Vec<u8> = percent_decode_str(&spaced).collect();
        self.engine.is_credential_parameter(&decoded).then_some((name, value))
    }
}

/// What some upstream may take for the parameters of a target, each with what stands behind it.
fn pieces(target: &str) -> impl Iterator<Item = (&str, &str)> {
    const SEPARATORS: [char; 4] = ['?', '&', ';', '#'];
    target.split_inclusive(SEPARATORS).map(|piece| {
        let bare = piece.strip_suffix(SEPARATORS).unwrap_or(piece);
        (bare, piece.get(bare.len()..).unwrap_or_default())
    })
}

/// User and password, as `Basic` encodes them; none in what is not base64.
fn basic(encoded: &str) -> Vec<String> {
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok();
    let Some(decoded) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Vec::new();
    };
    let sides =
        decoded.split_once(':').map(|(user, password)| [user.to_owned(), password.to_owned()]);
    sides.into_iter().flatten().chain([decoded]).collect()
}
