//! The operations behind the gRPC calls. Each takes a [`Grant`] (so the caller is a tenant) and
//! final, vetted values; authorising and auditing happen before and around them in the front.

mod apparmor;
mod boot;
mod chown;
mod directories;
mod engine;
mod error;
mod host_network;
mod marker;
mod network;
mod paths;
mod service_dir;
mod volume;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aistack_policy::{Grant, Policy};
use aistack_proto::v1::{
    AppArmorState, CheckEngineResponse, ChownProgress, CreateNetworkResponse, GrowVolumeResponse,
    LoadAppArmorResponse, MountVolumeResponse, NetworkState, PrepareDirectoriesResponse,
    RemoveNetworkResponse, UnloadAppArmorResponse, UnmountVolumeResponse, VolumeState,
};
use tokio::sync::mpsc;

use crate::apparmor::{AppArmor, Paths, ProfileError};
use crate::audit::Audit;
use crate::docker::Docker;
use crate::guard::Probe;
use crate::locks::Locks;
use crate::policy_store::LoadedPolicy;
use crate::safe_path::plain_components;

pub use boot::{BootError, BootVolume};
pub use engine::sees_volume;
pub use error::Error;
pub use service_dir::{DirKind, DirOwner, Ownership, ServiceDir};

/// Everything the operations act through.
#[derive(Debug)]
pub struct Ops {
    docker: Docker,
    mount_socket: PathBuf,
    /// `<state_dir>/volumes`: images and records of the mount worker.
    image_dir: PathBuf,
    /// `<state_dir>/mounted`: one file for each volume that is mounted again at the next boot.
    marker_dir: PathBuf,
    network_turns: Locks,
    apparmor: Arc<AppArmor>,
    guard: Probe,
}

impl Ops {
    /// Operations that use this Docker, this mount worker and `<state_dir>` for
    /// volumes.
    ///
    /// # Errors
    /// When `state_dir` is not an absolute, normalised path.
    pub fn new(docker: Docker, mount_socket: PathBuf, state_dir: &Path) -> Result<Self, Error> {
        plain_components(state_dir)
            .map_err(|error| paths::error_at(&error.path.display().to_string())(error.problem))?;
        Ok(Self {
            docker,
            mount_socket,
            image_dir: state_dir.join("volumes"),
            marker_dir: state_dir.join("mounted"),
            network_turns: Locks::default(),
            apparmor: Arc::new(AppArmor::new(Paths::default())),
            guard: Probe::default(),
        })
    }

    /// The same with AppArmor's files elsewhere.
    #[must_use]
    pub fn with_apparmor(mut self, paths: Paths) -> Self {
        self.apparmor = Arc::new(AppArmor::new(paths));
        self
    }

    /// What the engine is, and whether it sees the tenant's volume.
    ///
    /// # Errors
    /// When the engine does not say what it is.
    pub async fn check_engine(&self, grant: &Grant) -> Result<CheckEngineResponse, Error> {
        engine::check(self, grant).await
    }

    /// The same with a way to see whether the network guard is in force.
    #[must_use]
    pub fn with_guard(self, guard: Probe) -> Self {
        Self { guard, ..self }
    }

    /// By which the kernel is asked whether the network guard is in force.
    #[must_use]
    pub fn guard(&self) -> &Probe {
        &self.guard
    }

    /// Makes the tenant's volume available at its base directory.
    ///
    /// # Errors
    /// When the worker cannot or may not mount it.
    pub async fn mount_volume(&self, grant: &Grant) -> Result<MountVolumeResponse, Error> {
        volume::mount(self, grant).await
    }

    /// Takes the tenant's volume out of the file tree.
    ///
    /// # Errors
    /// When it is in use.
    pub async fn unmount_volume(&self, grant: &Grant) -> Result<UnmountVolumeResponse, Error> {
        volume::unmount(self, grant).await
    }

    /// Grows the mounted file system to what the policy and its device allow; never shrinks it.
    ///
    /// # Errors
    /// When it is not mounted, or cannot be grown.
    pub async fn grow_volume(&self, grant: &Grant) -> Result<GrowVolumeResponse, Error> {
        volume::grow(self, grant).await
    }

