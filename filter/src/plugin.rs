//! A plugin with its policy.
//!
//! A new configuration makes a new plugin in the same VM, while the streams of the old one keep
//! theirs.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;

use latchkey::{Engine, Environment, Finding, Severity};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::stream::Stream;
use crate::{configuration, host};

// What the proxy calls once a VM is there.
proxy_wasm::main! {{
    host::start_logging();
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

#[derive(Debug, Default)]
struct Plugin {
    /// None before the first configuration that was accepted.
    policy: Option<Rc<Policy>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    /// Takes a configuration, or refuses it.
    ///
    /// This must come out the same in every VM. Envoy tries a configuration in a VM of its own, and
    /// refuses it if this returns false there; if only a worker's VM failed, Envoy would serve that
    /// worker's requests without the filter. So nothing here depends on anything but the bytes of the
    /// configuration and the environment, which all VMs share.
    fn on_configure(&mut self, _size: usize) -> bool {
        host::log_as_the_proxy_does();
        let pepper = std::env::var_os("LATCHKEY_PEPPER");
        let environment = Environment { pepper: pepper.as_deref().map(OsStr::as_encoded_bytes) };
        let engine = configuration::as_json(host::configuration())
            .map_err(|finding| vec![finding])
            .and_then(|json| Engine::compile(&json, &environment));
        match engine {
            Ok(engine) => {
                engine.warnings().iter().for_each(log);
                let (keys, rules) = (engine.key_count(), engine.rule_count());
                log::info!("configured: {keys} keys, {rules} rules");
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

    /// Hands over what was counted.
    fn on_tick(&mut self) {
        if let Some(policy) = &self.policy {
            policy.metrics.borrow_mut().flush();
        }
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.policy.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn log(finding: &Finding) {
    let level = match finding.severity {
        Severity::Error => log::Level::Error,
        Severity::Warning => log::Level::Warn,
    };
    log::log!(level, "{finding} [{}]", finding.code.as_str());
}
