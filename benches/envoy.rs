//! What a request costs in Envoy: Latchkey, and what a user would take instead. `make bench` runs it,
//! and writes `docs/benchmarks/results.*`.
//!
//! Every variant is an Envoy of its own with one worker. They take turns in rounds; what is compared
//! is always of one round.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a benchmark stops at what it did not expect"
)]

#[path = "envoy/push.rs"]
mod push;
#[path = "envoy/report.rs"]
mod report;
#[path = "envoy/scale.rs"]
mod scale;
#[path = "envoy/surroundings.rs"]
mod surroundings;
#[path = "envoy/variants.rs"]
mod variants;

use std::time::Instant;

use latchkey_testing::{Connection, Envoy, Scratch};
use report::Report;
use surroundings::{Authorizer, Upstream};
use variants::Variant;

/// What one variant cost in one round.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Processor time of Envoy a request, in microseconds.
    processor: f64,
    /// Half of the requests were answered within so many microseconds.
    p50: f64,
    /// 99 of 100.
    p99: f64,
}

fn main() {
    let (rounds, requests) = (number("BENCH_ROUNDS", 15), number("BENCH_REQUESTS", 2_000));
    let cores = std::thread::available_parallelism().unwrap().get();
    let scratch = Scratch::new();
    let (authorizer, upstream) = (Authorizer::start(&scratch), Upstream::start());
    surroundings::pin(std::process::id(), 1);
    let keys = number("BENCH_SCALE", 1_000_000);
    let only = std::env::var("BENCH_ONLY").ok();
    if only.as_deref() == Some("push") {
        println!("{}", report::pushes(&push::measured(&scratch, keys)));
        return;
    }
    let mut variants = variants::all(&scratch, authorizer.port, upstream.port);
    if let Some(only) = &only {
        variants.retain(|variant| only.split(',').any(|id| id == variant.id));
    }
    let envoys: Vec<Envoy> = variants
        .iter()
        .map(|variant| {
            println!("starting: {}", variant.name);
            let envoy = Envoy::start_quietly(&scratch, variant.id, &variant.bootstrap);
            surroundings::pin(envoy.id(), 0);
            // The engine compiles what is run often; and every answer is what it should be.
            measured(&envoy, variant, requests.min(500));
            envoy
        })
        .collect();

    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); variants.len()];
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        for turn in 0..variants.len() {
            let index = (turn + round) % variants.len();
            let requests = requests / variants[index].weight;
            samples[index].push(measured(&envoys[index], &variants[index], requests.max(20)));
        }
    }
    drop(envoys);
    let report = Report::new(&variants, &samples, rounds, requests);
    if only.is_some() {
        println!("{}", report.rows());
    } else {
        report.write(&scale::measured(&scratch), &push::measured(&scratch, keys), cores);
    }
}

/// Sends requests, one after the other over one connection.
fn measured(envoy: &Envoy, variant: &Variant, requests: usize) -> Sample {
    let mut connection = Connection::open(envoy.listener()).unwrap();
    let mut latencies = Vec::with_capacity(requests);
    let before = envoy.processor_time();
    for _ in 0..requests {
        let start = Instant::now();
        connection.write(&variant.request).unwrap();
        let status = connection.response(false).unwrap().status;
        latencies.push(start.elapsed().as_secs_f64() * 1e6);
        assert_eq!(status, variant.status, "{}", variant.name);
    }
    let processor = (envoy.processor_time() - before) as f64 / 1e3 / requests as f64;
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| latencies[((requests - 1) as f64 * part) as usize];
    Sample { processor, p50: at(0.5), p99: at(0.99) }
}

fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("`{variable}` is a number")))
}
