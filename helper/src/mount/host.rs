//! Where the worker looks at the host.

use std::path::{Path, PathBuf};

/// The kernel's file systems, and what the kernel can do. The worker always uses
/// [`Host::default`]; another one lets a test put real devices into a small sysfs of its own.
#[derive(Debug, Clone)]
pub struct Host {
    sys: PathBuf,
    dev: PathBuf,
    proc: PathBuf,
    pub(super) exclusive_mounts: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/sys", "/dev", "/proc")
    }
}

impl Host {
    /// A host whose sysfs, devices and processes are found below these directories.
    pub fn at(sys: impl AsRef<Path>, dev: impl AsRef<Path>, proc: impl AsRef<Path>) -> Self {
        Self {
            sys: sys.as_ref().to_owned(),
            dev: dev.as_ref().to_owned(),
            proc: proc.as_ref().to_owned(),
            exclusive_mounts: true,
        }
    }

    /// The same host as if its kernel were older than 6.6, which cannot create a mount exclusively.
    #[must_use]
    pub fn without_exclusive_mounts(self) -> Self {
        Self {
            exclusive_mounts: false,
            ..self
        }
    }

    /// `/sys/block`, one directory for each whole disk.
    pub(super) fn disks(&self) -> PathBuf {
        self.sys.join("block")
    }

    /// `/sys/dev/block/MAJ:MIN`.
    pub(super) fn device(&self, rdev: u64) -> PathBuf {
        let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
        self.sys.join(format!("dev/block/{major}:{minor}"))
    }

    /// `/dev`.
    pub(super) fn dev(&self) -> &Path {
        &self.dev
    }

    /// `/proc`.
    pub(super) fn proc(&self) -> &Path {
        &self.proc
    }
}
