//! The places where a token may stand.

use super::quoted;
use crate::config::{Node, Object};
use crate::finding::Code;
use crate::http::is_token;
use crate::limits;
use crate::source::Source;

/// The sources in the order in which the policy lists them.
pub(super) fn credentials(policy: &Object<'_, '_>) -> Vec<Source> {
    let mut sources = Vec::new();
    let Some(node) = policy.node("credentials") else {
        policy.missing("credentials").help(
            "say where a token may stand, such as `[{header: authorization, scheme: Bearer}]`",
        );
        return sources;
    };
    let Some(list) = node.items() else { return sources };
    if list.is_empty() {
        node.place.error(Code::Empty, "a policy needs at least one credential source");
    }
    if list.len() > limits::HEADERS {
        node.place.too_many("credential sources", limits::HEADERS);
        return sources;
    }
    for item in list {
        let Some(source) = credential(item) else { continue };
        if let Some(earlier) = sources.iter().find(|earlier| source.overlaps(earlier)) {
            clash(&source, earlier, item);
        }
        sources.push(source);
    }
    sources
}

/// Notes that one text of a request could be a credential of two sources.
fn clash(source: &Source, earlier: &Source, node: Node<'_, '_>) {
    let are_headers = matches!((source, earlier), (Source::Header(..), Source::Header(..)));
    if source == earlier || are_headers {
        node.place.error(Code::Duplicate, format!("{source} is listed twice"));
    } else {
        let message = format!("{source} and {earlier} could take two tokens from one text");
        node.place.error(Code::Contradiction, message);
    }
}

/// A source; `None` if it is not one.
fn credential(node: Node<'_, '_>) -> Option<Source> {
    const FIELDS: [&str; 6] =
        ["header", "scheme", "query", "cookie", "basic", "websocket_protocol"];
    let fields = node.object(&FIELDS)?;
    let has_scheme = fields.has("scheme");
    let mut places = FIELDS.into_iter().filter(|name| *name != "scheme" && fields.has(name));
    let bad = |name, text: &str, what: &str| {
        let message = format!("{} is not {what}", quoted(text));
        node.place.field(name).error(Code::InvalidHeader, message);
    };
    match (places.next(), places.next(), has_scheme) {
        (Some("header"), None, _) => {
            let name = fields.field::<String>("header")?.to_ascii_lowercase();
            const OTHERS: [&str; 4] = ["content-length", "cookie", "host", "x-request-id"];
            if !is_token(&name) || OTHERS.contains(&name.as_str()) {
                bad("header", &name, "a header that can carry a token");
            }
            let scheme: Option<String> = fields.field("scheme");
            if let Some(scheme) = scheme.as_ref().filter(|scheme| !is_token(scheme)) {
                bad("scheme", scheme, "an authentication scheme");
            }
            Some(Source::Header(name.into(), scheme.map(Into::into)))
        }
        (Some("query"), None, false) => {
            let name = fields.field::<String>("query")?;
            if name.is_empty() {
                let message = "a query parameter needs a name";
                node.place.field("query").error(Code::InvalidValue, message);
            }
            Some(Source::Query(name.into()))
        }
        (Some("cookie"), None, false) => {
            let name = fields.field::<String>("cookie")?;
            if !is_token(&name) {
                bad("cookie", &name, "a cookie name");
            }
            Some(Source::Cookie(name.into()))
        }
        (Some("basic"), None, false) => fields.word("basic").map(Source::Basic),
        (Some("websocket_protocol"), None, false) => {
            let prefix = fields.field::<String>("websocket_protocol")?;
            if !is_token(&prefix) {
                bad("websocket_protocol", &prefix, "what a WebSocket protocol's name begins with");
            }
            Some(Source::WebSocketProtocol(prefix.into()))
        }
        _ => {
            let message = "a credential source is one of `header` (with or without `scheme`), \
                           `query`, `cookie`, `basic` and `websocket_protocol`";
            node.place.error(Code::Contradiction, message);
            None
        }
    }
}
