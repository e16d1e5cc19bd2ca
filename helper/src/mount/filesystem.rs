//! Seeing to it that a medium holds a sound file system of the wanted kind, the same way for every
//! kind of medium.

use std::time::Duration;

use super::contents::{self, Contents};
use super::decide::{self, Facts, Step, decide};
use super::medium::Medium;
use super::record::{self, Record, State, Store};
use super::signature::Superblock;
use super::tool::{self, VOLUME};
use super::wire::{Error, ErrorReason, FileSystem, Mount, Source};
use super::{Result, cannot, probe};

const MKFS_LIMIT: Duration = Duration::from_mins(2);
/// Replaying a journal takes seconds; a full check of a large volume takes this long.
const FSCK_LIMIT: Duration = Duration::from_mins(10);

/// A medium that can be mounted.
#[derive(Debug)]
pub(super) struct Ready {
    /// True when the file system was made now.
    pub(super) formatted: bool,
    /// What is known of the file system.
    pub(super) superblock: Superblock,
    /// What deserves a look.
    pub(super) warnings: Vec<String>,
}

/// Uses what is there, or makes the file system where that is surely harmless.
pub(super) fn ensure(store: &Store, medium: &Medium, wanted: &Mount) -> Result<Ready> {
    let record = store.read()?;
    let length = medium.length()?;
    if let Some(record) = &record {
        require_length(record, length)?;
    }
    let seen = medium.seen()?;
    let contents = medium.contents()?;
    let step = decide(&Facts {
        record: record.as_ref(),
        same_medium: record.as_ref().is_some_and(|record| record.seen == seen),
        contents: &contents,
        uid: wanted.volume.place.uid,
        fs: wanted.fs,
        pinned: match &wanted.volume.source {
            Source::Disk(disk) => disk.uuid.as_deref(),
            Source::Loop { .. } => None,
        },
        may_format: wanted.may_format,
    })?;
    if let Step::Format { wipe } = step {
        // A new image is empty to the last byte, and the tools read no file without bytes.
        if !wipe && length > 0 {
            probe::require_agreement(medium.fd(), &contents)?;
        }
        return make(store, medium, wanted, wipe);
    }
    let Contents::Known(superblock) = contents else {
        // Every other step is about a file system that was found.
        return Err(decide::no_formatting());
    };
    require_room(&superblock, length)?;
    let found = Contents::Known(superblock.clone());
    probe::require_agreement(medium.fd(), &found)?;
    let adopted = matches!(step, Step::Adopt { .. });
    if adopted && store.knows_elsewhere(&superblock.uuid)? {
        return Err(decide::a_copy(&superblock.uuid));
    }
    let warnings = check(medium, wanted.fs)?;
    if adopted {
        let uuid = superblock.uuid.clone();
        store.write(&new_record(medium, wanted, State::Formatted, uuid)?)?;
    }
    Ok(Ready {
        formatted: false,
        superblock,
        warnings,
    })
}

/// A cut volume reads as a blank or broken one.
fn require_length(record: &Record, length: u64) -> Result<()> {
    if record.state == State::Intended || length >= record.size {
        return Ok(());
    }
    let message = format!(
        "the volume has {length} bytes, but had {} before",
        record.size
    );
    Err(Error::new(ErrorReason::SizeDiffers, message)
        .with_hint("ask the administrator to restore the volume"))
}

fn require_room(superblock: &Superblock, length: u64) -> Result<()> {
    let bytes = superblock.bytes();
    if bytes <= length {
        return Ok(());
    }
    let message = format!("the file system has {bytes} bytes, but the volume only {length}");
    Err(Error::new(ErrorReason::SizeDiffers, message)
        .with_hint("ask the administrator to restore the volume"))
}

fn new_record(medium: &Medium, wanted: &Mount, state: State, uuid: String) -> Result<Record> {
    Ok(Record {
        version: record::VERSION,
        state,
        fs: wanted.fs,
        uuid,
        size: medium.length()?,
        uid: Some(wanted.volume.place.uid),
        seen: medium.seen()?,
    })
}

/// Makes the file system. The intent is on the disk before the first byte is written, so a kill at
/// any point leaves a blank volume, or one that is known to be half made, or a volume.
fn make(store: &Store, medium: &Medium, wanted: &Mount, remains: bool) -> Result<Ready> {
    let uuid = contents::new_uuid()?;
    store.write(&new_record(medium, wanted, State::Intended, uuid.clone())?)?;
    medium.clear(&wanted.volume.source, remains)?;
    run_mkfs(medium, wanted.fs, &uuid)?;
    rustix::fs::fsync(medium.fd()).map_err(cannot("write the new file system"))?;
    match medium.contents()? {
        Contents::Known(superblock) if superblock.fs == wanted.fs && superblock.uuid == uuid => {
            store.write(&new_record(medium, wanted, State::Formatted, uuid)?)?;
            Ok(Ready {
                formatted: true,
                superblock,
                warnings: Vec::new(),
            })
        }
        _ => {
            let message = "mkfs reported success, but there is no file system";
            Err(Error::new(ErrorReason::MkfsFailed, message))
        }
    }
}

fn run_mkfs(medium: &Medium, fs: FileSystem, uuid: &str) -> Result<()> {
    let xfs_uuid = format!("uuid={uuid}");
    // Without -f, mkfs.xfs refuses what holds anything: one more guard.
    let (name, args): (_, &[&str]) = match fs {
        FileSystem::Ext4 => (
            "mkfs.ext4",
            &["-q", "-m", "0", "-U", uuid, "-E", "root_owner=0:0", VOLUME],
        ),
        FileSystem::Xfs => ("mkfs.xfs", &["-q", "-m", &xfs_uuid, VOLUME]),
    };
    let ended = tool::run(name, args, medium.fd(), MKFS_LIMIT)?;
    if ended.code == Some(0) {
        return Ok(());
    }
    let message = format!("{name} failed: {}", ended.output);
    Err(Error::new(ErrorReason::MkfsFailed, message))
}

/// Repairs what is safe to repair. XFS needs no check: the kernel replays its log.
fn check(medium: &Medium, fs: FileSystem) -> Result<Vec<String>> {
    if fs == FileSystem::Xfs {
        return Ok(Vec::new());
    }
    let ended = tool::run("e2fsck", &["-p", VOLUME], medium.fd(), FSCK_LIMIT)?;
    // e2fsck(8): 1 is "errors corrected", 2 is "corrected, restart the system"; from 4 on errors
    // are left.
    match ended.code {
        Some(0) => Ok(Vec::new()),
        Some(1) => Ok(vec![format!(
            "e2fsck repaired the file system: {}",
            ended.output
        )]),
        Some(2 | 3) => Ok(vec![format!(
            "e2fsck repaired the file system and requires a reboot: {}",
            ended.output
        )]),
        _ => {
            let message = format!("the volume's file system is damaged: {}", ended.output);
            Err(Error::new(ErrorReason::FilesystemDamaged, message)
                .with_hint("ask the administrator to run e2fsck on the volume, or to restore it"))
        }
    }
}
