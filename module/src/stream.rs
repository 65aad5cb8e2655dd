//! One request and its response: Envoy's calls as events of an exchange, and what the exchange asks for as calls of Envoy.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use latchkey::{
    Body, Changes, End, Exchange, Line, Next, Piece, Publish, Reply, Request, Turn, Undecided,
    Waiting,
};

use crate::border::{Host, Map};
use crate::policy::{self, Policy};
use crate::session;

thread_local! {
    static WAITING: Rc<Waiting> = Rc::default();
}

/// What becomes of what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It goes on.
    Continue,
    /// It waits for more, or was answered.
    Wait,
}

/// What is remembered of a request until its response is on its way. A stream stays on the worker on which it began.
#[derive(Debug)]
pub(crate) struct Stream {
    /// When it began, by the policies' time.
    since: u64,
    exchange: Exchange,
}

impl Stream {
    pub(crate) fn new() -> Stream {
        Stream { since: policy::now(), exchange: Exchange::default() }
    }

    pub(crate) fn request_headers(&mut self, policy: &Policy, host: &mut Host, ends: bool) -> Flow {
        let Some(headers) = host.headers(Map::RequestHeaders) else {
            return self.refuse(policy, host);
        };
        let body = if ends { Body::Whole(b"") } else { Body::Unread };
        let claims = |payload: &str| session::claims(host, payload).map(Rc::new);
        let address = || host.address();
        let request = Request {
            headers: &headers,
            body,
            clock: &policy::clock,
            address: &address,
            claims: &claims,
        };
        let turn =
            self.exchange.request_headers(Some(policy), &request, || WAITING.with(Rc::clone));
        let added = match &turn.next {
            Next::Continue(changes) => Added::of(changes, &headers),
            Next::Hold(_) | Next::Reply(..) => Added::default(),
        };
        drop(headers);
        self.carry_out(policy, host, &turn, added)
    }

    pub(crate) fn request_body(
        &mut self,
        policy: &Arc<Policy>,
        host: &mut Host,
        ends: bool,
    ) -> Flow {
        let piece = self.exchange.request_body(host.request_body_size(), ends);
        self.pass_on(policy, host, piece)
    }

    pub(crate) fn request_trailers(&mut self, policy: &Arc<Policy>, host: &mut Host) -> Flow {
        let Some(trailers) = host.headers(Map::RequestTrailers) else {
            return self.refuse(policy, host);
        };
        let names = trailers.iter().map(|(name, _)| *name);
        let (removed, piece) = self.exchange.request_trailers(Some(&**policy), names);
        let removed: Vec<String> = removed.into_iter().map(str::to_owned).collect();
        drop(trailers);
        if !removed.iter().all(|name| host.set_header(Map::RequestTrailers, name, None)) {
            return self.refuse(policy, host);
        }
        self.pass_on(policy, host, piece)
    }

    /// Envoy calls this for every response but those of [`Host::reply`].
    pub(crate) fn response_headers(&mut self, host: &mut Host) -> Flow {
        for (name, value) in self.exchange.response_headers() {
            let _ = host.set_header(Map::ResponseHeaders, &name, Some(value.as_bytes()));
        }
        Flow::Continue
    }

    /// Nothing more will come.
    pub(crate) fn ended(&mut self, policy: &Policy) {
        if let Some(undecided) = self.exchange.gone() {
            count_undecided(policy, &undecided);
        }
    }

    /// Does what becomes of the request's body.
    fn pass_on(&mut self, policy: &Arc<Policy>, host: &mut Host, piece: Piece) -> Flow {
        match piece {
            Piece::Judge { size } => self.judge(policy, host, size),
            Piece::Pass => Flow::Continue,
            Piece::Wait => Flow::Wait,
        }
    }

    /// Decides about the request by its body, of so many bytes.
    #[cold]
    fn judge(&mut self, policy: &Arc<Policy>, host: &mut Host, size: usize) -> Flow {
        let judges = policy::judges(policy, self.since);
        let judges: Vec<&Policy> = judges.iter().map(|policy| &**policy).collect();
        let mut body = if size > 0 { host.request_body() } else { Vec::new() };
        body.truncate(size);
        let address = || host.address();
        let turn = self.exchange.judge(&judges, Some(&body), &policy::clock, &address);
        self.carry_out(policy, host, &turn, Added::default())
    }

