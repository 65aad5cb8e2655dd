//! Folders for tests.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An empty folder of its own, removed when dropped.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch(TempDir::with_prefix("latchkey-").unwrap())
    }
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch::default()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file beside and renames it over the old one, so that nobody reads half of it; its place.
    pub fn replace(&self, name: &str, text: &str) -> PathBuf {
        let (new, file) = (self.file(&format!("{name}.new")), self.file(name));
        fs::write(&new, text).unwrap();
        fs::rename(new, &file).unwrap();
        file
    }

    /// Writes a file, its folders included; its place.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    /// `text` without this folder's path.
    pub fn hide(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.path().display()), "")
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
