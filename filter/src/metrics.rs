//! Metrics, counted here and handed to the proxy by the tick, so that a request makes no call for
//! them.

use latchkey::{Decision, Engine, Metric, PerReason};
use proxy_wasm::types::MetricType;

use crate::host;

#[derive(Debug)]
pub(crate) struct Metrics {
    allowed: Counter,
    denied: PerReason<Counter>,
    /// None where nothing is only observed.
    observed: Option<Box<Observed>>,
    undecided: Counter,
    /// One for each key; none where metrics are not kept per key.
    keys: Vec<KeyMetrics>,
    /// The keys that were used since the last flush.
    used: Vec<usize>,
}

#[derive(Debug)]
struct Observed {
    allowed: Counter,
    denied: PerReason<Counter>,
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
        let counter = |metric| Counter::new(engine, metric);
        let per_key = if engine.metrics_per_key() { engine.key_count() } else { 0 };
        if let Some(keys) = host::metric(MetricType::Gauge, &Metric::Keys.name(engine)) {
            host::set_gauge(keys, engine.key_count() as u64);
        }
        Metrics {
            allowed: counter(Metric::Allowed),
            denied: PerReason::new(|reason| counter(Metric::Denied(reason))),
            observed: engine.observes().then(|| {
                Box::new(Observed {
                    allowed: counter(Metric::ObservedAllowed),
                    denied: PerReason::new(|reason| counter(Metric::ObservedDenied(reason))),
                })
            }),
            undecided: counter(Metric::Undecided),
            keys: (0..per_key).map(|index| KeyMetrics::new(engine, index)).collect(),
            used: Vec::new(),
        }
    }

    pub(crate) fn count(&mut self, decision: &Decision<'_>) {
        decision.count(|metric| {
            if let Some(counter) = self.counter(metric) {
                counter.count();
            }
        });
    }

    /// The counter of a metric, where it is kept; that of a key is then used.
    fn counter(&mut self, metric: Metric) -> Option<&mut Counter> {
        match metric {
            Metric::Allowed => Some(&mut self.allowed),
            Metric::Denied(reason) => Some(&mut self.denied[reason]),
            Metric::KeyAllowed(index) => self.key(index).map(|key| &mut key.allowed),
            Metric::KeyDenied(index) => self.key(index).map(|key| &mut key.denied),
            Metric::KeyLastUsed(_) | Metric::Keys => None,
            Metric::ObservedAllowed => self.observed.as_mut().map(|own| &mut own.allowed),
            Metric::ObservedDenied(reason) => {
                self.observed.as_mut().map(|own| &mut own.denied[reason])
            }
            Metric::Undecided => Some(&mut self.undecided),
        }
    }

    fn key(&mut self, index: usize) -> Option<&mut KeyMetrics> {
        let key = self.keys.get_mut(index)?;
        if !key.is_used {
            key.is_used = true;
            self.used.push(index);
        }
        Some(key)
    }

    /// Counts a request that was held and ended before anything was decided.
    pub(crate) fn count_undecided(&mut self) {
        self.undecided.count();
    }

    /// Hands over what was counted since the last time.
    pub(crate) fn flush(&mut self) {
        self.allowed.flush();
        self.denied.iter_mut().for_each(Counter::flush);
        if let Some(observed) = &mut self.observed {
            observed.allowed.flush();
            observed.denied.iter_mut().for_each(Counter::flush);
        }
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
    fn new(engine: &Engine, index: usize) -> KeyMetrics {
        KeyMetrics {
            allowed: Counter::new(engine, Metric::KeyAllowed(index)),
            denied: Counter::new(engine, Metric::KeyDenied(index)),
            last_used: host::metric(MetricType::Gauge, &Metric::KeyLastUsed(index).name(engine)),
            is_used: false,
        }
    }
}

impl Counter {
    fn new(engine: &Engine, metric: Metric) -> Counter {
        Counter { metric: host::metric(MetricType::Counter, &metric.name(engine)), pending: 0 }
    }

    fn count(&mut self) {
        self.pending = self.pending.saturating_add(1);
    }

    fn flush(&mut self) {
        if let Some(metric) = self.metric.filter(|_| self.pending > 0) {
            host::add_to_counter(metric, self.pending);
            self.pending = 0;
        }
    }
}
