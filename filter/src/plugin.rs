//! The contexts of a VM: plugins with their policies, and the streams that they serve.
//!
//! A new configuration makes a new plugin in the same VM, while the streams of the old one keep
//! theirs.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;

use hashbrown::HashMap;
use latchkey::{Engine, Environment, Finding, Severity};
use rustc_hash::FxBuildHasher;

use crate::abi::{Action, Level};
use crate::metrics::Metrics;
use crate::stream::Stream;
use crate::{configuration, host};

/// An engine, and what is counted of its decisions.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) engine: Engine,
    pub(crate) metrics: RefCell<Metrics>,
    /// Whether refusals are logged, by the proxy's level when the policy came.
    pub(crate) logs_refusals: bool,
}

thread_local! {
    /// The policies in force, by root context.
    static POLICIES: RefCell<Vec<(u32, Rc<Policy>)>> = const { RefCell::new(Vec::new()) };
    /// The streams of which there is something to remember, by context.
    static STREAMS: RefCell<HashMap<u32, Stream, FxBuildHasher>> =
        const { RefCell::new(HashMap::with_hasher(FxBuildHasher)) };
}

pub(crate) fn on_load() {
    host::guard_the_log();
}

/// Roots need no place of their own until they have a policy.
pub(crate) fn on_context_create(context: u32, root: u32) {
    if root != 0 {
        remember(context, Stream::new(policy(root)));
    }
}

/// Takes a configuration, or refuses it.
///
/// This must come out the same in every VM. Envoy tries a configuration in a VM of its own, and
/// refuses it if this returns false there; if only a worker's VM failed, Envoy would serve that
/// worker's requests without the filter. So nothing here depends on anything but the bytes of the
/// configuration and the environment, which all VMs share.
pub(crate) fn on_configure(root: u32) -> bool {
    let pepper = std::env::var_os("LATCHKEY_PEPPER");
    let environment = Environment { pepper: pepper.as_deref().map(OsStr::as_encoded_bytes) };
    let engine = configuration::as_json(host::configuration())
        .map_err(|finding| vec![finding])
        .and_then(|json| Engine::compile(&json, &environment));
    match engine {
        Ok(engine) => {
            engine.warnings().iter().for_each(log);
            let (keys, rules) = (engine.key_count(), engine.rule_count());
            if host::logs(Level::Info) {
                host::log(Level::Info, format_args!("configured: {keys} keys, {rules} rules"));
            }
            let metrics = RefCell::new(Metrics::new(&engine));
            let logs_refusals = host::logs(Level::Debug);
            let policy = Rc::new(Policy { engine, metrics, logs_refusals });
            drop(withdraw(root));
            POLICIES.with_borrow_mut(|policies| policies.push((root, policy)));
            host::start_ticking();
            !host::fails_in_worker()
        }
        Err(findings) => {
            findings.iter().for_each(log);
            let count = findings.len();
            host::log(Level::Error, format_args!("configuration refused, findings: {count}"));
            false
        }
    }
}

/// Hands over what was counted.
pub(crate) fn on_tick(root: u32) {
    if let Some(policy) = policy(root) {
        policy.metrics.borrow_mut().flush();
    }
}

pub(crate) fn on_request_headers(context: u32, ends: bool) -> Action {
    // A stream that nobody announced has no policy, and is refused.
    let mut stream = forget(context).unwrap_or_else(|| Stream::new(None));
    let action = stream.on_request_headers(ends);
    remember_if_needed(context, stream);
    action
}

pub(crate) fn on_request_body(context: u32, size: usize, ends: bool) -> Action {
    on_stream(context, |stream| stream.on_request_body(size, ends))
}

pub(crate) fn on_request_trailers(context: u32) -> Action {
    on_stream(context, Stream::on_request_trailers)
}

pub(crate) fn on_response_headers(context: u32) {
    on_stream(context, |stream| {
        stream.on_response_headers();
        Action::Continue
    });
}

/// A stream has ended, or an old plugin whose streams all have.
pub(crate) fn on_delete(context: u32) {
    drop(forget(context));
    drop(withdraw(context));
}

/// Lets a stream act of which there is something to remember; no other has anything to do.
///
/// It is taken out of its place meanwhile: nothing is borrowed while the proxy is called.
fn on_stream(context: u32, act: impl FnOnce(&mut Stream) -> Action) -> Action {
    let Some(mut stream) = forget(context) else { return Action::Continue };
    let action = act(&mut stream);
    remember_if_needed(context, stream);
    action
}

fn policy(root: u32) -> Option<Rc<Policy>> {
    POLICIES.with_borrow(|policies| {
        let own = policies.iter().find(|(own, _)| *own == root);
        own.map(|(_, policy)| policy.clone())
    })
}

/// Takes a policy out of force; it is gone when its last stream is.
fn withdraw(root: u32) -> Option<Rc<Policy>> {
    POLICIES.with_borrow_mut(|policies| {
        let position = policies.iter().position(|(own, _)| *own == root)?;
        Some(policies.swap_remove(position).1)
    })
}

fn remember_if_needed(context: u32, stream: Stream) {
    if stream.has_more_to_do() {
        remember(context, stream);
    }
}

fn remember(context: u32, stream: Stream) {
    STREAMS.with_borrow_mut(|streams| streams.insert(context, stream));
}

fn forget(context: u32) -> Option<Stream> {
    // Every piece of a body comes by, and mostly there is no stream: nothing is looked up then.
    STREAMS
        .with_borrow_mut(|streams| if streams.is_empty() { None } else { streams.remove(&context) })
}

fn log(finding: &Finding) {
    let level = match finding.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
    };
    host::log(level, format_args!("{finding} [{}]", finding.code.as_str()));
}
