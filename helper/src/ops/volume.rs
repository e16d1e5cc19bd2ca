//! The tenant's volume: the worker mounts it, and what it says is checked here by descriptor.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aistack_policy::{Format, Grant, VolumeKind};
use aistack_proto::v1::{MountVolumeResponse, UnmountVolumeResponse, VolumeState};
use rustix::fs::StatVfsMountFlags;

use super::paths::{blocking, io_error, open_base};
use super::{Ops, OpsError, worker};
use crate::mount::wire::{FileSystem, MountLoop, Place, Reply, Request};

/// What the kernel shows of a mounted volume.
struct Shown {
    device: u64,
    total: u64,
    available: u64,
    confined: bool,
}

pub(super) async fn mount(ops: &Ops, grant: &Grant) -> Result<MountVolumeResponse, OpsError> {
    let size = loop_size(grant)?;
    let fs = FileSystem::of(&grant.volume.fs).ok_or(OpsError::NotInThisVersion {
        what: "this file system",
    })?;
    let request = Request::MountLoop(MountLoop {
        place: place(ops, grant),
        size,
        fs,
        may_format: grant.volume.format == Format::IfBlank,
    });
    let Reply::Mounted(mounted) = worker::ask(&ops.mount_socket, &request).await? else {
        return Err(contradicted("answered a question that was not asked"));
    };
    let shown = match show(grant).await {
        Err(OpsError::VolumeNotMounted { .. }) => {
            return Err(contradicted("no volume shows at the base directory"));
        }
        other => other?,
    };
    if shown.device != mounted.device {
        return Err(contradicted("another device shows at the base directory"));
    }
    if !shown.confined {
        return Err(contradicted(
            "the volume is mounted without nosuid and nodev",
        ));
    }
    Ok(MountVolumeResponse {
        changed: mounted.changed,
        formatted: mounted.formatted,
        fs: mounted.fs.name().to_owned(),
        total_bytes: shown.total,
    })
}

pub(super) async fn unmount(ops: &Ops, grant: &Grant) -> Result<UnmountVolumeResponse, OpsError> {
    loop_size(grant)?;
    let request = Request::Unmount(place(ops, grant));
    let Reply::Unmounted { changed } = worker::ask(&ops.mount_socket, &request).await? else {
        return Err(contradicted("answered a question that was not asked"));
    };
    match show(grant).await {
        Err(OpsError::VolumeNotMounted { .. }) => Ok(UnmountVolumeResponse { changed }),
        Err(error) => Err(error),
        Ok(_) => Err(contradicted("a volume still shows at the base directory")),
    }
}

/// Not mounted, or not as it must be, is "not mounted".
pub(super) async fn state(grant: &Grant) -> VolumeState {
    match show(grant).await {
        Ok(shown) => VolumeState {
            mounted: true,
            total_bytes: shown.total,
            available_bytes: shown.available,
        },
        Err(_) => VolumeState::default(),
    }
}

fn loop_size(grant: &Grant) -> Result<u64, OpsError> {
    match grant.volume.kind {
        VolumeKind::Loop { size } => Ok(size),
        VolumeKind::Ebs { .. } => Err(OpsError::NotInThisVersion {
            what: "mounting EBS volumes",
        }),
    }
}

fn place(ops: &Ops, grant: &Grant) -> Place {
    Place {
        uid: grant.uid,
        base_dir: PathBuf::from(&grant.base_dir),
        image_dir: ops.image_dir.clone(),
    }
}

async fn show(grant: &Grant) -> Result<Shown, OpsError> {
    let base_dir = grant.base_dir.clone();
    blocking(move || look(&open_base(&base_dir)?, Path::new(&base_dir))).await
}

fn look(volume: &OwnedFd, base_dir: &Path) -> Result<Shown, OpsError> {
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

fn contradicted(what: &str) -> OpsError {
    OpsError::WorkerContradicted {
        what: what.to_owned(),
    }
}
