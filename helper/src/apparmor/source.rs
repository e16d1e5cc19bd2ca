//! Reading what a tenant wrote: two fixed names in `<base directory>/apparmor`, where the tenant may
//! have put anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use aistack_policy::Grant;
use rustix::fs::{FileType, OFlags};

use super::ProfileError;
use crate::safe_path::{ComponentError, Cross, open_at, open_dir};

/// The directory below the base directory.
const DIRECTORY: &str = "apparmor";
/// The longest source, bytes.
const MAX_SOURCE: u64 = 32 << 10;

/// The tenant's sources, held by descriptor. The directory is never listed.
pub(super) struct Sources<'g> {
    /// `None`: there is no such directory, so there are no sources.
    dir: Option<OwnedFd>,
    grant: &'g Grant,
}

impl<'g> Sources<'g> {
    /// The directory below `base`, the pinned root of the tenant's volume.
    pub(super) fn open(base: impl AsFd, grant: &'g Grant) -> Result<Self, ProfileError> {
        let dir = match open_dir(base, OsStr::new(DIRECTORY), Cross::Nothing) {
            Ok(dir) => Some(dir),
            Err(ComponentError::Missing) => None,
            Err(problem) => return Err(unfit(DIRECTORY, problem)),
        };
        if let Some(dir) = &dir {
            let stat = rustix::fs::fstat(dir).map_err(|errno| unfit(DIRECTORY, errno.into()))?;
            require_owner(grant, DIRECTORY, stat.st_uid)?;
        }
        Ok(Self { dir, grant })
    }

    /// The source of that name, `None` when there is none. Read once, and no more than the bound,
    /// whatever its size is by now.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ProfileError> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        let path = format!("{DIRECTORY}/{name}");
        // Without O_NONBLOCK the open of a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match open_at(dir, OsStr::new(name), flags, Cross::Nothing) {
            Ok(file) => file,
            Err(ComponentError::Missing) => return Ok(None),
            Err(problem) => return Err(unfit(&path, problem)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| unfit(&path, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(source(&path, "is not a regular file"));
        }
        if stat.st_nlink != 1 {
            return Err(source(&path, "has other names (hard links)"));
        }
        require_owner(self.grant, &path, stat.st_uid)?;
        let mut text = Vec::new();
        File::from(file)
            .take(MAX_SOURCE + 1)
            .read_to_end(&mut text)
            .map_err(|error| ProfileError::Io {
                step: "read",
                path: path.clone(),
                source: error,
            })?;
        if text.len() as u64 > MAX_SOURCE {
            return Err(source(&path, "is longer than 32 KiB"));
        }
        Ok(Some(text))
    }
}

fn require_owner(grant: &Grant, path: &str, uid: u32) -> Result<(), ProfileError> {
    if uid == grant.uid || uid == 0 {
        return Ok(());
    }
    Err(source(path, "belongs to another user"))
}

fn source(path: &str, problem: &'static str) -> ProfileError {
    ProfileError::Source {
        path: path.to_owned(),
        problem,
    }
}

// By value, as map_err passes it.
#[expect(clippy::needless_pass_by_value)]
fn unfit(path: &str, problem: ComponentError) -> ProfileError {
    let problem = match problem {
        ComponentError::Os(errno) => {
            return ProfileError::Io {
                step: "open",
                path: path.to_owned(),
                source: errno.into(),
            };
        }
        ComponentError::Link => "is a symbolic link",
        ComponentError::NotDirectory => "is not a directory",
        ComponentError::OtherFileSystem => "is on another file system",
        ComponentError::Missing => "does not exist",
        ComponentError::NotPlain => "is not a plain name",
        ComponentError::NotRoots { .. } => "must belong to root",
    };
    source(path, problem)
}