    /// Mounts again what was mounted when the host went down and what the policy still grants, each
    /// between two audit records. A disk that is not attached yet is waited for, 30 s for all of them
    /// together. What became of each volume is in the answer, lowest UID first.
    ///
    /// # Errors
    /// When it cannot be read which volumes were mounted.
    pub async fn boot_volumes(
        &self,
        policy: &LoadedPolicy,
        audit: &Audit,
    ) -> Result<Vec<BootVolume>, Error> {
        boot::volumes(self, policy, audit).await
    }

    /// Creates the fixed directories and `dirs`; existing ones are verified.
    ///
    /// # Errors
    /// When the volume is not mounted or something else stands in the way.
    pub async fn prepare_directories(
        &self,
        grant: &Grant,
        dirs: &[ServiceDir],
    ) -> Result<PrepareDirectoriesResponse, Error> {
        directories::prepare(grant, dirs).await
    }

    /// Gives everything below one service directory to its owner. The last message has `done` set
    /// or is an error; when the receiver is dropped the walk stops.
    pub fn chown(
        &self,
        grant: &Grant,
        dir: &ServiceDir,
    ) -> mpsc::Receiver<Result<ChownProgress, Error>> {
        let (sender, receiver) = mpsc::channel(8);
        match dir.ownership(grant) {
            Err(refusal) => drop(sender.try_send(Err(refusal.into()))),
            Ok(owner) => {
                let job = chown::Job {
                    base_dir: grant.base_dir.clone(),
                    tree: dir.kind.tree(),
                    service: dir.service.as_str().to_owned(),
                    owner,
                };
                // The walk ends by itself: with its last message, or when nobody listens.
                drop(tokio::task::spawn_blocking(move || {
                    chown::run(&job, &sender);
                }));
            }
        }
        receiver
    }

    /// Creates the tenant's Docker network.
    ///
    /// # Errors
    /// When the name, bridge or subnet is somebody else's, or Docker fails.
    pub async fn create_network(&self, grant: &Grant) -> Result<CreateNetworkResponse, Error> {
        network::create(self, grant).await
    }

    /// Removes the tenant's Docker network.
    ///
    /// # Errors
    /// When containers are attached, or Docker fails.
    pub async fn remove_network(&self, grant: &Grant) -> Result<RemoveNetworkResponse, Error> {
        network::remove(self, grant).await
    }

    /// Whether the tenant's volume is mounted, and its size.
    pub async fn volume_state(&self, grant: &Grant) -> VolumeState {
        volume::state(grant).await
    }

    /// Whether the tenant's network exists; `None` where Docker does not answer.
    pub async fn network_state(&self, grant: &Grant) -> Option<NetworkState> {
        network::state(&self.docker, grant).await
    }
    /// Vets, compiles and loads the tenant's profiles. Beside the answer, why it names none, where
    /// the policy allows containers without.
    ///
    /// # Errors
    /// When a source is refused, or this host cannot do what the policy requires.
    pub async fn load_apparmor(
        &self,
        grant: &Grant,
    ) -> Result<(LoadAppArmorResponse, Option<&'static str>), Error> {
        apparmor::load(self, grant).await
    }

    /// Takes the tenant's profiles out of the kernel and off the disk.
    ///
    /// # Errors
    /// When a task runs under one of them.
    pub async fn unload_apparmor(&self, grant: &Grant) -> Result<UnloadAppArmorResponse, Error> {
        apparmor::unload(self, grant).await
    }

    /// Verifies that every kept profile of the policy's tenants is loaded, loads those that are not,
    /// and tells the gateway. Returns what went wrong, by profile.
    pub async fn boot_profiles(&self, policy: &Policy) -> Vec<(String, ProfileError)> {
        apparmor::boot(self, policy).await
    }

    /// AppArmor of this host, for this tenant.
    pub fn apparmor_state(&self, grant: &Grant) -> AppArmorState {
        self.apparmor.state(grant)
    }

    /// Says in the log what an administrator should know about AppArmor on this host.
    pub fn warn_about_apparmor(&self) {
        self.apparmor.warn();
    }
}
