//! What the worker remembers of a volume: which file system it was about to make, or made, in it.
//! A volume that was formatted once is never formatted again.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use aistack_policy::DiskMatch;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::wire::{Error, ErrorReason, FileSystem, Place, Source, Volume};
use super::{Result, cannot};
use crate::hex::hex;
use crate::safe_path::{ComponentError, Cross, Missing, open_at, open_root_owned, open_to_read};

/// The longest record that is read, bytes.
const MAX_RECORD: u64 = 4096;

/// How far the making of a file system went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It was about to be made in a blank volume, and was never mounted.
    Intended,
    /// It was made, or found, and may have been mounted.
    Formatted,
}

/// The medium at the time of writing, as nothing else can be it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Seen {
    /// An image file.
    Image(FileId),
    /// A disk while it was attached.
    Disk(Attachment),
}

/// One file: inode numbers are used again, with another time of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileId {
    pub(super) inode: u64,
    pub(super) born_seconds: i64,
    pub(super) born_nanoseconds: u32,
}

/// One attachment of a disk: while it lasts nobody else can have written to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    /// The kernel's number of it (`diskseq`), counted again after a restart of the host.
    pub(super) sequence: u64,
    /// Which run of the host.
    pub(super) boot: String,
}

/// `<key>.json`; `<uid>.json` beside an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) state: State,
    pub(super) fs: FileSystem,
    /// UUID of the file system, lower case with dashes.
    pub(super) uuid: String,
    /// Length of the volume, bytes.
    pub(super) size: u64,
    /// Whose volume it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

pub(super) const VERSION: u32 = 1;

/// The directory of the records and images, root's alone, mode 0700, and which record is meant.
#[derive(Debug)]
pub(super) struct Store {
    dir: OwnedFd,
    key: String,
}

impl Store {
    /// Opens the directory, making it where it is missing.
    pub(super) fn open(volume: &Volume) -> Result<Self> {
        Ok(Self {
            dir: open_dir(&volume.place)?,
            key: key(volume),
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Reads the volume's record; `None` where there is none.
    pub(super) fn read(&self) -> Result<Option<Record>> {
        self.read_file(&format!("{}.json", self.key))
    }

    /// Replaces the volume's record; on return it is on the disk, whole.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        let failed = cannot("write the volume's record");
        let io = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let name = format!("{}.json", self.key);
        let new = format!("{name}.new");
        let text = serde_json::to_string(record).map_err(|error| io(error.into()))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(&self.dir, &new, flags, mode).map_err(&failed)?;
        let mut file = std::fs::File::from(fd);
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        rustix::fs::renameat(&self.dir, &new, &self.dir, &name).map_err(&failed)?;
        rustix::fs::fsync(&self.dir).map_err(&failed)
    }

    /// True when another volume of this host is remembered with this file system: then one of the
    /// two is a copy.
    pub(super) fn knows_elsewhere(&self, uuid: &str) -> Result<bool> {
        let failed = cannot("read the directory of the volumes' records");
        for entry in Dir::read_from(&self.dir).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(key) = name.strip_suffix(".json").filter(|key| *key != self.key) else {
                continue;
            };
            let other = self.read_file(&format!("{key}.json"))?;
            if other.is_some_and(|other| other.uuid == uuid) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_file(&self, name: &str) -> Result<Option<Record>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match open_at(&self.dir, OsStr::new(name), flags, Cross::Nothing) {
            Err(ComponentError::Missing) => return Ok(None),
            Err(problem) => return Err(unreadable(name, &problem)),
            Ok(fd) => fd,
        };
        let mut text = String::new();
        let file = std::fs::File::from(fd);
        match file.take(MAX_RECORD + 1).read_to_string(&mut text) {
            Err(error) => Err(unreadable(name, &error)),
            Ok(length) if length as u64 > MAX_RECORD => Err(unreadable(name, &"it is too long")),
            Ok(_) => parse(&text).map(Some).map_err(|why| unreadable(name, &why)),
        }
    }
}

fn parse(text: &str) -> std::result::Result<Record, String> {
    let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if record.version == VERSION {
        return Ok(record);
    }
    Err(format!("it has version {}, not {VERSION}", record.version))
}

fn open_dir(place: &Place) -> Result<OwnedFd> {
    let failed = cannot("open the directory of the volumes' records");
    let dir = open_root_owned(&place.image_dir, Missing::Create)
        .map_err(|error| Error::new(ErrorReason::BadImage, error.to_string()))?;
    let dir = open_to_read(&dir).map_err(&failed)?;
    rustix::fs::fchmod(&dir, Mode::RWXU).map_err(&failed)?;
    Ok(dir)
}

/// A name that no other volume's record has: an image's is its tenant's, a disk's is its own,
/// whoever it belongs to.
fn key(volume: &Volume) -> String {
    match &volume.source {
        Source::Loop { .. } => volume.place.uid.to_string(),
        Source::Disk(source) => match &source.which {
            DiskMatch::Ebs { id, .. } => id.clone(),
            other => {
                let text = other.to_string();
                let digest = hex(&Sha256::digest(text.as_bytes()));
                let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
                let readable: String = text.chars().take(64).map(plain).collect();
                format!("{readable}-{}", digest.get(..16).unwrap_or_default())
            }
        },
    }
}

/// Which run of the host this is.
pub(super) fn boot_id() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(cannot("read the boot's id"))?;
    Ok(text.trim().to_owned())
}

fn unreadable(name: &str, why: &dyn std::fmt::Display) -> Error {
    let message = format!("the volume's record {name} cannot be read: {why}");
    Error::new(ErrorReason::BadImage, message)
        .with_hint("ask the administrator to restore the record in the directory of the volumes")
}

#[cfg(test)]
mod tests {
    use super::super::wire::DiskSource;
    use super::*;

    #[test]
    fn records_of_earlier_versions_are_read() {
        let text = r#"{"version":1,"state":"formatted","fs":"ext4","uuid":"u","size":7,
            "image":{"inode":1,"born_seconds":2,"born_nanoseconds":3}}"#;
        let record = parse(text).unwrap();
        assert!(matches!(record.seen, Seen::Image(id) if id.inode == 1));
        let again = parse(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(again, record);
        assert!(parse(&text.replace("\"version\":1", "\"version\":2")).is_err());
    }

    #[test]
    fn every_volume_has_a_record_of_its_own() {
        let of = |uid, source| {
            let place = Place {
                uid,
                base_dir: "/mnt/a".into(),
                image_dir: "/b".into(),
            };
            key(&Volume { place, source })
        };
        let disk = |text| {
            Source::Disk(DiskSource {
                which: DiskMatch::parse(text).unwrap(),
                uuid: None,
                size_min: 0,
            })
        };
        assert_eq!(of(1001, Source::Loop { size: 1 }), "1001");
        assert_eq!(of(1001, disk("ebs:vol-12345678")), "vol-12345678");
        assert_ne!(of(1, disk("serial:a/b")), of(1, disk("serial:a b/b")));
        assert_ne!(of(1, disk("serial:a b/c")), of(1, disk("serial:a/b/c")));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(of(1, disk("serial:../../x/y")).chars().all(plain));
    }
}
