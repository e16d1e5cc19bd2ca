//! Which volumes are mounted, remembered over a restart of the host: an empty file for each, named
//! after the UID, in a directory of root's.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::paths::{blocking, error_at, io_error};
use super::{Error, Ops};
use crate::safe_path::{Missing, open_root_owned, open_to_read};

/// Remembers that the volume of `uid` is mounted; on return that is on the disk.
pub(super) async fn set(ops: &Ops, uid: u32) -> Result<(), Error> {
    let path = ops.marker_dir.clone();
    blocking(move || {
        let failed = io_error("write", &path.display().to_string());
        let dir = open(&path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&dir, uid.to_string(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(&failed)?;
        rustix::fs::fsync(&dir).map_err(&failed)
    })
    .await
}

/// Forgets it; what was not remembered is not an error.
pub(super) async fn clear(ops: &Ops, uid: u32) -> Result<(), Error> {
    let path = ops.marker_dir.clone();
    blocking(move || {
        let failed = io_error("write", &path.display().to_string());
        let dir = open(&path)?;
        match rustix::fs::unlinkat(&dir, uid.to_string(), AtFlags::empty()) {
            Ok(()) => rustix::fs::fsync(&dir).map_err(&failed),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    })
    .await
}

/// The UIDs whose volumes are remembered, lowest first. Names that are no UIDs are nobody's.
pub(super) async fn all(ops: &Ops) -> Result<Vec<u32>, Error> {
    let path = ops.marker_dir.clone();
    blocking(move || {
        let failed = io_error("read", &path.display().to_string());
        let dir = open(&path)?;
        let mut uids = Vec::new();
        for entry in Dir::read_from(&dir).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            uids.extend(entry.file_name().to_str().ok().and_then(uid_of));
        }
        uids.sort_unstable();
        Ok(uids)
    })
    .await
}

/// A UID in the one way that [`set`] writes it.
fn uid_of(name: &str) -> Option<u32> {
    let uid: u32 = name.parse().ok()?;
    (uid.to_string() == name).then_some(uid)
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    let dir = open_root_owned(path, Missing::Create)
        .map_err(|error| error_at(&error.path.display().to_string())(error.problem))?;
    open_to_read(&dir).map_err(io_error("read", &path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_are_uids() {
        assert_eq!(uid_of("1001"), Some(1001));
        for name in [".", "..", "", "+1", "01001", "1001.new", "4294967296", "-1"] {
            assert_eq!(uid_of(name), None, "{name}");
        }
    }
}
