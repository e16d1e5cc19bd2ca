//! Files that are whole or not there: written beside, synced, renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, RenameFlags, fchmod, renameat_with};
use rustix::io::Errno;

/// Writes `content` to `path` with exactly these permission bits. A reader sees the old file or
/// the new one; a crash leaves at most a file named `.<name>.new`, which the next write replaces.
///
/// # Errors
/// What the kernel said.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, content, mode)?;
    std::fs::rename(&beside, path)?;
    sync_parent(path)
}

/// The same where nothing is there yet, not even a link; false when something is, which then stays
/// as it is.
///
/// # Errors
/// What the kernel said.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let beside = write_beside(path, content, mode)?;
    match renameat_with(CWD, &beside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(Errno::EXIST) => std::fs::remove_file(&beside).map(|()| false),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes and syncs `.<name>.new` beside `path`.
fn write_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<PathBuf> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = directory.join(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fill(&beside, content, mode) {
        Ok(()) => Ok(beside),
        Err(error) => {
            // On a full file system it would hold on to what little there is.
            drop(std::fs::remove_file(&beside));
            Err(error)
        }
    }
}

fn fill(beside: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    file.write_all(content)?;
    // The umask may have taken bits away.
    fchmod(&file, Mode::from_raw_mode(mode))?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_replaced_with_the_wanted_mode_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(dir.path().join("..env.new"), "left by a crash").unwrap();
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_is_written_only_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile");
        assert!(write_new(&path, b"one", 0o600).unwrap());
        assert!(!write_new(&path, b"two", 0o600).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_file_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, "untouched").unwrap();
        let path = dir.path().join("config");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"untouched");
        assert!(path.symlink_metadata().unwrap().is_file());
    }
}
