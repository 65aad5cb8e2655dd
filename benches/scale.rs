//! How long a configuration takes by its number of keys, against what `serde_json` takes to read the
//! same bytes: `cargo bench --bench scale`. See `docs/benchmarks/core.md`.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::time::Instant;

use latchkey::{Engine, Environment};
use latchkey_testing::policies;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// What somebody would write who only wants the keys, owned.
#[derive(Deserialize)]
struct Policy {
    #[expect(dead_code, reason = "read and thrown away")]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read and thrown away")]
struct Key {
    id: String,
    hash: String,
    #[serde(rename = "type")]
    key_type: Option<String>,
    name: Option<String>,
    account: Option<String>,
    scopes: Option<Vec<String>>,
    expires_at: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
}

fn main() {
    println!("| keys | JSON | skip | typed | value | compile | of skip | of typed | of value |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (keys, rounds) in [(1_000, 101), (100_000, 9), (1_000_000, 5)] {
        let json = policies::with_keys(keys);
        let json = json.as_bytes();
        // Interleaved, so that what disturbs one round disturbs all four alike.
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..rounds {
            times[0].push(milliseconds(|| serde_json::from_slice::<IgnoredAny>(json).unwrap()));
            times[1].push(milliseconds(|| serde_json::from_slice::<Policy>(json).unwrap()));
            times[2].push(milliseconds(|| serde_json::from_slice::<Value>(json).unwrap()));
            times[3].push(milliseconds(|| Engine::compile(json, &Environment::default()).unwrap()));
        }
        let [skip, typed, value, compile] = times.map(median);
        println!(
            "| {keys} | {:.1} MB | {skip:.1} ms | {typed:.1} ms | {value:.1} ms | {compile:.1} ms | \
             {:.1} | {:.1} | {:.1} |",
            json.len() as f64 / 1e6,
            compile / skip,
            compile / typed,
            compile / value
        );
    }
}

fn milliseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let result = work();
    let time = start.elapsed().as_secs_f64() * 1e3;
    drop(result);
    time
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
