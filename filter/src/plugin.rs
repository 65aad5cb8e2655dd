//! A plugin with its policy: a root context of the proxy, one for each configuration.

use std::ffi::OsStr;
use std::rc::Rc;

use latchkey::{Code, Engine, Environment, Finding, Line, has_room, policy_name};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::policy::{Generation, Identity, Policy};
use crate::stream::Stream;
use crate::{configuration, host, policy};

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
    /// worker's requests without the filter, and take no further configuration. So nothing here depends on
    /// anything but the bytes of the configuration and the environment, which all VMs share, and a worker
    /// that has no room for what was accepted takes it without its policy: nobody is let in until the next.
    fn on_configure(&mut self, size: usize) -> bool {
        host::log_as_the_proxy_does();
        let is_first = policy::is_first();
        let plugin = host::plugin();
        let name = match self.policy(size) {
            Ok(policy) => {
                let engine = &policy.engine;
                let name = engine.name();
                let warnings = engine.warnings().iter();
                warnings.for_each(|finding| host::log(Line::Finding(name, finding)));
                host::log(Line::Configured(engine));
                let identity = Identity { plugin, policy: name.map(Into::into) };
                self.generation.put(identity, Some(policy));
                host::start_ticking();
                return !host::fails_in_worker();
            }
            Err(Refusal { name, findings }) => {
                let policy = name.as_deref();
                findings.iter().for_each(|finding| host::log(Line::Finding(policy, finding)));
                if is_first || !lacks_memory(&findings) {
                    host::log(Line::Refused(policy, findings.len()));
                    return false;
                }
                host::log(Line::Unserved(policy));
                name
            }
        };
        self.generation.put(Identity { plugin, policy: name }, None);
        true
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

impl Plugin {
    /// Compiles the configuration, of so many bytes. Where there is no room for it, it is tried once more
    /// without any policy that another has taken over from.
    fn policy(&self, size: usize) -> Result<Policy, Refusal> {
        self.generation.give_up_older(KEPT);
        if !has_room(size) {
            self.generation.give_up_older(0);
        }
        if !has_room(size) {
            return Err(Refusal { name: None, findings: vec![configuration::no_room()] });
        }
        let json = configuration::as_json(host::configuration())
            .map_err(|finding| Refusal { name: None, findings: vec![finding] })?;
        let pepper = std::env::var_os("LATCHKEY_PEPPER");
        let environment = Environment { pepper: pepper.as_deref().map(OsStr::as_encoded_bytes) };
        let mut engine = Engine::compile(&json, &environment);
        if engine.as_ref().is_err_and(|findings| lacks_memory(findings)) {
            self.generation.give_up_older(0);
            engine = Engine::compile(&json, &environment);
        }
        let refusal = |findings| Refusal { name: policy_name(&json), findings };
        engine.map(Policy::new).map_err(refusal)
    }
}

/// Most bytes of policies that are over and kept, should one be pushed again while its streams are open.
const KEPT: usize = 256 * 1024;

/// Why a configuration is not served.
struct Refusal {
    /// What it calls its policy.
    name: Option<Box<str>>,
    findings: Vec<Finding>,
}

fn lacks_memory(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.code == Code::OutOfMemory)
}
