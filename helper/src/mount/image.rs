//! The image file of a loop volume: `<uid>.img` in a directory of root's, mode 0600, sparse.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags, statx};

use super::lock::lock;
use super::record::{FileId, Store};
use super::wire::{Error, ErrorReason};
use super::{Result, cannot};
use crate::safe_path::{ComponentError, Cross, open_at};

/// Images are whole blocks.
const BLOCK: u64 = 4096;

/// An image that this process alone works on.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    /// `<uid>.img`.
    pub(super) name: String,
}

impl Image {
    /// Opens and locks the image of `uid`; `None` where there is none.
    pub(super) fn open(store: &Store, uid: u32) -> Result<Option<Self>> {
        let name = format!("{uid}.img");
        // O_NONBLOCK: a pipe or device of that name must not hold the worker up.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match open_at(store.dir(), OsStr::new(&name), flags, Cross::Nothing) {
            Err(ComponentError::Missing) => Ok(None),
            Err(problem) => Err(bad_image(format!("the volume's image {problem}"))),
            Ok(fd) => Self::hold(fd, name).map(Some),
        }
    }

    /// Creates the image of `uid`, empty, where there is none, and locks it.
    pub(super) fn create(store: &Store, uid: u32) -> Result<Self> {
        let name = format!("{uid}.img");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(store.dir(), &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(cannot("create the volume's image"))?;
        rustix::fs::fsync(store.dir()).map_err(cannot("create the volume's image"))?;
        Self::hold(fd, name)
    }

    fn hold(fd: OwnedFd, name: String) -> Result<Self> {
        lock(&fd)?;
        let stat = rustix::fs::fstat(&fd).map_err(cannot("look at the volume's image"))?;
        require_private(&stat)?;
        Ok(Self { fd, stat, name })
    }

    pub(super) fn id(&self) -> Result<FileId> {
        let flags = StatxFlags::INO | StatxFlags::BTIME;
        let answer = statx(&self.fd, "", AtFlags::EMPTY_PATH, flags)
            .map_err(cannot("look at the volume's image"))?;
        Ok(FileId {
            inode: answer.stx_ino,
            born_seconds: answer.stx_btime.tv_sec,
            born_nanoseconds: answer.stx_btime.tv_nsec,
        })
    }

    /// Bytes.
    pub(super) fn length(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(cannot("look at the volume's image"))?;
        u64::try_from(stat.st_size).map_err(|_| bad_image("the image has no length".to_owned()))
    }

    /// Gives the image its size; with `remains` everything in it goes first.
    pub(super) fn resize_for_mkfs(&self, size: u64, remains: bool) -> Result<()> {
        if remains {
            self.resize(0)?;
        }
        // A blank image that the administrator made larger stays so.
        self.enlarge(size)
    }

    /// Makes the image at least this large; what is added is a hole.
    pub(super) fn enlarge(&self, size: u64) -> Result<()> {
        let size = size / BLOCK * BLOCK;
        if self.length()? >= size {
            return Ok(());
        }
        self.resize(size)?;
        rustix::fs::fsync(&self.fd).map_err(cannot("resize the volume's image"))
    }

    fn resize(&self, length: u64) -> Result<()> {
        rustix::fs::ftruncate(&self.fd, length).map_err(cannot("resize the volume's image"))
    }
}

fn require_private(stat: &Stat) -> Result<()> {
    let mode = stat.st_mode & 0o7777;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if regular && stat.st_uid == 0 && mode | 0o700 == 0o700 && stat.st_nlink == 1 {
        return Ok(());
    }
    Err(bad_image(format!(
        "the volume's image must be a regular file of root's with mode 0600 and one name \
         (it has UID {}, mode {mode:o}, {} names)",
        stat.st_uid, stat.st_nlink
    )))
}

fn bad_image(message: String) -> Error {
    Error::new(ErrorReason::BadImage, message)
}
