//! Where a control plane gets the filter from.

use anyhow::{Result, bail, ensure};

use super::Arguments;
use super::code::missing;
use crate::exit::Usage;
use crate::style::warn;

/// Where a control plane gets the filter from, and what it must hash to.
pub(super) struct Module {
    pub(super) source: Source,
    /// A path, the name of an image without scheme, or a URL.
    pub(super) url: String,
    pub(super) sha256: Option<String>,
}

pub(super) enum Source {
    /// A path in the proxy's container.
    File,
    /// An OCI image.
    Image,
    /// An address of the web.
    Web,
}

impl Module {
    /// What the options say. Without a scheme, what begins with `/` or `.` is a path, and anything else an image.
    ///
    /// # Errors
    /// Wrong usage: they name none of these, or a digest that is none.
    pub(super) fn new(arguments: &Arguments) -> Result<Module> {
        let wasm = arguments.wasm.as_deref().ok_or_else(|| missing("--wasm"))?;
        let (source, url) = match wasm.split_once("://") {
            Some(("file", path)) => (Source::File, path),
            Some(("oci", image)) => (Source::Image, image),
            Some(("http" | "https", _)) => (Source::Web, wasm),
            Some(_) => {
                let message =
                    format!("`--wasm` is a path, an image or an https:// URL, not `{wasm}`");
                bail!(Usage::new(message))
            }
            // An image may be called whatever a file is called.
            None if wasm.starts_with(['/', '.']) => (Source::File, wasm),
            None => (Source::Image, wasm),
        };
        ensure!(!url.is_empty(), Usage::new(format!("`--wasm {wasm}` names nothing")));
        let is_possible = match source {
            Source::File => true,
            Source::Image => is_reference(url),
            Source::Web => url.bytes().all(|byte| byte.is_ascii_graphic()),
        };
        ensure!(
            is_possible,
            Usage::new(format!("`--wasm {wasm}` is neither an image nor an https:// URL"))
        );
        // As `latchkey image` prints it, or the digits alone.
        let sha256 = arguments.sha256.as_deref();
        let sha256 = sha256.map(|text| text.strip_prefix("sha256:").unwrap_or(text));
        if let Some(digits) = sha256 {
            let message = || format!("`--sha256` must be 64 hex digits, not `{digits}`");
            ensure!(is_hash(digits), Usage::new(message()));
        }
        let pinned = matches!(source, Source::Image).then(|| url.split_once("@sha256:")).flatten();
        if let Some((_, digits)) = pinned {
            let message =
                || format!("the digest of `--wasm` must be 64 hex digits, not `{digits}`");
            ensure!(is_hash(digits), Usage::new(message()));
        }
        let is_fetched = !matches!(source, Source::File);
        if is_fetched && sha256.is_none() && pinned.is_none() {
            warn(format_args!("without `--sha256` the proxy runs whatever is served there"));
        }
        Ok(Module { source, url: url.to_owned(), sha256: sha256.map(str::to_ascii_lowercase) })
    }
}

/// Whether that may be the name of an image, with its registry, tag and digest, as far as characters tell.
fn is_reference(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+/:@[]".contains(&byte))
}

fn is_hash(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}
