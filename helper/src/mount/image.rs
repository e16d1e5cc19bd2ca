//! The image file of a loop volume: `<uid>.img` in a directory of root's, mode 0600, sparse.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, StatxFlags, statx};
use rustix::io::Errno;

use super::contents::{self, Contents};
use super::decide::{self, Step};
use super::record::{self, FileId, Record, State};
use super::tool;
use super::wire::{Failure, FailureReason, FileSystem, MountLoop, Place};
use super::{Result, cannot};
use crate::safe_path::{Cross, Missing, Problem, ProcFd, open_at, open_root_owned, open_to_read};

/// How long a request waits for another one about the same volume.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const MKFS_LIMIT: Duration = Duration::from_mins(2);
/// Replaying a journal takes seconds; a full check of a large volume takes this long.
const FSCK_LIMIT: Duration = Duration::from_mins(10);
/// Images are whole blocks.
const BLOCK: u64 = 4096;

/// The directory of the images, root's alone, mode 0700.
pub(super) fn open_dir(place: &Place) -> Result<OwnedFd> {
    let failed = cannot("open the directory of the volumes' images");
    let dir = open_root_owned(&place.image_dir, Missing::Create)
        .map_err(|error| Failure::new(FailureReason::BadImage, error.to_string()))?;
    let dir = open_to_read(&dir).map_err(&failed)?;
    rustix::fs::fchmod(&dir, Mode::RWXU).map_err(&failed)?;
    Ok(dir)
}

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
    pub(super) fn open(dir: &OwnedFd, uid: u32) -> Result<Option<Self>> {
        let name = format!("{uid}.img");
        // O_NONBLOCK: a pipe or device of that name must not hold the worker up.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match open_at(dir, OsStr::new(&name), flags, Cross::Nothing) {
            Err(Problem::Missing) => Ok(None),
            Err(problem) => Err(bad_image(format!("the volume's image {problem}"))),
            Ok(fd) => Self::lock(fd, name).map(Some),
        }
    }

    /// Creates the image of `uid`, empty, where there is none, and locks it.
    pub(super) fn create(dir: &OwnedFd, uid: u32) -> Result<Self> {
        let name = format!("{uid}.img");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(cannot("create the volume's image"))?;
        rustix::fs::fsync(dir).map_err(cannot("create the volume's image"))?;
        Self::lock(fd, name)
    }

    fn lock(fd: OwnedFd, name: String) -> Result<Self> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(Errno::WOULDBLOCK) => return Err(busy()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(cannot("lock the volume's image")(errno)),
            }
        }
        let stat = rustix::fs::fstat(&fd).map_err(cannot("look at the volume's image"))?;
        require_private(&stat)?;
        Ok(Self { fd, stat, name })
    }

    /// The same file opened once more, for the loop driver to keep: it must not keep the lock.
    pub(super) fn reopen(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(ProcFd::of(&self.fd).to_string(), flags, Mode::empty())
            .map_err(cannot("open the volume's image again"))
    }

    fn id(&self) -> Result<FileId> {
        let flags = StatxFlags::INO | StatxFlags::BTIME;
        let answer = statx(&self.fd, "", AtFlags::EMPTY_PATH, flags)
            .map_err(cannot("look at the volume's image"))?;
        Ok(FileId {
            inode: answer.stx_ino,
            born_seconds: answer.stx_btime.tv_sec,
            born_nanoseconds: answer.stx_btime.tv_nsec,
        })
    }

    fn length(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(cannot("look at the volume's image"))?;
        u64::try_from(stat.st_size).map_err(|_| bad_image("the image has no length".to_owned()))
    }

    /// Sees to it that the image holds a sound file system of the wanted kind; true when it was
    /// made now.
    pub(super) fn ensure_filesystem(&self, dir: &OwnedFd, wanted: &MountLoop) -> Result<bool> {
        let uid = wanted.place.uid;
        let record = record::read(dir, uid)?;
        let id = self.id()?;
        if let Some(record) = &record {
            self.require_length(record)?;
        }
        let same_file = record.as_ref().is_some_and(|record| record.image == id);
        let contents = contents::read(&self.fd)?;
        match decide::decide(
            record.as_ref(),
            same_file,
            &contents,
            wanted.fs,
            wanted.may_format,
        )? {
            Step::Use => self.check(wanted.fs)?,
            Step::Adopt { uuid } => {
                self.check(wanted.fs)?;
                let record = self.record(State::Formatted, wanted.fs, uuid)?;
                record::write(dir, uid, &record)?;
            }
            Step::Format { wipe } => {
                self.format(dir, wanted, wipe)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A cut image reads as a blank or broken one.
    fn require_length(&self, record: &Record) -> Result<()> {
        let length = self.length()?;
        if record.state == State::Intended || length >= record.size {
            return Ok(());
        }
        let message = format!("the image has {length} bytes and had {} once", record.size);
        Err(Failure::new(FailureReason::SizeDiffers, message)
            .with_hint("ask the administrator to restore the image"))
    }

    fn record(&self, state: State, fs: FileSystem, uuid: String) -> Result<Record> {
        Ok(Record {
            version: record::VERSION,
            state,
            fs,
            uuid,
            size: self.length()?,
            image: self.id()?,
        })
    }

    /// Makes the file system. The intent is on the disk before the first byte is written, so a
    /// kill at any point leaves a blank image, or one that is known to be half made, or a volume.
    fn format(&self, dir: &OwnedFd, wanted: &MountLoop, wipe: bool) -> Result<()> {
        let uid = wanted.place.uid;
        let uuid = contents::new_uuid()?;
        let intent = self.record(State::Intended, wanted.fs, uuid.clone())?;
        record::write(dir, uid, &intent)?;
        let resize = |length| {
            rustix::fs::ftruncate(&self.fd, length).map_err(cannot("resize the volume's image"))
        };
        let size = wanted.size / BLOCK * BLOCK;
        if wipe {
            resize(0)?;
        }
        // A blank image that the administrator made larger stays so.
        resize(self.length()?.max(size))?;
        self.make(wanted.fs, &uuid)?;
        rustix::fs::fsync(&self.fd).map_err(cannot("write the volume's image"))?;
        let made = Contents::Known {
            fs: wanted.fs,
            uuid: uuid.clone(),
        };
        if contents::read(&self.fd)? != made {
            let message = "mkfs reported success but the file system is not there";
            return Err(Failure::new(FailureReason::MkfsFailed, message));
        }
        record::write(dir, uid, &self.record(State::Formatted, wanted.fs, uuid)?)
    }

    fn make(&self, fs: FileSystem, uuid: &str) -> Result<()> {
        let xfs_uuid = format!("uuid={uuid}");
        let (name, args): (_, &[&str]) = match fs {
            FileSystem::Ext4 => (
                "mkfs.ext4",
                &[
                    "-q",
                    "-m",
                    "0",
                    "-U",
                    uuid,
                    "-E",
                    "root_owner=0:0",
                    tool::IMAGE,
                ],
            ),
            FileSystem::Xfs => ("mkfs.xfs", &["-q", "-m", &xfs_uuid, tool::IMAGE]),
        };
        let ended = tool::run(name, args, &self.fd, MKFS_LIMIT)?;
        if ended.code == Some(0) {
            return Ok(());
        }
        let message = format!("{name} failed: {}", ended.output);
        Err(Failure::new(FailureReason::MkfsFailed, message))
    }

    /// Repairs what is safe to repair. XFS needs no check: the kernel replays its log.
    fn check(&self, fs: FileSystem) -> Result<()> {
        if fs == FileSystem::Xfs {
            return Ok(());
        }
        let ended = tool::run("e2fsck", &["-p", tool::IMAGE], &self.fd, FSCK_LIMIT)?;
        // e2fsck(8): 1 and 2 are bits for "errors corrected"; from 4 on errors are left.
        if ended.code.is_some_and(|code| (0..4).contains(&code)) {
            return Ok(());
        }
        let message = format!("the volume's file system is damaged: {}", ended.output);
        Err(Failure::new(FailureReason::FilesystemDamaged, message)
            .with_hint("ask the administrator to run e2fsck on the image, or to restore it"))
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

fn bad_image(message: String) -> Failure {
    Failure::new(FailureReason::BadImage, message)
}

fn busy() -> Failure {
    let message = "another operation on this volume is running";
    Failure::new(FailureReason::Busy, message).with_hint("wait a moment, then run it again")
}
