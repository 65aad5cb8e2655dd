//! To ask as a key without its token: a throw-away token takes the key's place in a copy of the policy, and the request
//! presents it. What decides is the core as it is, which has no other way in.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use latchkey::{BasicPart, Engine, Environment, Source};

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

    /// Lets `request` present the token of the key `id` where the policy looks for one: the first place in which the
    /// rule that decides takes it. What stood there before is replaced.
    pub(crate) fn present(&self, id: &str, now: i64, request: &CaseRequest) -> CaseRequest {
        let Some((_, token)) = self.tokens.iter().find(|(known, _)| known == id) else {
            return request.clone();
        };
        let sources = self.engine.sources().iter();
        let mut presented = sources.map(|source| with(request, source, token.reveal()));
        let is_taken = |request: &CaseRequest| {
            let (decision, _) = observe(&self.engine, now, request);
            decision.is_some_and(|decision| decision.key().is_some())
        };
        let first = presented.next();
        match first {
            Some(first) if is_taken(&first) => first,
            Some(first) => presented.find(is_taken).unwrap_or(first),
            None => request.clone(),
        }
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

/// `request` with a token at that place.
fn with(request: &CaseRequest, source: &Source, token: &str) -> CaseRequest {
    let mut request = request.clone();
    let mut set = |name: &str, value: String| {
        request.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        request.headers.push((name.to_owned(), Value(value.into_bytes())));
    };
    match source {
        Source::Basic(part) => {
            let credentials = match part {
                BasicPart::Password => format!(":{token}"),
                BasicPart::Username => format!("{token}:"),
            };
            set("authorization", format!("Basic {}", BASE64_STANDARD.encode(credentials)));
        }
        Source::Cookie(name) => set("cookie", format!("{name}={token}")),
        Source::Header(name, None) => set(name, token.to_owned()),
        Source::Header(name, Some(scheme)) => set(name, format!("{scheme} {token}")),
        Source::Query(name) => {
            if let Some(path) = &mut request.path {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(&format!("{name}={token}"));
            }
        }
        // Beside the protocols that the client speaks.
        Source::WebSocketProtocol(prefix) => request.headers.push((
            "sec-websocket-protocol".to_owned(),
            Value(format!("{prefix}{token}").into_bytes()),
        )),
    }
    request
}
