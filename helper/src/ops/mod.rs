//! The operations behind the gRPC calls, each in the file of its subject. Each takes a
//! [`Grant`](aistack_policy::Grant) (so the caller is a tenant) and final, vetted values; authorising
//! and auditing happen before and around them in the front.

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

use crate::apparmor::{AppArmor, Paths};
use crate::docker::Docker;
use crate::guard::Probe;
use crate::locks::Locks;
use crate::safe_path::plain_components;

pub use boot::{BootError, BootVolume};
pub use chown::chown;
pub use directories::prepare_directories;
pub use engine::sees_volume;
pub use error::Error;
pub use service_dir::{DirKind, DirOwner, Ownership, ServiceDir};
pub use volume::volume_state;

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

    /// The same with a way to see whether the network guard is in force.
    #[must_use]
    pub fn with_guard(self, guard: Probe) -> Self {
        Self { guard, ..self }
    }

    /// Which finds out from the kernel whether the network guard is in force.
    #[must_use]
    pub fn guard(&self) -> &Probe {
        &self.guard
    }

    /// AppArmor of this host.
    #[must_use]
    pub fn apparmor(&self) -> &AppArmor {
        &self.apparmor
    }
}
