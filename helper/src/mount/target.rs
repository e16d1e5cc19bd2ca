//! The mount point, walked from `/` so that nobody but root can lead the walk, and the new mount
//! API: made and checked detached, visible only when it is right.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_create_exclusive, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::device::BlockDevice;
use super::host::Host;
use super::wire::{Error, ErrorReason, FileSystem};
use super::{Result, cannot};
use super::{disk, mounts};
use crate::safe_path::{
    ComponentError, Cross, Missing, PathError, ProcFd, is_empty, is_mount_root, make_root_dir,
    open_dir, open_root_owned_parent, open_to_read, require_roots,
};

/// Mode of a volume's root: others may pass, nobody may list.
const ROOT_MODE: u32 = 0o711;
/// The most text that is taken from the kernel about a failed mount, bytes.
const MAX_LOG: usize = 1024;

/// A mount point of which every component is root's.
#[derive(Debug)]
pub(super) struct Target {
    parent: OwnedFd,
    name: OsString,
    place: OwnedFd,
}

impl Target {
    /// Opens the mount point; `None` where there is none and `missing` does not say to make it.
    pub(super) fn open(base_dir: &Path, missing: Missing) -> Result<Option<Self>> {
        let error_at = |problem| {
            let path = base_dir.to_owned();
            bad_target(PathError { path, problem }.to_string())
        };
        let (parent, name) = match open_root_owned_parent(base_dir, Missing::Refuse) {
            Err(error)
                if error.problem == ComponentError::Missing && missing == Missing::Refuse =>
            {
                return Ok(None);
            }
            other => other.map_err(|error| bad_target(error.to_string()))?,
        };
        let place = match open_dir(&parent, &name, Cross::Mounts) {
            Err(ComponentError::Missing) if missing == Missing::Refuse => return Ok(None),
            Err(ComponentError::Missing) => make_root_dir(&parent, &name).map_err(error_at)?,
            other => other.map_err(error_at)?,
        };
        require_roots(&place).map_err(error_at)?;
        Ok(Some(Self {
            parent,
            name,
            place,
        }))
    }

    /// Device number of what is mounted here; `None` when nothing is.
    pub(super) fn mounted(&self) -> Result<Option<u64>> {
        let failed = cannot("look at the base directory");
        if !is_mount_root(&self.place).map_err(&failed)? {
            return Ok(None);
        }
        let stat = rustix::fs::fstat(&self.place).map_err(&failed)?;
        Ok(Some(stat.st_dev))
    }

    /// True when the mount here has the flags that every volume has.
    pub(super) fn is_confined(&self) -> Result<bool> {
        let flags = rustix::fs::fstatvfs(&self.place)
            .map_err(cannot("look at the base directory"))?
            .f_flag;
        Ok(flags.contains(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV))
    }

    /// The directory itself, to be read.
    pub(super) fn open_root(&self) -> Result<OwnedFd> {
        open_to_read(&self.place).map_err(cannot("open the base directory"))
    }

    /// Refuses a directory with entries: a mount would hide them.
    pub(super) fn require_empty(&self) -> Result<()> {
        if is_empty(&self.place).map_err(cannot("read the base directory"))? {
            return Ok(());
        }
        Err(bad_target("the base directory is not empty".to_owned())
            .with_hint("ask the administrator to move its content"))
    }

    /// Puts the detached mount here.
    pub(super) fn attach(&self, mount: &OwnedFd) -> Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mount, "", &self.place, "", flags).map_err(|errno| mount_failed(errno, ""))
    }

    /// Unmounts what is here; EBUSY is reported as "in use".
    pub(super) fn detach(self) -> Result<()> {
        let Self {
            parent,
            name,
            place,
        } = self;
        // The place is in the mount itself and would keep it busy.
        drop(place);
        let path = Path::new(&ProcFd::of(&parent).to_string()).join(name);
        match unmount(path, UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(Error::new(
                ErrorReason::InUse,
                "the volume is in use by a process on this host",
            )
            .with_hint("stop what uses it and leave its directories, then run it again")),
            Err(errno) => Err(cannot("unmount the volume")(errno)),
        }
    }
}

/// Whether a file system that is mounted already may be mounted once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nobody else may have it mounted.
    Nobody,
    /// With those who use it still.
    WithUsers,
}

