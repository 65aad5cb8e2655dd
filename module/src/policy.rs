//! The policies of this process, and which of them have a say about a request that was held.
//!
//! A push makes a new configuration, which takes every new stream; the old one stays as long as its streams. Envoy does not
//! tell which took over from which: several filters of one process may have policies of their own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use latchkey::Engine;

use crate::metrics::Metrics;

/// An engine, and what is counted of its decisions.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) engine: Engine,
    pub(crate) metrics: Metrics,
    /// When it was configured, by [`TIME`].
    configured: u64,
}

/// Counts configurations, to tell what was before what.
static TIME: AtomicU64 = AtomicU64::new(0);

static POLICIES: Mutex<Vec<Weak<Policy>>> = Mutex::new(Vec::new());

impl Policy {
    /// A policy that serves from now on.
    pub(crate) fn new(engine: Engine, metrics: Metrics) -> Arc<Policy> {
        let mut policies = POLICIES.lock().unwrap_or_else(PoisonError::into_inner);
        policies.retain(|policy| policy.strong_count() > 0);
        let configured = TIME.load(Relaxed) + 1;
        let policy = Arc::new(Policy { engine, metrics, configured });
        policies.push(Arc::downgrade(&policy));
        TIME.store(configured, Relaxed);
        policy
    }
}

impl AsRef<Engine> for Policy {
    fn as_ref(&self) -> &Engine {
        &self.engine
    }
}

/// The present, for [`judges`].
pub(crate) fn now() -> u64 {
    TIME.load(Relaxed)
}

/// Whose word counts about a request of `policy` that has been there since then, all of which must allow it: those of the same
/// name that were configured meanwhile, each of which may have taken over.
pub(crate) fn judges(policy: &Arc<Policy>, since: u64) -> Vec<Arc<Policy>> {
    let mut judges = vec![Arc::clone(policy)];
    if now() > since {
        let policies = POLICIES.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = policies
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|own| own.configured > since && own.engine.name() == policy.engine.name());
        judges.extend(newer.filter(|own| !Arc::ptr_eq(own, policy)));
    }
    judges
}

/// The time in Unix seconds.
pub(crate) fn clock() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
