//! Loop devices: putting an image behind one, and finding those that an image is behind.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, OFlags, Stat, major, minor};

use super::device::BlockDevice;
use super::ioctl::{self, Backing};
use super::wire::{Error, ErrorReason};
use super::{Result, cannot};
use crate::safe_path::{Cross, Missing, open_at, open_root_owned};

/// Major number of loop devices (Documentation/admin-guide/devices.txt).
const LOOP_MAJOR: u32 = 7;
/// Other processes may take the free device first; so often is luck tried.
const TRIES: usize = 64;
/// How long an unmounted device may take to free itself, in steps of [`STEP`].
const STEPS: usize = 40;
const STEP: Duration = Duration::from_millis(50);

/// Puts `image` behind a free loop device, which frees itself when the last user is gone.
pub(super) fn attach(image: &OwnedFd, label: &str) -> Result<BlockDevice> {
    let failed = |error: io::Error| {
        let message = format!("cannot attach the volume's image to a loop device: {error}");
        Error::new(ErrorReason::NoLoopDevice, message)
    };
    let control = open_device("loop-control", OFlags::RDWR).map_err(failed)?;
    for _ in 0..TRIES {
        let number = ioctl::free_number(&control).map_err(failed)?;
        let fd = match open_loop(number, OFlags::RDWR) {
            // The node of a new device may be a moment late.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::thread::sleep(STEP);
                continue;
            }
            other => other.map_err(failed)?,
        };
        match ioctl::configure(&fd, image, label) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(failed(error)),
            Ok(()) => {
                let stat = rustix::fs::fstat(&fd).map_err(cannot("look at the loop device"))?;
                return Ok(BlockDevice {
                    fd,
                    path: format!("/dev/loop{number}").into(),
                    rdev: stat.st_rdev,
                });
            }
        }
    }
    Err(failed(io::Error::from_raw_os_error(libc::EBUSY)))
}

/// True when the file system with device number `device` is on a loop device over this image.
pub(super) fn is_behind(image: &Stat, device: u64) -> Result<bool> {
    if major(device) != LOOP_MAJOR {
        return Ok(false);
    }
    let fd = open_loop(minor(device), OFlags::RDONLY).map_err(looking)?;
    Ok(ioctl::backing(fd).map_err(looking)? == Some(backing_of(image)))
}

/// Opens the loop device that has this device number and this image behind it.
pub(super) fn open_behind(image: &Stat, device: u64) -> Result<BlockDevice> {
    let number = minor(device);
    let fd = open_loop(number, OFlags::RDONLY).map_err(looking)?;
    if ioctl::backing(&fd).map_err(looking)? != Some(backing_of(image)) {
        return Err(looking(io::Error::other(
            "the loop device has another image",
        )));
    }
    Ok(BlockDevice {
        fd,
        path: format!("/dev/loop{number}").into(),
        rdev: device,
    })
}

/// Makes the loop device as large as its image is now.
pub(super) fn follow_size(device: &BlockDevice) -> Result<()> {
    ioctl::refresh_capacity(&device.fd).map_err(looking)
}

/// Frees every loop device over the image `name` that no one uses: leftovers of somebody's
/// `losetup`, since our own free themselves.
pub(super) fn release_unused(image: &Stat, name: &str) -> Result<()> {
    for _ in 0..STEPS {
        let mut found = false;
        for number in over(image, name)? {
            found = true;
            // With O_EXCL the open fails while it is mounted, in whatever mount namespace.
            match open_loop(number, OFlags::RDWR | OFlags::EXCL) {
                Ok(fd) => drop(ioctl::clear(fd)),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(looking(error)),
            }
        }
        if !found {
            return Ok(());
        }
        std::thread::sleep(STEP);
    }
    let message = "the volume is still in use on this host, perhaps by containers";
    Err(Error::new(ErrorReason::InUse, message)
        .with_hint("stop the containers that use it, then run the command again"))
}

/// Numbers of the loop devices over the image `name`.
fn over(image: &Stat, name: &str) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/sys/block").map_err(looking)? {
        let entry = entry.map_err(looking)?;
        let device = entry.file_name();
        let Some(number) = device.to_str().and_then(|text| text.strip_prefix("loop")) else {
            continue;
        };
        let Ok(number) = number.parse::<u32>() else {
            continue;
        };
        // Only those that may be ours are opened; the text may end with " (deleted)".
        let file = std::fs::read_to_string(entry.path().join("loop/backing_file"));
        if !file.is_ok_and(|path| path.contains(&format!("/{name}"))) {
            continue;
        }
        let backing = open_loop(number, OFlags::RDONLY).and_then(ioctl::backing);
        if backing.map_err(looking)? == Some(backing_of(image)) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

fn backing_of(image: &Stat) -> Backing {
    Backing {
        device: image.st_dev,
        inode: image.st_ino,
    }
}

fn open_loop(number: u32, flags: OFlags) -> io::Result<OwnedFd> {
    let fd = open_device(&format!("loop{number}"), flags)?;
    let stat = rustix::fs::fstat(&fd)?;
    let is_it = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
        && major(stat.st_rdev) == LOOP_MAJOR
        && minor(stat.st_rdev) == number;
    if is_it {
        return Ok(fd);
    }
    let text = format!("/dev/loop{number} is not that loop device");
    Err(io::Error::other(text))
}

fn open_device(name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let dev = open_root_owned(Path::new("/dev"), Missing::Refuse).map_err(io::Error::other)?;
    open_at(dev, OsStr::new(name), flags, Cross::Nothing).map_err(|problem| match problem {
        crate::safe_path::ComponentError::Os(errno) => errno.into(),
        crate::safe_path::ComponentError::Missing => io::ErrorKind::NotFound.into(),
        other => io::Error::other(other),
    })
}

// By value, as map_err passes it.
#[expect(clippy::needless_pass_by_value)]
fn looking(error: io::Error) -> Error {
    let message = format!("cannot look at the loop devices: {error}");
    Error::new(ErrorReason::Internal, message)
}
