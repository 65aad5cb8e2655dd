//! One request and its response.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use latchkey::{Access, Body, Claims, Decision, Effect, Hold, Reply, Request, Verdict};

use crate::abi::{Action, Level};
use crate::plugin::Policy;
use crate::{host, pairs};

/// How many calls to the proxy an allowed request makes at most, a key's validity window aside.
const CALLS: usize = 4;

/// How many of them take the credential out of a refused one.
const CALLS_OF_REFUSAL: usize = 1;

/// Most bytes of headers that are held at a time, of all requests: a part of what a VM may have, which
/// many clients that never end their bodies would fill.
const MOST_HELD: usize = 64 << 20;

/// Most preflights at a time whose headers have gone ahead and whose body is not known to be none: they are
/// nobody's, and each takes a request of the upstream's.
const MOST_AHEAD: usize = 64;

thread_local! {
    /// How many there are.
    static HELD: Cell<usize> = const { Cell::new(0) };

    /// How many preflights are ahead.
    static AHEAD: Cell<usize> = const { Cell::new(0) };
}

/// What is remembered of a request until its response is on its way.
pub(crate) struct Stream {
    /// `None` where no configuration was ever accepted.
    policy: Option<Rc<Policy>>,
    /// The request that waits for its body to be judged.
    held: Option<Held>,
    response_headers: Vec<(String, String)>,
    /// Whether the proxy did not take the answer, so that the request must not go on.
    is_stuck: bool,
}

/// A request whose body is being read.
struct Held {
    /// As [`pairs::read`] takes them.
    headers: Box<[u8]>,
    /// Those that the proxy told when the headers came.
    claims: Option<Rc<Claims>>,
    hold: Hold,
}

impl Held {
    fn new(headers: Box<[u8]>, claims: Option<Rc<Claims>>, hold: Hold) -> Held {
        HELD.set(HELD.get() + headers.len());
        AHEAD.set(AHEAD.get() + usize::from(goes_ahead_as_preflight(hold)));
        Held { headers, claims, hold }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.headers.len()));
        AHEAD.set(AHEAD.get().saturating_sub(usize::from(goes_ahead_as_preflight(self.hold))));
    }
}

fn goes_ahead_as_preflight(hold: Hold) -> bool {
    hold.access == Access::Preflight && !hold.headers
}

impl Stream {
    pub(crate) fn new(policy: Option<Rc<Policy>>) -> Stream {
        Stream { policy, held: None, response_headers: Vec::new(), is_stuck: false }
    }

    /// Whether a later call about this stream has anything to do.
    pub(crate) fn has_more_to_do(&self) -> bool {
        self.held.is_some() || !self.response_headers.is_empty() || self.is_stuck
    }

    pub(crate) fn on_request_headers(&mut self, ends: bool) -> Action {
        // Without a policy, or without headers to judge by, nobody can be let in.
        let Some(policy) = self.policy.clone() else { return self.refuse_unread() };
        let Ok(bytes) = host::request_headers() else { return self.refuse_unread() };
        let Some(headers) = pairs::read(&bytes) else { return self.refuse_unread() };
        let body = if ends { Body::Whole(b"") } else { Body::Unread };
        let told = OnceCell::new();
        let claims =
            |payload: &str| told.get_or_init(|| host::claims(payload).map(Rc::new)).clone();
        let request = Request { headers: &headers, body, clock: &host::now, claims: &claims };
        let decision = policy.engine.decide(&request);
        let Verdict::Hold(hold) = decision.verdict else {
            return self.carry_out(&policy, &request, &decision, true);
        };
        if goes_ahead_as_preflight(hold) && AHEAD.get() >= MOST_AHEAD {
            // Judged as it will be if a body comes.
            let request = Request { body: Body::TooLarge, ..request };
            let decision = policy.engine.decide(&request);
            return self.carry_out(&policy, &request, &decision, true);
        }
        if HELD.get() + bytes.len() > MOST_HELD {
            let changes = policy.engine.without_credentials(&request);
            let _ = host::change_request(&headers, &changes, CALLS_OF_REFUSAL);
            return self.refuse_unread();
        }
        // Headers that go ahead pass the guard, so it must find an allowance, for now.
        let action = if hold.headers {
            // The proxy may answer itself, when the body takes too long say.
            self.note_response_headers(&policy, &request, &decision);
            Action::Pause
        } else {
            self.answer(&policy, &request, &decision, true)
        };
        if hold.headers || action == Action::Continue {
            drop((decision, headers));
            self.held = Some(Held::new(bytes, told.into_inner().flatten(), hold));
        }
        action
    }

