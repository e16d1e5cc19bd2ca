//! What the operations on directories share: the pinned volume, and how its errors are reported.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use super::Error;
use crate::safe_path::{BindError, ComponentError, open_volume};

/// Runs work that waits for disks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(Error::Interrupted))
}

/// Opens the root of the tenant's volume as a place.
pub(super) fn open_base(base_dir: &str) -> Result<OwnedFd, Error> {
    let not_mounted = || Error::VolumeNotMounted {
        base_dir: base_dir.to_owned(),
    };
    open_volume(Path::new(base_dir)).map_err(|error| match error {
        BindError::Path(path) if path.problem == ComponentError::Missing => not_mounted(),
        BindError::Path(path) => error_at(&path.path.display().to_string())(path.problem),
        BindError::NotMounted(_) | BindError::WholeVolume | BindError::Owner { .. } => {
            not_mounted()
        }
    })
}

/// Tells what is wrong with the directory `path`.
pub(super) fn error_at(path: &str) -> impl Fn(ComponentError) -> Error + use<> {
    let path = path.to_owned();
    move |problem| {
        let path = path.clone();
        let problem = match problem {
            ComponentError::Missing => return Error::Missing { path },
            ComponentError::Os(errno) => return io_error("open", &path)(errno),
            ComponentError::NotPlain => "is not a plain name",
            ComponentError::Link => "is a symbolic link",
            ComponentError::NotDirectory => "is not a directory",
            ComponentError::OtherFileSystem => "is on another file system",
            ComponentError::NotRoots { .. } => "must belong to root and be writable by root only",
        };
        Error::UnsafePath { path, problem }
    }
}

/// Tells that the kernel refused `step` on `path`.
pub(super) fn io_error(step: &'static str, path: &str) -> impl Fn(Errno) -> Error + use<> {
    let path = path.to_owned();
    move |errno| Error::Io {
        step,
        path: path.clone(),
        source: errno.into(),
    }
}
