//! Replacing a file so that every reader, and every crash, finds the old one or the new one whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Puts `bytes` into the file `target`: written to `temporary` beside it, synced, renamed over it,
/// and the folder synced. A file that was there keeps its mode and group, and its owner where it
/// can; a new one gets `mode`. A symbolic link is replaced, not followed.
///
/// The inner error: the file is replaced, but a power failure may undo it.
///
/// # Errors
/// The folder is not there, is full or cannot be written to. `target` is then as it was, and
/// nothing is left beside it.
pub(crate) fn replace(
    target: &Path,
    temporary: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<io::Result<()>> {
    let old = fs::symlink_metadata(target).ok().filter(fs::Metadata::is_file);
    let written =
        write(temporary, bytes, old.as_ref(), mode).and_then(|()| fs::rename(temporary, target));
    if let Err(error) = written {
        let _ = fs::remove_file(temporary);
        return Err(error);
    }
    crash_point("renamed");
    Ok(sync_folder(target))
}

/// The hidden file beside `target` that ends in `.extension`.
pub(crate) fn beside(target: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name.push(extension);
    target.with_file_name(name)
}

/// Writes `temporary` down to the disk, with the owner and the mode of the file it stands in for.
fn write(temporary: &Path, bytes: &[u8], old: Option<&fs::Metadata>, mode: u32) -> io::Result<()> {
    // Left behind by a process that was killed.
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    // Readable by nobody else before it has its owner.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    crash_point("created");
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    file.write_all(head)?;
    crash_point("half-written");
    file.write_all(tail)?;
    crash_point("written");
    let mode = old.map_or(mode, |old| old.mode() & 0o7777);
    if let Some(old) = old {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid())
            && fchown(&file, Some(old.uid()), Some(old.gid())).is_err()
            // Only root gives files away; within a group that shares the file that does no harm.
            && let Err(error) = fchown(&file, None, Some(old.gid()))
            // Where the group may what all may, it does not matter who that is.
            && mode >> 3 & 7 != mode & 7
        {
            return Err(error);
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    crash_point("synced");
    Ok(())
}

fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems have no such thing, and some folders may be written but not read.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Where the tests kill the process.
#[cfg(not(test))]
fn crash_point(_name: &str) {}

#[cfg(test)]
use tests::crash_point;

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;

    use tempfile::tempdir;

    use super::*;

    const CRASH_AT: &str = "LATCHKEY_TEST_CRASH_AT";
    const FILE: &str = "LATCHKEY_TEST_FILE";

    /// Kills the process here if the test that started it said so.
    pub(super) fn crash_point(name: &str) {
        if std::env::var(CRASH_AT).is_ok_and(|wanted| wanted == name) {
            std::process::abort();
        }
    }

    fn put(file: &Path, text: &str) -> io::Result<io::Result<()>> {
        replace(file, &beside(file, "tmp"), text.as_bytes(), 0o640)
    }

    /// What [`a_crash_leaves_the_old_or_the_new_file`] starts a process for; nothing otherwise.
    #[test]
    fn replaces_the_file_that_the_environment_names() {
        if let Ok(file) = std::env::var(FILE) {
            put(Path::new(&file), "the new text").unwrap().unwrap();
        }
    }

    #[test]
    fn a_crash_leaves_the_old_or_the_new_file() {
        let points = [
            ("created", "the old text"),
            ("half-written", "the old text"),
            ("written", "the old text"),
            ("synced", "the old text"),
            ("renamed", "the new text"),
            ("never", "the new text"),
        ];
        for (point, expected) in points {
            let folder = tempdir().unwrap();
            let file = folder.path().join("keys.yaml");
            fs::write(&file, "the old text").unwrap();
            let ran = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "atomic::tests::replaces_the_file_that_the_environment_names"])
                .env(CRASH_AT, point)
                .env(FILE, &file)
                .output()
                .unwrap();
            assert_eq!(ran.status.success(), point == "never", "{point}");
            assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{point}");
            // What the crash left behind is in nobody's way, and goes.
            put(&file, "the next text").unwrap().unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), "the next text");
            assert_eq!(names(folder.path()), ["keys.yaml"]);
        }
    }

    #[test]
    fn a_new_file_has_the_mode_asked_for_and_an_old_one_keeps_its_own() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("keys.yaml");
        let mode = |file: &Path| fs::metadata(file).unwrap().mode() & 0o7777;
        put(&file, "a").unwrap().unwrap();
        assert_eq!(mode(&file), 0o640);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        put(&file, "b").unwrap().unwrap();
        assert_eq!(mode(&file), 0o604);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_leaves_nothing_beside() {
        let folder = tempdir().unwrap();
        // A folder that is not empty: the rename fails, after all was written.
        let target = folder.path().join("a");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("b"), "b").unwrap();
        assert!(put(&target, "one").is_err());
        assert_eq!(names(folder.path()), ["a"]);
        let missing = folder.path().join("none/a");
        assert_eq!(put(&missing, "").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn neither_file_follows_links() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(folder.path().join("victim"), "untouched").unwrap();
        for link in [&file, &beside(&file, "tmp")] {
            std::os::unix::fs::symlink("victim", link).unwrap();
        }
        put(&file, "new").unwrap().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("victim")).unwrap(), "untouched");
        assert!(fs::symlink_metadata(&file).unwrap().is_file());
        assert_eq!(names(folder.path()), ["a", "victim"]);
    }

    /// The names of what is in a folder, in order.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
