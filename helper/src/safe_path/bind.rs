//! The bind-mount rule: Docker resolves a bind source by name and as root, so it is accepted only
//! where nobody but root can change what the name means.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{
    ComponentError, Cross, Missing, PathError, is_mount_root, open_dir, open_root_owned,
    open_root_owned_parent, require_roots,
};

/// Why a directory may not be a bind source.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A component is missing, a link, no directory, or can be replaced by someone.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The base directory is not a mounted volume.
    #[error("no volume is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    /// The base directory itself was named.
    #[error("the whole volume cannot be a bind source")]
    WholeVolume,
    /// The directory is of nobody that may use it.
    #[error("{} belongs to UID {uid}, which is not one of this tenant's", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its UID.
        uid: u32,
    },
}

/// Checks that `<base_dir>/<components…>` can be a bind source: every component up to the last is
/// root's and writable by root only, the last one is a real directory of one of `allowed_uids`, and
/// it is on the volume that is mounted at `base_dir`. Needs no privilege: places only, nothing is
/// read.
///
/// # Errors
/// The first thing that is not so.
pub fn verify_bind(
    base_dir: &Path,
    components: &[&str],
    allowed_uids: &[u32],
) -> Result<(), BindError> {
    let (last, parents) = components.split_last().ok_or(BindError::WholeVolume)?;
    let (mut here, mut dir) = (base_dir.to_owned(), open_volume(base_dir)?);
    for name in parents {
        here.push(name);
        dir = open_dir(&dir, OsStr::new(name), Cross::Nothing).map_err(error_at(&here))?;
        require_roots(&dir).map_err(error_at(&here))?;
    }
    here.push(last);
    let place = open_dir(&dir, OsStr::new(last), Cross::Nothing).map_err(error_at(&here))?;
    let stat = rustix::fs::fstat(&place)
        .map_err(ComponentError::from)
        .map_err(error_at(&here))?;
    if !allowed_uids.contains(&stat.st_uid) {
        return Err(BindError::Owner {
            path: here,
            uid: stat.st_uid,
        });
    }
    Ok(())
}

/// Opens the root of the volume that is mounted at `base_dir` as a place; every component is
/// root's.
///
/// # Errors
/// [`BindError::NotMounted`] when no file system of its own is mounted there.
pub(crate) fn open_volume(base_dir: &Path) -> Result<std::os::fd::OwnedFd, BindError> {
    let (parent, _) = open_root_owned_parent(base_dir, Missing::Refuse)?;
    let base = open_root_owned(base_dir, Missing::Refuse)?;
    let device = |fd| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
    let checks =
        || Ok::<_, ComponentError>(is_mount_root(&base)? && device(&base)? != device(&parent)?);
    if checks().map_err(error_at(base_dir))? {
        return Ok(base);
    }
    Err(BindError::NotMounted(base_dir.to_owned()))
}

fn error_at(path: &Path) -> impl Fn(ComponentError) -> PathError {
    move |problem| PathError {
        path: path.to_owned(),
        problem,
    }
}
