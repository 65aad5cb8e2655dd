//! Folders for tests.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An empty folder of its own, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(TempDir::with_prefix("latchkey-").unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file beside and renames it over the old one, so that nobody reads half of it; its place.
    pub(crate) fn replace(&self, name: &str, text: &str) -> PathBuf {
        let (new, file) = (self.file(&format!("{name}.new")), self.file(name));
        fs::write(&new, text).unwrap();
        fs::rename(new, &file).unwrap();
        file
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
