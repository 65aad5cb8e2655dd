//! The core as a subject: a proxy that has one request.

use std::rc::Rc;

use latchkey::{Body, Decision, End, Engine, Exchange, Next, Piece, Reply, Request, Scope, Turn};

use super::{CaseRequest, Headers, Observation, REQUEST_ID, Upstream, apply, borrowed};

/// The request as the proxy has it.
struct Stream<'e> {
    headers: Headers,
    /// The filter state `latchkey`.
    state: String,
    /// What else was published, by the words of `publish`.
    published: Vec<(String, String)>,
    decision: Option<Decision<'e>>,
    reply: Option<Reply<'e>>,
}

/// What is decided about a request at last, if anything is, and what an upstream and a client see of it.
pub(crate) fn observe<'e>(
    engine: &'e Engine,
    now: i64,
    request: &CaseRequest,
) -> (Option<Decision<'e>>, Observation) {
    let clock = || Some(now);
    let address = || request.client();
    let claims = |_: &str| request.verified().map(Rc::new);
    let headers = request.header_map();
    let pieces = request.pieces();
    let mut exchange = Exchange::default();
    let turn = {
        let headers = borrowed(&headers);
        let body = if pieces.is_empty() { Body::Whole(b"") } else { Body::Unread };
        let request =
            Request { headers: &headers, body, clock: &clock, address: &address, claims: &claims };
        exchange.request_headers(Some(engine), &request, Rc::default)
    };
    let mut stream = Stream {
        headers,
        state: String::new(),
        published: Vec::new(),
        decision: None,
        reply: None,
    };
    stream.carry_out(turn);
    let mut body = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if stream.reply.is_some() {
            break;
        }
        body.extend_from_slice(piece.as_bytes());
        let ends = index + 1 == pieces.len();
        if let Piece::Judge { size } = exchange.request_body(body.len(), ends) {
            stream.carry_out(exchange.judge(&[engine], body.get(..size), &clock, &address));
        }
    }
    stream.observed(&exchange.response_headers())
}

impl<'e> Stream<'e> {
    fn carry_out(&mut self, turn: Turn<'e, Engine>) {
        if let Some(End::Decided { decision, .. }) = turn.end {
            self.decision = Some(decision);
        }
        let changes = match turn.next {
            Next::Continue(changes) | Next::Hold(changes) => changes,
            Next::Reply(changes, reply) => {
                self.reply = Some(*reply);
                changes
            }
        };
        self.headers = apply(&borrowed(&self.headers), &changes).headers;
        for (name, value) in turn.publish.iter() {
            match name.strip_prefix("latchkey.") {
                None => self.state = value.to_owned(),
                Some(word) => {
                    self.published.retain(|(known, _)| known != word);
                    self.published.push((word.to_owned(), value.to_owned()));
                }
            }
        }
    }

    /// What came of it, where an upstream that lets nothing go wrong answers with `headers`.
    fn observed(self, headers: &[(String, String)]) -> (Option<Decision<'e>>, Observation) {
        let required = self.decision.iter().flat_map(Decision::required).map(Scope::as_str);
        let required_scope = Some(required.collect::<Vec<_>>().join(" "));
        let request = Some(Upstream::new(self.headers));
        let (status, headers, body) = match &self.reply {
            None => (200, owned(headers), ""),
            Some(reply) => (reply.status, owned(&reply.headers), &*reply.body),
        };
        let (upstream, left) = if self.reply.is_none() { (request, None) } else { (None, request) };
        let observation = Observation {
            request_id: REQUEST_ID.to_owned(),
            decision: self.state,
            status,
            headers,
            body: body.into(),
            upstream,
            left,
            required_scope,
            published: self.published,
        };
        (self.decision, observation)
    }
}

fn owned(headers: &[(impl AsRef<str>, impl AsRef<str>)]) -> Headers {
    let owned = |(name, value): &(_, _)| (to_owned(name), to_owned(value).into_bytes());
    headers.iter().map(owned).collect()
}

fn to_owned(text: &impl AsRef<str>) -> String {
    text.as_ref().to_owned()
}
