//! The policies of a VM, and which of them is in force.
//!
//! A VM holds several: those of several listeners, and those that others have taken over from. The proxy
//! does not tell which is which (measured on Envoy 1.40.0). A push makes a new root context, and the old
//! one gets requests for a moment longer. It then stays as long as its streams, or for good, if another
//! listener has it. Pushed again while it is there, the old text makes its root context serve again,
//! without a call that says so.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use latchkey::{Decision, Engine};

use crate::host;
use crate::metrics::Metrics;

/// An engine, and what is counted of its decisions.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) engine: Engine,
    pub(crate) metrics: RefCell<Metrics>,
}

impl Policy {
    pub(crate) fn new(engine: Engine) -> Policy {
        let metrics = RefCell::new(Metrics::new(&engine));
        Policy { engine, metrics }
    }

    pub(crate) fn count(&self, decision: &Decision<'_>) {
        self.metrics.borrow_mut().count(decision);
    }
}

impl AsRef<Engine> for Policy {
    fn as_ref(&self) -> &Engine {
        &self.engine
    }
}

/// A root context's policy.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    /// None before one was accepted, where memory did not suffice for it, and when it was given up.
    policy: RefCell<Option<Rc<Policy>>>,
    /// Only one of those that have the same can have taken over from the other.
    identity: RefCell<Identity>,
    /// When it was configured, and when its newest stream began, by [`tick`].
    configured: Cell<u64>,
    newest_stream: Cell<u64>,
    streams: Cell<usize>,
    /// Where one of its streams came in, if it had to be known.
    place: OnceCell<Option<Place>>,
}

/// The plugin's name and root id, and the policy's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) plugin: [Vec<u8>; 2],
    pub(crate) policy: Option<Box<str>>,
}

/// The address and filter chain that a request came in by.
pub(crate) type Place = Vec<u8>;

thread_local! {
    static GENERATIONS: RefCell<Vec<Weak<Generation>>> = const { RefCell::new(Vec::new()) };

    /// Counts what happens to generations, to tell what was before what.
    static TIME: Cell<u64> = const { Cell::new(0) };
}

/// The present, which is later than all that was.
fn tick() -> u64 {
    TIME.set(TIME.get().saturating_add(1));
    TIME.get()
}

impl Generation {
    /// The policy, unless there is none to judge by.
    pub(crate) fn policy(&self) -> Option<Rc<Policy>> {
        self.policy.borrow().clone()
    }

    /// Takes over from those that had the policy's identity.
    pub(crate) fn put(self: &Rc<Self>, identity: Identity, policy: Option<Policy>) {
        *self.identity.borrow_mut() = identity;
        self.policy.replace(policy.map(Rc::new));
        self.configured.set(tick());
        GENERATIONS.with_borrow_mut(|all| {
            all.retain(|generation| {
                generation.strong_count() > 0 && generation.as_ptr() != Rc::as_ptr(self)
            });
            all.push(Rc::downgrade(self));
        });
    }

    /// Notes that a stream has begun, and when.
    pub(crate) fn begin_stream(&self) -> u64 {
        self.streams.set(self.streams.get().saturating_add(1));
        self.newest_stream.set(tick());
        self.newest_stream.get()
    }

    pub(crate) fn end_stream(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
    }

    /// Notes where the stream that is being called came in, where another generation makes that matter.
    pub(crate) fn note_place(self: &Rc<Self>) {
        if self.place.get().is_none() && GENERATIONS.with_borrow(|all| all.len() > 1) {
            self.place.get_or_init(host::place);
        }
    }

    /// Whose word counts about a request of this generation that was held since then: of the first, and of others
    /// that may have taken over. None where no policy is known to be in force.
    ///
    /// If the request came in where a newer generation serves, that one has taken over. If that is not
    /// known, every one that was configured meanwhile may have.
    pub(crate) fn judges(self: &Rc<Self>, since: u64) -> Vec<Rc<Policy>> {
        let mut newer = self.others(|identity| *identity == *self.identity.borrow());
        newer.retain(|other| other.newest() > since);
        let place = if newer.is_empty() { None } else { host::place() };
        let is_here = |other: &Rc<Generation>| {
            place.is_some() && other.place.get().is_some_and(|theirs| *theirs == place)
        };
        let successor =
            newer.iter().filter(|other| is_here(other)).max_by_key(|other| other.newest());
        if let Some(successor) = successor.filter(|other| other.newest() > self.newest()) {
            return successor.policy().into_iter().collect();
        }
        newer.retain(|other| other.configured.get() > since && !is_here(other));
        let all = std::iter::once(self).chain(&newer).map(|generation| generation.policy());
        all.collect::<Option<_>>().unwrap_or_default()
    }

    /// Gives up the policies that others have taken over from, except the last one of each identity, before
    /// the next is made: their streams that are still open were decided, or will be by
    /// [`Generation::judges`]. One without a stream is somebody's still, or the proxy would have ended it.
    /// The newest are kept, in so many bytes, should one be pushed again.
    pub(crate) fn give_up_older(self: &Rc<Self>, kept: usize) {
        // A few, and a sort would be a hundredth of the module.
        let mut all: Vec<Rc<Generation>> = Vec::new();
        for generation in self.others(|_| true) {
            let is_newer =
                |other: &Rc<Generation>| other.configured.get() >= generation.configured.get();
            all.insert(all.partition_point(is_newer), generation);
        }
        let mut bytes: usize = 0;
        for generation in &all {
            let is_kin =
                |other: &&Rc<Generation>| *other.identity.borrow() == *generation.identity.borrow();
            let is_over = all.iter().find(is_kin).is_some_and(|last| {
                !Rc::ptr_eq(generation, last)
                    && generation.streams.get() > 0
                    && generation.newest_stream.get() < last.configured.get()
                    && !generation.is_elsewhere(last)
            });
            if let Some(policy) = generation.policy().filter(|_| is_over) {
                bytes = bytes.saturating_add(policy.engine.memory().policy);
                if bytes > kept {
                    generation.policy.take();
                }
            }
        }
    }

    /// When it was configured, or its newest stream began.
    fn newest(&self) -> u64 {
        self.configured.get().max(self.newest_stream.get())
    }

    /// Whether it is known to serve at another place.
    fn is_elsewhere(&self, other: &Generation) -> bool {
        let known = |generation: &Generation| generation.place.get().cloned().flatten();
        known(self).zip(known(other)).is_some_and(|(one, other)| one != other)
    }

    /// The other generations whose identity is such a one.
    fn others(self: &Rc<Self>, is_such: impl Fn(&Identity) -> bool) -> Vec<Rc<Generation>> {
        let all = || GENERATIONS.with_borrow(|all| all.iter().filter_map(Weak::upgrade).collect());
        let mut others: Vec<Rc<Generation>> = all();
        others.retain(|other| !Rc::ptr_eq(other, self) && is_such(&other.identity.borrow()));
        others
    }
}

/// Whether no configuration was accepted in this VM before, as in the one in which the proxy tries each.
pub(crate) fn is_first() -> bool {
    GENERATIONS.with_borrow(Vec::is_empty)
}
