//! What is in an image, judged by its own bytes: no tool's silence is evidence of a blank volume,
//! and any read error is a refusal.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::wire::{Failure, FailureReason, FileSystem};
use super::{Result, cannot};

/// Where ext4's superblock is, and its magic and UUID in it (ext4 disk layout).
const EXT4_MAGIC: (usize, &[u8]) = (0x438, &[0x53, 0xEF]);
const EXT4_UUID: usize = 0x468;
/// XFS's magic and UUID (XFS on-disk format, `xfs_dsb`).
const XFS_MAGIC: (usize, &[u8]) = (0, b"XFSB");
const XFS_UUID: usize = 32;
/// As much as the superblocks above reach into.
const HEAD: usize = 4096;
const CHUNK: usize = 1 << 20;

/// What an image holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// Every byte is zero.
    Blank,
    /// The superblock of one file system that is known here.
    Known {
        /// Which.
        fs: FileSystem,
        /// Its UUID, lower case with dashes.
        uuid: String,
    },
    /// Anything else.
    Other,
}

/// Reads what the image holds: its head, then, where no superblock is, all of its data.
pub(super) fn read(image: &OwnedFd) -> Result<Contents> {
    let mut head = vec![0; HEAD];
    let length = read_at(image, &mut head, 0)?;
    head.truncate(length);
    match (
        known(&head, EXT4_MAGIC, EXT4_UUID),
        known(&head, XFS_MAGIC, XFS_UUID),
    ) {
        (Some(uuid), None) => Ok(Contents::Known {
            fs: FileSystem::Ext4,
            uuid,
        }),
        (None, Some(uuid)) => Ok(Contents::Known {
            fs: FileSystem::Xfs,
            uuid,
        }),
        (None, None) if all_zero(image)? => Ok(Contents::Blank),
        _ => Ok(Contents::Other),
    }
}

fn known(head: &[u8], (offset, magic): (usize, &[u8]), uuid: usize) -> Option<String> {
    let found = head.get(offset..)?.starts_with(magic);
    let uuid = head.get(uuid..uuid + 16)?;
    found.then(|| uuid_text(uuid))
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// True when the file has no byte but zeros. Holes are skipped, so a sparse image costs nothing.
fn all_zero(image: &OwnedFd) -> Result<bool> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        offset = match rustix::fs::seek(image, SeekFrom::Data(offset)) {
            // No data from here to the end.
            Err(Errno::NXIO) => return Ok(true),
            other => other.map_err(|errno| unreadable(offset, errno))?,
        };
        let length = read_at(image, &mut buffer, offset)?;
        if length == 0 {
            return Ok(true);
        }
        if buffer.iter().take(length).any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += length as u64;
    }
}

/// Fills `buffer` from `offset`, up to the end of the file.
fn read_at(image: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let here = offset + filled as u64;
        match rustix::io::pread(image, rest, here) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(unreadable(here, errno)),
        }
    }
    Ok(filled)
}

fn unreadable(offset: u64, errno: Errno) -> Failure {
    let message = format!("the volume's image cannot be read at offset {offset}: {errno}");
    Failure::new(FailureReason::BadImage, message)
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
        assert_eq!(read(&image(0, &[])).unwrap(), Contents::Blank);
        assert_eq!(read(&image(64 << 20, &[])).unwrap(), Contents::Blank);
        let stored = image(64 << 20, &[(1 << 20, &[0; 8192])]);
        assert_eq!(read(&stored).unwrap(), Contents::Blank);
    }

    #[test]
    fn one_byte_anywhere_is_not_blank() {
        let last = (64 << 20) - 1;
        for offset in [0, 510, 4095, 4096, 1 << 20, (40 << 20) + 77, last] {
            let contents = read(&image(64 << 20, &[(offset, &[1])])).unwrap();
            assert_eq!(contents, Contents::Other, "{offset}");
        }
    }

    #[test]
    fn superblocks_are_told_by_magic_and_two_of_them_are_none() {
        let uuid: Vec<u8> = (0..16).collect();
        let text = "00010203-0405-0607-0809-0a0b0c0d0e0f".to_owned();
        let ext4: [(u64, &[u8]); 2] = [(0x438, &[0x53, 0xEF]), (0x468, &uuid)];
        let xfs: [(u64, &[u8]); 2] = [(0, b"XFSB"), (32, &uuid)];
        let of = |fs| Contents::Known {
            fs,
            uuid: text.clone(),
        };
        assert_eq!(read(&image(1 << 20, &ext4)).unwrap(), of(FileSystem::Ext4));
        assert_eq!(read(&image(1 << 20, &xfs)).unwrap(), of(FileSystem::Xfs));
        let both = [ext4, xfs].concat();
        assert_eq!(read(&image(1 << 20, &both)).unwrap(), Contents::Other);
    }

    #[test]
    fn an_unreadable_image_is_refused_not_blank() {
        let write_only = std::fs::OpenOptions::new().write(true).open("/dev/null");
        let failure = read(&write_only.unwrap().into()).unwrap_err();
        assert_eq!(failure.reason, FailureReason::BadImage);
    }
}
