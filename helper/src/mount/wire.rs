//! What the helper and the mount worker say to each other: one JSON line each way.

use std::path::PathBuf;

use aistack_policy::DiskMatch;
use serde::{Deserialize, Serialize};

/// The longest request or reply, bytes, newline included.
pub const MAX_MESSAGE: usize = 8192;

/// The one thing that a connection asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make the volume available at its base directory.
    Mount(Mount),
    /// Take the volume out of the file tree.
    Unmount(Volume),
    /// Grow the mounted file system to what the source allows.
    Grow(Volume),
    /// What is mounted at the base directory.
    State(Volume),
}

impl Request {
    /// The volume that the request is about.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        match self {
            Self::Mount(mount) => &mount.volume,
            Self::Unmount(volume) | Self::Grow(volume) | Self::State(volume) => volume,
        }
    }
}

/// A volume: whose, where, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Whose and where.
    pub place: Place,
    /// What holds the file system.
    pub source: Source,
}

/// Whose volume, where it is mounted, and where it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The tenant's UID; names the image file.
    pub uid: u32,
    /// Where the volume is mounted; absolute and normalised.
    pub base_dir: PathBuf,
    /// Directory of the records and image files; absolute, normalised, root's alone.
    pub image_dir: PathBuf,
}

/// What holds the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A sparse file of root's in the directory of the images, behind a loop device.
    Loop {
        /// Size of a new image, and what an old one is grown to, bytes.
        size: u64,
    },
    /// A whole disk.
    Disk(DiskSource),
}

/// A disk, and what it must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSource {
    /// Which disk, as the policy writes it.
    #[serde(rename = "match", with = "match_text")]
    pub which: DiskMatch,
    /// UUID of the file system that it must hold.
    pub uuid: Option<String>,
    /// The fewest bytes that it must have.
    pub size_min: u64,
}

/// A volume to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Which volume.
    pub volume: Volume,
    /// Its file system.
    pub fs: FileSystem,
    /// Whether a file system may be made where none ever was.
    pub may_format: bool,
    /// Whether the file system is grown to what the source allows.
    pub grow: bool,
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
        /// True when nothing uses its device any more and everything is written.
        safe_to_detach: bool,
    },
    /// It was not done.
    Failed(Error),
}

/// A mounted volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    /// True when this request mounted it.
    pub changed: bool,
    /// True when this request made the file system.
    pub formatted: bool,
    /// True when this request grew the file system.
    pub grown: bool,
    /// The file system.
    pub fs: FileSystem,
    /// UUID of the file system.
    pub uuid: String,
    /// Device number of the mounted file system, as `st_dev` shows it.
    pub device: u64,
    /// Name of the device, e.g. `nvme1n1`.
    pub node: String,
    /// What deserves a look, each one sentence without a full stop.
    pub warnings: Vec<String>,
}

/// Why the worker did not do it; the text is for the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    /// The stable word.
    pub reason: ErrorReason,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do next, where there is something to do.
    pub hint: Option<String>,
}

impl Error {
    /// A failure without a hint.
    #[must_use]
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
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

/// The closed list of reasons; each is the word that its message explains, and serialises as what
/// programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum ErrorReason {
    BadRequest,
    Busy,
    BadTarget,
    BadImage,
    NotAttached,
    AmbiguousDisk,
    SystemDisk,
    DeviceChanged,
    BadDevice,
    TooSmall,
    ReadOnlyDevice,
    HasPartitions,
    Unreadable,
    NotEmpty,
    BlankVolume,
    LostFilesystem,
    WrongFilesystem,
    WrongContents,
    OtherTenants,
    SizeDiffers,
    FilesystemDamaged,
    InUse,
    NotMounted,
    NoSpace,
    NoLoopDevice,
    MkfsFailed,
    MountFailed,
    GrowFailed,
    Internal,
}

impl ErrorReason {
    /// The word as programs see it; the same as on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Busy => "BUSY",
            Self::BadTarget => "BAD_TARGET",
            Self::BadImage => "BAD_IMAGE",
            Self::NotAttached => "NOT_ATTACHED",
            Self::AmbiguousDisk => "AMBIGUOUS_DISK",
            Self::SystemDisk => "SYSTEM_DISK",
            Self::DeviceChanged => "DEVICE_CHANGED",
            Self::BadDevice => "BAD_DEVICE",
            Self::TooSmall => "TOO_SMALL",
            Self::ReadOnlyDevice => "READ_ONLY_DEVICE",
            Self::HasPartitions => "HAS_PARTITIONS",
            Self::Unreadable => "UNREADABLE",
            Self::NotEmpty => "NOT_EMPTY",
            Self::BlankVolume => "BLANK_VOLUME",
            Self::LostFilesystem => "LOST_FILESYSTEM",
            Self::WrongFilesystem => "WRONG_FILESYSTEM",
            Self::WrongContents => "WRONG_CONTENTS",
            Self::OtherTenants => "OTHER_TENANTS",
            Self::SizeDiffers => "SIZE_DIFFERS",
            Self::FilesystemDamaged => "FILESYSTEM_DAMAGED",
            Self::InUse => "IN_USE",
            Self::NotMounted => "NOT_MOUNTED",
            Self::NoSpace => "NO_SPACE",
            Self::NoLoopDevice => "NO_LOOP_DEVICE",
            Self::MkfsFailed => "MKFS_FAILED",
            Self::MountFailed => "MOUNT_FAILED",
            Self::GrowFailed => "GROW_FAILED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A [`DiskMatch`] as the policy writes it; reading it is the policy's own parser.
mod match_text {
    use aistack_policy::DiskMatch;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(which: &DiskMatch, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(which)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DiskMatch, D::Error> {
        DiskMatch::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
