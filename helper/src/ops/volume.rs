//! The tenant's volume: the worker mounts it, and what it says is checked here by descriptor.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aistack_policy::{Format, Grant, VolumeKind};
use aistack_proto::v1::{
    GrowVolumeResponse, MountVolumeResponse, UnmountVolumeResponse, VolumeState,
};
use http::Method;
use rustix::fs::StatVfsMountFlags;
use serde::Deserialize;
use serde_json::json;

use super::paths::{blocking, io_error, open_base};
use super::{Error, Ops, marker, worker};
use crate::docker::{Body, Docker, DockerError, OWNER_LABEL, percent_encoded};
use crate::mount::wire::{
    self, DiskSource, ErrorReason, FileSystem, Mount, Place, Reply, Request, Source, Volume,
};

/// How long Docker may take to say what runs: it only makes a refusal clearer.
const DOCKER_PATIENCE: Duration = Duration::from_secs(3);
/// The most containers that a refusal names.
const MAX_NAMES: usize = 32;

/// What the kernel shows of a mounted volume.
struct Shown {
    device: u64,
    total: u64,
    available: u64,
    confined: bool,
}

impl Ops {
    /// Makes the tenant's volume available at its base directory.
    ///
    /// # Errors
    /// When the worker cannot or may not mount it.
    pub async fn mount_volume(&self, grant: &Grant) -> Result<MountVolumeResponse, Error> {
        let request = Request::Mount(Mount {
            volume: volume(self, grant)?,
            fs: FileSystem::of(&grant.volume.fs).ok_or(Error::NotInThisVersion {
                what: "this file system",
            })?,
            may_format: grant.volume.format == Format::IfBlank,
            grow: grant.volume.grow,
        });
        let Reply::Mounted(mounted) = worker::ask(&self.mount_socket, &request).await? else {
            return Err(contradicted("sent an answer to another request"));
        };
        let shown = verified(grant, mounted.device).await?;
        marker::set(self, grant.uid).await?;
        Ok(MountVolumeResponse {
            changed: mounted.changed,
            formatted: mounted.formatted,
            fs: mounted.fs.name().to_owned(),
            total_bytes: shown.total,
            device: mounted.node,
            uuid: mounted.uuid,
            grown: mounted.grown,
            warnings: mounted.warnings,
        })
    }

