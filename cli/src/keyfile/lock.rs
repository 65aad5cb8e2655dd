//! The right to change a file of keys.
//!
//! Whoever wants to change the file takes the lock `.NAME.lock` beside it, reads, and replaces it by
//! way of `.NAME.tmp`. Who only reads needs no lock. A process that is killed leaves these two files
//! behind at worst, and the next one clears them away: the lock itself dies with its process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::atomic;

/// The mode of a file that was not there before: its owner alone reads and writes it.
const MODE: u32 = 0o600;

/// The right to replace a file, which one process has at a time.
#[derive(Debug)]
pub(super) struct Lock {
    /// Kept open: closing it gives the lock up.
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Lock {
    /// Waits for the lock on `file`, or what `file` is a link to.
    ///
    /// # Errors
    /// The folder cannot be written to, or `file` is not a regular file.
    pub(super) fn acquire(file: &Path) -> Result<Lock> {
        let target = resolve(file)?;
        let path = atomic::beside(&target, "lock");
        let unlockable = || format!("cannot take the lock `{}`", path.display());
        loop {
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .open(&path)
                .with_context(unlockable)?;
            wait_for(&lock, file).with_context(unlockable)?;
            // Who had it before removes the file on leaving: a lock on a file that is no longer
            // there would keep nobody out.
            if is_at(&lock, &path) {
                return Ok(Lock { file: lock, path, target });
            }
        }
    }

    /// Puts `text` in the place of the locked file. A new file may be read and written by its
    /// owner alone; one that was there keeps its mode and group, and its owner where it can.
    ///
    /// The inner error: the file is replaced, but the folder cannot be put on the disk.
    ///
    /// # Errors
    /// The folder cannot be written to, or the disk is full. The file is the old one.
    pub(super) fn replace(&self, text: &[u8]) -> Result<io::Result<()>> {
        let temporary = atomic::beside(&self.target, "tmp");
        atomic::replace(&self.target, &temporary, text, MODE).with_context(|| {
            format!("cannot replace `{}`, which is unchanged", self.target.display())
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held; see `acquire`.
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether others than the owner and the group may read the file.
pub(super) fn is_open_to_others(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o007 != 0)
}

/// The file itself: where a link ends, in a folder whose path has no links.
fn resolve(file: &Path) -> Result<PathBuf> {
    let name = file.display();
    if fs::symlink_metadata(file).is_ok() {
        let target = fs::canonicalize(file).with_context(|| format!("cannot follow `{name}`"))?;
        if !target.is_file() {
            bail!("`{name}` is not a regular file");
        }
        return Ok(target);
    }
    let Some(file_name) = file.file_name() else { bail!("`{name}` names no file") };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder =
        fs::canonicalize(folder).with_context(|| format!("cannot find the folder of `{name}`"))?;
    Ok(folder.join(file_name))
}

fn wait_for(lock: &File, file: &Path) -> io::Result<()> {
    if io::stderr().is_terminal() && lock.try_lock().is_err() {
        let _ = writeln!(io::stderr(), "waiting for another process to leave {}", file.display());
    }
    lock.lock()
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    fs::symlink_metadata(path)
        .is_ok_and(|there| file.metadata().is_ok_and(|here| same(here, there)))
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::atomic::tests::names;

    #[test]
    fn a_lock_that_was_left_behind_keeps_nobody_out() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("keys.yaml");
        fs::write(folder.path().join(".keys.yaml.lock"), "").unwrap();
        Lock::acquire(&file).unwrap().replace(b"text").unwrap().unwrap();
        assert_eq!(names(folder.path()), ["keys.yaml"]);
        assert!(!is_open_to_others(&file));
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        let (real, link) = (folder.path().join("real/keys.yaml"), folder.path().join("link.yaml"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real/keys.yaml", &link).unwrap();
        Lock::acquire(&link).unwrap().replace(b"new").unwrap().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(names(&folder.path().join("real")), ["keys.yaml"]);

        fs::remove_file(&real).unwrap();
        let error = Lock::acquire(&link).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot follow `"), "{error:#}");
        let error = Lock::acquire(folder.path()).unwrap_err();
        assert!(format!("{error:#}").ends_with("is not a regular file"), "{error:#}");
    }
}
