//! The filter's file, as far as it can be judged from here.

use std::io;
use std::path::Path;

use crate::command::render::Code;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use wasmparser::{Export, Parser, Payload, Validator};

/// What every build of the filter has in it, and no other module: the variable that it reads.
const MARK: &[u8] = b"LATCHKEY_PEPPER";

/// What a proxy calls for each request.
const EXPORT: &str = "proxy_on_request_headers";

/// The same in the native module.
const MODULE_EXPORT: &[u8] = b"envoy_dynamic_module_on_http_filter_request_headers";

/// Sees to it that the file is the filter. The inner error: it cannot be read here, which says
/// nothing, since the path is for Envoy, which may run in a container of its own.
///
/// # Errors
/// What stands there is not Latchkey's filter, or is broken.
pub(crate) fn check(code: Code<'_>) -> Result<io::Result<()>> {
    let path = Path::new(code.path());
    let name = path.display();
    if path.is_dir() {
        bail!("`{name}` is a folder, not the filter");
    }
    let module = match std::fs::read(path) {
        Ok(module) => module,
        Err(error) => return Ok(Err(error)),
    };
    if let Code::Module(_) = code {
        if !module.starts_with(b"\x7fELF") {
            bail!("`{name}` is not the native module: it is not a shared library");
        }
        if !holds(&module, MARK) || !holds(&module, MODULE_EXPORT) {
            bail!("`{name}` is a shared library, but not Latchkey's native module");
        }
        return Ok(Ok(()));
    }
    if !Parser::is_core_wasm(&module) {
        bail!("`{name}` is not the filter: it is not a WebAssembly module");
    }
    // The cause is left out: it names offsets, which help nobody to mend a copy.
    Validator::new()
        .validate_all(&module)
        .ok()
        .with_context(|| format!("`{name}` is broken: it is not a whole WebAssembly module"))?;
    if !is_filter(&module) {
        bail!("`{name}` is a WebAssembly module, but not Latchkey's filter");
    }
    Ok(Ok(()))
}

/// The version of the module at `path`: it stands in its data, since the filter logs it. `None` if the module is older
/// than that.
pub(crate) fn version(path: &Path) -> io::Result<Option<String>> {
    const BEFORE: &[u8] = b"(latchkey_build ";
    let module = std::fs::read(path)?;
    let start = module.windows(BEFORE.len()).position(|window| window == BEFORE);
    let rest = start.and_then(|start| module.get(start + BEFORE.len()..));
    let version = rest.and_then(|rest| rest.split(|byte| *byte == b')').next());
    let is_own = |byte: &u8| byte.is_ascii_alphanumeric() || b".+-".contains(byte);
    let version = version.filter(|bytes| bytes.len() < 64 && bytes.iter().all(is_own));
    Ok(version.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// The SHA-256 of the file at `path`, where it can be read here.
pub(crate) fn digest(path: &Path) -> io::Result<String> {
    std::fs::read(path).map(|module| hex::encode(Sha256::digest(&module)))
}

/// Whether a WebAssembly module is Latchkey's filter.
pub(crate) fn is_filter(module: &[u8]) -> bool {
    is_called_with_requests(module) && holds(module, MARK)
}

fn holds(module: &[u8], mark: &[u8]) -> bool {
    module.windows(mark.len()).any(|window| window == mark)
}

fn is_called_with_requests(module: &[u8]) -> bool {
    let exports = Parser::new(0).parse_all(module).filter_map(|payload| match payload {
        Ok(Payload::ExportSection(exports)) => Some(exports),
        _ => None,
    });
    let is_own =
        |export: wasmparser::Result<Export<'_>>| export.is_ok_and(|parsed| parsed.name == EXPORT);
    exports.flatten().any(is_own)
}
