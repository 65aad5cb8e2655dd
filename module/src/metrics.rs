//! Metrics, counted in atomics by all workers, and handed to Envoy about once a second on its main thread. Their labels hold
//! configured ids only, never anything that a client sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use latchkey::{Decision, Engine, Metric, PerReason, Reason, limits};

use crate::border::{Config, Host, Scheduler};
use crate::policy::clock;

/// How often metrics are handed to Envoy.
const TICK: Duration = Duration::from_secs(1);

/// Most keys of a policy that have metrics, whatever it asks for: each has three, and Envoy keeps them in text.
const MOST_KEYS: usize = 100_000;

/// The metrics of a policy.
#[derive(Debug)]
pub(crate) struct Metrics {
    ids: Ids,
    allowed: AtomicU64,
    undecided: AtomicU64,
    denied: PerReason<AtomicU64>,
    observed_allowed: AtomicU64,
    observed_denied: PerReason<AtomicU64>,
    /// One for each key; none where metrics are not kept per key.
    keys: Box<[KeyCounts]>,
    /// What hands them over; none where that is done on behalf of streams.
    ticker: Option<Arc<Ticker>>,
    /// When that was done last, in Unix seconds.
    flushed: AtomicU64,
}

/// What Envoy calls the metrics.
#[derive(Debug)]
struct Ids {
    allowed: Option<usize>,
    denied: Option<usize>,
    /// These are none where nothing is only observed.
    observed_allowed: Option<usize>,
    observed_denied: Option<usize>,
    undecided: Option<usize>,
    key_allowed: Option<usize>,
    key_denied: Option<usize>,
    key_last_used: Option<usize>,
    keys: Option<usize>,
}

/// What writes metrics: the configuration or, in an Envoy where only streams can, a stream.
pub(crate) trait Recorder {
    fn add(&self, counter: usize, labels: &[&str], count: u64);
    fn set(&self, gauge: usize, labels: &[&str], value: u64);
}

#[derive(Debug, Default)]
struct KeyCounts {
    allowed: AtomicU64,
    denied: AtomicU64,
    /// In Unix seconds; 0 where there is nothing new to tell.
    last_used: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(engine: &Engine, config: Config, ticker: Option<Arc<Ticker>>) -> Metrics {
        // Of a policy with a name, each has that as its first label.
        let labels = |label_names: &'static [&'static str]| -> Vec<&str> {
            engine.name().map(|_| "policy").into_iter().chain(label_names.iter().copied()).collect()
        };
        let counter = |name, label_names| config.counter(name, &labels(label_names));
        let gauge = |name, label_names| config.gauge(name, &labels(label_names));
        let observed =
            |name, label_names| engine.observes().then(|| counter(name, label_names)).flatten();
        let ids = Ids {
            allowed: counter("latchkey_allowed", &[]),
            denied: counter("latchkey_denied", &["reason"]),
            observed_allowed: observed("latchkey_observed_allowed", &[]),
            observed_denied: observed("latchkey_observed_denied", &["reason"]),
            undecided: counter("latchkey_undecided", &[]),
            key_allowed: counter("latchkey_key_allowed", &["key"]),
            key_denied: counter("latchkey_key_denied", &["key"]),
            key_last_used: gauge("latchkey_key_last_used", &["key"]),
            keys: gauge("latchkey_keys", &[]),
        };
        let per_key = if engine.metrics_per_key() { engine.key_count() } else { 0 };
        if per_key > MOST_KEYS {
            log::warn!("metrics are kept for the first {MOST_KEYS} keys only");
        }
        Metrics {
            ids,
            allowed: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            denied: PerReason::new(|_| AtomicU64::new(0)),
            observed_allowed: AtomicU64::new(0),
            observed_denied: PerReason::new(|_| AtomicU64::new(0)),
            keys: (0..per_key.min(MOST_KEYS)).map(|_| KeyCounts::default()).collect(),
            ticker,
            flushed: AtomicU64::new(0),
        }
    }

    pub(crate) fn count(&self, engine: &Engine, decision: &Decision<'_>, host: &Host) {
        decision.count(|metric| {
            if let Some(counter) = self.counter(metric) {
                counter.fetch_add(1, Relaxed);
            }
        });
        match &self.ticker {
            Some(ticker) => ticker.has_news(),
            None if self.flushed.swap(now(), Relaxed) < now() => self.flush(engine, host),
            None => {}
        }
    }

    /// The counter of a metric, where it is kept; that of a key is then used.
    fn counter(&self, metric: Metric) -> Option<&AtomicU64> {
        match metric {
            Metric::Allowed => Some(&self.allowed),
            Metric::Denied(reason) => Some(&self.denied[reason]),
            Metric::KeyAllowed(index) => self.key(index).map(|key| &key.allowed),
            Metric::KeyDenied(index) => self.key(index).map(|key| &key.denied),
            Metric::KeyLastUsed(_) | Metric::Keys => None,
            Metric::ObservedAllowed => Some(&self.observed_allowed),
            Metric::ObservedDenied(reason) => Some(&self.observed_denied[reason]),
            Metric::Undecided => Some(&self.undecided),
        }
    }

    fn key(&self, index: usize) -> Option<&KeyCounts> {
        let key = self.keys.get(index)?;
        key.last_used.store(self.ticker.as_ref().map_or_else(now, |ticker| ticker.now()), Relaxed);
        Some(key)
    }

    /// Counts a request that was held and ended before anything was decided.
    pub(crate) fn count_undecided(&self) {
        self.undecided.fetch_add(1, Relaxed);
        if let Some(ticker) = &self.ticker {
            ticker.has_news();
        }
    }

    /// Makes the metrics of a policy that serves from now on: Envoy forgets those that only an old configuration has
    /// written, and they would begin at zero. Those of many keys are made when a key is used.
    pub(crate) fn begin(&self, engine: &Engine, recorder: &dyn Recorder) {
        self.write(engine, recorder, true);
    }

    /// Hands over what was counted since the last time.
    pub(crate) fn flush(&self, engine: &Engine, recorder: &dyn Recorder) {
        self.write(engine, recorder, false);
    }

    fn write(&self, engine: &Engine, recorder: &dyn Recorder, is_first: bool) {
        let name = engine.name().into_iter();
        let add = |id: Option<usize>, label: Option<&str>, count: &AtomicU64| {
            let count = count.swap(0, Relaxed);
            if let Some(id) = id.filter(|_| count > 0 || is_first) {
                let labels: Vec<&str> = name.clone().chain(label).collect();
                recorder.add(id, &labels, count);
            }
        };
        let set = |id: Option<usize>, label: Option<&str>, value: u64| {
            if let Some(id) = id {
                let labels: Vec<&str> = name.clone().chain(label).collect();
                recorder.set(id, &labels, value);
            }
        };
        add(self.ids.allowed, None, &self.allowed);
        add(self.ids.observed_allowed, None, &self.observed_allowed);
        add(self.ids.undecided, None, &self.undecided);
        for reason in Reason::ALL {
            let label = Some(reason.as_str());
            add(self.ids.denied, label, &self.denied[reason]);
            add(self.ids.observed_denied, label, &self.observed_denied[reason]);
        }
        let begins_keys = is_first && self.keys.len() <= limits::KEYS_WITH_METRICS;
        for (index, counts) in self.keys.iter().enumerate() {
            let last_used = counts.last_used.swap(0, Relaxed);
            if last_used == 0 && !begins_keys {
                continue;
            }
            let id = engine.key_id(index);
            add(self.ids.key_allowed, id, &counts.allowed);
            add(self.ids.key_denied, id, &counts.denied);
            if last_used > 0 {
                set(self.ids.key_last_used, id, last_used);
            }
        }
        // The last that an old policy hands over comes after the first of the new one, whose keys are those that count.
        if is_first || self.ticker.is_none() {
            set(self.ids.keys, None, engine.key_count() as u64);
        }
    }
}

