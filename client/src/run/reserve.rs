//! A little room on the tenant's volume for when it is full: `BASE_DIR/config/.reserve`, which what
//! frees space gives up to write the `.env`.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;

/// Enough for the `.env`, what is kept of the old one, and what a file system needs for itself, bytes.
const SIZE: usize = 256 * 1024;

/// Where it is.
#[must_use]
pub fn path(base_dir: &Path) -> PathBuf {
    base_dir.join("config/.reserve")
}

/// Makes it where it is missing. A volume that has no room for it goes without.
pub fn make(base_dir: &Path) {
    let path = path(base_dir);
    if path.symlink_metadata().is_err() {
        // No zeros: a file system may keep those without any room.
        drop(atomic::write(&path, &vec![b'r'; SIZE], 0o600));
    }
}

/// Gives it up; true when there was one.
///
/// # Errors
/// What the kernel said.
pub fn release(base_dir: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path(base_dir)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
