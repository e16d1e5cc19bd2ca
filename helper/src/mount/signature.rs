//! What bytes at the start and the end of a volume say about it. Pure: bytes in, one judgement out.

use std::fmt::Write as _;

use super::wire::FileSystem;

/// The superblock of a sound file system that is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Which file system.
    pub fs: FileSystem,
    /// Its UUID, lower case with dashes.
    pub uuid: String,
    /// Its blocks are so large, bytes.
    pub block: u64,
    /// It has so many blocks.
    pub blocks: u64,
}

impl Superblock {
    /// Bytes that the file system takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block)
    }
}

/// What the two ends of a volume say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// No magic number that is known here.
    None,
    /// One file system, whose superblock agrees with itself.
    Sound(Superblock),
    /// One file system, whose superblock does not agree with itself.
    Damaged {
        /// Which file system.
        fs: FileSystem,
    },
    /// Anything else that has a magic number, or several at once.
    Foreign {
        /// What it is.
        what: &'static str,
        /// Where its magic number is, bytes from the start of the volume.
        offset: u64,
    },
}

/// ext4's superblock (ext4 disk layout, "The Super Block").
const EXT4_BLOCK: usize = 1024;
const EXT4_LENGTH: usize = 1024;
/// XFS's superblock (XFS on-disk format, `xfs_dsb`) is at the start.
const XFS_MAGIC: &[u8] = b"XFSB";
const EXT4_MAGIC: (usize, &[u8]) = (EXT4_BLOCK + 56, &[0x53, 0xEF]);

/// Magic numbers at a fixed distance from the start.
const AT_START: [(&str, usize, &[u8]); 15] = [
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("LUKS", 0x4000, b"SKUL\xba\xbe"),
    ("LVM2", 0, b"LABELONE"),
    ("LVM2", 512, b"LABELONE"),
    ("LVM2", 1024, b"LABELONE"),
    ("LVM2", 1536, b"LABELONE"),
    ("md RAID", 0, MD),
    ("md RAID", 4096, MD),
    ("swap", 4096 - 10, b"SWAPSPACE2"),
    ("swap", 4096 - 10, b"SWAP-SPACE"),
    ("btrfs", 0x1_0040, b"_BHRfS_M"),
    ("a GPT partition table", 512, GPT),
    ("a GPT partition table", 4096, GPT),
    ("an MBR partition table", 510, &[0x55, 0xAA]),
    ("ZFS", 0x2_0000, &[0x0c, 0xb1, 0xba, 0x00]),
];
const MD: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
const GPT: &[u8] = b"EFI PART";

/// Looks at the first and the last bytes of a volume of `length` bytes. The two may overlap.
#[must_use]
pub fn look(head: &[u8], tail: &[u8], length: u64) -> Signature {
    let foreign = foreign(head, tail, length);
    let ext4 = has(head, EXT4_MAGIC.0, EXT4_MAGIC.1);
    let xfs = has(head, 0, XFS_MAGIC);
    match (ext4, xfs, foreign) {
        (false, false, None) => Signature::None,
        (true, false, None) => valid_or_damaged(FileSystem::Ext4, ext4_superblock(head)),
        (false, true, None) => valid_or_damaged(FileSystem::Xfs, xfs_superblock(head)),
        (false, false, Some((what, offset))) => Signature::Foreign { what, offset },
        (true, true, None) => Signature::Foreign {
            what: "both an XFS and an ext4 file system",
            offset: 0,
        },
        (_, _, Some((_, offset))) => Signature::Foreign {
            what: "a file system and something else",
            offset,
        },
    }
}

fn valid_or_damaged(fs: FileSystem, superblock: Option<Superblock>) -> Signature {
    superblock.map_or(Signature::Damaged { fs }, Signature::Sound)
}

fn has(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    bytes
        .get(offset..)
        .is_some_and(|rest| rest.starts_with(magic))
}

fn foreign(head: &[u8], tail: &[u8], length: u64) -> Option<(&'static str, u64)> {
    for (what, offset, magic) in AT_START {
        if has(head, offset, magic) {
            return Some((what, offset as u64));
        }
    }
    let start = length.checked_sub(tail.len() as u64)?;
    for (what, offset, magic) in at_end(length) {
        let inside = offset
            .and_then(|offset| offset.checked_sub(start))
            .and_then(|inside| usize::try_from(inside).ok());
        if let (Some(inside), Some(offset)) = (inside, offset)
            && has(tail, inside, magic)
        {
            return Some((what, offset));
        }
    }
    None
}

/// Magic numbers whose place follows from the length (UEFI 5.3.2; Linux `md_p.h`).
fn at_end(length: u64) -> [(&'static str, Option<u64>, &'static [u8]); 4] {
    let back = |bytes| length.checked_sub(bytes);
    [
        ("the backup of a GPT partition table", back(512), GPT),
        ("the backup of a GPT partition table", back(4096), GPT),
        ("md RAID", back(8192).map(|at| at & !4095), MD),
        ("md RAID", (length & !0xFFFF).checked_sub(0x1_0000), MD),
    ]
}

