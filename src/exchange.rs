//! One request's life, from its headers to its end, without I/O.
//!
//! Headers first: a request goes on, is answered, or is held until its body is known. One that is held waits with
//! its headers, or they go ahead of a body that waits. Then it is judged again, by what is in force then.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::iter;
use std::rc::Rc;

use crate::decision::{Access, Decision, Hold, Verdict};
use crate::effect::{Changes, Effect, Holding, Reply};
use crate::engine::{Engine, Outcome};
use crate::limits::{HELD_BYTES, PREFLIGHTS_AHEAD};
use crate::request::{Body, Claims, Request};

/// One request, as it passes through a proxy.
///
/// A host tells what happens to the request, in the order in which it happens, and does what it gets back:
///
/// | what happens | call | then |
/// | --- | --- | --- |
/// | its headers are there | [`request_headers`](Exchange::request_headers) | carry out the [`Turn`] |
/// | a piece of its body is there | [`request_body`](Exchange::request_body) | as [`Piece`] says; where it says so, [`judge`](Exchange::judge), and carry out the [`Turn`] |
/// | its trailers are there | [`request_trailers`](Exchange::request_trailers) | take some out, then as for a piece |
/// | a response's headers are there | [`response_headers`](Exchange::response_headers) | set them |
/// | the host fails to do what a turn asks for | [`refuse`](Exchange::refuse) | carry out the [`Turn`] |
/// | it ends | [`gone`](Exchange::gone) | count it as undecided, if it is |
///
/// Which policy is in force, it is told with each event, since a request may stay for days.
///
/// ```
/// use std::rc::Rc;
///
/// use latchkey::{Body, Engine, Environment, Exchange, Next, Piece, Request, Waiting};
///
/// let policy = br#"{
///     "credentials": [{"header": "x-api-key"}],
///     "keys": [{
///         "id": "reporting",
///         "hash": "sha256:9aae5d7abe4bbc464fcc6ab2ff57e7b5ad4d61ed3e0ed8ea3b2fa0d2c9ab7d0e",
///         "scopes": ["reports:read"]
///     }],
///     "rules": [{"paths": ["/graphql"], "graphql": {"require": "{field}:read"}}]
/// }"#;
/// let engine = Engine::compile(policy, &Environment::default()).expect("a good policy");
/// let (clock, address, claims) = (|| None, || None, |_: &str| None);
///
/// // A worker has one account of what waits, and an exchange for each request.
/// let waiting = Rc::new(Waiting::default());
/// let mut exchange = Exchange::default();
///
/// let headers = [(":method", &b"POST"[..]), (":path", b"/graphql"), ("x-api-key", b"unknown")];
/// let request =
///     Request { headers: &headers, body: Body::Unread, clock: &clock, address: &address, claims: &claims };
/// let turn = exchange.request_headers(Some(&engine), &request, || Rc::clone(&waiting));
/// let Next::Reply(changes, reply) = turn.next else { panic!("it need not wait for its body") };
/// assert_eq!(changes.remove, ["x-api-key"]);
/// assert_eq!(reply.status, 401);
/// assert_eq!(turn.publish.iter().collect::<Vec<_>>(), [("latchkey", "deny unknown_key")]);
///
/// // Nothing waits, so whatever comes of its body passes.
/// assert_eq!(exchange.request_body(20, true), Piece::Pass);
/// assert!(exchange.gone().is_none());
/// ```
#[derive(Debug, Default)]
pub struct Exchange {
    /// Few requests are held, and none should carry what one of those needs.
    held: Option<Box<Held>>,
    response_headers: Vec<(String, String)>,
}

/// What the requests that wait for their bodies take of a worker. All exchanges of the worker share it.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Of [`HELD_BYTES`].
    bytes: Cell<usize>,
    /// Of [`PREFLIGHTS_AHEAD`].
    preflights: Cell<usize>,
}

/// What a host has to do about a request: to count and log its `end`, to do what is `next`, and if that can be
/// done, to `publish`.
///
/// `P` is what a host keeps of a policy: the engine, and what belongs to it.
#[derive(Debug)]
#[must_use = "a request whose turn is not carried out is neither let in nor refused"]
pub struct Turn<'e, P> {
    /// How the request ended, if it did.
    pub end: Option<End<'e, P>>,
    /// What becomes of it.
    pub next: Next<'e>,
    /// The filter state that tells of it.
    pub publish: Publish,
}

/// Filter state, where guards and access logs read what was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    decision: Option<String>,
    /// What the policy says is told besides, by the names that it has.
    others: Vec<(&'static str, String)>,
}

/// What becomes of a request. All changes are changes to the headers as they are when they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'e> {
    /// It goes on, with the changes.
    Continue(Changes<'e>),
    /// It waits, and its headers with it. What may be a credential is taken out of them, since the proxy may
    /// answer the request itself, when its body takes too long say, and log it.
    Hold(Changes<'e>),
    /// It is answered. What may be a credential is taken out of its headers before, where that is not done yet, if
    /// it can be: the answer stands in any case.
    Reply(Changes<'e>, Box<Reply<'e>>),
}

/// How a request ended.
#[derive(Debug)]
pub enum End<'e, P> {
    /// It was let in or refused.
    Decided {
        /// The policy that counts it.
        by: &'e P,
        /// What that said.
        decision: Decision<'e>,
    },
    /// It was held, and nobody decided about it.
    Undecided(Undecided),
}

/// A request that was held, and ended before anything was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The id of the key whose request it was.
    pub key: Option<Box<str>>,
}

/// What becomes of a piece of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The body is complete, or cannot be judged: [`Exchange::judge`] decides by its first so many bytes.
    Judge {
        /// How many; none where it is too large.
        size: usize,
    },
    /// It passes: nobody waits for it.
    Pass,
    /// It waits for the others.
    Wait,
}

