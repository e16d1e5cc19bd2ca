//! What holds a file system, whichever kind it is: the steps that differ between a file of root's
//! and a disk. Everything else is one path for both.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::contents::{self, Contents, Kind};
use super::device::BlockDevice;
use super::disk::Disk;
use super::host::Host;
use super::image::Image;
use super::loop_device;
use super::record::{self, Seen, Store};
use super::wire::{ErrorReason, Source, Volume};
use super::{Result, cannot};
use crate::safe_path::ProcFd;

/// An image or a disk, opened, checked and locked.
#[derive(Debug)]
pub(super) enum Medium {
    Image(Image),
    Disk(Disk),
}

impl Medium {
    /// Opens and locks what the volume is made of; `None` for an image that is not there.
    pub(super) fn open(host: &Host, store: &Store, volume: &Volume) -> Result<Option<Self>> {
        match &volume.source {
            Source::Loop { .. } => Ok(Image::open(store, volume.place.uid)?.map(Self::Image)),
            Source::Disk(source) => {
                let disk = Disk::open(host, source, &volume.place.base_dir)?;
                Ok(Some(Self::Disk(disk)))
            }
        }
    }

    /// Refuses a medium that something else uses or that cannot be a volume.
    pub(super) fn require_usable(&self, source: &Source) -> Result<()> {
        match (self, source) {
            (Self::Image(image), _) => loop_device::release_unused(&image.stat, &image.name),
            (Self::Disk(disk), Source::Disk(source)) => disk.require_usable(source.size_min),
            (Self::Disk(disk), Source::Loop { .. }) => disk.require_usable(0),
        }
    }

    /// The tools work on this descriptor, and the lock is its own.
    pub(super) fn fd(&self) -> &OwnedFd {
        match self {
            Self::Image(image) => &image.fd,
            Self::Disk(disk) => &disk.fd,
        }
    }

    /// Bytes.
    pub(super) fn length(&self) -> Result<u64> {
        match self {
            Self::Image(image) => image.length(),
            Self::Disk(disk) => disk.length(),
        }
    }

    /// What it holds, by its own bytes.
    pub(super) fn contents(&self) -> Result<Contents> {
        let kind = match self {
            Self::Image(_) => Kind::File,
            Self::Disk(_) => Kind::Disk,
        };
        contents::read(self.fd(), kind, self.length()?)
    }

    /// What a record remembers it by.
    pub(super) fn seen(&self) -> Result<Seen> {
        Ok(match self {
            Self::Image(image) => Seen::Image(image.id()?),
            Self::Disk(disk) => Seen::Disk(record::Attachment {
                sequence: disk.sequence,
                boot: record::boot_id()?,
            }),
        })
    }

    /// Gets the medium ready for a new file system. The remains of an interrupted attempt go first.
    pub(super) fn clear(&self, source: &Source, remains: bool) -> Result<()> {
        match (self, source) {
            (Self::Image(image), Source::Loop { size }) => image.resize_for_mkfs(*size, remains),
            (Self::Image(_), Source::Disk(_)) => Ok(()),
            (Self::Disk(disk), _) => {
                // The last look before the first byte is written.
                disk.require_same()?;
                if remains {
                    contents::wipe(&reopen(&disk.fd)?, disk.length()?)?;
                }
                Ok(())
            }
        }
    }

    /// Makes an image as large as the policy says, never smaller; a disk is as large as it is.
    pub(super) fn enlarge(&self, source: &Source) -> Result<()> {
        match (self, source) {
            (Self::Image(image), Source::Loop { size }) => image.enlarge(*size),
            _ => Ok(()),
        }
    }

    /// The block device to be mounted.
    pub(super) fn attach(&self) -> Result<BlockDevice> {
        match self {
            Self::Image(image) => loop_device::attach(&reopen(&image.fd)?, &image.name),
            Self::Disk(disk) => {
                disk.require_same()?;
                self.device_of(disk.rdev)
            }
        }
    }

    /// The block device that is mounted already and has this number.
    pub(super) fn device_of(&self, device: u64) -> Result<BlockDevice> {
        match self {
            Self::Image(image) => loop_device::open_behind(&image.stat, device),
            Self::Disk(disk) => Ok(BlockDevice {
                fd: disk
                    .fd
                    .try_clone()
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
                    .map_err(cannot("hold the disk"))?,
                path: disk.path(),
                rdev: disk.rdev,
            }),
        }
    }

    /// True when the file system with this device number is on this medium.
    pub(super) fn is_behind(&self, device: u64) -> Result<bool> {
        match self {
            Self::Image(image) => loop_device::is_behind(&image.stat, device),
            Self::Disk(disk) => Ok(disk.rdev == device),
        }
    }

    /// After an unmount: true when nothing uses the medium any more and everything is written.
    pub(super) fn sync_when_idle(&self) -> Result<bool> {
        match self {
            Self::Image(image) => {
                let free = match loop_device::release_unused(&image.stat, &image.name) {
                    Err(failure) if failure.reason == ErrorReason::InUse => false,
                    other => other.map(|()| true)?,
                };
                rustix::fs::fsync(&image.fd).map_err(cannot("write out the volume's image"))?;
                Ok(free)
            }
            Self::Disk(disk) => disk.sync_when_idle(),
        }
    }
}

/// The same medium opened once more, to be written: a second description, which does not keep the
/// lock.
fn reopen(fd: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(ProcFd::of(fd).to_string(), flags, Mode::empty())
        .map_err(cannot("open the volume again"))
}
