//! Latchkey as a proxy-wasm HTTP filter: a request's bytes in, the decision's effect out.
//!
//! All that is decided is decided in the `latchkey` crate. This one hands over what the proxy knows,
//! carries out the [`Effect`], counts, and calls the host only through `host`.

#![expect(
    missing_docs,
    reason = "the one public item is the entry point that the SDK's macro makes"
)]

mod configuration;
mod host;
mod metrics;

use std::cell::RefCell;
use std::rc::Rc;

use latchkey::{
    Body, Decision, Effect, Engine, Environment, Finding, Hold, Request, Severity, Verdict,
};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::metrics::Metrics;

proxy_wasm::main! {{
    host::prepare();
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// A plugin with its configuration. A new configuration makes a new one, while the streams of the
/// old one keep theirs.
#[derive(Default)]
struct Root {
    /// `None` until a configuration was accepted.
    policy: Option<Rc<Policy>>,
}

/// An engine, and what is counted of its decisions.
struct Policy {
    engine: Engine,
    metrics: RefCell<Metrics>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Takes a configuration, or refuses it.
    ///
    /// This must come out the same in every VM. Envoy tries a configuration in a VM of its own, and
    /// refuses it if this returns false there; if only a worker's VM failed, Envoy would serve that
    /// worker's requests without the filter. So nothing here depends on anything but the bytes of
    /// the configuration and the environment, which all VMs share.
    fn on_configure(&mut self, _size: usize) -> bool {
        host::follow_log_level();
        let pepper = std::env::var("LATCHKEY_PEPPER").ok();
        let environment = Environment { pepper: pepper.as_deref().map(str::as_bytes) };
        match Engine::compile(&configuration::as_json(host::configuration()), &environment) {
            Ok(engine) => {
                engine.warnings().iter().for_each(log);
                log::info!(
                    "configured: {} keys, {} rules",
                    engine.key_count(),
                    engine.rule_count()
                );
                let metrics = RefCell::new(Metrics::new(&engine));
                self.policy = Some(Rc::new(Policy { engine, metrics }));
                host::start_ticking();
                !host::fails_in_worker()
            }
            Err(findings) => {
                findings.iter().for_each(log);
                log::error!("configuration refused, findings: {}", findings.len());
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(policy) = &self.policy {
            policy.metrics.borrow_mut().flush();
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        let policy = self.policy.clone();
        Some(Box::new(Stream { policy, held: None, response_headers: Vec::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn log(finding: &Finding) {
    match finding.severity {
        Severity::Error => log::error!("{} [{}]", finding, finding.code.as_str()),
        Severity::Warning => log::warn!("{} [{}]", finding, finding.code.as_str()),
    }
}

/// One request and its response.
struct Stream {
    policy: Option<Rc<Policy>>,
    /// The request that waits for its body to be judged.
    held: Option<Held>,
    response_headers: Vec<(String, String)>,
}

/// A request whose body is being read.
struct Held {
    headers: Vec<(String, Vec<u8>)>,
    hold: Hold,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Some(policy) = self.policy.clone() else {
            // No configuration was ever accepted, so nobody can be let in.
            host::reply(503, &[], b"");
            return Action::Pause;
        };
        let headers = host::request_headers();
        let body = if end_of_stream { Body::Whole(b"") } else { Body::Unread };
        let request = request(&headers, body);
        let decision = policy.engine.decide(&request);
        let Verdict::Hold(hold) = decision.verdict else {
            return self.carry_out(&policy, &request, &decision, true);
        };
        // Headers that go ahead pass the guard, so it must find an allowance, for now.
        let action =
            if hold.headers { Action::Pause } else { self.answer(&policy, &request, &decision) };
        if hold.headers || action == Action::Continue {
            self.held = Some(Held { headers, hold });
        }
        action
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(held) = &self.held else { return Action::Continue };
        if size > held.hold.max_bytes {
            self.judge(Body::TooLarge)
        } else if end_of_stream {
            self.judge(Body::Whole(&host::request_body(size)))
        } else {
            Action::Pause
        }
    }

    /// Trailers end a body without telling its last piece so.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let Some(held) = &self.held else { return Action::Continue };
        let body = host::request_body(held.hold.max_bytes);
        self.judge(Body::Whole(&body))
    }

    /// Envoy calls this for every response, those of [`host::reply`] included.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        for (name, value) in &self.response_headers {
            host::set_response_header(name, value);
        }
        Action::Continue
    }
}

impl Stream {
    /// Decides about the request that was held, now that its body is known.
    fn judge(&mut self, body: Body<'_>) -> Action {
        let Some((policy, held)) = self.policy.clone().zip(self.held.take()) else {
            return Action::Continue;
        };
        let request = request(&held.headers, body);
        let decision = policy.engine.decide(&request);
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
        self.answer(policy, request, decision)
    }

    /// Publishes a decision, and lets the request go on or refuses it.
    fn answer(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        decision: &Decision<'_>,
    ) -> Action {
        if policy.engine.has_response_headers() {
            self.response_headers = policy.engine.response_headers(request, decision);
        }
        host::publish(&decision.to_string());
        match policy.engine.effect(request, decision) {
            Effect::Continue { set, remove, path } => {
                let path = path.as_deref();
                if host::change_request(request.headers, &set, &remove, path).is_ok() {
                    return Action::Continue;
                }
                // Nobody goes on with the credential, or with identity headers of their own.
                host::reply(503, &[], b"");
            }
            Effect::Reply { status, headers, body } => {
                log::debug!("{decision}");
                host::reply(status, &headers, &body);
            }
        }
        Action::Pause
    }
}

/// The request as the core takes it.
fn request<'a>(headers: &'a [(String, Vec<u8>)], body: Body<'a>) -> Request<'a> {
    Request { headers, body, clock: &host::now, claims: &host::claims }
}
