//! What the worker remembers of a volume: which file system it was about to make, or made, in it.
//! A volume that was formatted once is never formatted again.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::wire::{Failure, FailureReason, FileSystem};
use super::{Result, cannot};
use crate::safe_path::{Cross, Problem, open_at};

/// The longest record that is read, bytes.
const MAX_RECORD: u64 = 4096;

/// How far the making of a file system went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It was about to be made in a blank image, and was never mounted.
    Intended,
    /// It was made, or found, and may have been mounted.
    Formatted,
}

/// One file as nothing else can be it: inode numbers are used again, with another time of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileId {
    pub(super) inode: u64,
    pub(super) born_seconds: i64,
    pub(super) born_nanoseconds: u32,
}

/// `<uid>.json` beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) state: State,
    pub(super) fs: FileSystem,
    /// UUID of the file system, lower case with dashes.
    pub(super) uuid: String,
    /// Length of the image, bytes.
    pub(super) size: u64,
    /// The image at the time of writing.
    pub(super) image: FileId,
}

pub(super) const VERSION: u32 = 1;

/// Reads the record of `uid`; `None` where there is none.
pub(super) fn read(dir: &OwnedFd, uid: u32) -> Result<Option<Record>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = match open_at(dir, OsStr::new(&name(uid)), flags, Cross::Nothing) {
        Err(Problem::Missing) => return Ok(None),
        Err(problem) => return Err(unreadable(uid, &problem)),
        Ok(fd) => fd,
    };
    let mut text = String::new();
    let file = std::fs::File::from(fd);
    let length = file.take(MAX_RECORD + 1).read_to_string(&mut text);
    match length {
        Err(error) => Err(unreadable(uid, &error)),
        Ok(length) if length as u64 > MAX_RECORD => Err(unreadable(uid, &"it is too long")),
        Ok(_) => parse(&text).map(Some).map_err(|why| unreadable(uid, &why)),
    }
}

fn parse(text: &str) -> std::result::Result<Record, String> {
    let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if record.version == VERSION {
        return Ok(record);
    }
    Err(format!("it has version {}, not {VERSION}", record.version))
}

/// Replaces the record of `uid`; on return it is on the disk, whole.
pub(super) fn write(dir: &OwnedFd, uid: u32, record: &Record) -> Result<()> {
    let failed = cannot("write the volume's record");
    let io = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let (name, new) = (name(uid), format!("{}.new", name(uid)));
    let text = serde_json::to_string(record).map_err(|error| io(error.into()))?;
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let fd = rustix::fs::openat(dir, &new, flags, mode).map_err(&failed)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    rustix::fs::renameat(dir, &new, dir, &name).map_err(&failed)?;
    rustix::fs::fsync(dir).map_err(&failed)
}

fn name(uid: u32) -> String {
    format!("{uid}.json")
}

fn unreadable(uid: u32, why: &dyn std::fmt::Display) -> Failure {
    let message = format!(
        "the record {} of the volume cannot be read: {why}",
        name(uid)
    );
    Failure::new(FailureReason::BadImage, message)
        .with_hint("ask the administrator to restore the record beside the volume's image")
}
