//! The operations behind the gRPC calls. Each takes a [`Grant`] (so the caller is a tenant) and
//! final, vetted values; authorising and auditing happen before and around them in the front.

mod error;
mod service_dir;

use std::path::{Path, PathBuf};

use aistack_policy::Grant;
use aistack_proto::v1::{
    ChownProgress, CreateNetworkResponse, MountVolumeResponse, NetworkState,
    PrepareDirectoriesResponse, RemoveNetworkResponse, UnmountVolumeResponse, VolumeState,
};
use tokio::sync::mpsc;

use crate::docker::Docker;

pub use error::OpsError;
pub use service_dir::{DirKind, DirOwner, Ownership, ServiceDir, ServiceName};

/// Everything the operations act through.
#[derive(Debug)]
pub struct Ops {
    docker: Docker,
    mount_socket: PathBuf,
    image_dir: PathBuf,
}

impl Ops {
    /// Operations that use this Docker, this mount worker and `<state_dir>/volumes` for loop
    /// images.
    ///
    /// # Errors
    /// When `state_dir` is not an absolute, normalised path.
    pub fn new(docker: Docker, mount_socket: PathBuf, state_dir: &Path) -> Result<Self, OpsError> {
        Ok(Self {
            docker,
            mount_socket,
            image_dir: state_dir.join("volumes"),
        })
    }

    /// Makes the tenant's volume available at its base directory.
    ///
    /// # Errors
    /// When the worker cannot or may not mount it.
    pub async fn mount_volume(&self, _grant: &Grant) -> Result<MountVolumeResponse, OpsError> {
        Err(unfinished())
    }

    /// Takes the tenant's volume out of the file tree.
    ///
    /// # Errors
    /// When it is in use.
    pub async fn unmount_volume(&self, _grant: &Grant) -> Result<UnmountVolumeResponse, OpsError> {
        Err(unfinished())
    }

    /// Creates the fixed directories and `dirs`; existing ones are verified.
    ///
    /// # Errors
    /// When the volume is not mounted or something else stands in the way.
    pub async fn prepare_directories(
        &self,
        _grant: &Grant,
        _dirs: &[ServiceDir],
    ) -> Result<PrepareDirectoriesResponse, OpsError> {
        Err(unfinished())
    }

    /// Gives everything below one service directory to its owner. The last message has `done` set
    /// or is an error; when the receiver is dropped the walk stops.
    pub fn chown(
        &self,
        _grant: &Grant,
        _dir: &ServiceDir,
    ) -> mpsc::Receiver<Result<ChownProgress, OpsError>> {
        let (sender, receiver) = mpsc::channel(8);
        drop(sender.try_send(Err(unfinished())));
        receiver
    }

    /// Creates the tenant's Docker network.
    ///
    /// # Errors
    /// When the name, bridge or subnet is somebody else's, or Docker fails.
    pub async fn create_network(&self, _grant: &Grant) -> Result<CreateNetworkResponse, OpsError> {
        Err(unfinished())
    }

    /// Removes the tenant's Docker network.
    ///
    /// # Errors
    /// When containers are attached, or Docker fails.
    pub async fn remove_network(&self, _grant: &Grant) -> Result<RemoveNetworkResponse, OpsError> {
        Err(unfinished())
    }

    /// Whether the tenant's volume is mounted, and its size.
    pub async fn volume_state(&self, _grant: &Grant) -> VolumeState {
        VolumeState::default()
    }

    /// Whether the tenant's network exists.
    pub async fn network_state(&self, _grant: &Grant) -> NetworkState {
        NetworkState::default()
    }
}

fn unfinished() -> OpsError {
    OpsError::NotInThisVersion {
        what: "this operation",
    }
}
