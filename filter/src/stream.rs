//! One request and its response: the proxy's calls as events of an exchange, and what the exchange asks for as
//! calls of the proxy.

use std::cell::Cell;
use std::rc::Rc;

use latchkey::{
    Body, End, Exchange, Line, Next, Piece, Publish, Reply, Request, Turn, Undecided, Waiting,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host;
use crate::policy::{Generation, Policy};

/// How many calls to the proxy an allowed request makes at most, a key's validity window aside.
const CALLS: usize = 4;

/// How many change one that was held: as many as read its headers again and write them anew.
const CALLS_OF_HELD: usize = 2;

/// How many take the credential out of one that is refused or waits.
const CALLS_TO_STRIP: usize = 1;

thread_local! {
    static WAITING: Rc<Waiting> = Rc::default();
}

/// What is remembered of a request until its response is on its way. Which policy is in force, each event
/// asks anew: a stream may stay open for days.
pub(crate) struct Stream {
    generation: Rc<Generation>,
    /// When it began, by the generation's time.
    since: u64,
    exchange: Exchange,
}

impl Stream {
    pub(crate) fn new(generation: Rc<Generation>) -> Stream {
        let since = generation.begin_stream();
        Stream { generation, since, exchange: Exchange::default() }
    }

    /// Does what becomes of the request's body.
    fn pass_on(&mut self, piece: Piece) -> Action {
        match piece {
            Piece::Judge { size } => self.judge(size),
            Piece::Pass => Action::Continue,
            Piece::Wait => Action::Pause,
        }
    }

    /// Decides about the request by its body, of so many bytes.
    #[cold]
    fn judge(&mut self, size: usize) -> Action {
        let judges = self.generation.judges(self.since);
        let judges: Vec<&Policy> = judges.iter().map(|policy| &**policy).collect();
        let body = host::request_body(size);
        let turn = self.exchange.judge(&judges, body.as_deref(), &host::now, &host::address);
        self.carry_out(&turn, None, CALLS_OF_HELD)
    }

    /// Counts how the request ended, and does what is next, by so many calls that change its headers. `headers`
    /// are those it has, if they are known.
    fn carry_out(
        &mut self,
        turn: &Turn<'_, Policy>,
        headers: Option<&[(&str, &[u8])]>,
        calls: usize,
    ) -> Action {
        match &turn.end {
            Some(End::Decided { by, decision }) => {
                by.count(decision);
                if decision.observed().is_some() {
                    host::log(Line::Decided(&by.engine, decision));
                }
            }
            Some(End::Undecided(undecided)) => self.count_undecided(undecided),
            None => {}
        }
        match &turn.next {
            Next::Continue(changes) => {
                if host::change_request(headers, changes, calls).is_err() {
                    // Nobody goes on with the credential, or with identity headers of their own.
                    return self.refuse();
                }
                turn.publish.iter().for_each(host::publish);
                Action::Continue
            }
            Next::Hold(changes) => {
                if host::change_request(headers, changes, CALLS_TO_STRIP).is_err() {
                    return self.refuse();
                }
                Action::Pause
            }
            Next::Reply(changes, reply) => {
                // A refusal stands whether or not the proxy took them.
                let _ = host::change_request(headers, changes, CALLS_TO_STRIP);
                answer(&turn.publish, turn.end.as_ref(), reply);
                Action::Pause
            }
        }
    }

    /// Refuses a request about which nothing can be decided.
    #[cold]
    fn refuse(&mut self) -> Action {
        let turn = self.exchange.refuse();
        self.carry_out(&turn, None, CALLS_TO_STRIP)
    }

    #[cold]
    fn count_undecided(&self, Undecided { key }: &Undecided) {
        let policy = self.generation.policy();
        if let Some(policy) = &policy {
            policy.metrics.borrow_mut().count_undecided();
        }
        if let Some(key) = key {
            let engine = policy.as_ref().map(|policy| &policy.engine);
            host::log(Line::Undecided(engine, key));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(undecided) = self.exchange.gone() {
            self.count_undecided(&undecided);
        }
        self.generation.end_stream();
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, ends: bool) -> Action {
        self.generation.note_place();
        let Some(policy) = self.generation.policy() else { return self.refuse() };
        let Ok(headers) = host::request_headers() else { return self.refuse() };
        let headers = host::borrowed(&headers);
        let body = if ends { Body::Whole(b"") } else { Body::Unread };
        // Calls read the headers and publish the decision.
        let spent = Cell::new(2_usize);
        let spend = || spent.set(spent.get().saturating_add(1));
        let claims = |payload: &str| {
            spend();
            host::claims(payload).map(Rc::new)
        };
        let address = || {
            spend();
            host::address()
        };
        let request = Request {
            headers: &headers,
            body,
            clock: &host::now,
            address: &address,
            claims: &claims,
        };
        let waiting = || WAITING.with(Rc::clone);
        let turn = self.exchange.request_headers(Some(&*policy), &request, waiting);
        self.carry_out(&turn, Some(&headers), CALLS.saturating_sub(spent.get()))
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        let piece = self.exchange.request_body(size, ends);
        self.pass_on(piece)
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let Ok(trailers) = host::request_trailers() else { return self.refuse() };
        let policy = self.generation.policy();
        let names = trailers.iter().map(|(name, _)| &**name);
        let (own, piece) = self.exchange.request_trailers(policy.as_deref(), names);
        if host::remove_trailers(&own).is_err() {
            return self.refuse();
        }
        self.pass_on(piece)
    }

    /// Envoy calls this for every response, those of [`host::reply`] included.
    fn on_http_response_headers(&mut self, _count: usize, _ends: bool) -> Action {
        for (name, value) in self.exchange.response_headers() {
            host::set_response_header(&name, &value);
        }
        Action::Continue
    }
}

/// Publishes, logs and answers. Apart, so that a request that goes on has nothing of it.
#[inline(never)]
fn answer(publish: &Publish, end: Option<&End<'_, Policy>>, reply: &Reply<'_>) {
    publish.iter().for_each(host::publish);
    if let Some(End::Decided { by, decision }) = end {
        host::log(Line::Decided(&by.engine, decision));
    }
    host::reply(reply);
}
