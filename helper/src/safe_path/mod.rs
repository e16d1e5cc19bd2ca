//! Walking paths so that nobody but root can lead the walk astray.
//!
//! A path is taken apart lexically, then opened one component at a time with openat2(2) from a
//! pinned descriptor, never following a link. What was checked is used through its descriptor;
//! no name is looked up twice.

mod bind;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxAttributes};
use rustix::io::Errno;

pub(crate) use bind::open_volume;
pub use bind::{BindError, verify_bind};

/// The longest path, in components.
const MAX_COMPONENTS: usize = 64;

/// Why a path was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}", path.display())]
pub struct PathError {
    /// The path up to the component that the error is about.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: ComponentError,
}

/// What is wrong with one component of a path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Not absolute, too long, or with an empty, `.` or `..` component.
    #[error("is not an absolute path of plain components")]
    NotPlain,
    /// Nothing of that name.
    #[error("does not exist")]
    Missing,
    /// A symbolic link stands there.
    #[error("is a symbolic link")]
    Link,
    /// Something other than a directory stands there.
    #[error("is not a directory")]
    NotDirectory,
    /// Another file system is mounted there.
    #[error("is on another file system")]
    OtherFileSystem,
    /// Someone other than root could replace what is below it.
    #[error("must belong to root and be writable by root only (it has UID {uid}, mode {mode:o})")]
    NotRoots {
        /// Owning UID.
        uid: u32,
        /// Permission bits.
        mode: u32,
    },
    /// The kernel refused.
    #[error("cannot be opened: {0}")]
    Os(Errno),
}

impl From<Errno> for ComponentError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::LOOP => Self::Link,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::XDEV => Self::OtherFileSystem,
            other => Self::Os(other),
        }
    }
}

/// What to do with a component that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// It becomes a directory of root's, mode 0711.
    Create,
}

/// Whether one step may cross into another file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cross {
    /// It may.
    Mounts,
    /// It may not.
    Nothing,
}

/// The components of an absolute path without empty, `.` and `..` components. Purely lexical:
/// `a/../b` would pass openat2's RESOLVE_BENEATH.
///
/// # Errors
/// [`ComponentError::NotPlain`] for everything else.
pub fn plain_components(path: &Path) -> Result<Vec<&OsStr>, PathError> {
    let not_plain = || PathError {
        path: path.to_owned(),
        problem: ComponentError::NotPlain,
    };
    let bytes = path.as_os_str().as_bytes();
    let below = bytes.strip_prefix(b"/").ok_or_else(not_plain)?;
    if below.is_empty() {
        return Ok(Vec::new());
    }
    let components: Vec<&OsStr> = below
        .split(|byte| *byte == b'/')
        .map(OsStr::from_bytes)
        .collect();
    if components.len() > MAX_COMPONENTS || !components.iter().all(|name| is_plain(name)) {
        return Err(not_plain());
    }
    Ok(components)
}

/// True for a name that is one component and stays where it is.
fn is_plain(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..") && !bytes.iter().any(|byte| matches!(byte, 0 | b'/'))
}

/// Opens the directory `name` of `dir` as a place (O_PATH), following nothing.
///
/// # Errors
/// When it is missing, a link, no directory, or behind a mount that may not be crossed.
pub fn open_dir(dir: impl AsFd, name: &OsStr, cross: Cross) -> Result<OwnedFd, ComponentError> {
    open_at(dir, name, OFlags::PATH | OFlags::DIRECTORY, cross)
}

/// Opens the one component `name` of `dir` with `flags`, following nothing. A link is an error,
/// unless `flags` has O_PATH and O_NOFOLLOW: then it is the link itself that is opened.
///
/// # Errors
/// As openat2(2) says, and for a name that is not one plain component.
pub fn open_at(
    dir: impl AsFd,
    name: &OsStr,
    flags: OFlags,
    cross: Cross,
) -> Result<OwnedFd, ComponentError> {
    if !is_plain(name) {
        return Err(ComponentError::NotPlain);
    }
    let mut resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if cross == Cross::Nothing {
        resolve |= ResolveFlags::NO_XDEV;
    }
    let flags = flags | OFlags::CLOEXEC;
    // The kernel may ask for a retry while mounts or renames race with the walk (openat2(2)).
    for _ in 0..16 {
        match rustix::fs::openat2(&dir, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer.map_err(ComponentError::from),
        }
    }
    Err(ComponentError::Os(Errno::AGAIN))
}