/// A request whose body is awaited.
#[derive(Debug)]
struct Held {
    hold: Hold,
    /// Whether its headers are as they came.
    is_observed: bool,
    headers: Kept,
    stripped: Stripped,
    /// What was told when the headers came, and of which payload.
    claims: Option<(Box<str>, Rc<Claims>)>,
    key: Option<Box<str>>,
    /// How much of the body has come.
    received: usize,
    /// What it takes of the worker.
    _place: Place,
}

/// Headers that are kept, in few pieces of memory.
#[derive(Debug)]
struct Kept {
    names: String,
    values: Vec<u8>,
    /// Where each name ends, and each value.
    ends: Vec<(usize, usize)>,
}

/// What was taken out of headers that wait.
#[derive(Debug, Default)]
struct Stripped {
    removed: Vec<Box<str>>,
    /// Those of which only a part was taken out.
    cut: Vec<Box<str>>,
    path: bool,
}

/// A part of what may wait, which is given back when it is dropped.
#[derive(Debug)]
struct Place {
    waiting: Rc<Waiting>,
    bytes: usize,
    preflights: usize,
}

/// Where the headers of a request are that was decided about.
#[derive(Clone, Copy)]
enum Where<'h> {
    /// They have gone ahead.
    Ahead,
    /// They are here as they came.
    Here,
    /// They are here without what was taken out of these.
    Stripped(&'h [(&'h str, &'h [u8])], &'h Stripped),
}

