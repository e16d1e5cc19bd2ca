//! Block devices.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The block device that a medium is mounted from.
#[derive(Debug)]
pub(super) struct BlockDevice {
    /// Keeps a loop device from freeing itself, and a disk's name from being given to another.
    pub(super) fd: OwnedFd,
    /// `/dev/loop3`.
    pub(super) path: PathBuf,
    /// Device number.
    pub(super) rdev: u64,
}

impl BlockDevice {
    /// `loop3`.
    pub(super) fn name(&self) -> String {
        name_of(&self.path)
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