/// Mounts the device where nobody sees it, and makes its root directory what it must be.
pub(super) fn mount_detached(
    host: &Host,
    device: &BlockDevice,
    fs: FileSystem,
    sharing: Sharing,
) -> Result<OwnedFd> {
    let context = fsopen(fs.name(), FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| mount_failed(errno, "the kernel may not support this file system"))?;
    let failed = |errno| mount_failed(errno, &kernel_log(&context));
    configure(&context, device, fs).map_err(failed)?;
    match sharing {
        Sharing::Nobody => create(host, &context, device)?,
        Sharing::WithUsers => fsconfig_create(&context).map_err(failed)?,
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
    check_root(&mount, device)?;
    Ok(mount)
}

fn configure(context: &OwnedFd, device: &BlockDevice, fs: FileSystem) -> rustix::io::Result<()> {
    // By name, for mountinfo and xfs_growfs; the open descriptor keeps the name from becoming
    // another device's, and check_root looks at what was mounted.
    fsconfig_set_string(context, "source", &device.path)?;
    if fs == FileSystem::Ext4 {
        fsconfig_set_string(context, "errors", "remount-ro")?;
    }
    Ok(())
}

/// Makes the kernel read the file system, which must not be mounted anywhere.
fn create(host: &Host, context: &OwnedFd, device: &BlockDevice) -> Result<()> {
    let created = if host.exclusive_mounts {
        fsconfig_create_exclusive(context)
    } else {
        Err(Errno::OPNOTSUPP)
    };
    let created = match created {
        // Before Linux 6.6 (fsconfig(2)): somebody else's mount would be reused, so look first.
        Err(Errno::OPNOTSUPP) => {
            if mounts::anywhere(host, device.rdev)?.is_some() || !disk::is_free(&device.fd)? {
                let message = "the volume was mounted by another process at the same time";
                return Err(Error::new(ErrorReason::InUse, message));
            }
            fsconfig_create(context)
        }
        other => other,
    };
    created.map_err(|errno| mount_failed(errno, &kernel_log(context)))
}

fn check_root(mount: &OwnedFd, device: &BlockDevice) -> Result<()> {
    let failed = cannot("look at the mounted volume");
    let stat = rustix::fs::fstat(mount).map_err(&failed)?;
    if stat.st_dev != device.rdev {
        let message = "a device other than the volume was mounted; it was unmounted again";
        return Err(Error::new(ErrorReason::MountFailed, message));
    }
    if stat.st_uid != 0 || stat.st_gid != 0 {
        let message = format!(
            "the volume's root directory belongs to {}:{}, it must belong to root",
            stat.st_uid, stat.st_gid
        );
        return Err(Error::new(ErrorReason::WrongContents, message)
            .with_hint("ask the administrator to give the root directory of the volume to root"));
    }
    if stat.st_mode & 0o7777 == ROOT_MODE {
        return Ok(());
    }
    let root = open_to_read(mount).map_err(&failed)?;
    rustix::fs::fchmod(root, Mode::from_raw_mode(ROOT_MODE)).map_err(&failed)
}

/// What the kernel says about a failed mount, e.g. `e ext4: bad geometry`.
fn kernel_log(context: &OwnedFd) -> String {
    let mut text = String::new();
    let mut buffer = [0; MAX_LOG];
    while text.len() < MAX_LOG {
        match rustix::io::read(context, &mut buffer) {
            Ok(length) if length > 0 => {
                let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                let separator = if text.is_empty() { "" } else { "; " };
                text = format!("{text}{separator}{}", line.trim());
            }
            _ => break,
        }
    }
    text.chars().filter(|letter| !letter.is_control()).collect()
}

fn mount_failed(errno: Errno, log: &str) -> Error {
    let log = if log.is_empty() {
        String::new()
    } else {
        format!(" ({log})")
    };
    let message = format!("the volume cannot be mounted: {errno}{log}");
    Error::new(ErrorReason::MountFailed, message)
}

fn bad_target(message: String) -> Error {
    Error::new(ErrorReason::BadTarget, message)
}

/// Refuses a mount point where something that is not the tenant's volume is mounted.
pub(super) fn occupied() -> Error {
    bad_target("something else is mounted at the base directory".to_owned())
        .with_hint("ask the administrator to unmount it")
}