/// Walks an absolute path to a directory. Every component, `/` and the last included, must belong
/// to root and be writable by root only; mounts may be crossed.
///
/// # Errors
/// For the first component that is not so.
pub fn open_root_owned(path: &Path, missing: Missing) -> Result<OwnedFd, PathError> {
    walk(&plain_components(path)?, missing)
}

/// The directory that holds `path`, checked as by [`open_root_owned`], and the last component,
/// which is not looked at.
///
/// # Errors
/// As [`open_root_owned`], and for `/`, which nothing holds.
pub fn open_root_owned_parent(
    path: &Path,
    missing: Missing,
) -> Result<(OwnedFd, OsString), PathError> {
    let components = plain_components(path)?;
    let (last, parents) = components.split_last().ok_or_else(|| PathError {
        path: path.to_owned(),
        problem: ComponentError::NotPlain,
    })?;
    Ok((walk(parents, missing)?, (*last).to_owned()))
}

fn walk(components: &[&OsStr], missing: Missing) -> Result<OwnedFd, PathError> {
    let mut here = PathBuf::from("/");
    let error_at = |path: &Path, problem| PathError {
        path: path.to_owned(),
        problem,
    };
    let root_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open("/", root_flags, Mode::empty())
        .map_err(|errno| error_at(&here, errno.into()))?;
    require_roots(&dir).map_err(|problem| error_at(&here, problem))?;
    for name in components {
        here.push(name);
        dir = step(&dir, name, missing).map_err(|problem| error_at(&here, problem))?;
    }
    Ok(dir)
}

fn step(dir: &OwnedFd, name: &OsStr, missing: Missing) -> Result<OwnedFd, ComponentError> {
    let child = match open_dir(dir, name, Cross::Mounts) {
        Err(ComponentError::Missing) if missing == Missing::Create => make_root_dir(dir, name)?,
        other => other?,
    };
    require_roots(&child)?;
    Ok(child)
}

/// Makes `name` in `dir`, root's, mode 0711 whatever the umask; another process may be faster.
pub(crate) fn make_root_dir(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd, ComponentError> {
    let mode = Mode::from_raw_mode(0o711);
    match rustix::fs::mkdirat(dir, name, mode) {
        Ok(()) => {
            let made = open_dir(dir, name, Cross::Mounts)?;
            rustix::fs::fchmod(open_to_read(&made)?, mode)?;
            Ok(made)
        }
        Err(Errno::EXIST) => open_dir(dir, name, Cross::Mounts),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a directory that is held as a place (O_PATH) for reading: the very same one, no name is
/// looked up.
///
/// # Errors
/// As openat(2) says.
pub(crate) fn open_to_read(place: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(place, ".", flags, Mode::empty())
}

/// True when the directory has no entries.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn is_empty(place: impl AsFd) -> Result<bool, Errno> {
    for entry in rustix::fs::Dir::new(open_to_read(place)?)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a descriptor of anything that someone other than root could change.
///
/// # Errors
/// [`ComponentError::NotRoots`].
pub fn require_roots(fd: impl AsFd) -> Result<Stat, ComponentError> {
    let stat = rustix::fs::fstat(fd)?;
    let mode = stat.st_mode & 0o7777;
    if stat.st_uid == 0 && mode & 0o022 == 0 {
        return Ok(stat);
    }
    Err(ComponentError::NotRoots {
        uid: stat.st_uid,
        mode,
    })
}

/// True when the directory behind `fd` is the root of a mount.
///
/// # Errors
/// When the kernel does not say (before Linux 5.8).
pub fn is_mount_root(fd: impl AsFd) -> Result<bool, Errno> {
    let flags = rustix::fs::StatxFlags::BASIC_STATS;
    let answer = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, flags)?;
    if !answer
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Err(Errno::OPNOTSUPP);
    }
    Ok(answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// True when the descriptor is of a directory.
pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// The path of an open descriptor for calls that take no descriptor; valid while it is open.
pub(crate) struct ProcFd(i32);

impl ProcFd {
    pub(crate) fn of(fd: &OwnedFd) -> Self {
        Self(std::os::fd::AsRawFd::as_raw_fd(fd))
    }
}

impl fmt::Display for ProcFd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "/proc/self/fd/{}", self.0)
    }
}

#[cfg(test)]
mod tests;
