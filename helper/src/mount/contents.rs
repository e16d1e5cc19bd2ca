//! What is in a volume, judged by its own bytes: no tool's silence is evidence of a blank one, and
//! any read error is a refusal.

use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::signature::{self, Signature, Superblock};
use super::wire::{Error, ErrorReason, FileSystem};
use super::{Result, cannot};

/// So much of each end is always read.
const END: u64 = 16 << 20;
/// A disk up to this size is read as a whole before it is called blank.
const WHOLE: u64 = 4 << 30;
const CHUNK: u64 = 1 << 20;
/// Groups that hold a copy of ext4's superblock whatever its features (`sparse_super`): the first,
/// and powers of 3, 5 and 7.
const BACKUP_GROUPS: [u64; 8] = [1, 3, 5, 7, 9, 25, 27, 49];

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// Every byte that was looked at is zero.
    Blank,
    /// One sound file system of a known kind.
    Known(Superblock),
    /// A file system whose superblock is damaged.
    Damaged(FileSystem),
    /// Anything else, as a noun phrase.
    Other(String),
}

/// How a volume is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file: its holes are known to be zeros.
    File,
    /// A block device: what is not read is not known.
    Disk,
}

/// Reads what a volume of `length` bytes holds: both ends, and where no signature is, all of a file
/// or a small disk, and of a large disk the places where a lost ext4 leaves copies.
pub(super) fn read(volume: &OwnedFd, kind: Kind, length: u64) -> Result<Contents> {
    let end = END.min(length);
    let head = read_exactly(volume, 0, end)?;
    let tail = read_exactly(volume, length - end, end)?;
    let found = signature::look(&head, &tail, length);
    Ok(match found {
        Signature::Sound(superblock) => Contents::Known(superblock),
        Signature::Damaged { fs } => Contents::Damaged(fs),
        Signature::Foreign { what, offset } => Contents::Other(format!("{what} (at {offset})")),
        Signature::None => {
            let data = match first_byte(&head).or(first_byte(&tail).map(|at| length - end + at)) {
                Some(offset) => Some(offset),
                None => first_data_between(volume, kind, length)?,
            };
            match data {
                Some(offset) => Contents::Other(format!("unknown data (at {offset})")),
                None => Contents::Blank,
            }
        }
    })
}

/// Offset of the first byte that is not zero, behind the head that was looked at already.
fn first_data_between(volume: &OwnedFd, kind: Kind, length: u64) -> Result<Option<u64>> {
    match kind {
        Kind::File => first_data_of_file(volume, length),
        Kind::Disk if length <= WHOLE => first_data_in(volume, END.min(length), length),
        Kind::Disk => {
            for offset in backups() {
                let until = (offset + CHUNK).min(length);
                let found = first_data_in(volume, offset.min(until), until)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        }
    }
}

/// Where ext4 keeps copies of its superblock, for blocks of 1, 2 and 4 KiB.
fn backups() -> impl Iterator<Item = u64> {
    [1024_u64, 2048, 4096].into_iter().flat_map(|block| {
        let group = 8 * block * block;
        let first = if block == 1024 { block } else { 0 };
        BACKUP_GROUPS
            .into_iter()
            .map(move |number| number * group + first)
    })
}

fn first_data_of_file(file: &OwnedFd, length: u64) -> Result<Option<u64>> {
    let mut offset = 0;
    while offset < length {
        offset = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            // No data from here to the end.
            Err(Errno::NXIO) => return Ok(None),
            other => other.map_err(|errno| unreadable(offset, &errno))?,
        };
        let until = (offset + CHUNK).min(length);
        let found = first_data_in(file, offset.min(until), until)?;
        if found.is_some() {
            return Ok(found);
        }
        offset = until;
    }
    Ok(None)
}

fn first_data_in(volume: &OwnedFd, mut offset: u64, until: u64) -> Result<Option<u64>> {
    while offset < until {
        let length = CHUNK.min(until - offset);
        let bytes = read_exactly(volume, offset, length)?;
        if let Some(at) = first_byte(&bytes) {
            return Ok(Some(offset + at));
        }
        offset += length;
    }
    Ok(None)
}

fn first_byte(bytes: &[u8]) -> Option<u64> {
    const ZEROS: [u8; 4096] = [0; 4096];
    // Whole pieces are compared at once: nearly all of them are zeros.
    let piece = bytes
        .chunks(ZEROS.len())
        .position(|piece| ZEROS.get(..piece.len()) != Some(piece))?;
    let start = piece * ZEROS.len();
    let at = bytes.get(start..)?.iter().position(|byte| *byte != 0)?;
    u64::try_from(start + at).ok()
}

