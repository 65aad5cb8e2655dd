//! Replacing a file so that every reader, and every crash, finds the old one or the new one whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Puts `bytes` into the file `path`: written beside it, synced, renamed over it, and the folder
/// synced. The file gets `mode`; without one it keeps its own, or gets 0644 if it is new. A
/// symbolic link is replaced, not followed.
///
/// # Errors
/// The folder is not there, is full or cannot be written to. `path` is then as it was, and nothing
/// is left beside it. Once renamed, an error means that a power failure could still undo it.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let own = || fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mode = mode
        .or_else(|| own().map(|metadata| metadata.permissions().mode() & 0o7777))
        .unwrap_or(0o644);
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{}.new", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let beside = Unfinished(folder.join(beside));

    // Readable by nobody else before it has its mode.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside.0)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside.0, path)?;
    File::open(folder)?.sync_all()
}

/// Tells the files of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A file that goes away unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("latchkey-atomic-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = folder("mode");
        let file = folder.join("a");
        replace(&file, b"one", None).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"one".to_vec(), 0o644));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&file, b"two", None).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o640));
        replace(&file, b"three", Some(0o600)).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"three".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_leaves_nothing_beside() {
        let folder = folder("stays");
        // A folder that is not empty: the rename fails, after all was written.
        let target = folder.join("a");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("b"), "b").unwrap();
        assert!(replace(&target, b"one", None).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let missing = folder.join("none/a");
        assert_eq!(replace(&missing, b"", None).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(&folder).unwrap();
    }
}
