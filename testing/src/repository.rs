//! Files of the repository.

use std::env;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from the root.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// The built filter, `dist/latchkey.wasm`; the environment variable `LATCHKEY_WASM` names another.
pub fn wasm() -> PathBuf {
    let other = env::var_os("LATCHKEY_WASM").map(PathBuf::from);
    let wasm = other.unwrap_or_else(|| repository("dist/latchkey.wasm"));
    assert!(wasm.is_file(), "no filter at `{}`: run `make wasm`", wasm.display());
    wasm.canonicalize().unwrap()
}
