//! Removing whole directories, also those that a service has closed to everybody, by descriptors only:
//! what they hold belongs to services, which may still be exchanging names in it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// How deep a tree may be; each level holds one descriptor.
const MAX_DEPTH: usize = 500;
/// A failed pass over a directory is repeated while names come in meanwhile, so often.
const PASSES: usize = 3;

/// Removes everything in a directory, not the directory itself.
///
/// # Errors
/// When something cannot be removed; what comes after it in the same directory stays.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    let dir = open(rustix::fs::CWD, &name_of(path)?)?;
    Ok(contents(&dir, 0)?)
}

/// Removes a directory and everything in it.
///
/// # Errors
/// As [`empty`].
pub(super) fn remove(path: &Path) -> io::Result<()> {
    directory(rustix::fs::CWD, &name_of(path)?, 0).map_err(io::Error::from)
}

fn name_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)
}

fn directory(parent: impl AsFd, name: &CStr, depth: usize) -> Result<(), Errno> {
    for pass in 1.. {
        match open(&parent, name) {
            Err(Errno::NOENT) => return Ok(()),
            // A file that may not be removed, in another's directory with the sticky bit.
            Err(Errno::NOTDIR) => return Err(Errno::PERM),
            opened => contents(&opened?, depth)?,
        }
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if pass < PASSES => {}
            done => return done,
        }
    }
    Ok(())
}

fn contents(dir: &OwnedFd, depth: usize) -> Result<(), Errno> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    // All names first: what is removed while a directory is read makes it skip others.
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        match unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Linux says EISDIR, POSIX EPERM.
            Err(Errno::ISDIR | Errno::PERM) => directory(dir, &name, depth + 1)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Opens a directory so that what is in it can be removed. One that belongs to the caller and is
/// closed even to it is opened up, through the descriptor.
fn open(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let base = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(&parent, name, base | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let place = openat(&parent, name, base | OFlags::PATH, Mode::empty())?;
            let path = format!("/proc/self/fd/{}", place.as_raw_fd());
            // EPERM for another's directory; the answer to that is the EACCES of before.
            rustix::fs::chmod(&path, Mode::RWXU).map_err(|_| Errno::ACCESS)?;
            let again = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return rustix::fs::open(&path, again, Mode::empty());
        }
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&dir)?;
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    if own && !Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU) {
        rustix::fs::fchmod(&dir, Mode::RWXU)?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use rustix::process::{Gid, Uid};

    use super::*;

    /// Ordinary users; nobody of this machine has these numbers.
    const TENANT: u32 = 62711;
    const SERVICE: u32 = 63711;

    /// Runs `act` in a thread that is this user for the kernel, without a capability.
    fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                rustix::thread::set_thread_groups(&[]).unwrap();
                let gid = Gid::from_raw(uid);
                rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
                let uid = Uid::from_raw(uid);
                rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A service's directory with closed directories in it, all of them this user's.
    fn tree(owner: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir_in("/run").unwrap();
        chmod(dir.path(), 0o755);
        let data = dir.path().join("data");
        let mut path = data.clone();
        let mut paths = vec![data.clone()];
        for name in ["closed", "read-only", "no-search", "inner"] {
            path = path.join(name);
            paths.push(path.clone());
        }
        std::fs::create_dir_all(&path).unwrap();
        for path in &paths {
            std::fs::write(path.join("file"), "x").unwrap();
            chown(path.join("file"), Some(owner), Some(owner)).unwrap();
            chown(path, Some(owner), Some(owner)).unwrap();
        }
        for (path, mode) in paths.iter().zip([0o700, 0o000, 0o500, 0o600, 0o000]).rev() {
            chmod(path, mode);
        }
        dir
    }

    #[test]
    #[ignore = "needs root"]
    fn directories_of_mode_000_are_removed_by_their_owner() {
        let dir = tree(TENANT);
        let data = dir.path().join("data");
        let plain = as_user(TENANT, || std::fs::remove_dir_all(data.join("closed")));
        assert_eq!(plain.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        as_user(TENANT, || empty(&data)).unwrap();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    #[ignore = "needs root"]
    fn what_is_a_services_is_left_for_the_helper_to_give_and_then_removed() {
        let dir = tree(SERVICE);
        let data = dir.path().join("data");
        let refused = as_user(TENANT, || empty(&data)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        // What Chown does, which changes no mode below the first.
        let mut path = data.clone();
        for name in ["", "closed", "read-only", "no-search", "inner"] {
            path = path.join(name);
            chown(&path, Some(TENANT), Some(TENANT)).unwrap();
            chown(path.join("file"), Some(TENANT), Some(TENANT)).unwrap();
        }
        as_user(TENANT, || empty(&data)).unwrap();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    fn a_link_to_a_directory_is_removed_and_the_mode_of_its_target_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::create_dir(&target).unwrap();
        chmod(&target, 0o500);
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&target, data.join("link")).unwrap();
        empty(&data).unwrap();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
        let mode = std::fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500);
        assert!(open(rustix::fs::CWD, &name_of(&dir.path().join("none")).unwrap()).is_err());
    }
}
