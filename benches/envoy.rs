//! What a request costs in Envoy: Latchkey, and what a user would take instead. `make bench` runs it,
//! and writes `docs/benchmarks/results.*`.
//!
//! Every variant is an Envoy of its own with one worker. They take turns in rounds; what is compared
//! is always of one round. After some rounds all are started anew.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a benchmark stops at what it did not expect"
)]

#[path = "envoy/pauses.rs"]
mod pauses;
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

/// Two Envoys of one configuration differ by a microsecond or two, by where their memory happens to lie, and stay so.
const ROUNDS_OF_A_SITTING: usize = 3;

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
    let only = std::env::var("BENCH_ONLY").ok();
    // These have all cores: workers go on while the main thread reads what was pushed.
    let pushes = match only.as_deref() {
        None | Some("push") => push::measured(&scratch, number("BENCH_SCALE", 1_000_000)),
        Some(_) => Vec::new(),
    };
    if only.as_deref() == Some("push") {
        println!("{}", report::pushes(&pushes));
        return;
    }
    surroundings::share_a_core();
    let (authorizer, upstream) = (Authorizer::start(&scratch), Upstream::start());
    let is_wanted =
        |id: &str| only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == id));
    let variants = variants::all(&scratch, authorizer.port, upstream.port, is_wanted);
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); variants.len()];
    for sitting in 0..rounds.div_ceil(ROUNDS_OF_A_SITTING) {
        let start = |variant: &Variant| {
            println!("starting: {}", variant.name);
            let name = format!("{}-{sitting}", variant.id);
            let envoy = Envoy::start_quietly(&scratch, &name, &variant.bootstrap);
            // The engine compiles what is run often; and every answer is what it should be.
            measured(&envoy, variant, requests.min(500));
            envoy
        };
        let envoys: Vec<Envoy> = variants.iter().map(start).collect();
        let first = sitting * ROUNDS_OF_A_SITTING;
        for round in first..rounds.min(first + ROUNDS_OF_A_SITTING) {
            println!("round {} of {rounds}", round + 1);
            for turn in 0..variants.len() {
                let index = (turn + round) % variants.len();
                let requests = requests / variants[index].weight;
                samples[index].push(measured(&envoys[index], &variants[index], requests.max(20)));
            }
        }
    }
    let report = Report::new(&variants, &samples, rounds, requests);
    if only.is_some() {
        println!("{}", report.rows());
    } else {
        report.write(&scale::measured(&scratch), &pushes, cores);
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
