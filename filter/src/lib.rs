//! Latchkey as a proxy-wasm HTTP filter: a request's bytes in, the decision's effect out.
//!
//! All that is decided is decided in the `latchkey` crate. This one hands over what the proxy knows,
//! carries out the [`Effect`], counts, and calls the host only through [`host`].

#![expect(
    missing_docs,
    reason = "the one public item is the entry point that the SDK's macro makes"
)]

mod host;
mod metrics;

use std::cell::RefCell;
use std::rc::Rc;

use latchkey::{Effect, Engine, Environment, Finding, Request, Severity};
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
        match Engine::compile(&host::configuration(), &environment) {
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
                log::error!("configuration refused: {} findings", findings.len());
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
        Some(Box::new(Stream { policy: self.policy.clone(), response_headers: Vec::new() }))
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
    response_headers: Vec<(String, String)>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let Some(policy) = &self.policy else {
            // No configuration was ever accepted, so nobody can be let in.
            host::reply(503, &[], b"");
            return Action::Pause;
        };
        let headers = host::request_headers();
        let request = Request { headers: &headers, clock: &host::now };
        let decision = policy.engine.decide(&request);
        let effect = policy.engine.effect(&request, &decision);
        if policy.engine.has_response_headers() {
            self.response_headers = policy.engine.response_headers(&request, &decision);
        }
        host::publish(&decision.to_string());
        policy.metrics.borrow_mut().count(&decision);
        match effect {
            Effect::Continue { set, remove, path } => {
                if host::change_request(&headers, &set, &remove, path.as_deref()).is_ok() {
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

    /// Envoy calls this for every response, those of [`host::reply`] included.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        for (name, value) in &self.response_headers {
            host::set_response_header(name, value);
        }
        Action::Continue
    }
}
