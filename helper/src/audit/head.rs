//! `<daemon>.head`: where the chain stood a moment ago, kept beside the log. A log that was emptied
//! or cut while nobody watched ends before it.
//!
//! It is written after the records that it tells of, in place, as one block: it needs no room on a
//! full disk, and a kill leaves the one before, which is as true.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::chain::Head;
use super::files::HEAD;

/// Its length; what is left is filled with spaces. Within one sector, so that it changes as a whole.
const LENGTH: usize = 128;

pub(super) fn name(daemon: &str) -> String {
    format!("{daemon}{HEAD}")
}

/// Writes and syncs it.
pub(super) fn write(dir: &OwnedFd, daemon: &str, head: &Head) -> io::Result<()> {
    let mut text = serde_json::to_vec(head)?;
    text.resize(LENGTH.max(text.len() + 1) - 1, b' ');
    text.push(b'\n');
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = File::from(rustix::fs::openat(dir, name(daemon), flags, mode)?);
    file.write_all_at(&text, 0)?;
    file.sync_data()
}

/// `None` when there is none.
pub(super) fn read(dir: &OwnedFd, daemon: &str) -> io::Result<Option<Head>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name(daemon), flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => File::from(other?),
    };
    let mut text = [0; LENGTH];
    file.read_exact_at(&mut text, 0)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// What is wrong with a log that ends with `end`; `digest` is that of the record `saved.seq`, where
/// it was read.
pub(super) fn contradicts(saved: &Head, end: &Head, digest: Option<&str>) -> Option<String> {
    if saved.seq > end.seq {
        return Some(format!(
            "it ends with record {}, but its head file names record {}: the records in between were cut off",
            end.seq, saved.seq
        ));
    }
    digest
        .is_some_and(|digest| digest != saved.digest)
        .then(|| {
            format!(
                "record {} is not the one that its head file names: the log was rewritten",
                saved.seq
            )
        })
}
