//! Second opinions of blkid(8) and wipefs(8). They know more kinds of content than this crate, so
//! what they see counts; what they do not see counts for nothing (blkid says "nothing" of a device
//! that cannot be read). Any difference from what the worker read itself is a refusal.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Result;
use super::contents::Contents;
use super::tool::{self, Ended, VOLUME};
use super::wire::{Error, ErrorReason, FileSystem};

/// Both read a few places only.
const LIMIT: Duration = Duration::from_mins(1);

/// Refuses unless both tools see what `contents` says. Only blank and known volumes get this far.
pub(super) fn require_agreement(volume: &OwnedFd, contents: &Contents) -> Result<()> {
    let blkid = [
        "-p",
        "-c",
        "/dev/null",
        "-s",
        "TYPE",
        "-s",
        "PTTYPE",
        "-s",
        "UUID",
        "-o",
        "export",
        VOLUME,
    ];
    let blkid = tool::run("blkid", &blkid, volume, LIMIT)?;
    let wipefs = ["--noheadings", "--output", "OFFSET,TYPE", VOLUME];
    let wipefs = tool::run("wipefs", &wipefs, volume, LIMIT)?;
    if blkid_agrees(&blkid, contents) && wipefs_agrees(&wipefs, contents) {
        return Ok(());
    }
    let sees = |ended: &Ended| match ended.output.as_str() {
        "" => "nothing".to_owned(),
        text => format!("\"{text}\""),
    };
    let message = format!(
        "the content of the volume is ambiguous: {} by its bytes, {} by blkid, {} by wipefs; \
         nothing was written",
        describe(contents),
        sees(&blkid),
        sees(&wipefs)
    );
    Err(Error::new(ErrorReason::NotEmpty, message)
        .with_hint("ask the administrator to check the volume"))
}

fn describe(contents: &Contents) -> &'static str {
    match contents {
        Contents::Known(found) => found.fs.name(),
        Contents::Blank => "nothing",
        Contents::Damaged(_) | Contents::Other(_) => "unknown data",
    }
}

/// Code 0 and `KEY=VALUE` words, or code 2 and silence for nothing (blkid(8)).
fn blkid_agrees(blkid: &Ended, contents: &Contents) -> bool {
    let mut words: Vec<&str> = blkid.output.split(' ').collect();
    words.retain(|word| !word.is_empty() && !word.starts_with("DEVNAME="));
    words.sort_unstable();
    match contents {
        Contents::Blank => blkid.code == Some(2) && words.is_empty(),
        Contents::Known(found) => {
            let kind = format!("TYPE={}", found.fs.name());
            let uuid = format!("UUID={}", found.uuid);
            blkid.code == Some(0) && words == [kind.as_str(), uuid.as_str()]
        }
        Contents::Damaged(_) | Contents::Other(_) => false,
    }
}

/// One line for each signature: where it is and what it means.
fn wipefs_agrees(wipefs: &Ended, contents: &Contents) -> bool {
    let words: Vec<&str> = wipefs.output.split_whitespace().collect();
    let expected: &[&str] = match contents {
        Contents::Blank => &[],
        Contents::Known(found) if found.fs == FileSystem::Ext4 => &["0x438", "ext4"],
        Contents::Known(_) => &["0x0", "xfs"],
        Contents::Damaged(_) | Contents::Other(_) => return false,
    };
    wipefs.code == Some(0) && words == expected
}

#[cfg(test)]
mod tests {
    use super::super::signature::Superblock;
    use super::*;

    fn ended(code: i32, output: &str) -> Ended {
        Ended {
            code: Some(code),
            output: output.to_owned(),
        }
    }

    fn ext4() -> Contents {
        Contents::Known(Superblock {
            fs: FileSystem::Ext4,
            uuid: "u".to_owned(),
            block: 4096,
            blocks: 1,
        })
    }

    #[test]
    fn only_equal_decisions_agree() {
        let said = "DEVNAME=/proc/self/fd/0 UUID=u TYPE=ext4";
        assert!(blkid_agrees(&ended(0, said), &ext4()));
        assert!(blkid_agrees(&ended(2, ""), &Contents::Blank));
        for (code, output) in [
            (2, ""),
            (8, "blkid: ambivalent result"),
            (0, "DEVNAME=x UUID=u TYPE=ext3"),
            (0, "DEVNAME=x UUID=v TYPE=ext4"),
            (0, "DEVNAME=x UUID=u TYPE=ext4 PTTYPE=gpt"),
            (0, "DEVNAME=x UUID=u TYPE=LVM2_member"),
        ] {
            assert!(!blkid_agrees(&ended(code, output), &ext4()), "{output}");
        }
        for (code, output) in [(0, ""), (2, "error"), (0, said)] {
            assert!(!blkid_agrees(&ended(code, output), &Contents::Blank));
        }
        assert!(wipefs_agrees(&ended(0, "0x438 ext4"), &ext4()));
        assert!(wipefs_agrees(&ended(0, ""), &Contents::Blank));
        assert!(!wipefs_agrees(&ended(0, "0x438 ext4 0x1fe dos"), &ext4()));
        assert!(!wipefs_agrees(&ended(0, "0x1fe dos"), &Contents::Blank));
        assert!(!wipefs_agrees(&ended(1, ""), &Contents::Blank));
    }
}
