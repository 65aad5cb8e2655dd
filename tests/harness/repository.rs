//! Files of the repository, for the tests of every package.

use std::env;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from the root.
pub(crate) fn repository(path: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|folder| folder.join("envoy/envoy.yaml").is_file());
    root.unwrap_or(package).join(path)
}

/// The built filter, `dist/latchkey.wasm`; the environment variable `LATCHKEY_WASM` names another.
pub(crate) fn wasm() -> PathBuf {
    let other = env::var_os("LATCHKEY_WASM").map(PathBuf::from);
    let wasm = other.unwrap_or_else(|| repository("dist/latchkey.wasm"));
    assert!(wasm.is_file(), "no filter at `{}`: run `make wasm`", wasm.display());
    wasm.canonicalize().unwrap()
}