impl Exchange {
    /// Decides about a request by its headers.
    ///
    /// Of the body, `request` says that it is empty, [`Body::Whole`], if the request ends here, and
    /// [`Body::Unread`] if it does not. Without a policy nobody can be let in. `waiting` gives the worker's account, for a
    /// request that waits.
    pub fn request_headers<'e, P: AsRef<Engine>>(
        &mut self,
        policy: Option<&'e P>,
        request: &Request<'_>,
        waiting: impl FnOnce() -> Rc<Waiting>,
    ) -> Turn<'e, P> {
        let Some(policy) = policy else { return self.refuse() };
        let engine = policy.as_ref();
        let told = OnceCell::new();
        let claims = |payload: &str| told.get_or_init(|| (request.claims)(payload)).clone();
        let request = Request { claims: &claims, ..*request };
        let outcome = engine.outcome(&request);
        match outcome.decision.verdict {
            Verdict::Hold(_) => self.hold(policy, outcome, &request, &told, &waiting()),
            Verdict::Allow(_) | Verdict::Deny(_) => self.settle(policy, outcome, Where::Here),
        }
    }

    /// Holds a request, if it may be held.
    #[cold]
    fn hold<'e, P: AsRef<Engine>>(
        &mut self,
        policy: &'e P,
        outcome: Outcome<'e>,
        request: &Request<'_>,
        told: &OnceCell<Option<Rc<Claims>>>,
        waiting: &Rc<Waiting>,
    ) -> Turn<'e, P> {
        let Outcome { decision, effect, response_headers } = outcome;
        let Effect::Hold(holding) = effect else { return self.refuse() };
        let Holding { hold, stripped, ahead } = *holding;
        let preflights = usize::from(ahead.is_some() && hold.access == Access::Preflight);
        if preflights > 0 && waiting.preflights.get() >= PREFLIGHTS_AHEAD {
            // Judged as it will be if a body comes.
            let outcome = policy.as_ref().outcome(&Request { body: Body::TooLarge, ..*request });
            return self.settle(policy, outcome, Where::Here);
        }
        let headers = request.headers;
        let Some(place) = Place::take(waiting, size(headers), preflights) else {
            // What is only observed lets it go on by whatever body.
            let outcome = policy.as_ref().outcome(&Request { body: Body::TooLarge, ..*request });
            return match outcome.effect {
                Effect::Continue(_) => self.settle(policy, outcome, Where::Here),
                _ => Turn::of(Next::Reply(stripped, Box::new(Reply::bare(503)))),
            };
        };
        self.note(&response_headers);
        let (next, publish, stripped) = match ahead {
            // Headers that go ahead pass the guard, so it must find an allowance, for now.
            Some(changes) => {
                let publish = Publish::new(policy.as_ref(), &decision);
                (Next::Continue(changes), publish, Stripped::default())
            }
            None => {
                let taken = Stripped::by(&stripped);
                (Next::Hold(stripped), Publish::default(), taken)
            }
        };
        self.held = Some(Box::new(Held {
            hold,
            is_observed: decision.is_observed,
            headers: Kept::new(headers),
            stripped,
            claims: policy
                .as_ref()
                .session_payload()
                .map(Box::from)
                .zip(told.get().cloned().flatten()),
            key: decision.key().map(|key| key.id().into()),
            received: 0,
            _place: place,
        }));
        Turn { end: None, next, publish }
    }

    /// Notes that so much of the request's body has come, all pieces together, and whether that is all of it.
    pub fn request_body(&mut self, size: usize, ends: bool) -> Piece {
        let Some(held) = &mut self.held else { return Piece::Pass };
        held.received = size;
        if held.is_too_large() {
            Piece::Judge { size: 0 }
        } else if ends {
            Piece::Judge { size }
        } else {
            Piece::Wait
        }
    }

    /// Notes that a request has trailers of these names, by which its body has ended: its last piece need not
    /// have told so.
    ///
    /// Trailers reach an upstream as headers do, and some take them for headers. So those are taken out that
    /// are the policy's own, as is given back with what becomes of the body; without a policy, all.
    pub fn request_trailers<'t, P: AsRef<Engine>>(
        &mut self,
        policy: Option<&P>,
        names: impl Iterator<Item = &'t str>,
    ) -> (Vec<&'t str>, Piece) {
        let is_own = |name: &&str| {
            policy
                .map(AsRef::as_ref)
                .is_none_or(|policy: &Engine| !policy.is_observed && policy.is_own_header(name))
        };
        let piece = match self.held.as_ref().map(|held| held.received) {
            Some(received) => self.request_body(received, true),
            None => Piece::Pass,
        };
        (names.filter(is_own).collect(), piece)
    }

    /// Decides about the request that is held, by its body; `None` is one that cannot be read.
    ///
    /// All `judges` must allow it. What becomes of it is the first one's to say, or that one's who refuses it first.
    /// Without any, nobody can be let in; nor can one that is not held.
    #[cold]
    pub fn judge<'e, P: AsRef<Engine>>(
        &mut self,
        judges: &[&'e P],
        body: Option<&[u8]>,
        clock: &dyn Fn() -> Option<i64>,
        address: &dyn Fn() -> Option<Vec<u8>>,
    ) -> Turn<'e, P> {
        let Some(held) = self.held.take() else { return self.refuse() };
        let headers = held.headers.borrowed();
        let Some((by, outcome)) = held.judged(&headers, judges, body, clock, address) else {
            drop(headers);
            self.held = Some(held);
            return self.refuse();
        };
        let headers = match held.hold.headers {
            true => Where::Stripped(&headers, &held.stripped),
            false => Where::Ahead,
        };
        self.settle(by, outcome, headers)
    }

    /// The headers that a response must have, each in place of any of its name. A [`Reply`] has them.
    pub fn response_headers(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.response_headers)
    }

    /// Refuses a request about which nothing can be decided, or for which a host cannot do what it was asked to.
    #[cold]
    pub fn refuse<'e, P>(&mut self) -> Turn<'e, P> {
        let end = self.gone().map(End::Undecided);
        self.response_headers.clear();
        Turn { end, ..Turn::of(Next::Reply(Changes::default(), Box::new(Reply::bare(503)))) }
    }

    /// Ends the request, whoever ended it. It is undecided if it was held until now.
    pub fn gone(&mut self) -> Option<Undecided> {
        let held = self.held.take()?;
        Some(Undecided { key: held.key })
    }

    /// Says what to do about a request that is decided.
    fn settle<'e, P: AsRef<Engine>>(
        &mut self,
        by: &'e P,
        outcome: Outcome<'e>,
        headers: Where<'_>,
    ) -> Turn<'e, P> {
        let decision = &outcome.decision;
        // What is not only observed was published when the headers went ahead.
        let is_published = matches!(headers, Where::Ahead)
            && matches!(outcome.effect, Effect::Continue(_))
            && decision.observed().is_none();
        let publish = match is_published {
            true => Publish::default(),
            false => Publish::new(by.as_ref(), decision),
        };
        let next = match outcome.effect {
            Effect::Continue(mut changes) => {
                match headers {
                    Where::Ahead => changes = Changes::default(),
                    Where::Here => self.note(&outcome.response_headers),
                    Where::Stripped(all, stripped) => {
                        stripped.put_back(all, &mut changes);
                        self.note(&outcome.response_headers);
                    }
                }
                Next::Continue(changes)
            }
            Effect::Reply(changes, reply) => {
                self.answer(changes, reply, outcome.response_headers, headers)
            }
            // Nothing but an unread body is awaited.
            Effect::Hold(_) => return self.refuse(),
        };
        Turn { end: Some(End::Decided { by, decision: outcome.decision }), next, publish }
    }

    /// Apart, so that a request that goes on has nothing of it.
    #[inline(never)]
    fn answer<'e>(
        &mut self,
        changes: Changes<'e>,
        mut reply: Box<Reply<'e>>,
        response_headers: Vec<(&'e str, Cow<'e, str>)>,
        headers: Where<'_>,
    ) -> Next<'e> {
        let changes = match headers {
            Where::Here => changes,
            Where::Ahead | Where::Stripped(..) => Changes::default(),
        };
        self.response_headers.clear();
        reply.replace_headers(response_headers);
        Next::Reply(changes, reply)
    }

    fn note(&mut self, headers: &[(&str, Cow<'_, str>)]) {
        if headers.is_empty() && self.response_headers.is_empty() {
            return;
        }
        self.response_headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    }
}

impl<'e, P> Turn<'e, P> {
    fn of(next: Next<'e>) -> Turn<'e, P> {
        Turn { end: None, next, publish: Publish::default() }
    }
}

impl Publish {
    /// What the guard looks for, and what the policy wants told besides.
    fn new(engine: &Engine, decision: &Decision<'_>) -> Publish {
        let mut others = Vec::new();
        for published in &engine.published {
            if let Some(text) = published.of(decision) {
                others.push((published.name(), text));
            }
        }
        Publish { decision: Some(decision.text()), others }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let decision = self.decision.iter().map(|value| ("latchkey", &**value));
        decision.chain(self.others.iter().map(|(name, value)| (*name, &**value)))
    }
}

impl Held {
    /// Whose word counts about the request, and what that is; `None` where nothing can be decided.
    fn judged<'e, P: AsRef<Engine>>(
        &self,
        headers: &[(&str, &[u8])],
        judges: &[&'e P],
        body: Option<&[u8]>,
        clock: &dyn Fn() -> Option<i64>,
        address: &dyn Fn() -> Option<Vec<u8>>,
    ) -> Option<(&'e P, Outcome<'e>)> {
        let body = match body {
            Some(body) if !self.is_too_large() => Body::Whole(body),
            None if self.received == 0 => Body::Whole(b""),
            _ => Body::TooLarge,
        };
        let claims = |payload: &str| {
            let told = self.claims.as_ref().filter(|(own, _)| **own == *payload);
            told.map(|(_, claims)| Rc::clone(claims))
        };
        let request = Request { headers, body, clock, address, claims: &claims };
        let mut outcomes =
            judges.iter().copied().map(|judge| (judge, judge.as_ref().outcome(&request)));
        let first = outcomes.next()?;
        let is_refused = |outcome: &Outcome<'_>| outcome.decision.reason().is_some();
        let refused = match is_refused(&first.1) {
            false => outcomes.find(|(_, outcome)| is_refused(outcome)),
            true => None,
        };
        let (by, outcome) = refused.unwrap_or(first);
        let access = match outcome.decision.verdict {
            Verdict::Allow(access) => access,
            Verdict::Deny(_) => return Some((by, outcome)),
            // Nothing but an unread body is awaited.
            Verdict::Hold(_) => return None,
        };
        // Headers that went ahead as nobody's are gone without an identity, and those of a request that was only
        // observed with whatever the client says of itself.
        let is_ahead = !self.hold.headers;
        let was_nobodys = matches!(self.hold.access, Access::Preflight | Access::Public);
        let is_nobodys = was_nobodys && access != self.hold.access;
        let is_doubtful = is_ahead && (is_nobodys || self.is_observed);
        (outcome.decision.is_observed || !is_doubtful).then_some((by, outcome))
    }

    fn is_too_large(&self) -> bool {
        self.received > self.hold.max_bytes
    }
}

impl Kept {
    fn new(headers: &[(&str, &[u8])]) -> Kept {
        let names = headers.iter().map(|(name, _)| name.len()).sum();
        let values = headers.iter().map(|(_, value)| value.len()).sum();
        let mut kept = Kept {
            names: String::with_capacity(names),
            values: Vec::with_capacity(values),
            ends: Vec::with_capacity(headers.len()),
        };
        for (name, value) in headers {
            kept.names.push_str(name);
            kept.values.extend_from_slice(value);
            kept.ends.push((kept.names.len(), kept.values.len()));
        }
        kept
    }

    fn borrowed(&self) -> Vec<(&str, &[u8])> {
        let starts = iter::once((0, 0)).chain(self.ends.iter().copied());
        let header = |((name, value), end): ((usize, usize), &(usize, usize))| {
            (self.names.get(name..end.0), self.values.get(value..end.1))
        };
        let headers = starts.zip(&self.ends).map(header);
        headers.map(|(name, value)| (name.unwrap_or_default(), value.unwrap_or_default())).collect()
    }
}

/// What headers take of [`HELD_BYTES`].
fn size(headers: &[(&str, &[u8])]) -> usize {
    let texts = headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    texts.fold(size_of_val(headers), usize::saturating_add)
}

impl Stripped {
    fn by(changes: &Changes<'_>) -> Stripped {
        Stripped {
            removed: changes.remove.iter().map(|name| (&**name).into()).collect(),
            cut: changes.set.iter().map(|(name, _)| (&**name).into()).collect(),
            path: changes.path.is_some(),
        }
    }

    fn has_removed(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| **removed == *name)
    }

    /// Makes of `changes` what does to the stripped headers as much as they would have done to `all`.
    #[cold]
    fn put_back(&self, all: &[(&str, &[u8])], changes: &mut Changes<'_>) {
        for name in self.removed.iter().chain(&self.cut) {
            let is_changed = changes.remove.iter().any(|removed| **removed == **name)
                || changes.set.iter().any(|(header, _)| **header == **name);
            let values = all.iter().filter(|(header, _)| !is_changed && **header == **name);
            let owned = |(name, value): &(&str, &[u8])| {
                (Cow::Owned((*name).to_owned()), Cow::Owned(value.to_vec()))
            };
            changes.set.extend(values.map(owned));
        }
        changes.remove.retain(|name| !self.has_removed(name));
        if self.path && changes.path.is_none() {
            let path = all.iter().find(|(name, _)| *name == ":path");
            changes.path = path.map(|(_, value)| value.to_vec());
        }
    }
}

impl Place {
    /// `None` where no more headers can be held.
    fn take(waiting: &Rc<Waiting>, bytes: usize, preflights: usize) -> Option<Place> {
        let all = waiting.bytes.get().saturating_add(bytes);
        if all > HELD_BYTES {
            return None;
        }
        waiting.bytes.set(all);
        waiting.preflights.set(waiting.preflights.get().saturating_add(preflights));
        Some(Place { waiting: Rc::clone(waiting), bytes, preflights })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Waiting { bytes, preflights } = &*self.waiting;
        bytes.set(bytes.get().saturating_sub(self.bytes));
        preflights.set(preflights.get().saturating_sub(self.preflights));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::compile::Environment;

    const GOOD: &[u8] = br#"{"query":"{ allowed }"}"#;
    const BAD: &[u8] = br#"{"query":"{ secret }"}"#;

    type Headers<'a> = [(&'a str, &'a [u8])];

    /// The only key's token is `lk_open`.
    fn policy(hold: &str) -> Value {
        json!({
            "credentials": [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "key"}],
            "keys": [{
                "id": "open",
                "account": "acme",
                "hash": "sha256:592c68294bdaa03bcde2240d825c16bff6c004845d6f55212f4e31bb5b12471c",
                "scopes": ["allowed:read", "*:read"],
            }],
            "upstream_headers": {"x-key": "{key.id}"},
            "response_headers": {"x-own": "always"},
            "rules": [{"paths": ["/graphql"], "graphql": {
                "require": "{operation}:{field}", "max_bytes": 100, "hold": hold,
                "fields": {"allowed": "allowed:read", "secret": "secret:write"},
            }}],
        })
    }

    fn engine(policy: &Value) -> Engine {
        Engine::compile(policy.to_string().as_bytes(), &Environment::default()).unwrap()
    }

    const REQUEST: &Headers<'static> = &[
        (":method", b"POST"),
        (":path", b"/graphql"),
        ("content-type", b"application/json"),
        ("authorization", b"Bearer lk_open"),
    ];

    const PREFLIGHT: &Headers<'static> = &[
        (":method", b"OPTIONS"),
        (":path", b"/graphql"),
        ("origin", b"https://a.example"),
        ("access-control-request-method", b"POST"),
    ];

    /// A request of which a body follows, or none.
    fn begun<'e>(
        exchange: &mut Exchange,
        engine: &'e Engine,
        headers: &Headers<'_>,
        body: Body<'_>,
        waiting: &Rc<Waiting>,
    ) -> Turn<'e, Engine> {
        let request = Request { body, ..Request::new(headers, &|| None) };
        exchange.request_headers(Some(engine), &request, || Rc::clone(waiting))
    }

    fn held<'e>(
        engine: &'e Engine,
        headers: &Headers<'_>,
    ) -> (Exchange, Turn<'e, Engine>, Rc<Waiting>) {
        let (mut exchange, waiting) = (Exchange::default(), Rc::new(Waiting::default()));
        let turn = begun(&mut exchange, engine, headers, Body::Unread, &waiting);
        (exchange, turn, waiting)
    }

    fn judged<'e>(
        exchange: &mut Exchange,
        engines: &[&'e Engine],
        body: &[u8],
    ) -> Turn<'e, Engine> {
        assert_eq!(exchange.request_body(body.len(), true), Piece::Judge { size: body.len() });
        exchange.judge(engines, Some(body), &|| None, &|| None)
    }

    /// What was decided, with the reply's status, if it is one.
    fn told(turn: &Turn<'_, Engine>) -> (String, Option<u16>) {
        let end = match &turn.end {
            Some(End::Decided { decision, .. }) => decision.to_string(),
            Some(End::Undecided(Undecided { key })) => format!("undecided {key:?}"),
            None => String::new(),
        };
        let status = match &turn.next {
            Next::Reply(_, reply) => Some(reply.status),
            Next::Continue(_) | Next::Hold(_) => None,
        };
        (end, status)
    }

    fn state<'t>(turn: &'t Turn<'_, Engine>) -> Vec<(&'static str, &'t str)> {
        turn.publish.iter().collect()
    }

    fn names<'c>(set: &'c [(Cow<'_, str>, Cow<'_, [u8]>)]) -> Vec<(&'c str, &'c str)> {
        set.iter().map(|(name, value)| (&**name, str::from_utf8(value).unwrap())).collect()
    }

    fn is_idle(waiting: &Waiting) -> bool {
        (waiting.bytes.get(), waiting.preflights.get()) == (0, 0)
    }

    #[test]
    fn what_is_only_observed_goes_on_as_it_came() {
        let as_it_came = |turn: &Turn<'_, Engine>| matches!(&turn.next, Next::Continue(changes) if *changes == Changes::default());
        for hold in ["body", "headers"] {
            let mut policy = policy(hold);
            let enforced = engine(&policy);
            policy["mode"] = json!("observe");
            let observed = engine(&policy);
            let decision = "allow observed deny insufficient_scope key:open";

            let (mut exchange, turn, waiting) = held(&observed, REQUEST);
            assert_eq!(told(&turn), (String::new(), None));
            match hold {
                "body" => assert!(as_it_came(&turn)),
                _ => assert_eq!(turn.next, Next::Hold(Changes::default())),
            }
            let names = ["x-key"].into_iter();
            assert!(exchange.request_trailers(Some(&observed), names).0.is_empty());
            let turn = judged(&mut exchange, &[&observed], BAD);
            assert_eq!(told(&turn), (decision.to_owned(), None));
            assert!(as_it_came(&turn) && exchange.response_headers().is_empty());
            assert_eq!(state(&turn), [("latchkey", decision)]);
            assert!(is_idle(&waiting));

            // A worker that holds as much as it may lets it go on all the same.
            let full = Rc::new(Waiting::default());
            full.bytes.set(HELD_BYTES);
            let turn = begun(&mut exchange, &observed, REQUEST, Body::Unread, &full);
            let decision = "allow observed deny malformed_graphql key:open";
            assert_eq!(told(&turn), (decision.to_owned(), None));
            assert!(as_it_came(&turn));

            // What went ahead as it came has no identity of ours once there must be one.
            let (mut exchange, ..) = held(&observed, REQUEST);
            let turn = judged(&mut exchange, &[&enforced], GOOD);
            match hold {
                "body" => {
                    assert_eq!(told(&turn), ("undecided Some(\"open\")".to_owned(), Some(503)))
                }
                _ => assert_eq!(told(&turn), ("allow key:open".to_owned(), None)),
            }
            // The other way round nobody is refused.
            let (mut exchange, ..) = held(&enforced, REQUEST);
            let turn = judged(&mut exchange, &[&observed], BAD);
            assert_eq!(told(&turn).1, None);
        }
    }

    #[test]
    fn headers_decide_where_no_body_is_awaited() {
        let engine = engine(&policy("body"));
        let (mut exchange, waiting) = (Exchange::default(), Rc::new(Waiting::default()));
        let mut headers = REQUEST.to_vec();
        headers[0].1 = b"GET";
        headers[1].1 = b"/things";
        for body in [Body::Unread, Body::Whole(b"")] {
            let turn = begun(&mut exchange, &engine, &headers, body, &waiting);
            assert_eq!(told(&turn), ("allow key:open".to_owned(), None));
            assert_eq!(state(&turn), [("latchkey", "allow key:open")]);
            let Next::Continue(changes) = turn.next else { panic!("it goes on") };
            assert_eq!(changes.remove, ["authorization"]);
            assert_eq!(names(&changes.set), [("x-key", "open")]);
            assert_eq!(exchange.request_body(1 << 40, false), Piece::Pass);
        }
        let headers_of_response = [("x-own".to_owned(), "always".to_owned())];
        assert_eq!(exchange.response_headers(), headers_of_response);
        assert!(is_idle(&waiting) && exchange.gone().is_none());

        headers[0].1 = b"DELETE";
        let turn = begun(&mut exchange, &engine, &headers, Body::Unread, &waiting);
        assert_eq!(told(&turn), ("deny insufficient_scope key:open".to_owned(), Some(403)));
        let decision = ("latchkey", "deny insufficient_scope key:open");
        assert_eq!(state(&turn), [decision]);
        let Next::Reply(changes, reply) = turn.next else { panic!("it is answered") };
        assert_eq!(changes.remove, ["authorization"]);
        let added = reply.headers.iter().filter(|(name, _)| *name == "x-own");
        assert_eq!(added.count(), 1);
        assert!(exchange.response_headers().is_empty(), "the reply has them");
    }

    #[test]
    fn a_header_of_a_reply_stands_in_it_once() {
        let mut policy = policy("body");
        policy["response_headers"] = json!({"www-authenticate": "Own"});
        let engine = engine(&policy);
        let (_, turn, _) = held(&engine, &[(":method", b"GET"), (":path", b"/")]);
        let Next::Reply(_, reply) = turn.next else { panic!("it is answered") };
        let mut challenges = reply.headers.iter().filter(|(name, _)| *name == "www-authenticate");
        assert_eq!(challenges.next().map(|(_, value)| &**value), Some("Own"));
        assert!(challenges.next().is_none());
    }

    #[test]
    fn without_a_policy_nobody_is_let_in() {
        let mut exchange = Exchange::default();
        let request = Request::new(REQUEST, &|| None);
        let turn = exchange.request_headers(None, &request, Rc::default);
        assert_eq!((told(&turn), state(&turn).len()), ((String::new(), Some(503)), 0));

        let engine = engine(&policy("headers"));
        let (mut exchange, _, waiting) = held(&engine, REQUEST);
        let turn = judged(&mut exchange, &[], GOOD);
        assert_eq!(told(&turn), (r#"undecided Some("open")"#.to_owned(), Some(503)));
        assert!(is_idle(&waiting) && exchange.gone().is_none());
        let turn = exchange.judge(&[&engine], Some(GOOD), &|| None, &|| None);
        assert_eq!(told(&turn), (String::new(), Some(503)), "nothing is held any more");
    }

    #[test]
    fn headers_that_wait_are_stripped_and_go_on_complete() {
        let forwarding = |forward: bool| {
            let mut policy = policy("headers");
            policy["forward_credential"] = json!(forward);
            engine(&policy)
        };
        for forward in [false, true] {
            let engine = forwarding(forward);
            let (mut exchange, turn, waiting) = held(&engine, REQUEST);
            assert_eq!((told(&turn), state(&turn).len()), ((String::new(), None), 0));
            let Next::Hold(stripped) = turn.next else { panic!("it waits") };
            assert_eq!(stripped.remove, ["authorization"]);
            assert!(!is_idle(&waiting));
            assert_eq!(exchange.request_body(3, false), Piece::Wait);

            let turn = judged(&mut exchange, &[&engine], GOOD);
            assert_eq!(told(&turn), ("allow key:open".to_owned(), None));
            assert_eq!(state(&turn), [("latchkey", "allow key:open")]);
            let Next::Continue(changes) = turn.next else { panic!("it goes on") };
            let both = [("x-key", "open"), ("authorization", "Bearer lk_open")];
            assert_eq!(names(&changes.set), both[..1 + usize::from(forward)]);
            assert!(changes.remove.is_empty(), "it is gone already");
            assert!(is_idle(&waiting));
            assert_eq!(exchange.response_headers().len(), 1);
        }
    }

    #[test]
    fn each_value_of_a_header_is_put_back() {
        let all: &Headers<'_> = &[(":path", b"/?a"), ("x", b"1"), ("y", b"2"), ("x", b"3")];
        let stripped = Stripped { removed: vec!["x".into()], cut: vec!["y".into()], path: true };
        let mut back = Changes::default();
        stripped.put_back(all, &mut back);
        assert_eq!(names(&back.set), [("x", "1"), ("x", "3"), ("y", "2")]);
        assert_eq!(back.path.as_deref(), Some(&b"/?a"[..]));

        let set = vec![("y".into(), b"4"[..].into())];
        let remove = vec!["x".into(), "z".into()];
        let mut changes = Changes { remove, set, path: Some(b"/".to_vec()) };
        stripped.put_back(all, &mut changes);
        assert_eq!((changes.remove, names(&changes.set)), (vec!["z".into()], vec![("y", "4")]));
        assert_eq!(changes.path.as_deref(), Some(&b"/"[..]));
    }

    #[test]
    fn headers_go_ahead_of_a_body_that_waits() {
        let engine = engine(&policy("body"));
        for (body, expected) in [
            (GOOD, ("allow key:open".to_owned(), None)),
            (BAD, ("deny insufficient_scope key:open".to_owned(), Some(403))),
        ] {
            let (mut exchange, turn, waiting) = held(&engine, REQUEST);
            assert_eq!(told(&turn), (String::new(), None), "it is counted when it is decided");
            assert_eq!(state(&turn), [("latchkey", "allow key:open")]);
            let Next::Continue(changes) = turn.next else { panic!("its headers go on") };
            assert_eq!(changes.remove, ["authorization"]);

            let turn = judged(&mut exchange, &[&engine], body);
            assert_eq!(told(&turn), expected);
            let published = state(&turn).len();
            let (changes, publish) = match turn.next {
                Next::Continue(changes) => (changes, 0),
                Next::Reply(changes, _) => (changes, 1),
                Next::Hold(_) => panic!("it is decided"),
            };
            assert_eq!((changes, published), (Changes::default(), publish));
            assert_eq!(exchange.response_headers().len(), 1 - publish);
            assert!(is_idle(&waiting));
        }
    }

    #[test]
    fn a_body_that_is_too_large_or_cannot_be_read_is_refused() {
        let engine = engine(&policy("headers"));
        let (mut exchange, ..) = held(&engine, REQUEST);
        assert_eq!(exchange.request_body(100, false), Piece::Wait);
        assert_eq!(exchange.request_body(101, false), Piece::Judge { size: 0 });
        // A host that reads it all the same is not let in for that.
        let turn = exchange.judge(&[&engine], Some(GOOD), &|| None, &|| None);
        assert_eq!(told(&turn), ("deny malformed_graphql key:open".to_owned(), Some(400)));
        assert_eq!(exchange.request_body(200, true), Piece::Pass, "nothing waits any more");

        let (mut exchange, ..) = held(&engine, REQUEST);
        assert_eq!(exchange.request_body(9, true), Piece::Judge { size: 9 });
        let turn = exchange.judge(&[&engine], None, &|| None, &|| None);
        assert_eq!(told(&turn), ("deny malformed_graphql key:open".to_owned(), Some(400)));
    }

    #[test]
    fn trailers_end_a_body_and_lose_what_is_the_policys() {
        let engine = engine(&policy("body"));
        let names = || ["x-key", "X-Key", "x_key", "grpc-status"].into_iter();
        let (mut exchange, ..) = held(&engine, REQUEST);
        assert_eq!(exchange.request_body(GOOD.len(), false), Piece::Wait);
        let (removed, piece) = exchange.request_trailers(Some(&engine), names());
        assert_eq!(removed, ["x-key", "x_key"]);
        assert_eq!(piece, Piece::Judge { size: GOOD.len() });
        assert_eq!(
            told(&exchange.judge(&[&engine], Some(GOOD), &|| None, &|| None)),
            ("allow key:open".to_owned(), None)
        );
        let (removed, piece) = exchange.request_trailers(None::<&Engine>, names());
        assert_eq!((removed.len(), piece), (4, Piece::Pass), "nothing tells which are its own");
    }

    /// Some upstreams take trailers for headers, and headers for parameters.
    #[test]
    fn trailers_lose_what_may_pass_for_a_parameter() {
        let mut policy = policy("body");
        policy["rules"] =
            json!([{"paths": ["/search"], "query": {"Hydrate": ["1"]}, "access": "deny"}]);
        let names = || ["hydrate", "hy-drate", "other", "accept"].into_iter();
        let own = &["hydrate", "hy-drate"][..];
        for (upstream, removed) in [("cautious", own), ("exact", &[])] {
            policy["upstream"] = json!(upstream);
            let (own, piece) =
                Exchange::default().request_trailers(Some(&engine(&policy)), names());
            assert_eq!((own.as_slice(), piece), (removed, Piece::Pass), "{upstream}");
        }
    }

    #[test]
    fn claims_count_for_the_policy_that_looks_for_them() {
        let with_payload = |payload: &str| {
            let mut policy = policy("headers");
            policy["sessions"] = json!({"payload": payload, "id": "sub", "scopes": "scope"});
            engine(&policy)
        };
        let (old, same, other) =
            (with_payload("user"), with_payload("user"), with_payload("staff"));
        let claims = Rc::new(vec![
            ("sub".to_owned(), crate::Claim::Text("u1".to_owned())),
            ("scope".to_owned(), crate::Claim::Text("allowed:read".to_owned())),
        ]);
        let told = |payload: &str| (payload == "user").then(|| Rc::clone(&claims));
        let headers = REQUEST.get(..3).unwrap();
        for (judge, expected) in [(&same, "allow session:u1"), (&other, "deny missing_credential")]
        {
            let (mut exchange, waiting) = (Exchange::default(), Rc::new(Waiting::default()));
            let request =
                Request { body: Body::Unread, claims: &told, ..Request::new(headers, &|| None) };
            let turn = exchange.request_headers(Some(&old), &request, || Rc::clone(&waiting));
            assert!(matches!(turn.next, Next::Hold(_)));
            let turn = judged(&mut exchange, &[judge], GOOD);
            assert_eq!(super::tests::told(&turn).0, expected);
        }
    }

    #[test]
    fn all_judges_must_allow_it_and_the_first_that_refuses_counts() {
        let open = engine(&policy("headers"));
        let mut closed = policy("headers");
        closed["keys"][0]["disabled"] = json!(true);
        let (closed, empty) = (engine(&closed), {
            closed["keys"] = json!([]);
            engine(&closed)
        });
        let cases: [(&[&Engine], _, _); 4] = [
            (&[&open, &open], 0, "allow key:open"),
            (&[&closed, &empty], 0, "deny revoked_key key:open"),
            (&[&open, &closed, &empty], 1, "deny revoked_key key:open"),
            (&[&open, &open, &empty], 2, "deny unknown_key"),
        ];
        for (judges, index, expected) in cases {
            let (mut exchange, ..) = held(&open, REQUEST);
            let turn = judged(&mut exchange, judges, GOOD);
            assert_eq!(told(&turn).0, expected);
            let Some(End::Decided { by, .. }) = turn.end else { panic!("it is decided") };
            assert!(std::ptr::eq(by, judges[index]), "{expected}");
        }
    }

    #[test]
    fn one_that_is_gone_while_it_is_held_is_undecided() {
        let key = Some("open".into());
        for hold in ["body", "headers"] {
            let engine = engine(&policy(hold));
            let (mut exchange, _, waiting) = held(&engine, REQUEST);
            assert_eq!(exchange.gone(), Some(Undecided { key: key.clone() }), "{hold}");
            assert!(is_idle(&waiting) && exchange.gone().is_none());
            // A host that could not do what it was asked to.
            let (mut exchange, ..) = held(&engine, REQUEST);
            let turn: Turn<'_, Engine> = exchange.refuse();
            assert_eq!(told(&turn), (r#"undecided Some("open")"#.to_owned(), Some(503)));
            assert_eq!(turn.next, Next::Reply(Changes::default(), Box::new(Reply::bare(503))));
            let (exchange, _, waiting) = held(&engine, REQUEST);
            drop(exchange);
            assert!(is_idle(&waiting), "whoever forgets to say so");
        }
    }

    #[test]
    fn no_more_headers_are_held_than_there_is_room_for() {
        let engine = engine(&policy("headers"));
        let (_first, _, waiting) = held(&engine, REQUEST);
        let one = waiting.bytes.get();
        assert!(one >= 60, "{one} bytes");
        waiting.bytes.set(HELD_BYTES - one);
        let mut last = Exchange::default();
        let turn = begun(&mut last, &engine, REQUEST, Body::Unread, &waiting);
        assert!(matches!(turn.next, Next::Hold(_)));
        let mut exchange = Exchange::default();
        let turn = begun(&mut exchange, &engine, REQUEST, Body::Unread, &waiting);
        assert_eq!(told(&turn), (String::new(), Some(503)));
        let Next::Reply(changes, _) = turn.next else { panic!("it is answered") };
        assert_eq!(changes.remove, ["authorization"], "no log keeps it");
        assert!(exchange.gone().is_none());
    }

    #[test]
    fn a_preflight_goes_ahead_until_it_is_none() {
        let engine = engine(&policy("body"));
        let (mut exchange, turn, waiting) = held(&engine, PREFLIGHT);
        assert_eq!(state(&turn), [("latchkey", "allow preflight")]);
        assert!(matches!(turn.next, Next::Continue(_)));
        assert_eq!(waiting.preflights.get(), 1);
        let turn = judged(&mut exchange, &[&engine], b"");
        assert_eq!(told(&turn), ("allow preflight".to_owned(), None));
        assert!(is_idle(&waiting));

        let (mut exchange, ..) = held(&engine, PREFLIGHT);
        assert_eq!(exchange.request_body(1, false), Piece::Judge { size: 0 });
        let turn = exchange.judge(&[&engine], None, &|| None, &|| None);
        assert_eq!(told(&turn), ("deny missing_credential".to_owned(), Some(401)));

        // One that would be let in with a key: its headers are gone without an identity.
        let mut headers = PREFLIGHT.to_vec();
        headers[1].1 = b"/";
        headers.push(("authorization", b"Bearer lk_open"));
        let mut without_keys = policy("body");
        without_keys["keys"] = json!([]);
        let without_keys = super::tests::engine(&without_keys);
        let (mut exchange, ..) = held(&without_keys, &headers);
        exchange.request_body(1, false);
        let turn = exchange.judge(&[&engine], None, &|| None, &|| None);
        assert_eq!(told(&turn), ("undecided None".to_owned(), Some(503)));
    }

    #[test]
    fn what_went_ahead_as_public_is_nobodys() {
        let mut with_key = policy("body");
        with_key["rules"] = json!([
            {"paths": ["/"], "query": {"hydrate": ["1"]}},
            {"paths": ["/"], "access": "public"},
        ]);
        let mut without_keys = with_key.clone();
        without_keys["keys"] = json!([]);
        let (without_keys, with_key) = (engine(&without_keys), engine(&with_key));
        let form = b"application/x-www-form-urlencoded";
        let mut headers = REQUEST.to_vec();
        (headers[1].1, headers[2].1) = (b"/", form);
        for (judge, body, expected) in [
            (&without_keys, &b"hydrate=0"[..], ("allow public".to_owned(), None)),
            (&without_keys, b"hydrate=1", ("deny unknown_key".to_owned(), Some(401))),
            // A key that came meanwhile.
            (&with_key, b"hydrate=0", ("undecided None".to_owned(), Some(503))),
        ] {
            let (mut exchange, turn, _) = held(&without_keys, &headers);
            assert_eq!(state(&turn), [("latchkey", "allow public")]);
            let turn = judged(&mut exchange, &[judge], body);
            assert_eq!(told(&turn), expected);
        }
    }

    #[test]
    fn so_many_preflights_are_ahead_at_a_time() {
        let engine = engine(&policy("body"));
        let (mut exchange, _, waiting) = held(&engine, PREFLIGHT);
        waiting.preflights.set(PREFLIGHTS_AHEAD);
        let mut next = Exchange::default();
        let turn = begun(&mut next, &engine, PREFLIGHT, Body::Unread, &waiting);
        assert_eq!(told(&turn), ("deny missing_credential".to_owned(), Some(401)));
        let turn = begun(&mut next, &engine, PREFLIGHT, Body::Whole(b""), &waiting);
        assert_eq!(told(&turn), ("allow preflight".to_owned(), None), "that needs no room");
        exchange.gone();
        let turn = begun(&mut next, &engine, PREFLIGHT, Body::Unread, &waiting);
        assert!(matches!(turn.next, Next::Continue(_)));

        let engine = super::tests::engine(&policy("headers"));
        let (_, turn, waiting) = held(&engine, PREFLIGHT);
        assert!(matches!(turn.next, Next::Hold(_)), "where some wait, these do, too");
        assert_eq!(waiting.preflights.get(), 0);
    }
}
