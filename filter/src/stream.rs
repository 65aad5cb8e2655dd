//! One request and its response.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use latchkey::{
    Access, Body, Changes, Claims, Decision, Effect, Hold, Reply, Request, Verdict, limits,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Headers};
use crate::policy::{Generation, Judges, Label, Policy};

/// How many calls to the proxy an allowed request makes at most, a key's validity window aside.
const CALLS: usize = 4;

/// How many of them take the credential out of a refused one.
const CALLS_OF_REFUSAL: Option<usize> = Some(1);

/// Most preflights at a time whose headers have gone ahead and whose body is not known to be none: they are
/// nobody's, and each takes a request of the upstream's.
const MOST_AHEAD: usize = 64;

thread_local! {
    /// How many there are.
    static HELD: Cell<usize> = const { Cell::new(0) };

    /// How many preflights are ahead.
    static AHEAD: Cell<usize> = const { Cell::new(0) };
}

/// What is remembered of a request until its response is on its way. Which policy is in force, each event
/// asks anew: a stream may stay open for days.
pub(crate) struct Stream {
    generation: Rc<Generation>,
    /// When it began, by the generation's time.
    since: u64,
    /// The request that waits for its body to be judged.
    held: Option<Held>,
    response_headers: Vec<(String, String)>,
}

/// A request whose body is being read.
struct Held {
    generation: Rc<Generation>,
    headers: Headers,
    /// What the headers take, of [`limits::HELD_BYTES`].
    bytes: usize,
    /// Those that the proxy told when the headers came.
    claims: Option<Rc<Claims>>,
    hold: Hold,
    is_stripped: bool,
    /// The id of the key whose request this is.
    key: Option<Box<str>>,
    /// How much of the body has come.
    received: usize,
    is_decided: bool,
}

/// Where a request's headers are, as far as they can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadersAre {
    /// They have gone ahead.
    Gone,
    Here,
    /// They are here without what may be a credential.
    Stripped,
}

impl Held {
    fn headers_are(&self) -> HeadersAre {
        match (self.hold.headers, self.is_stripped) {
            (false, _) => HeadersAre::Gone,
            (true, false) => HeadersAre::Here,
            (true, true) => HeadersAre::Stripped,
        }
    }
}

impl Drop for Held {
    /// One that nobody decided was ended by the proxy, the client or the upstream.
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.bytes));
        AHEAD.set(AHEAD.get().saturating_sub(usize::from(goes_ahead_as_preflight(self.hold))));
        if self.is_decided {
            return;
        }
        let policy = self.generation.policy();
        if let Some(policy) = &policy {
            policy.metrics.borrow_mut().count_undecided();
        }
        if let Some(key) = &self.key {
            let label = policy.as_ref().map_or(Label(None), |policy| policy.label());
            log::info!("{label}undecided key:{key}: the request ended before its body");
        }
    }
}

fn goes_ahead_as_preflight(hold: Hold) -> bool {
    hold.access == Access::Preflight && !hold.headers
}

impl Stream {
    pub(crate) fn new(generation: Rc<Generation>) -> Stream {
        let since = generation.begin_stream();
        Stream { generation, since, held: None, response_headers: Vec::new() }
    }

    /// Keeps a request until its body is whole, its headers where they are or gone ahead.
    fn hold(
        &mut self,
        headers: Headers,
        claims: Option<Rc<Claims>>,
        hold: Hold,
        key: Option<Box<str>>,
        is_stripped: bool,
    ) {
        let bytes = size(&headers);
        HELD.set(HELD.get() + bytes);
        AHEAD.set(AHEAD.get() + usize::from(goes_ahead_as_preflight(hold)));
        let generation = Rc::clone(&self.generation);
        let (received, is_decided) = (0, false);
        self.held = Some(Held {
            generation,
            headers,
            bytes,
            claims,
            hold,
            is_stripped,
            key,
            received,
            is_decided,
        });
    }

    /// Reads the body and decides by it; one that cannot be read is none to let through.
    fn judge_body(&mut self, size: usize) -> Action {
        match host::request_body(size) {
            Some(body) => self.judge(Body::Whole(&body)),
            None if size == 0 => self.judge(Body::Whole(b"")),
            None => self.judge(Body::TooLarge),
        }
    }

    /// Decides about the request that was held, now that its body is known, by what is in force now.
    fn judge(&mut self, body: Body<'_>) -> Action {
        let Some(mut held) = self.held.take() else { return Action::Continue };
        let Some(Judges { policy, others }) = self.generation.judges(self.since) else {
            return refuse_unread();
        };
        let headers = borrowed(&held.headers);
        let claims = |_: &str| held.claims.clone();
        let request = Request { headers: &headers, body, clock: &host::now, claims: &claims };
        let decision = policy.engine.decide(&request);
        let refused_by = match decision.reason() {
            None => others.iter().find_map(|other| {
                let decision = other.engine.decide(&request);
                decision.reason().is_some().then_some((other, decision))
            }),
            Some(_) => None,
        };
        let (policy, decision) = refused_by.unwrap_or((&policy, decision));
        let is_preflight = matches!(decision.verdict, Verdict::Allow(Access::Preflight));
        if goes_ahead_as_preflight(held.hold) && decision.reason().is_none() && !is_preflight {
            // Its headers are gone without an identity.
            return refuse_unread();
        }
        held.is_decided = true;
        self.carry_out(policy, &request, &decision, held.headers_are())
    }

    /// Counts a decision and does what it says.
    fn carry_out(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
        headers_are: HeadersAre,
    ) -> Action {
        policy.metrics.borrow_mut().count(decision);
        if decision.reason().is_none() && headers_are == HeadersAre::Gone {
            return Action::Continue;
        }
        self.answer(policy, request, decision, headers_are)
    }

