//! Why an operation was not done, with the stable word, the next step and the gRPC code of each.

use std::path::PathBuf;

use aistack_policy::Refusal;
use aistack_proto::DOCKER_UNREACHABLE;
use tonic::Code;

use crate::apparmor::ProfileError;
use crate::docker::DockerError;
use crate::mount::wire::{self, ErrorReason};

/// Why an operation was not done. The texts are for the caller: they name nobody else's things.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy or a rule that no policy can change does not allow it.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Profiles were not loaded or unloaded.
    #[error(transparent)]
    AppArmor(#[from] ProfileError),
    /// The contract has it, this version does not.
    #[error("{what} is not in this version of aistack-helper")]
    NotInThisVersion {
        /// What was requested.
        what: &'static str,
    },
    /// The policy gives the tenant a disk and does not say which.
    #[error("the policy does not say which disk the volume is")]
    NoDiskPinned,
    /// The tenant's volume is not mounted where it belongs.
    #[error("the volume is not mounted at {base_dir}")]
    VolumeNotMounted {
        /// The tenant's base directory.
        base_dir: String,
    },
    /// The mount worker does not answer.
    #[error("the mount worker at {} does not answer", socket.display())]
    WorkerUnreachable {
        /// The worker's socket.
        socket: PathBuf,
        /// What went wrong on the socket.
        #[source]
        source: std::io::Error,
    },
    /// The mount worker answered that it did not do it.
    #[error("{}", .0.message)]
    Worker(wire::Error),
    /// What the worker says and what the kernel shows are not the same.
    #[error("the mount worker reported success but {what}")]
    WorkerContradicted {
        /// What the kernel shows instead.
        what: String,
    },
    /// A directory has another owner than it must have.
    #[error("{path} belongs to {actual}, but must belong to {expected}")]
    WrongOwner {
        /// Path below the base directory, or the base directory.
        path: String,
        /// `uid:gid`.
        expected: String,
        /// `uid:gid`.
        actual: String,
    },
    /// A name that must be a real directory on the tenant's volume is something else.
    #[error("{path} {problem}")]
    UnsafePath {
        /// Path below the base directory, or the base directory.
        path: String,
        /// What it is instead.
        problem: &'static str,
    },
    /// The directory that the operation works on does not exist.
    #[error("{path} does not exist")]
    Missing {
        /// Path below the base directory.
        path: String,
    },
    /// The operation would be larger than one call may be.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The kernel refused a step.
    #[error("cannot {step} {path}")]
    Io {
        /// Verb phrase, e.g. `create`.
        step: &'static str,
        /// What it was done to.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A Docker network of the tenant's name exists and is not the tenant's.
    #[error("there is a Docker network {name} that aistack did not create for this tenant")]
    NetworkNameTaken {
        /// Network name.
        name: String,
    },
    /// The tenant's own network has another shape than the policy says now.
    #[error("network {name} has {actual}, but the policy says {expected}")]
    NetworkDiffers {
        /// Network name.
        name: String,
        /// What Docker shows.
        actual: String,
        /// What the policy says.
        expected: String,
    },
    /// The bridge interface exists already and is not of the tenant's network.
    #[error("an interface named {bridge} already exists on this host")]
    BridgeInUse {
        /// Interface name.
        bridge: String,
    },
    /// The subnet overlaps something that this host uses already.
    #[error("subnet {subnet} overlaps {other}, which {user} uses")]
    SubnetInUse {
        /// The tenant's subnet.
        subnet: String,
        /// What it overlaps.
        other: String,
        /// What kind of thing uses it; never a name of somebody else's.
        user: &'static str,
    },
    /// Containers are attached to the network.
    #[error("{containers} container(s) are attached to network {name}")]
    NetworkInUse {
        /// Network name.
        name: String,
        /// How many.
        containers: usize,
    },
    /// Docker did not do it.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The operation was cut off by an error of the helper's own.
    #[error("the operation was interrupted inside the helper")]
    Interrupted,
}

impl Error {
    /// The rule's own refusal, where a rule decided.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refusal(refusal) | Self::AppArmor(ProfileError::Off(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// Stable upper-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refusal(refusal) => refusal.reason,
            Self::AppArmor(error) => error.reason(),
            Self::NotInThisVersion { .. } => "NOT_IN_THIS_VERSION",
            Self::NoDiskPinned => "NO_DISK_PINNED",
            Self::VolumeNotMounted { .. } => "VOLUME_NOT_MOUNTED",
            Self::WorkerUnreachable { .. } => "MOUNT_WORKER_UNREACHABLE",
            Self::Worker(failure) => failure.reason.word(),
            Self::WorkerContradicted { .. } => "MOUNT_NOT_VERIFIED",
            Self::WrongOwner { .. } => "WRONG_OWNER",
            Self::UnsafePath { .. } => "UNSAFE_PATH",
            Self::Missing { .. } => "DIRECTORY_MISSING",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::Io { .. } => "IO_FAILED",
            Self::NetworkNameTaken { .. } => "NETWORK_NAME_TAKEN",
            Self::NetworkDiffers { .. } => "NETWORK_DIFFERS",
            Self::BridgeInUse { .. } => "BRIDGE_IN_USE",
            Self::SubnetInUse { .. } => "SUBNET_IN_USE",
            Self::NetworkInUse { .. } => "NETWORK_IN_USE",
            Self::Docker(DockerError::Unreachable { .. }) => DOCKER_UNREACHABLE,
            Self::Docker(DockerError::Version { .. }) => "DOCKER_VERSION",
            Self::Docker(_) => "DOCKER_FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    /// What to do next, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refusal(refusal) => return refusal.hint.clone(),
            Self::Worker(failure) => return failure.hint.clone(),
            Self::AppArmor(error) => return error.hint(),
            Self::NoDiskPinned => {
                "ask the administrator to add the disk to your [[tenant]] in the policy"
            }
            Self::VolumeNotMounted { .. } => "mount it first: run `aistack init`",
            Self::WorkerUnreachable { .. } => "ask the administrator to start aistack-mount",
            Self::WrongOwner { .. } => "run `aistack chown`, or ask the administrator",
            Self::UnsafePath { .. } => "move it, then run the command again",
            Self::Missing { .. } => "create it first: run `aistack init`",
            Self::NetworkNameTaken { .. } => {
                "ask the administrator to remove it, or to change the policy's network name"
            }
            // Docker leaves its bridges behind, and with another data directory knows nothing of them.
            Self::BridgeInUse { .. } => {
                "ask the administrator to remove it (`ip link delete`, where a former Docker data \
                 directory left it behind) or to change the policy's network name"
            }
            Self::NetworkDiffers { .. } => "remove the network, then create it again",
            Self::SubnetInUse { .. } => {
                "ask the administrator to change `network.pool` in the policy"
            }
            Self::NetworkInUse { .. } => "remove the containers first: run `aistack destroy`",
            Self::Docker(error) => return error.hint(),
            Self::Interrupted => "run the command again",
            Self::NotInThisVersion { .. }
            | Self::WorkerContradicted { .. }
            | Self::TooLarge { .. }
            | Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// The gRPC code that the front answers with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refusal(_) => Code::PermissionDenied,
            Self::AppArmor(error) => error.code(),
            Self::NotInThisVersion { .. } => Code::Unimplemented,
            Self::WorkerUnreachable { .. } | Self::Docker(DockerError::Unreachable { .. }) => {
                Code::Unavailable
            }
            Self::Worker(failure) => worker_code(failure.reason),
            Self::Missing { .. } => Code::NotFound,
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::NetworkNameTaken { .. } | Self::BridgeInUse { .. } => Code::AlreadyExists,
            Self::NoDiskPinned
            | Self::VolumeNotMounted { .. }
            | Self::WrongOwner { .. }
            | Self::UnsafePath { .. }
            | Self::NetworkDiffers { .. }
            | Self::SubnetInUse { .. }
            | Self::NetworkInUse { .. }
            | Self::Docker(DockerError::Version { .. }) => Code::FailedPrecondition,
            Self::WorkerContradicted { .. } | Self::Io { .. } | Self::Docker(_) => Code::Internal,
            Self::Interrupted => Code::Aborted,
        }
    }
}