    /// Counts how the request ended, and does what is next.
    fn carry_out(
        &mut self,
        policy: &Policy,
        host: &mut Host,
        turn: &Turn<'_, Policy>,
        added: Added,
    ) -> Flow {
        match &turn.end {
            Some(End::Decided { by, decision }) => {
                by.metrics.count(&by.engine, decision, host);
                if decision.observed().is_some() {
                    crate::log(Line::Decided(&by.engine, decision));
                }
            }
            Some(End::Undecided(undecided)) => count_undecided(policy, undecided),
            None => {}
        }
        match &turn.next {
            Next::Continue(changes) => {
                // Nobody goes on with the credential, or with identity headers of their own.
                if !change(host, changes, added) || !publish(host, &turn.publish) {
                    return self.refuse(policy, host);
                }
                Flow::Continue
            }
            Next::Hold(changes) => {
                if !change(host, changes, added) {
                    return self.refuse(policy, host);
                }
                Flow::Wait
            }
            Next::Reply(changes, reply) => {
                // A refusal stands whether or not Envoy took them.
                let _ = change(host, changes, added);
                let _ = publish(host, &turn.publish);
                if let Some(End::Decided { by, decision }) = &turn.end {
                    crate::log(Line::Decided(&by.engine, decision));
                }
                send(host, reply);
                Flow::Wait
            }
        }
    }

    /// Refuses a request about which nothing can be decided.
    #[cold]
    fn refuse(&mut self, policy: &Policy, host: &mut Host) -> Flow {
        let turn = self.exchange.refuse();
        self.carry_out(policy, host, &turn, Added::default())
    }
}

#[cold]
fn count_undecided(policy: &Policy, Undecided { key }: &Undecided) {
    policy.metrics.count_undecided();
    if let Some(key) = key {
        crate::log(Line::Undecided(Some(&policy.engine), key));
    }
}

/// Which of the headers that are set the request has none of, by their places: the first few of them.
///
/// To look one up by its name, Envoy makes a table of all headers first. It adds one without that.
#[derive(Clone, Copy, Debug, Default)]
struct Added(u64);

impl Added {
    fn of(changes: &Changes<'_>, headers: &[(&str, &[u8])]) -> Added {
        let is_new = |name: &str| headers.iter().all(|(own, _)| own.as_bytes() != name.as_bytes());
        let places = (0..u64::BITS).zip(&changes.set);
        let places = places.filter(|(_, (name, _))| is_new(name)).map(|(place, _)| 1 << place);
        Added(places.fold(0, |all, place: u64| all | place))
    }

    fn has(self, place: usize) -> bool {
        u32::try_from(place).ok().and_then(|place| self.0.checked_shr(place)).unwrap_or(0) & 1 == 1
    }
}

/// Whether Envoy took all of it.
#[must_use]
fn change(host: &mut Host, changes: &Changes<'_>, added: Added) -> bool {
    const MAP: Map = Map::RequestHeaders;
    let Changes { remove, set, path } = changes;
    // A name that is set twice has both values.
    let is_repeated =
        |at: usize, name: &str| set.iter().take(at).any(|(earlier, _)| earlier == name);
    remove.iter().all(|name| host.set_header(MAP, name, None))
        && set.iter().enumerate().all(|(at, (name, value))| {
            if added.has(at) || is_repeated(at, name) {
                host.add_header(MAP, name, value)
            } else {
                host.set_header(MAP, name, Some(value))
            }
        })
        && path.as_ref().is_none_or(|path| host.set_header(MAP, ":path", Some(path)))
}

/// Writes filter state under the names that it has in the Wasm filter, so that guards and access logs need not tell them
/// apart. Whether Envoy took it.
#[must_use]
fn publish(host: &mut Host, publish: &Publish) -> bool {
    let full = |name: &str| -> Cow<'static, str> {
        match name {
            "latchkey" => "wasm.latchkey".into(),
            name => ["wasm.", name].concat().into(),
        }
    };
    for (name, value) in publish.iter() {
        if !host.publish(&full(name), value) {
            return false;
        }
    }
    true
}

/// Answers the request.
#[inline(never)]
fn send(host: &mut Host, reply: &Reply<'_>) {
    let mut headers: Vec<(&str, &str)> =
        reply.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    // Envoy tells a gRPC caller 0 unless the code is among the headers.
    let code = reply.grpc_status.filter(|_| is_grpc_to_envoy(host)).map(|code| code.to_string());
    headers.extend(code.iter().map(|code| ("grpc-status", code.as_str())));
    host.reply(reply.status, &headers, reply.body.as_bytes());
}

/// Whether Envoy makes a gRPC reply of one to this request: it takes a content type with a parameter for another.
fn is_grpc_to_envoy(host: &Host) -> bool {
    let headers = host.headers(Map::RequestHeaders).unwrap_or_default();
    let content_type = headers.iter().find(|(name, _)| *name == "content-type");
    let rest = content_type.and_then(|(_, value)| value.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+', ..]))
}
