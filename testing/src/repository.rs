//! Files of the repository.

use std::env;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from the root.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// The built native module, `dist/liblatchkey-VERSION.so`, or on ARM that of `dist/arm64`; the environment variable
/// `LATCHKEY_MODULE` names another.
pub fn module() -> PathBuf {
    let other = env::var_os("LATCHKEY_MODULE").map(PathBuf::from);
    let folder = if cfg!(target_arch = "aarch64") { "dist/arm64" } else { "dist" };
    let file = format!("{folder}/liblatchkey-{}.so", env!("CARGO_PKG_VERSION"));
    let module = other.unwrap_or_else(|| repository(&file));
    assert!(module.is_file(), "no module at `{}`: run `make module`", module.display());
    module.canonicalize().unwrap()
}

/// An Envoy of the release that the project is tested on most, or of an older one, such as `1.39`; the environment
/// variable `LATCHKEY_ENVOY` names one for whoever names none.
pub fn envoy(release: Option<&str>) -> PathBuf {
    let other = env::var("LATCHKEY_ENVOY").ok();
    let release = release.or(other.as_deref());
    let name = release.map(|release| format!("-{release}")).unwrap_or_default();
    let program = repository(&format!(".tools/envoy{name}"));
    assert!(program.is_file(), "no Envoy at `{}`: run `make tools`", program.display());
    program
}

/// The built filter, `dist/latchkey.wasm`; the environment variable `LATCHKEY_WASM` names another.
pub fn wasm() -> PathBuf {
    let other = env::var_os("LATCHKEY_WASM").map(PathBuf::from);
    let wasm = other.unwrap_or_else(|| repository("dist/latchkey.wasm"));
    assert!(wasm.is_file(), "no filter at `{}`: run `make wasm`", wasm.display());
    wasm.canonicalize().unwrap()
}
