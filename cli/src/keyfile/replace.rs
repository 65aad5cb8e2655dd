//! Replacing a file so that whatever happens, it is there and whole: the old one or the new one.
//!
//! Whoever wants to change the file takes the lock `.NAME.lock` beside it, reads, writes
//! `.NAME.tmp`, has the system put that on the disk, renames it over the file and has the folder
//! put on the disk as well. Who only reads needs no lock. A process that is killed leaves these two
//! files behind at worst, and the next one clears them away: the lock itself dies with its process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

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
    /// The folder cannot be written to, or `file` is no regular file.
    pub(super) fn acquire(file: &Path) -> Result<Lock> {
        let target = resolve(file)?;
        let path = beside(&target, "lock");
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
        let temporary = beside(&self.target, "tmp");
        let written = write(&temporary, text, fs::metadata(&self.target).ok().as_ref())
            .and_then(|()| fs::rename(&temporary, &self.target));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            let target = self.target.display();
            return Err(error)
                .with_context(|| format!("cannot replace `{target}`, which is unchanged"));
        }
        crash_point("renamed");
        Ok(sync_folder(&self.target))
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

/// The hidden file beside `target` that ends in `.extension`.
fn beside(target: &Path, extension: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name.push(extension);
    target.with_file_name(name)
}

fn wait_for(lock: &File, file: &Path) -> io::Result<()> {
    if io::stderr().is_terminal() && lock.try_lock().is_err() {
        let _ = writeln!(io::stderr(), "waiting for another process to leave {}", file.display());
    }
    lock.lock()
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    fs::symlink_metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|own| same(own, there)))
}

/// Writes `temporary` down to the disk, with the owner and the mode of the file it stands in for.
fn write(temporary: &Path, text: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    // Left behind by a process that was killed: whoever writes it has the lock.
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(temporary)?;
    crash_point("created");
    let (head, tail) = text.split_at(text.len() / 2);
    file.write_all(head)?;
    crash_point("half-written");
    file.write_all(tail)?;
    crash_point("written");
    if let Some(old) = old {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid())
            && fchown(&file, Some(old.uid()), Some(old.gid())).is_err()
        {
            // Only root gives files away; within a group that shares the file that is no harm.
            fchown(&file, None, Some(old.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.sync_all()?;
    crash_point("synced");
    Ok(())
}

fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
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
mod tests {
    use std::process::Command;

    use super::*;

    const CRASH_AT: &str = "LATCHKEY_TEST_CRASH_AT";
    const FILE: &str = "LATCHKEY_TEST_FILE";

    /// Kills the process here if the test that started it said so.
    pub(super) fn crash_point(name: &str) {
        if std::env::var(CRASH_AT).is_ok_and(|wanted| wanted == name) {
            std::process::abort();
        }
    }

    /// What [`a_crash_leaves_the_old_or_the_new_file`] starts a process for; nothing otherwise.
    #[test]
    fn replaces_the_file_that_the_environment_names() {
        if let Ok(file) = std::env::var(FILE) {
            Lock::acquire(Path::new(&file)).unwrap().replace(b"the new text").unwrap().unwrap();
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
            let folder = folder(point);
            let file = folder.join("keys.yaml");
            fs::write(&file, "the old text").unwrap();
            let ran = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "keyfile::replace::tests::replaces_the_file_that_the_environment_names",
                ])
                .env(CRASH_AT, point)
                .env(FILE, &file)
                .output()
                .unwrap();
            assert_eq!(ran.status.success(), point == "never", "{point}");
            assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{point}");
            // Nobody is kept out by what the crash left behind, and nothing of that stays.
            Lock::acquire(&file).unwrap().replace(b"the next text").unwrap().unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), "the next text");
            assert_eq!(names(&folder), ["keys.yaml"]);
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_new_file_is_its_owners_and_an_old_one_keeps_its_mode() {
        let folder = folder("mode");
        let file = folder.join("keys.yaml");
        let mode = |file: &Path| fs::metadata(file).unwrap().mode() & 0o7777;
        Lock::acquire(&file).unwrap().replace(b"a").unwrap().unwrap();
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        Lock::acquire(&file).unwrap().replace(b"b").unwrap().unwrap();
        assert_eq!(mode(&file), 0o640);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = folder("link");
        fs::create_dir(folder.join("real")).unwrap();
        let (real, link) = (folder.join("real/keys.yaml"), folder.join("link.yaml"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real/keys.yaml", &link).unwrap();
        Lock::acquire(&link).unwrap().replace(b"new").unwrap().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(names(&folder.join("real")), ["keys.yaml"]);

        fs::remove_file(&real).unwrap();
        let error = Lock::acquire(&link).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot follow `"), "{error:#}");
        let error = Lock::acquire(&folder).unwrap_err();
        assert!(format!("{error:#}").ends_with("is not a regular file"), "{error:#}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_temporary_file_does_not_follow_links() {
        let folder = folder("planted");
        fs::write(folder.join("victim"), "untouched").unwrap();
        std::os::unix::fs::symlink("victim", folder.join(".keys.yaml.tmp")).unwrap();
        Lock::acquire(&folder.join("keys.yaml")).unwrap().replace(b"new").unwrap().unwrap();
        assert_eq!(fs::read_to_string(folder.join("victim")).unwrap(), "untouched");
        assert_eq!(names(&folder), ["keys.yaml", "victim"]);
        fs::remove_dir_all(folder).unwrap();
    }

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("latchkey-replace-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
