//! What this looks for stands in `src/fuzzing.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| latchkey::fuzzing::decide(bytes));
