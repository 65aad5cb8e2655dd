//! Metrics, counted here and handed to the proxy by the tick, so that a request makes no call for
//! them. Their names hold configured ids only, never anything that a client sent.

use latchkey::{Decision, Engine, PerReason, Verdict};
use proxy_wasm::types::MetricType;

use crate::host;

#[derive(Debug)]
pub(crate) struct Metrics {
    allowed: Counter,
    denied: PerReason<Counter>,
    undecided: Counter,
    /// One for each key; none where metrics are not kept per key.
    keys: Vec<KeyMetrics>,
    /// The keys that were used since the last flush.
    used: Vec<usize>,
}

#[derive(Debug)]
struct KeyMetrics {
    allowed: Counter,
    denied: Counter,
    last_used: Option<u32>,
    is_used: bool,
}

#[derive(Debug)]
struct Counter {
    metric: Option<u32>,
    pending: u32,
}

impl Metrics {
    pub(crate) fn new(engine: &Engine) -> Metrics {
        let prefix = match engine.name() {
            Some(name) => format!("latchkey.policy.{name}"),
            None => "latchkey".to_owned(),
        };
        let per_key = if engine.metrics_per_key() { engine.key_count() } else { 0 };
        if let Some(keys) = host::metric(MetricType::Gauge, &format!("{prefix}.keys")) {
            host::set_gauge(keys, engine.key_count() as u64);
        }
        Metrics {
            allowed: Counter::new(&format!("{prefix}.allowed")),
            denied: PerReason::new(|reason| {
                Counter::new(&format!("{prefix}.denied.{}", reason.as_str()))
            }),
            undecided: Counter::new(&format!("{prefix}.undecided")),
            keys: (0..per_key)
                .filter_map(|index| engine.key_id(index))
                .map(|id| KeyMetrics::new(&format!("{prefix}.key.{id}")))
                .collect(),
            used: Vec::new(),
        }
    }

    pub(crate) fn count(&mut self, decision: &Decision<'_>) {
        match decision.verdict {
            Verdict::Allow(_) => self.allowed.pending += 1,
            // Nothing is decided yet.
            Verdict::Hold(_) => return,
            Verdict::Deny(reason) => self.denied[reason].pending += 1,
        }
        let Some(index) = decision.key().map(|key| key.index()) else { return };
        let Some(key) = self.keys.get_mut(index) else { return };
        let counter = if decision.reason().is_none() { &mut key.allowed } else { &mut key.denied };
        counter.pending += 1;
        if !key.is_used {
            key.is_used = true;
            self.used.push(index);
        }
    }

    /// Counts a request that was held and ended before anything was decided.
    pub(crate) fn count_undecided(&mut self) {
        self.undecided.pending += 1;
    }

    /// Hands over what was counted since the last time.
    pub(crate) fn flush(&mut self) {
        self.allowed.flush();
        self.denied.iter_mut().for_each(Counter::flush);
        self.undecided.flush();
        if self.used.is_empty() {
            return;
        }
        let now = host::now().and_then(|now| u64::try_from(now).ok());
        for index in self.used.drain(..) {
            let Some(key) = self.keys.get_mut(index) else { continue };
            key.is_used = false;
            key.allowed.flush();
            key.denied.flush();
            if let (Some(metric), Some(now)) = (key.last_used, now) {
                host::set_gauge(metric, now);
            }
        }
    }
}

impl Drop for Metrics {
    /// An old policy goes before its last tick has come; what it counted must not.
    fn drop(&mut self) {
        self.flush();
    }
}

impl KeyMetrics {
    fn new(prefix: &str) -> KeyMetrics {
        let counter = |what: &str| Counter::new(&format!("{prefix}.{what}"));
        KeyMetrics {
            allowed: counter("allowed"),
            denied: counter("denied"),
            last_used: host::metric(MetricType::Gauge, &format!("{prefix}.last_used")),
            is_used: false,
        }
    }
}

impl Counter {
    fn new(name: &str) -> Counter {
        Counter { metric: host::metric(MetricType::Counter, name), pending: 0 }
    }

    fn flush(&mut self) {
        if let Some(metric) = self.metric.filter(|_| self.pending > 0) {
            host::add_to_counter(metric, self.pending);
            self.pending = 0;
        }
    }
}
