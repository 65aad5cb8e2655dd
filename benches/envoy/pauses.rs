//! When the machine itself stands still: a virtual one does for tens of milliseconds, when it has had its share of the real one.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::surroundings::{cores, succeeds};

/// How often each core is looked at: seldom, since each time the scheduler may give another thread an earlier turn.
const PERIOD: Duration = Duration::from_millis(10);

/// Waking up takes less.
const LATE: Duration = Duration::from_millis(1);

/// From when to when.
pub(crate) type Span = (Instant, Instant);

/// A core that stood still, and perhaps did so since `last`, when it was looked at before.
struct Pause {
    last: Instant,
    due: Instant,
    end: Instant,
}

/// Threads that want to run every now and then, one on each core, before all others: where one was late, the core stood still.
pub(crate) struct Pauses {
    noted: Arc<Mutex<Vec<Pause>>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pauses {
    /// Notes pauses from now on; none where real-time priority is not granted.
    pub(crate) fn watch() -> Pauses {
        let (noted, is_over) = (Arc::<Mutex<Vec<Pause>>>::default(), Arc::<AtomicBool>::default());
        let cores = cores();
        let start = Instant::now();
        let watch = |(place, core): (usize, &usize)| {
            let (noted, is_over) = (Arc::clone(&noted), Arc::clone(&is_over));
            // Not all at once: a pause of all of them is seen the sooner.
            let mut due = start + PERIOD.mul_f64(place as f64 / cores.len() as f64);
            let core = core.to_string();
            thread::spawn(move || {
                let id = thread_id();
                if !(succeeds("taskset", &["-pc", &core, &id]) && become_real_time(2)) {
                    return;
                }
                let mut last = Instant::now();
                while due < last {
                    due += PERIOD;
                }
                while !is_over.load(Relaxed) {
                    thread::sleep(due.saturating_duration_since(last));
                    let now = Instant::now();
                    if now > due + LATE {
                        noted.lock().unwrap().push(Pause { last, due, end: now });
                    }
                    (last, due) = (now, now.max(due) + PERIOD);
                }
            })
        };
        let threads = cores.iter().enumerate().map(watch).collect();
        Pauses { noted, is_over, threads }
    }

    /// The longest of the spans, without that of each for which the machine may have stood still.
    pub(crate) fn longest_without(&self, spans: &[Span]) -> Duration {
        let mut pauses: Vec<Span> =
            self.noted.lock().unwrap().iter().map(|pause| (pause.last, pause.end)).collect();
        pauses.sort_unstable();
        let without = |(start, end): &Span| {
            let (mut rest, mut from) = (*end - *start, *start);
            for (first, last) in &pauses {
                let (first, last) = (from.max(*first), last.min(end));
                if first < *last {
                    rest -= *last - first;
                    from = *last;
                }
            }
            rest
        };
        spans.iter().map(without).max().unwrap_or_default()
    }

    /// The longest pause since then.
    pub(crate) fn longest_since(&self, since: Instant) -> Duration {
        let pauses = self.noted.lock().unwrap();
        let pauses = pauses.iter().filter(|pause| pause.due >= since);
        pauses.map(|pause| pause.end - pause.due).max().unwrap_or_default()
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Lets this thread run whenever it can, before all that have no such priority or a lower one; not what it starts. Whether
/// that is granted.
#[must_use]
pub(crate) fn become_real_time(priority: u32) -> bool {
    succeeds("chrt", &["--fifo", "--reset-on-fork", "--pid", &priority.to_string(), &thread_id()])
}

/// The system's number for this thread.
fn thread_id() -> String {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}