/// The time in Unix seconds.
fn now() -> u64 {
    clock().and_then(|now| u64::try_from(now).ok()).unwrap_or_default()
}

/// Asks for a flush about once a second while there is something to hand over.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    has_news: AtomicBool,
    /// The time of the last tick in Unix seconds: each request that reads the clock would pay for it.
    now: AtomicU64,
    has_ended: Mutex<bool>,
    end: Condvar,
}

impl Ticker {
    fn has_news(&self) {
        // Most of the time it is known already, and reading is cheaper for all workers.
        if !self.has_news.load(Relaxed) {
            self.has_news.store(true, Relaxed);
        }
    }

    fn new() -> Ticker {
        Ticker { now: now().into(), ..Ticker::default() }
    }

    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    fn run(&self, scheduler: &Scheduler) {
        let mut has_ended = self.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*has_ended {
            let waited = self.end.wait_timeout(has_ended, TICK);
            has_ended = waited.unwrap_or_else(PoisonError::into_inner).0;
            self.now.store(now(), Relaxed);
            if !*has_ended && self.has_news.swap(false, Relaxed) {
                scheduler.schedule();
            }
        }
    }
}

/// The thread of a ticker, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticking {
    ticker: Arc<Ticker>,
    thread: Option<JoinHandle<()>>,
}

impl Ticking {
    /// `None` where there can be no thread, so that metrics are handed over on behalf of streams.
    pub(crate) fn start(scheduler: Scheduler) -> Option<Ticking> {
        let ticker = Arc::new(Ticker::new());
        let thread_ticker = Arc::clone(&ticker);
        let thread = thread::Builder::new().name("latchkey".to_owned());
        let thread = thread.spawn(move || thread_ticker.run(&scheduler));
        Some(Ticking { ticker, thread: Some(thread.ok()?) })
    }

    pub(crate) fn ticker(&self) -> Arc<Ticker> {
        Arc::clone(&self.ticker)
    }
}

impl Drop for Ticking {
    /// Waits for the thread: Envoy may unload the module next.
    fn drop(&mut self) {
        *self.ticker.has_ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ticker.end.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