fn ext4_superblock(head: &[u8]) -> Option<Superblock> {
    let block = head.get(EXT4_BLOCK..EXT4_BLOCK + EXT4_LENGTH)?;
    let number = |offset| little(block, offset);
    let metadata_csum = number(100)? & 0x400 != 0;
    let sum = crc32c(u32::MAX, block.get(..1020)?);
    if metadata_csum && u64::from(sum) != number(1020)? {
        return None;
    }
    let large = number(96)? & 0x80 != 0;
    let high = if large { number(336)? } else { 0 };
    let size = 1024_u64.checked_shl(u32::try_from(number(24)?).ok()?)?;
    let superblock = Superblock {
        fs: FileSystem::Ext4,
        uuid: uuid_text(block.get(104..120)?),
        block: size,
        blocks: high << 32 | number(4)?,
    };
    ((1024..=65536).contains(&size) && superblock.blocks > 0).then_some(superblock)
}

fn xfs_superblock(head: &[u8]) -> Option<Superblock> {
    let version = big(head, 100, 2)? & 0xF;
    let sector = usize::try_from(big(head, 102, 2)?).ok()?;
    let block = big(head, 4, 4)?;
    let powers = sector.is_power_of_two() && block.is_power_of_two();
    if !powers || !(512..=32768).contains(&sector) || !(512..=65536).contains(&block) {
        return None;
    }
    // Version 5 has a checksum over the sector, taken with zeros in its own place.
    if version == 5 {
        let before = crc32c(u32::MAX, head.get(..224)?);
        let zeros = crc32c(before, &[0; 4]);
        let sum = !crc32c(zeros, head.get(228..sector)?);
        if u64::from(sum) != little(head, 224)? {
            return None;
        }
    }
    // sb_inprogress: mkfs.xfs did not come to its end.
    let finished = head.get(126) == Some(&0);
    let superblock = Superblock {
        fs: FileSystem::Xfs,
        uuid: uuid_text(head.get(32..48)?),
        block,
        blocks: big(head, 8, 8)?,
    };
    (matches!(version, 4 | 5) && finished && superblock.blocks > 0).then_some(superblock)
}

fn little(bytes: &[u8], offset: usize) -> Option<u64> {
    let four: [u8; 4] = bytes.get(offset..)?.get(..4)?.try_into().ok()?;
    Some(u32::from_le_bytes(four).into())
}

fn big(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(offset..)?.get(..length)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

/// CRC-32C (Castagnoli), reflected, without the final inversion.
fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0x82F6_3B78 } else { 0 };
            sum >> 1 ^ carry
        })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 64 << 20;

    fn with(writes: &[(usize, &[u8])]) -> Signature {
        let mut head = vec![0; 1 << 20];
        for (offset, bytes) in writes {
            head[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        look(&head, &vec![0; 70_000], LENGTH)
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(!crc32c(u32::MAX, &[0; 32]), 0x8A91_36AA);
    }

    #[test]
    fn zeros_and_unknown_bytes_have_no_signature() {
        assert_eq!(with(&[]), Signature::None);
        assert_eq!(with(&[(0, b"somebody's data")]), Signature::None);
        assert_eq!(look(&[], &[], 0), Signature::None);
    }

    #[test]
    fn every_foreign_magic_is_seen_at_its_place() {
        for (what, offset, magic) in AT_START {
            let offset_there = offset as u64;
            let expected = Signature::Foreign {
                what,
                offset: offset_there,
            };
            assert_eq!(with(&[(offset, magic)]), expected, "{what} at {offset}");
        }
        for (what, offset, magic) in at_end(LENGTH) {
            let offset = offset.unwrap();
            let mut tail = vec![0; 200_000];
            let inside = usize::try_from(offset - (LENGTH - 200_000)).unwrap();
            tail[inside..inside + magic.len()].copy_from_slice(magic);
            let found = look(&[0; 4096], &tail, LENGTH);
            assert_eq!(found, Signature::Foreign { what, offset });
        }
    }

    #[test]
    fn a_magic_number_alone_is_no_file_system() {
        let ext4 = with(&[EXT4_MAGIC]);
        let fs = FileSystem::Ext4;
        assert!(matches!(ext4, Signature::Damaged { .. }), "{ext4:?} {fs:?}");
        let xfs = with(&[(0, XFS_MAGIC)]);
        let fs = FileSystem::Xfs;
        assert_eq!(xfs, Signature::Damaged { fs });
    }

    #[test]
    fn two_signatures_are_none_of_the_two() {
        let both = with(&[EXT4_MAGIC, (0, XFS_MAGIC)]);
        assert!(matches!(both, Signature::Foreign { .. }), "{both:?}");
        let labelled = with(&[EXT4_MAGIC, (512, b"LABELONE")]);
        assert!(matches!(labelled, Signature::Foreign { offset: 512, .. }));
    }
}
