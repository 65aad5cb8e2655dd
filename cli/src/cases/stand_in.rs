//! To ask as a key without its token: a throw-away token takes the key's place in a copy of the policy, and the request
//! presents it. What decides is the core as it is, which has no other way in.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use latchkey::{BasicPart, Engine, Environment, Source};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::core::observe;
use super::{CaseRequest, Value};
use crate::document::{Document, Fields};
use crate::token::{Shape, Token};

/// A policy of which some keys have a new token.
#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) engine: Engine,
    /// As compact JSON.
    pub(crate) policy: Vec<u8>,
    tokens: Vec<(String, Token)>,
}

impl StandIn {
    /// A copy of `policy`, which `engine` was made of, with a new token for each of the keys `ids`.
    ///
    /// # Errors
    /// The policy has no key of that id, or the operating system gives no randomness.
    pub(crate) fn new<'i>(
        policy: &Document,
        engine: &Engine,
        pepper: Option<&[u8]>,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<StandIn> {
        let mut copy = policy.clone();
        let mut tokens: Vec<(String, Token)> = Vec::new();
        for id in ids {
            if tokens.iter().any(|(known, _)| known == id) {
                continue;
            }
            let place = engine.keys().position(|key| key.id() == id);
            let key = place.and_then(|place| engine.keys().nth(place));
            let (place, key) =
                place.zip(key).with_context(|| format!("the policy has no key `{id}`"))?;
            let own_type =
                engine.key_types().iter().find(|key_type| Some(key_type.name()) == key.key_type());
            let of_type = |key_type: &latchkey::KeyType| Shape {
                prefix: key_type.prefix().to_owned(),
                format: key_type.format(),
            };
            let token = own_type.map(of_type).unwrap_or_default().mint()?;
            let hash = token.hash(None)?;
            set_hash(&mut copy, place, hash).context("the policy's keys cannot be told apart")?;
            tokens.push((id.to_owned(), token));
        }
        let policy = copy.to_json()?.into_bytes();
        let environment = Environment { pepper };
        let engine = Engine::compile(&policy, &environment);
        // It differs from one that compiles in hashes of random tokens only.
        let engine = engine.ok().context("the policy does not take another token")?;
        Ok(StandIn { engine, policy, tokens })
    }

    /// Lets `request` present the token of the key `id` where the policy looks for one: the first place that counts on
    /// the rule that decides. What stood there before is replaced, and nothing else.
    pub(crate) fn present(&self, id: &str, now: i64, request: &CaseRequest) -> CaseRequest {
        let Some((_, token)) = self.tokens.iter().find(|(known, _)| known == id) else {
            return request.clone();
        };
        let mut sources = self.engine.sources().iter();
        let nowhere =
            sources.clone().fold(request.clone(), |request, source| with(&request, source, None));
        let counts = |source: &&Source| {
            let (decision, _) =
                observe(&self.engine, now, &with(&nowhere, source, Some(token.reveal())));
            decision.is_none_or(|decision| !decision.is_elsewhere())
        };
        let place = sources.clone().find(counts).or_else(|| sources.next());
        place.map_or_else(|| request.clone(), |source| with(request, source, Some(token.reveal())))
    }
}

fn set_hash(policy: &mut Document, place: usize, hash: String) -> Option<()> {
    let Document::Object(Fields(fields)) = policy else { return None };
    let (_, keys) = fields.iter_mut().find(|(name, _)| name == "keys")?;
    let Document::Array(keys) = keys else { return None };
    let Document::Object(Fields(key)) = keys.get_mut(place)? else { return None };
    let (_, value) = key.iter_mut().find(|(name, _)| name == "hash")?;
    *value = Document::String(hash);
    Some(())
}

/// `request` with a token at that place, or with none, instead of what stands there.
fn with(request: &CaseRequest, source: &Source, token: Option<&str>) -> CaseRequest {
    let mut request = request.clone();
    let headers = &mut request.headers;
    let mut set = |name: &str, value: Option<String>| {
        headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        headers.extend(value.map(|value| (name.to_owned(), Value(value.into_bytes()))));
    };
    match source {
        Source::Basic(part) => {
            let credentials = token.map(|token| match part {
                BasicPart::Password => format!(":{token}"),
                BasicPart::Username => format!("{token}:"),
            });
            let encoded = |text| format!("Basic {}", BASE64_STANDARD.encode(text));
            set("authorization", credentials.map(encoded));
        }
        Source::Cookie(name) => {
            let is_own = |pair: &[u8]| {
                let own = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
                own.trim_ascii() == name.as_bytes()
            };
            let item = token.map(|token| format!("{name}={token}"));
            set_item(headers, "cookie", "; ", item, is_own);
        }
        Source::Header(name, None) => set(name, token.map(str::to_owned)),
        Source::Header(name, Some(scheme)) => {
            set(name, token.map(|token| format!("{scheme} {token}")));
        }
        Source::Query(name) => {
            let path = request.path.take();
            request.path = path.map(|path| with_parameter(&path, name, token));
        }
        Source::WebSocketProtocol(prefix) => {
            let is_own = |item: &[u8]| item.trim_ascii().starts_with(prefix.as_bytes());
            let item = token.map(|token| format!("{prefix}{token}"));
            set_item(headers, "sec-websocket-protocol", ", ", item, is_own);
        }
    }
    request
}

/// Puts an item at the end of a list that is a header's value, in place of those that are `own`.
fn set_item(
    headers: &mut Vec<(String, Value)>,
    name: &str,
    between: &str,
    item: Option<String>,
    is_own: impl Fn(&[u8]) -> bool,
) {
    let separator = between.as_bytes().first().copied();
    for (_, Value(value)) in headers.iter_mut().filter(|(own, _)| own.eq_ignore_ascii_case(name)) {
        let items: Vec<&[u8]> = value.split(|byte| Some(*byte) == separator).collect();
        if items.iter().any(|item| is_own(item)) {
            let kept = items.into_iter().filter(|item| !is_own(item)).map(<[u8]>::trim_ascii);
            *value = kept.collect::<Vec<_>>().join(between.as_bytes());
        }
    }
    headers.retain(|(own, Value(value))| !own.eq_ignore_ascii_case(name) || !value.is_empty());
    let Some(item) = item else { return };
    match headers.iter_mut().rfind(|(own, _)| own.eq_ignore_ascii_case(name)) {
        Some((_, Value(value))) => value.extend([between.as_bytes(), item.as_bytes()].concat()),
        None => headers.push((name.to_owned(), Value(item.into_bytes()))),
    }
}

/// A request target with a parameter at the end of its query, or with none, in place of those of that name.
fn with_parameter(target: &str, name: &str, value: Option<&str>) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let is_own = |piece: &&str| {
        let own = piece.split('=').next().unwrap_or_default().replace('+', " ");
        percent_decode_str(&own).eq(name.bytes())
    };
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let parameter = value.map(|value| format!("{}={}", encoded(name), encoded(value)));
    let pieces = query.into_iter().flat_map(|query| query.split('&'));
    let kept = pieces.filter(|piece| !is_own(piece));
    let pieces: Vec<&str> = kept.chain(parameter.as_deref()).collect();
    match pieces.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", pieces.join("&")),
    }
}
