//! The file that is to be replaced, and what must not be: it may hold something else that is needed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::command::render::Code;
use crate::document::{self, Document};
use crate::exit::Usage;

/// The file that Envoy watches, as it was before a push.
#[derive(Debug)]
pub(super) struct Target {
    file: PathBuf,
    old: Option<Old>,
}

/// What the file holds of an earlier push.
#[derive(Debug)]
struct Old {
    text: String,
    version: String,
    wasm: Option<String>,
    module: Option<String>,
}

impl Target {
    /// The file `ecds`, for the filter of that name, which is to be made of `inputs`.
    ///
    /// # Errors
    /// It is wrong usage, it has no folder, it is one of `inputs`, under whatever name, or it holds something else than
    /// an earlier push. An empty file holds nothing.
    pub(super) fn new(ecds: &Path, filter: &str, inputs: &[&Path]) -> Result<Target> {
        let name = ecds.display();
        ensure!(
            ecds != Path::new("-"),
            Usage::new("Envoy watches a file: `--ecds` cannot be standard output")
        );
        let folder = ecds.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!("`{}` is not a folder, so Envoy cannot watch it", folder.display());
        }
        let Ok(metadata) = fs::metadata(ecds) else {
            return Ok(Target { file: ecds.to_owned(), old: None });
        };
        ensure!(metadata.is_file(), "`{name}` is not a regular file");
        let is_same =
            |other: &fs::Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
        for input in inputs {
            if fs::metadata(input).is_ok_and(|other| is_same(&other)) {
                bail!("`{name}` is `{}`, which would be lost: name another file", input.display());
            }
        }
        if metadata.len() == 0 {
            return Ok(Target { file: ecds.to_owned(), old: None });
        }
        let old = Old::read(ecds, filter).with_context(|| {
            format!("`{name}` is not a file of `latchkey push`, so it is not replaced (name another, or remove it)")
        })?;
        Ok(Target { file: ecds.to_owned(), old: Some(old) })
    }

    /// Where the file says that the filter is.
    ///
    /// # Errors
    /// Wrong usage: it does not say.
    pub(super) fn code(&self) -> Result<Code<'_>> {
        let name = self.file.display();
        let Some(old) = &self.old else {
            let message =
                format!("`{name}` is new: say where Envoy finds the filter with `--wasm`");
            bail!(Usage::new(message));
        };
        let code = old.wasm.as_deref().map(Code::Wasm);
        let message = || format!("`{name}` does not say where the filter is: say so with `--wasm`");
        let code = code.or(old.module.as_deref().map(Code::Module));
        code.ok_or_else(|| Usage::new(message()).into())
    }

    /// The version of what the file held, and its text; none where it held nothing.
    pub(super) fn old(&self) -> Option<(&str, &str)> {
        self.old.as_ref().map(|old| (old.version.as_str(), old.text.as_str()))
    }
}

impl Old {
    fn read(ecds: &Path, filter: &str) -> Result<Old> {
        const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
        let text = document::read(ecds)?;
        let document = document::parse(ecds, &text)?;
        let text_at = |pointer: &str| document.pointer(pointer).and_then(Document::as_str);
        ensure!(
            text_at("/resources/0/@type") == Some(EXTENSION),
            "it holds no extension's configuration"
        );
        ensure!(text_at("/resources/0/name") == Some(filter), "its extension is not `{filter}`");
        let wasm = text_at("/resources/0/typed_config/config/vm_config/code/local/filename");
        let module =
            text_at("/resources/0/typed_config/dynamic_module_config/module/local/filename");
        let (wasm, module) = (wasm.map(str::to_owned), module.map(str::to_owned));
        let version = text_at("/version_info").unwrap_or_default().to_owned();
        Ok(Old { version, wasm, module, text })
    }
}
