//! A filter's configuration: one policy for all workers.

use std::ffi::OsStr;
use std::sync::Arc;

use latchkey::{Engine, Environment, Line, policy_name};

use crate::border::Config;
use crate::fault;
use crate::metrics::{Metrics, Ticking};
use crate::policy::Policy;

/// What `filter_name` must say.
const NAME: &[u8] = b"latchkey";

/// A configuration that serves.
#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) policy: Arc<Policy>,
    config: Config,
    ticking: Option<Ticking>,
}

impl Plugin {
    /// Takes a configuration, or logs why not. `text` is the policy as JSON: of a `google.protobuf.Struct` Envoy makes that.
    pub(crate) fn new(config: Config, name: &[u8], text: &[u8]) -> Option<Plugin> {
        if name != NAME {
            log::error!("configuration refused: `filter_name` is not `latchkey`");
            return None;
        }
        let pepper = std::env::var_os("LATCHKEY_PEPPER");
        let environment = Environment { pepper: pepper.as_deref().map(OsStr::as_encoded_bytes) };
        let engine = match Engine::compile(text, &environment) {
            Ok(engine) => engine,
            Err(findings) => {
                let name = policy_name(text);
                let name = name.as_deref();
                findings.iter().for_each(|finding| crate::log(Line::Finding(name, finding)));
                crate::log(Line::Refused(name, findings.len()));
                return None;
            }
        };
        let warnings = engine.warnings().iter();
        warnings.for_each(|finding| crate::log(Line::Finding(engine.name(), finding)));
        crate::log(Line::Configured(&engine));
        let scheduler = if Config::can_record() { config.scheduler() } else { None };
        let ticking = scheduler.and_then(Ticking::start);
        let metrics = Metrics::new(&engine, config, ticking.as_ref().map(Ticking::ticker));
        if ticking.is_some() {
            metrics.begin(&engine, &config);
        }
        Some(Plugin { policy: Policy::new(engine, metrics), config, ticking })
    }

    /// Hands over what was counted.
    pub(crate) fn flush(&self) {
        self.policy.metrics.flush(&self.policy.engine, &self.config);
    }
}

impl Drop for Plugin {
    /// What was counted since the last time is not to be lost.
    fn drop(&mut self) {
        fault::at("config_destroy");
        if self.ticking.is_some() {
            self.flush();
        }
    }
}
