//! Directories of the daemon's own: for its log and its socket.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::safe_path::{PathError, plain_components};

/// Why a directory is not fit to hold what the daemon writes.
#[derive(Debug, thiserror::Error)]
pub enum OwnDirError {
    /// Not absolute, or with an empty, `.` or `..` component.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The kernel refused; a symbolic link anywhere in the path is ELOOP.
    #[error("cannot open directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Someone else could write or replace what is in it.
    #[error(
        "{} must belong to UID {expected} and be writable by it only (it has UID {uid}, mode {mode:o})",
        path.display()
    )]
    NotOwn {
        /// The directory.
        path: PathBuf,
        /// The daemon's UID.
        expected: u32,
        /// Owning UID.
        uid: u32,
        /// Permission bits.
        mode: u32,
    },
}

impl OwnDirError {
    fn open(path: &Path, errno: Errno) -> Self {
        Self::Open {
            path: path.to_owned(),
            source: errno.into(),
        }
    }
}

/// Opens a directory without following any link; it must belong to the daemon's effective UID and
/// be writable by nobody else. Where only the last component is missing, it is made, mode 0700.
///
/// # Errors
/// When it is not so.
pub fn open_own_dir(path: &Path) -> Result<OwnedFd, OwnDirError> {
    plain_components(path)?;
    let fd = match open(path) {
        Err(Errno::NOENT) => make(path)?,
        other => other.map_err(|errno| OwnDirError::open(path, errno))?,
    };
    require_own(&fd, path)?;
    Ok(fd)
}

/// The same for a directory that must be there.
///
/// # Errors
/// As [`open_own_dir`], and when it is missing.
pub(crate) fn open_existing_own_dir(path: &Path) -> Result<OwnedFd, OwnDirError> {
    plain_components(path)?;
    let fd = open(path).map_err(|errno| OwnDirError::open(path, errno))?;
    require_own(&fd, path)?;
    Ok(fd)
}

/// The directory that holds `path`, checked as by [`open_own_dir`], and the last component.
///
/// # Errors
/// As [`open_own_dir`], and for `/`.
pub fn open_own_parent(path: &Path) -> Result<(OwnedFd, OsString), OwnDirError> {
    plain_components(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(OwnDirError::open(path, Errno::ISDIR));
    };
    Ok((open_own_dir(parent)?, name.to_owned()))
}

/// Opens a directory without following any link, whoever it belongs to.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

fn make(path: &Path) -> Result<OwnedFd, OwnDirError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(OwnDirError::open(path, Errno::NOENT));
    };
    let parent = open(parent).map_err(|errno| OwnDirError::open(parent, errno))?;
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open(path).map_err(|errno| OwnDirError::open(path, errno)),
        Err(errno) => Err(OwnDirError::open(path, errno)),
    }
}

fn require_own(fd: &OwnedFd, path: &Path) -> Result<(), OwnDirError> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| OwnDirError::open(path, errno))?;
    let expected = rustix::process::geteuid().as_raw();
    let mode = stat.st_mode & 0o7777;
    if stat.st_uid == expected && mode & 0o022 == 0 {
        return Ok(());
    }
    Err(OwnDirError::NotOwn {
        path: path.to_owned(),
        expected,
        uid: stat.st_uid,
        mode,
    })
}