    /// Unmounts the tenant's volume.
    ///
    /// # Errors
    /// When it is in use.
    pub async fn unmount_volume(&self, grant: &Grant) -> Result<UnmountVolumeResponse, Error> {
        let request = Request::Unmount(volume(self, grant)?);
        let reply = match worker::ask(&self.mount_socket, &request).await {
            Err(Error::Worker(failure)) if failure.reason == ErrorReason::InUse => {
                return Err(Error::Worker(named(self, grant, failure).await));
            }
            other => other?,
        };
        let Reply::Unmounted {
            changed,
            safe_to_detach,
        } = reply
        else {
            return Err(contradicted("sent an answer to another request"));
        };
        match show(grant).await {
            Err(Error::VolumeNotMounted { .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(contradicted("a volume still appears at the base directory")),
        }
        marker::clear(self, grant.uid).await?;
        Ok(UnmountVolumeResponse {
            changed,
            safe_to_detach,
        })
    }

    /// Grows the mounted file system to what the policy and its device allow; never shrinks it.
    ///
    /// # Errors
    /// When it is not mounted, or cannot be grown.
    pub async fn grow_volume(&self, grant: &Grant) -> Result<GrowVolumeResponse, Error> {
        let request = Request::Grow(volume(self, grant)?);
        let Reply::Mounted(mounted) = worker::ask(&self.mount_socket, &request).await? else {
            return Err(contradicted("sent an answer to another request"));
        };
        let shown = verified(grant, mounted.device).await?;
        Ok(GrowVolumeResponse {
            changed: mounted.grown,
            total_bytes: shown.total,
        })
    }
}

/// What the kernel shows, when it is what the worker says.
async fn verified(grant: &Grant, device: u64) -> Result<Shown, Error> {
    let shown = match show(grant).await {
        Err(Error::VolumeNotMounted { .. }) => {
            return Err(contradicted("no volume appears at the base directory"));
        }
        other => other?,
    };
    if shown.device != device {
        return Err(contradicted("another device appears at the base directory"));
    }
    if !shown.confined {
        return Err(contradicted(
            "the volume is mounted without nosuid and nodev",
        ));
    }
    Ok(shown)
}

/// The same failure with the tenant's own containers that run: they are the most likely users, and
/// whose others there are is nothing for the tenant.
async fn named(ops: &Ops, grant: &Grant, mut failure: wire::Error) -> wire::Error {
    let running = running(&ops.docker, grant);
    let Ok(Ok(names)) = tokio::time::timeout(DOCKER_PATIENCE, running).await else {
        return failure;
    };
    if !names.is_empty() {
        let names = names.join(", ");
        failure.hint = Some(format!(
            "your containers still run: {names}; stop them, then try again"
        ));
    }
    failure
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    names: Vec<String>,
}

/// Names of the tenant's containers that run.
async fn running(docker: &Docker, grant: &Grant) -> Result<Vec<String>, DockerError> {
    let owner = format!("{OWNER_LABEL}={}", grant.uid);
    let filters = json!({"label": [owner], "status": ["running", "paused"]}).to_string();
    let path = format!("/containers/json?filters={}", percent_encoded(&filters));
    let listed: Vec<Listed> = docker.json(Method::GET, &path, Body::NONE).await?;
    let names = listed
        .into_iter()
        .filter_map(|one| one.names.into_iter().next());
    let mut names: Vec<String> = names
        .map(|name| name.trim_start_matches('/').to_owned())
        .filter(|name| name.starts_with(&grant.container_prefix))
        .take(MAX_NAMES)
        .collect();
    names.sort();
    Ok(names)
}

/// Whether the tenant's volume is mounted, and its size.
pub async fn volume_state(grant: &Grant) -> VolumeState {
    match show(grant).await {
        Ok(shown) => VolumeState {
            mounted: true,
            total_bytes: shown.total,
            available_bytes: shown.available,
        },
        Err(_) => VolumeState::default(),
    }
}

/// The volume of the grant, as the worker gets it.
fn volume(ops: &Ops, grant: &Grant) -> Result<Volume, Error> {
    let source = match grant.volume.kind {
        VolumeKind::Loop { size } => Source::Loop { size },
        VolumeKind::Ebs { .. } | VolumeKind::Disk { .. } => Source::Disk(DiskSource {
            which: grant.volume.disk().ok_or(Error::NoDiskPinned)?,
            uuid: grant.volume.uuid.clone(),
            size_min: grant.volume.size_min,
        }),
    };
    let place = Place {
        uid: grant.uid,
        base_dir: PathBuf::from(&grant.base_dir),
        image_dir: ops.image_dir.clone(),
    };
    Ok(Volume { place, source })
}

async fn show(grant: &Grant) -> Result<Shown, Error> {
    let base_dir = grant.base_dir.clone();
    blocking(move || look(&open_base(&base_dir)?, Path::new(&base_dir))).await
}

fn look(volume: &OwnedFd, base_dir: &Path) -> Result<Shown, Error> {
    let path = base_dir.display().to_string();
    let stat = rustix::fs::fstat(volume).map_err(io_error("look at", &path))?;
    let space = rustix::fs::fstatvfs(volume).map_err(io_error("look at", &path))?;
    let flags = StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV;
    Ok(Shown {
        device: stat.st_dev,
        total: space.f_blocks.saturating_mul(space.f_frsize),
        available: space.f_bavail.saturating_mul(space.f_frsize),
        confined: space.f_flag.contains(flags),
    })
}

fn contradicted(what: &str) -> Error {
    Error::WorkerContradicted {
        what: what.to_owned(),
    }
}
