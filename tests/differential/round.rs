//! How long a round is and what it is made of, by the environment:
//!
//! - `DIFFERENTIAL_COUNT`: how many requests each generator makes; there are defaults for a round of a minute
//! - `DIFFERENTIAL_SEED`: a number that they come from, by default 1
//! - `DIFFERENTIAL_SERVERS`: the servers, folders' names separated by commas; by default all

use std::env;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use crate::server::Server;
use latchkey_testing::repository;

/// Starts those of these servers that the round is to have.
pub(crate) fn servers(names: &[&str]) -> Vec<Server> {
    let selected = selected();
    for name in selected.iter().flatten() {
        let folder = repository("tests/differential/servers").join(name);
        assert!(folder.join("install").is_file(), "DIFFERENTIAL_SERVERS: `{name}` is not a server");
    }
    let is_selected = |name: &&&str| match &selected {
        Some(selected) => selected.iter().any(|one| one == **name),
        None => true,
    };
    names.iter().filter(is_selected).map(|name| Server::start(name)).collect()
}

/// The names that the environment has, if it has any.
pub(crate) fn selected() -> Option<Vec<String>> {
    let names = env::var("DIFFERENTIAL_SERVERS").ok()?;
    Some(names.split(',').map(|name| name.trim().to_owned()).collect())
}

/// How many requests a generator makes.
pub(crate) fn count(default: usize) -> usize {
    number("DIFFERENTIAL_COUNT").map_or(default, |count| usize::try_from(count).unwrap())
}

fn seed() -> u64 {
    number("DIFFERENTIAL_SEED").unwrap_or(1)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: `{text}`")))
}

/// Where a generator's choices come from.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// Those of the round, for the generator of that number.
    pub(crate) fn new(generator: u64) -> Random {
        let mut random = ChaCha8Rng::seed_from_u64(seed());
        random.set_stream(generator);
        Random(random)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % end as u64).unwrap()
    }

    /// Whether what happens once in so many times happens now.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of these words.
    pub(crate) fn word(&mut self, of: &[&'static str]) -> &'static str {
        self.one::<&'static str>(of)
    }
}

/// What is left of a failure when nothing more can be taken from it, so that it still fails.
pub(crate) fn shrunk(failure: &str, mut fails: impl FnMut(&str) -> bool) -> String {
    let mut characters: Vec<char> = failure.chars().collect();
    let mut size = characters.len().div_ceil(2).max(1);
    loop {
        let (mut start, before) = (0, characters.len());
        while start < characters.len() {
            let mut fewer = characters.clone();
            fewer.drain(start..(start + size).min(characters.len()));
            if fails(&fewer.iter().collect::<String>()) {
                characters = fewer;
            } else {
                start += size;
            }
        }
        if size == 1 && characters.len() == before {
            return characters.into_iter().collect();
        }
        size = size.div_ceil(2);
    }
}