/// Reads `length` bytes; fewer are an error.
fn read_exactly(volume: &OwnedFd, offset: u64, length: u64) -> Result<Vec<u8>> {
    let room = usize::try_from(length).map_err(|_| unreadable(offset, &"too much at once"))?;
    let mut bytes = vec![0; room];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let here = offset + filled as u64;
        match rustix::io::pread(volume, rest, here) {
            Ok(0) => return Err(unreadable(here, &"it ends there")),
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(unreadable(here, &errno)),
        }
    }
    Ok(bytes)
}

fn unreadable(offset: u64, why: &dyn std::fmt::Display) -> Error {
    let message =
        format!("the volume cannot be read at offset {offset}: {why}; nothing was written");
    Error::new(ErrorReason::Unreadable, message)
        .with_hint("ask the administrator to check the kernel's log")
}

/// The file system that is on a mounted device, as far as its superblock tells while it is in use.
pub(super) fn mounted_superblock(device: &OwnedFd) -> Result<Option<Superblock>> {
    let head = read_exactly(device, 0, 64 << 10)?;
    Ok(match signature::look(&head, &[], 0) {
        Signature::Sound(superblock) => Some(superblock),
        _ => None,
    })
}

/// Writes zeros over every place that [`read`] looks at on a large disk.
pub(super) fn wipe(volume: &OwnedFd, length: u64) -> Result<()> {
    let end = END.min(length);
    zero(volume, 0, end)?;
    zero(volume, length - end, length)?;
    for offset in backups() {
        zero(volume, offset.min(length), (offset + CHUNK).min(length))?;
    }
    rustix::fs::fsync(volume).map_err(cannot("wipe the remains of an interrupted mkfs"))
}

fn zero(volume: &OwnedFd, mut offset: u64, until: u64) -> Result<()> {
    let zeros = vec![0; 1 << 20];
    while offset < until {
        let length = usize::try_from(until - offset).map_or(zeros.len(), |l| l.min(zeros.len()));
        let written = rustix::io::pwrite(volume, zeros.get(..length).unwrap_or_default(), offset)
            .map_err(cannot("wipe the remains of an interrupted mkfs"))?;
        offset += written as u64;
    }
    Ok(())
}

/// A new random UUID, from the kernel.
pub(super) fn new_uuid() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(cannot("get a random UUID"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const SIZE: u64 = 64 << 20;

    fn image(size: u64, writes: &[(u64, &[u8])]) -> OwnedFd {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in writes {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file.into()
    }

    #[test]
    fn zeros_are_blank_whether_they_are_stored_or_not() {
        for kind in [Kind::File, Kind::Disk] {
            assert_eq!(read(&image(0, &[]), kind, 0).unwrap(), Contents::Blank);
            let sparse = image(SIZE, &[]);
            assert_eq!(read(&sparse, kind, SIZE).unwrap(), Contents::Blank);
            let stored = image(SIZE, &[(1 << 20, &[0; 8192])]);
            assert_eq!(read(&stored, kind, SIZE).unwrap(), Contents::Blank);
        }
    }

    #[test]
    fn one_byte_anywhere_is_not_blank() {
        for kind in [Kind::File, Kind::Disk] {
            for offset in [0, 510, 4095, 4096, 1 << 20, (40 << 20) + 77, SIZE - 1] {
                let contents = read(&image(SIZE, &[(offset, &[1])]), kind, SIZE).unwrap();
                let text = format!("unknown data (at {offset})");
                assert_eq!(contents, Contents::Other(text));
            }
        }
    }

    #[test]
    fn a_large_disk_is_read_at_both_ends_and_where_ext4_keeps_copies() {
        let size = 8 << 30;
        for offset in [0, END - 1, size - END, size - 1, 32768 * 4096, 8193 * 1024] {
            let disk = image(size, &[(offset, &[1])]);
            let contents = read(&disk, Kind::Disk, size).unwrap();
            assert_ne!(contents, Contents::Blank, "{offset}");
        }
    }

    #[test]
    fn what_is_wiped_reads_as_blank() {
        let size = 8 << 30;
        let disk = image(size, &[(5, &[1]), (size - 5, &[1]), (32768 * 4096, &[1])]);
        wipe(&disk, size).unwrap();
        assert_eq!(read(&disk, Kind::Disk, size).unwrap(), Contents::Blank);
    }

    #[test]
    fn an_unreadable_image_is_refused_not_blank() {
        let write_only = std::fs::OpenOptions::new().write(true).open("/dev/null");
        let failure = read(&write_only.unwrap().into(), Kind::File, 4096).unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Unreadable);
    }

    #[test]
    fn a_volume_that_ends_too_early_is_refused_not_blank() {
        let failure = read(&image(SIZE, &[]), Kind::Disk, SIZE + 1).unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Unreadable);
    }
}