    pub(crate) fn on_request_body(&mut self, size: usize, ends: bool) -> Action {
        let Some(held) = &self.held else { return self.after_decision() };
        if size > held.hold.max_bytes {
            self.judge(Body::TooLarge)
        } else if ends {
            self.judge_body(size)
        } else {
            Action::Pause
        }
    }

    /// Trailers end a body without telling its last piece so.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        match &self.held {
            Some(held) => self.judge_body(held.hold.max_bytes),
            None => self.after_decision(),
        }
    }

    /// Envoy calls this for every response, those of [`host::reply`] included.
    pub(crate) fn on_response_headers(&mut self) {
        for (name, value) in self.response_headers.drain(..) {
            host::set_response_header(&name, &value);
        }
    }

    /// What to do about a body of which nothing is left to decide.
    fn after_decision(&self) -> Action {
        if self.is_stuck { Action::Pause } else { Action::Continue }
    }

    /// Reads the body and decides by it; one that cannot be read is none to let through.
    fn judge_body(&mut self, size: usize) -> Action {
        match host::request_body(size) {
            Ok(body) => self.judge(Body::Whole(&body)),
            Err(_) if size == 0 => self.judge(Body::Whole(b"")),
            Err(_) => self.judge(Body::TooLarge),
        }
    }

    /// Decides about the request that was held, now that its body is known.
    fn judge(&mut self, body: Body<'_>) -> Action {
        let Some((policy, held)) = self.policy.clone().zip(self.held.take()) else {
            return Action::Continue;
        };
        let headers = pairs::read(&held.headers).unwrap_or_default();
        let claims = |_: &str| held.claims.clone();
        let request = Request { headers: &headers, body, clock: &host::now, claims: &claims };
        let decision = policy.engine.decide(&request);
        let is_preflight = matches!(decision.verdict, Verdict::Allow(Access::Preflight));
        if goes_ahead_as_preflight(held.hold) && decision.reason().is_none() && !is_preflight {
            // Its headers are gone without an identity.
            return self.refuse_unread();
        }
        self.carry_out(&policy, &request, &decision, held.hold.headers)
    }

    /// Counts a decision and does what it says.
    fn carry_out(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
        headers_are_here: bool,
    ) -> Action {
        policy.metrics.borrow_mut().count(decision);
        if decision.reason().is_none() && !headers_are_here {
            return Action::Continue;
        }
        self.answer(policy, request, decision, headers_are_here)
    }

    /// Publishes a decision, and lets the request go on or refuses it.
    fn answer(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
        headers_are_here: bool,
    ) -> Action {
        self.note_response_headers(policy, request, decision);
        match policy.engine.effect(request, decision) {
            Effect::Continue(changes) => {
                // Calls read headers, session and body, and publish the decision.
                let has_read_body = !matches!(request.body, Body::Unread | Body::Whole(b""));
                let spent =
                    2 + usize::from(policy.engine.has_sessions()) + usize::from(has_read_body);
                let left = CALLS.saturating_sub(spent);
                if host::change_request(request.headers, &changes, left).is_err() {
                    // Nobody goes on with the credential, or with identity headers of their own.
                    return self.refuse_unread();
                }
                host::publish("latchkey", decision);
                Action::Continue
            }
            Effect::Reply(changes, Reply { status, headers, body }) => {
                if headers_are_here {
                    // A refusal stands whether or not the proxy took them.
                    let _ = host::change_request(request.headers, &changes, CALLS_OF_REFUSAL);
                }
                host::publish("latchkey", decision);
                // On a request that goes on, the account stands in the headers that the policy sets.
                if let Some(account) = decision.account() {
                    host::publish("latchkey.account", account);
                }
                if policy.logs_refusals {
                    host::log(Level::Debug, format_args!("{decision}"));
                }
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                self.reply(status, &headers, body.as_bytes())
            }
        }
    }

    fn note_response_headers(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
    ) {
        if policy.engine.has_response_headers() {
            self.response_headers = policy.engine.response_headers(request, decision);
        }
    }

    /// Refuses a request about which nothing can be decided.
    fn refuse_unread(&mut self) -> Action {
        self.reply(503, &[], b"")
    }

    fn reply(&mut self, status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Action {
        self.is_stuck = host::reply(status, headers, body).is_err();
        Action::Pause
    }
}
