//! Growing a mounted file system to what its device allows. Nothing is ever shrunk.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::SeekFrom;

use super::device::BlockDevice;
use super::target::Target;
use super::tool;
use super::wire::{Error, ErrorReason, FileSystem};
use super::{Result, cannot, contents, ioctl};

const LIMIT: Duration = Duration::from_mins(5);

/// Grows the file system that is mounted at `base_dir`; true when it became larger.
pub(super) fn grow(
    device: &BlockDevice,
    target: &Target,
    base_dir: &Path,
    fs: FileSystem,
) -> Result<bool> {
    let root = target.open_root()?;
    let before = blocks(&root)?;
    match fs {
        FileSystem::Ext4 => grow_ext4(device, &root)?,
        FileSystem::Xfs => grow_xfs(&root, base_dir)?,
    }
    Ok(blocks(&root)? > before)
}

fn blocks(root: &OwnedFd) -> Result<u64> {
    let shown = rustix::fs::fstatvfs(root).map_err(cannot("look at the mounted volume"))?;
    Ok(shown.f_blocks)
}

/// The kernel asks for CAP_SYS_RESOURCE even where nothing is to be done, so that is found out first.
fn grow_ext4(device: &BlockDevice, root: &OwnedFd) -> Result<()> {
    let length = rustix::fs::seek(&device.fd, SeekFrom::End(0))
        .map_err(cannot("ask the device for its size"))?;
    let block = match contents::mounted_superblock(&device.fd)? {
        Some(found) if found.blocks >= length / found.block => return Ok(()),
        Some(found) => found.block,
        None => return Err(failed("its superblock cannot be read while it is in use")),
    };
    ioctl::resize_ext4(root, length / block).map_err(|error| failed(&error.to_string()))
}

/// xfs_growfs takes the mount point by name: every component of it is root's.
fn grow_xfs(root: &OwnedFd, base_dir: &Path) -> Result<()> {
    let base_dir = base_dir.to_string_lossy();
    let ended = tool::run("xfs_growfs", &["-d", &base_dir], root, LIMIT)?;
    if ended.code == Some(0) {
        return Ok(());
    }
    Err(failed(&ended.output))
}

fn failed(why: &str) -> Error {
    let message = format!("the file system was not grown: {why}");
    Error::new(ErrorReason::GrowFailed, message)
        .with_hint("ask the administrator; the data is unchanged")
}
