//! A plugin with its policy: a root context of the proxy, one for each configuration.

use std::ffi::OsStr;
use std::rc::Rc;

use latchkey::{Engine, Environment, Finding, Severity};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::policy::{Generation, Identity, Label, Policy};
use crate::stream::Stream;
use crate::{configuration, host};

// What the proxy calls once a VM is there.
proxy_wasm::main! {{
    host::start_logging();
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

#[derive(Debug, Default)]
struct Plugin {
    generation: Rc<Generation>,
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
        let json = match configuration::as_json(host::configuration()) {
            Ok(json) => json,
            Err(finding) => return refuse(None, &[finding]),
        };
        let plugin = host::plugin();
        self.generation.give_up_older(&plugin, || configuration::name(&json));
        let engine = match Engine::compile(&json, &environment) {
            Ok(engine) => engine,
            Err(findings) => return refuse(configuration::name(&json), &findings),
        };
        let policy = Policy::new(engine);
        let (engine, label) = (&policy.engine, policy.label());
        engine.warnings().iter().for_each(|finding| log(label, finding));
        log::info!("{label}configured: {} keys, {} rules", engine.key_count(), engine.rule_count());
        let identity = Identity { plugin, policy: engine.name().map(Into::into) };
        self.generation.put(identity, Some(policy));
        host::start_ticking();
        !host::fails_in_worker()
    }

    /// Hands over what was counted.
    fn on_tick(&mut self) {
        if let Some(policy) = self.generation.policy() {
            policy.metrics.borrow_mut().flush();
        }
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.generation))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn refuse(name: Option<&str>, findings: &[Finding]) -> bool {
    let label = Label(name);
    findings.iter().for_each(|finding| log(label, finding));
    log::error!("{label}configuration refused, findings: {}", findings.len());
    false
}

fn log(label: Label<'_>, finding: &Finding) {
    let level = match finding.severity {
        Severity::Error => log::Level::Error,
        Severity::Warning => log::Level::Warn,
    };
    log::log!(level, "{label}{finding} [{}]", finding.code.as_str());
}
