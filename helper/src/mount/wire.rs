//! What the helper and the mount worker say to each other: one JSON line each way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest request or reply, bytes, newline included.
pub const MAX_MESSAGE: usize = 4096;

/// The one thing that a connection asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make the loop volume of `uid` available at `base_dir`, creating it where it never was.
    MountLoop(MountLoop),
    /// Take the loop volume of `uid` out of the file tree.
    Unmount(Place),
    /// What is mounted at `base_dir`.
    State(Place),
}

/// Whose volume, where its image is, and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The tenant's UID; names the image file.
    pub uid: u32,
    /// Where the volume is mounted; absolute and normalised.
    pub base_dir: PathBuf,
    /// Directory of the image files; absolute, normalised, root's alone.
    pub image_dir: PathBuf,
}

/// A loop volume to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountLoop {
    /// Whose and where.
    pub place: Place,
    /// Size of a new image, bytes.
    pub size: u64,
    /// File system of the volume.
    pub fs: FileSystem,
    /// Whether a file system may be made where none ever was.
    pub may_format: bool,
}

/// The file systems that a volume may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The file system of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Ext4, Self::Xfs]
            .into_iter()
            .find(|fs| fs.name() == name)
    }
}

/// The one answer of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// The volume is mounted.
    Mounted(Mounted),
    /// The volume is not mounted.
    Unmounted {
        /// True when this request unmounted it.
        changed: bool,
    },
    /// It was not done.
    Failed(Failure),
}

/// A mounted volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    /// True when this request mounted it.
    pub changed: bool,
    /// True when this request made the file system.
    pub formatted: bool,
    /// The file system.
    pub fs: FileSystem,
    /// Device number of the mounted file system, as `st_dev` shows it.
    pub device: u64,
}

/// Why the worker did not do it; the text is for the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The stable word.
    pub reason: FailureReason,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do next, where there is something to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            hint: None,
        }
    }

    /// The same failure with a next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The closed list of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // each is the word that its message explains
pub enum FailureReason {
    BadRequest,
    Busy,
    BadTarget,
    BadImage,
    LostFilesystem,
    WrongFilesystem,
    SizeDiffers,
    FilesystemDamaged,
    InUse,
    NoSpace,
    NoLoopDevice,
    MkfsFailed,
    MountFailed,
    Internal,
}

impl FailureReason {
    /// The word as programs see it; the same as on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Busy => "BUSY",
            Self::BadTarget => "BAD_TARGET",
            Self::BadImage => "BAD_IMAGE",
            Self::LostFilesystem => "LOST_FILESYSTEM",
            Self::WrongFilesystem => "WRONG_FILESYSTEM",
            Self::SizeDiffers => "SIZE_DIFFERS",
            Self::FilesystemDamaged => "FILESYSTEM_DAMAGED",
            Self::InUse => "IN_USE",
            Self::NoSpace => "NO_SPACE",
            Self::NoLoopDevice => "NO_LOOP_DEVICE",
            Self::MkfsFailed => "MKFS_FAILED",
            Self::MountFailed => "MOUNT_FAILED",
            Self::Internal => "INTERNAL",
        }
    }
}
