//! Any bytes are a policy or findings, and the same each time.
#![no_main]

use latchkey::{Engine, Environment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let compile =
        || Engine::compile(bytes, &Environment::default()).map(|engine| engine.key_count());
    assert_eq!(compile(), compile());
});
