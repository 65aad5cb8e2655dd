//! The places where a token may stand.

use super::{Known, identifier, quoted};
use crate::config::{Node, Object};
use crate::credential::Sources;
use crate::finding::{Code, is_identifier};
use crate::http::is_token;
use crate::limits;
use crate::rule::CountingSources;
use crate::source::Source;

/// A source, and what rules call it.
#[derive(Debug)]
pub(super) struct NamedSource {
    pub(super) source: Source,
    name: Option<Box<str>>,
}

/// The sources in the order in which the policy lists them.
pub(super) fn credentials(policy: &Object<'_, '_>) -> Vec<NamedSource> {
    let mut sources: Vec<NamedSource> = Vec::new();
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
        let Some(NamedSource { source, name }) = credential(item) else { continue };
        let mut earlier = sources.iter().map(|earlier| &earlier.source);
        if let Some(earlier) = earlier.find(|earlier| source.overlaps(earlier)) {
            clash(&source, earlier, item);
        }
        if let Some(name) = &name
            && sources.iter().any(|earlier| earlier.name.as_ref() == Some(name))
        {
            let message = format!("{} names two credential sources", quoted(name));
            item.place.field("name").error(Code::Duplicate, message);
        }
        sources.push(NamedSource { source, name });
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
fn credential(node: Node<'_, '_>) -> Option<NamedSource> {
    const FIELDS: [&str; 7] =
        ["header", "query", "cookie", "basic", "websocket_protocol", "scheme", "name"];
    let fields = node.object(&FIELDS)?;
    let name: Option<Box<str>> = fields.field("name");
    if name.as_deref().is_some_and(|name| !is_identifier(name)) {
        identifier("the name of a credential source", node.place.field("name"));
    }
    Some(NamedSource { source: source(&fields)?, name })
}

fn source(fields: &Object<'_, '_>) -> Option<Source> {
    const PLACES: [&str; 5] = ["header", "query", "cookie", "basic", "websocket_protocol"];
    let has_scheme = fields.has("scheme");
    let mut places = PLACES.into_iter().filter(|name| fields.has(name));
    let bad = |name, text: &str, what: &str| {
        let message = format!("{} is not {what}", quoted(text));
        fields.place.field(name).error(Code::InvalidHeader, message);
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
                fields.place.field("query").error(Code::InvalidValue, message);
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
            fields.place.error(Code::Contradiction, message);
            None
        }
    }
}

impl Known {
    /// The sources that count on a rule; `None` if all do.
    pub(super) fn counting(&self, rule: &Object<'_, '_>) -> Option<CountingSources> {
        let list = rule.node("credentials")?;
        let texts = list.texts()?;
        if texts.is_empty() {
            list.place
                .error(Code::Empty, "no credential counts on this rule")
                .help("leave `credentials` out, or use `access: deny` to let nobody in");
        }
        let mut names: Vec<Box<str>> = Vec::new();
        let mut sources = Vec::new();
        for (place, text) in texts {
            let is_named = |source: &&NamedSource| source.name.as_deref() == Some(&*text);
            let Some(source) = self.sources.iter().find(is_named) else {
                let known = self.sources.iter().filter_map(|source| source.name.as_deref());
                let message = format!("no credential source has the name {}", quoted(&text));
                place.error(Code::UnknownCredential, message).did_you_mean(&text, known);
                continue;
            };
            if names.iter().any(|name| **name == *text) {
                place.error(Code::Duplicate, format!("{} is listed twice", quoted(&text)));
            }
            sources.push(&source.source);
            names.push(text.into());
        }
        Some(CountingSources { names, sources: Sources::new(sources.into_iter()) })
    }
}
