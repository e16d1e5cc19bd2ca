//! What the operations on directories share: the pinned volume, and how its faults are told.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use super::OpsError;
use crate::safe_path::{BindError, Problem, open_volume};

/// Runs work that waits for disks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpsError> + Send + 'static,
) -> Result<T, OpsError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(OpsError::Interrupted))
}

/// Opens the root of the tenant's volume as a place.
pub(super) fn open_base(base_dir: &str) -> Result<OwnedFd, OpsError> {
    let not_mounted = || OpsError::VolumeNotMounted {
        base_dir: base_dir.to_owned(),
    };
    open_volume(Path::new(base_dir)).map_err(|error| match error {
        BindError::Path(path) if path.problem == Problem::Missing => not_mounted(),
        BindError::Path(path) => at_fault(&path.path.display().to_string())(path.problem),
        BindError::NotMounted(_) | BindError::WholeVolume | BindError::Owner { .. } => {
            not_mounted()
        }
    })
}

/// Tells what is wrong with the directory `path`.
pub(super) fn at_fault(path: &str) -> impl Fn(Problem) -> OpsError + use<> {
    let path = path.to_owned();
    move |problem| {
        let path = path.clone();
        let problem = match problem {
            Problem::Missing => return OpsError::Missing { path },
            Problem::Os(errno) => return io_error("open", &path)(errno),
            Problem::NotPlain => "is not a plain name",
            Problem::Link => "is a symbolic link",
            Problem::NotDirectory => "is not a directory",
            Problem::OtherFileSystem => "is on another file system",
            Problem::NotRoots { .. } => "must belong to root and be writable by root only",
        };
        OpsError::UnsafePath { path, problem }
    }
}

/// Tells that the kernel refused `step` on `path`.
pub(super) fn io_error(step: &'static str, path: &str) -> impl Fn(Errno) -> OpsError + use<> {
    let path = path.to_owned();
    move |errno| OpsError::Io {
        step,
        path: path.clone(),
        source: errno.into(),
    }
}