    /// Publishes a decision, and lets the request go on or refuses it.
    fn answer(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
        headers_are: HeadersAre,
    ) -> Action {
        self.note_response_headers(decision);
        match decision.effect() {
            Effect::Continue(changes) | Effect::Hold { ahead: Some(changes), .. } => {
                // Calls read headers, session and body, and publish the decision.
                let has_read_body = !matches!(request.body, Body::Unread | Body::Whole(b""));
                let spent =
                    2 + usize::from(policy.engine.has_sessions()) + usize::from(has_read_body);
                let left = match headers_are {
                    HeadersAre::Gone | HeadersAre::Here => Some(CALLS.saturating_sub(spent)),
                    // What was taken out may have to be put back.
                    HeadersAre::Stripped => None,
                };
                if host::change_request(request.headers, changes, left).is_err() {
                    // Nobody goes on with the credential, or with identity headers of their own.
                    return refuse_unread();
                }
                host::publish("latchkey", decision);
                Action::Continue
            }
            Effect::Hold { ahead: None, .. } => Action::Pause,
            Effect::Reply(changes, Reply { status, headers, body, .. }) => {
                if headers_are == HeadersAre::Here {
                    // A refusal stands whether or not the proxy took them.
                    let _ = host::change_request(request.headers, changes, CALLS_OF_REFUSAL);
                }
                host::publish("latchkey", decision);
                // On a request that goes on, the account stands in the headers that the policy sets.
                if let Some(account) = decision.account() {
                    host::publish("latchkey.account", account);
                }
                log::debug!("{}{decision}", policy.label());
                let headers = headers.iter().map(|(name, value)| (*name, &**value)).collect();
                host::reply(*status, headers, body.as_bytes());
                Action::Pause
            }
        }
    }

    fn note_response_headers(&mut self, decision: &Decision<'_>) {
        let headers = decision.response_headers().iter();
        self.response_headers =
            headers.map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.generation.end_stream();
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, ends: bool) -> Action {
        self.generation.note_place();
        // Without a policy, or without headers to judge by, nobody can be let in.
        let Some(policy) = self.generation.policy() else { return refuse_unread() };
        let Ok(all) = host::request_headers() else { return refuse_unread() };
        let headers = borrowed(&all);
        let body = if ends { Body::Whole(b"") } else { Body::Unread };
        let told = OnceCell::new();
        let claims =
            |payload: &str| told.get_or_init(|| host::claims(payload).map(Rc::new)).clone();
        let request = Request { headers: &headers, body, clock: &host::now, claims: &claims };
        let decision = policy.engine.decide(&request);
        let Verdict::Hold(hold) = decision.verdict else {
            return self.carry_out(&policy, &request, &decision, HeadersAre::Here);
        };
        if goes_ahead_as_preflight(hold) && AHEAD.get() >= MOST_AHEAD {
            // Judged as it will be if a body comes.
            let request = Request { body: Body::TooLarge, ..request };
            let decision = policy.engine.decide(&request);
            return self.carry_out(&policy, &request, &decision, HeadersAre::Here);
        }
        let is_full = HELD.get() + size(&all) > limits::HELD_BYTES;
        // The proxy may answer itself, when the body takes too long say, and log what it has.
        let changes = match decision.effect() {
            Effect::Hold { stripped, .. } if is_full || hold.headers => Some(stripped),
            _ => None,
        };
        let changes = changes.filter(|changes| **changes != Changes::default());
        let is_stripped = changes.is_some();
        let taken_out = changes.is_none_or(|changes| {
            host::change_request(&headers, changes, CALLS_OF_REFUSAL).is_ok()
        });
        if is_full || !taken_out {
            return refuse_unread();
        }
        let action = if hold.headers {
            self.note_response_headers(&decision);
            Action::Pause
        } else {
            // Headers that go ahead pass the guard, so it must find an allowance, for now.
            self.answer(&policy, &request, &decision, HeadersAre::Here)
        };
        if hold.headers || action == Action::Continue {
            let key = decision.key().map(|key| key.id().into());
            drop((decision, headers));
            self.hold(all, told.into_inner().flatten(), hold, key, is_stripped);
        }
        action
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        let Some(held) = &mut self.held else { return Action::Continue };
        held.received = size;
        if size > held.hold.max_bytes {
            self.judge(Body::TooLarge)
        } else if ends {
            self.judge_body(size)
        } else {
            Action::Pause
        }
    }

    /// Trailers end a body without telling its last piece so. They reach an upstream as headers do, and some
    /// take them for headers.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // Where the policy was given up, nothing tells which of them are its own.
        let policy = self.generation.policy();
        let is_own =
            |name: &str| policy.as_ref().is_none_or(|policy| policy.engine.is_own_header(name));
        if host::clean_trailers(is_own).is_err() {
            return refuse_unread();
        }
        let Some(held) = &self.held else { return Action::Continue };
        self.judge_body(held.received)
    }

    /// Envoy calls this for every response, those of [`host::reply`] included.
    fn on_http_response_headers(&mut self, _count: usize, _ends: bool) -> Action {
        for (name, value) in self.response_headers.drain(..) {
            host::set_response_header(&name, &value);
        }
        Action::Continue
    }
}

/// Refuses a request about which nothing can be decided.
fn refuse_unread() -> Action {
    host::reply(503, Vec::new(), b"");
    Action::Pause
}

fn borrowed<N: AsRef<str>, V: AsRef<[u8]>>(headers: &[(N, V)]) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect()
}

/// What headers take of [`limits::HELD_BYTES`].
fn size(headers: &Headers) -> usize {
    let texts = |(name, value): &(String, Vec<u8>)| name.len() + value.len();
    size_of_val(&**headers) + headers.iter().map(texts).sum::<usize>()
}
