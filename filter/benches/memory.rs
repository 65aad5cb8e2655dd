//! The memory of a VM by the number of keys: after a first configuration, and after a second beside it,
//! which a stream of the first keeps alive. `make wasm && cargo bench -p latchkey-filter --bench memory`.
//!
//! What a module takes of its memory is the same in every engine, so the interpreter can tell it;
//! memory never shrinks, so it is also the peak. See `docs/benchmarks/core.md`.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use latchkey_testing::host::Host;
use latchkey_testing::policies;

/// The strings of a key of [`policies`]: its id, and its share of an account that four keys have.
const STRINGS: usize = 11 + 3;

fn main() {
    println!("| keys | JSON | first | beside the JSON, a key | second | third |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for keys in [1_000, 100_000, 999_999] {
        let (first, second) = (policies::with_keys(keys), policies::with_keys(keys + 1));
        let mut host = Host::load();
        let empty = host.memory_bytes();
        let configure = |host: &mut Host, policy: &str| {
            assert!(host.configure(policy.as_bytes()), "{:?}", host.logs());
            host.memory_bytes()
        };
        let loaded = configure(&mut host, &first);
        let stream = host.open();
        let updated = configure(&mut host, &second);
        host.close(stream);
        host.retire_old_configurations();
        let again = configure(&mut host, &first);
        let of_a_key = (loaded - empty).saturating_sub(first.len()) / keys;
        println!(
            "| {keys} | {:.1} MiB | {:.1} MiB | {of_a_key} bytes, {STRINGS} of them strings | {:.1} MiB | {:.1} MiB |",
            mebibytes(first.len()),
            mebibytes(loaded),
            mebibytes(updated),
            mebibytes(again),
        );
    }
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / 1_048_576.0
}
