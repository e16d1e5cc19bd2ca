//! PrepareDirectories: the fixed directories and those of services, made beneath the pinned volume.
//!
//! Every parent of a directory that is made here is root's, so nobody else can put anything in its
//! place. A new directory is root's and closed until it has its owner, and getting the owner is the
//! last step: what a killed helper left behind is an empty directory of root's, and is finished by
//! the next run.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use aistack_policy::Grant;
use aistack_proto::v1::PrepareDirectoriesResponse;
use rustix::fs::{Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::paths::{blocking, error_at, io_error, open_base};
use super::{Error, Ownership, ServiceDir};
use crate::safe_path::{ComponentError, Cross, is_empty, open_at, open_dir, require_roots};

/// The most service directories in one request.
const MAX_DIRECTORIES: usize = 128;
/// Root's directories: others may pass through, nobody may list.
const ROOTS: Ownership = Ownership {
    uid: 0,
    gid: 0,
    mode: 0o711,
};

/// One directory to be there: the tree it is in (`""` for the volume's root), its name, its owner.
struct Wanted {
    tree: &'static str,
    name: String,
    owner: Ownership,
}

/// Creates the fixed directories and `dirs`; existing ones are verified.
///
/// # Errors
/// When the volume is not mounted or something else stands in the way.
pub async fn prepare_directories(
    grant: &Grant,
    dirs: &[ServiceDir],
) -> Result<PrepareDirectoriesResponse, Error> {
    if dirs.len() > MAX_DIRECTORIES {
        return Err(Error::TooLarge {
            what: "the number of directories",
            limit: MAX_DIRECTORIES as u64,
        });
    }
    let mut wanted = fixed(grant);
    for dir in dirs {
        wanted.push(Wanted {
            tree: dir.kind.tree(),
            name: dir.service.as_str().to_owned(),
            owner: dir.ownership(grant)?,
        });
    }
    let base_dir = grant.base_dir.clone();
    blocking(move || make_all(&open_base(&base_dir)?, &wanted)).await
}

fn fixed(grant: &Grant) -> Vec<Wanted> {
    let tenants = Ownership {
        uid: grant.uid,
        gid: grant.gid,
        mode: 0o700,
    };
    [
        ("", "apparmor", tenants),
        ("", "config", tenants),
        ("", "etc", ROOTS),
        ("", "data", ROOTS),
        ("", "logs", ROOTS),
        ("", "ssl", ROOTS),
        ("ssl", "certs", tenants),
    ]
    .into_iter()
    .map(|(tree, name, owner)| Wanted {
        tree,
        name: name.to_owned(),
        owner,
    })
    .collect()
}

fn make_all(volume: &OwnedFd, wanted: &[Wanted]) -> Result<PrepareDirectoriesResponse, Error> {
    let (mut created, mut existing) = (0, 0);
    for Wanted { tree, name, owner } in wanted {
        let made = if tree.is_empty() {
            ensure(volume, name, name, *owner)?
        } else {
            let parent = open_tree(volume, tree)?;
            ensure(&parent, name, &format!("{tree}/{name}"), *owner)?
        };
        if made {
            created += 1;
        } else {
            existing += 1;
        }
    }
    Ok(PrepareDirectoriesResponse { created, existing })
}

/// Opens one of root's directories below the volume's root.
pub(super) fn open_tree(volume: &OwnedFd, tree: &str) -> Result<OwnedFd, Error> {
    let dir = open_dir(volume, OsStr::new(tree), Cross::Nothing).map_err(error_at(tree))?;
    require_roots(&dir).map_err(error_at(tree))?;
    Ok(dir)
}

/// Sees to it that `name` in `parent` is a directory of `owner`; true when it was made or finished
/// now. `path` is how it is named.
fn ensure(parent: &OwnedFd, name: &str, path: &str, owner: Ownership) -> Result<bool, Error> {
    let made = match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(io_error("create", path)(errno)),
    };
    // The only name that is looked up; from here on it is the descriptor that counts.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let dir = open_at(parent, OsStr::new(name), flags, Cross::Nothing).map_err(error_at(path))?;
    let stat = rustix::fs::fstat(&dir).map_err(io_error("look at", path))?;
    if !made && (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) {
        // The mode of a directory is its owner's business, unless the owner is root.
        if owner.uid == 0 && stat.st_mode & 0o7777 != owner.mode {
            set_mode(&dir, owner.mode).map_err(io_error("set the mode of", path))?;
        }
        return Ok(false);
    }
    let half_made = stat.st_uid == 0 && is_empty(&dir).map_err(io_error("read", path))?;
    if !half_made {
        return Err(wrong_owner(path, owner, &stat));
    }
    set_mode(&dir, owner.mode).map_err(io_error("set the mode of", path))?;
    give(&dir, owner).map_err(io_error("change the owner of", path))?;
    Ok(true)
}

/// Sets the permission bits of an open directory.
pub(super) fn set_mode(dir: &OwnedFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(dir, Mode::from_raw_mode(mode))
}

fn give(dir: &OwnedFd, owner: Ownership) -> Result<(), Errno> {
    // (uid_t)-1 means "leave it as it is" to the kernel.
    if owner.uid == u32::MAX || owner.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::fchown(dir, Some(uid), Some(gid))
}

fn wrong_owner(path: &str, expected: Ownership, stat: &Stat) -> Error {
    Error::WrongOwner {
        path: path.to_owned(),
        expected: format!("{}:{}", expected.uid, expected.gid),
        actual: format!("{}:{}", stat.st_uid, stat.st_gid),
    }
}

/// True for a name that vanished, or turned into something else, while the tree was walked.
pub(super) fn is_gone(problem: &ComponentError) -> bool {
    matches!(
        problem,
        ComponentError::Missing | ComponentError::Link | ComponentError::NotDirectory
    )
}
