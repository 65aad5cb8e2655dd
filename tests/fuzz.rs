//! What the fuzz targets look for, of what they begin with and of each of its beginnings.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;

use latchkey::fuzzing;
use latchkey_testing::{repository, system};

#[test]
fn policies_that_end_anywhere_are_refused_or_taken() {
    for seed in seeds("compile") {
        beginnings(&seed).for_each(fuzzing::compile);
    }
    for name in ["flokit", "flora", "flotiq", "flowyte", "fluenzr"] {
        fuzzing::compile(system(name).as_bytes());
    }
}

#[test]
fn requests_that_end_anywhere_are_decided() {
    for seed in seeds("decide") {
        beginnings(&seed).for_each(fuzzing::decide);
    }
}

fn beginnings(seed: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=seed.len()).map(|length| seed.get(..length).unwrap())
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(repository("fuzz/seeds").join(target)).unwrap();
    let seeds: Vec<Vec<u8>> =
        folder.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}
