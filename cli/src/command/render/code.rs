//! The filter's code, where an Envoy of one's own opens it as a file.

use std::path::Path;

use anyhow::{Result, ensure};

use super::Arguments;
use crate::exit::Usage;
use crate::style::warn;

/// The filter's code: a path where Envoy runs, which may be a container of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code<'a> {
    /// The native module.
    Module(&'a str),
    /// The Wasm filter.
    Wasm(&'a str),
}

impl<'a> Code<'a> {
    /// What the options say; `None` if neither is given.
    ///
    /// # Errors
    /// Wrong usage: it is not a path.
    pub(crate) fn new(wasm: Option<&'a str>, module: Option<&'a str>) -> Result<Option<Code<'a>>> {
        let code = wasm.map(Code::Wasm).or(module.map(Code::Module));
        if let Some(code) = code {
            let (path, option) = (code.path(), code.option());
            ensure!(
                !path.contains("://"),
                Usage::new(format!(
                    "Envoy opens the filter as a file: `{option}` must be a path, not `{path}`"
                ))
            );
        }
        if let Some(Code::Module(path)) = code {
            warn_of_unversioned(path);
        }
        Ok(code)
    }

    /// The same for a form that needs it.
    pub(super) fn of(arguments: &'a Arguments) -> Result<Code<'a>> {
        let code = Code::new(arguments.wasm.as_deref(), arguments.module.as_deref())?;
        code.ok_or_else(|| missing("--wasm PATH` or `--module PATH"))
    }

    /// Where it is.
    pub fn path(self) -> &'a str {
        let (Code::Module(path) | Code::Wasm(path)) = self;
        path
    }

    /// The option that names it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Code::Module(_) => "--module",
            Code::Wasm(_) => "--wasm",
        }
    }
}

/// An option that a form needs is not there.
pub(super) fn missing(option: &str) -> anyhow::Error {
    let message = format!("this form needs `{option}`, where the proxy finds the filter");
    Usage::new(message).into()
}

/// Envoy loads a module once for each path, and one that is overwritten while it is loaded ends Envoy.
pub(super) fn warn_of_unversioned(path: &str) {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    if !name.bytes().any(|byte| byte.is_ascii_digit()) {
        warn(format_args!(
            "the name of `{path}` has no version: give each version of the module a name of its own, \
             such as `liblatchkey-0.1.0.so`, since Envoy takes a new one only under a new path"
        ));
    }
}