fn worker_code(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::BadRequest => Code::InvalidArgument,
        ErrorReason::Busy | ErrorReason::DeviceChanged => Code::Aborted,
        ErrorReason::NoSpace | ErrorReason::NoLoopDevice => Code::ResourceExhausted,
        ErrorReason::BadTarget
        | ErrorReason::BadImage
        | ErrorReason::NotAttached
        | ErrorReason::AmbiguousDisk
        | ErrorReason::SystemDisk
        | ErrorReason::BadDevice
        | ErrorReason::TooSmall
        | ErrorReason::ReadOnlyDevice
        | ErrorReason::HasPartitions
        | ErrorReason::Unreadable
        | ErrorReason::NotEmpty
        | ErrorReason::BlankVolume
        | ErrorReason::WrongContents
        | ErrorReason::OtherTenants
        | ErrorReason::NotMounted
        | ErrorReason::LostFilesystem
        | ErrorReason::WrongFilesystem
        | ErrorReason::SizeDiffers
        | ErrorReason::FilesystemDamaged
        | ErrorReason::InUse => Code::FailedPrecondition,
        ErrorReason::MkfsFailed
        | ErrorReason::MountFailed
        | ErrorReason::GrowFailed
        | ErrorReason::Internal => Code::Internal,
    }
}
