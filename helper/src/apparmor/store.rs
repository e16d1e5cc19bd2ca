//! The vetted copies in the distribution's own directory, from which it loads them at boot.
//!
//! A new text is first staged under a name that AppArmor's tools skip (`.NAME.tmp`), then loaded,
//! then renamed to NAME. A staged text that is found later means that its load was cut off: what
//! the kernel has is then unknown, and the kept text is loaded again.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::ProfileError;
use crate::safe_path::{
    ComponentError, Cross, Missing, open_at, open_dir, open_root_owned, open_to_read, require_roots,
};

/// The longest rendered profile, bytes: far more than a whole source becomes.
const MAX_PROFILE_LEN: u64 = 1 << 20;
/// The administrator's tools read these.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// The directory of the kept copies; root's, and nobody else can write there.
pub(super) struct Store {
    dir: OwnedFd,
    path: PathBuf,
    cache: PathBuf,
}

impl Store {
    pub(super) fn open(path: &Path, cache: &Path) -> Result<Self, ProfileError> {
        let dir = open_root_owned(path, Missing::Refuse).map_err(|error| ProfileError::Place {
            path: error.path.display().to_string(),
            problem: error.problem.to_string(),
        })?;
        Ok(Self {
            dir,
            path: path.to_owned(),
            cache: cache.to_owned(),
        })
    }

    /// Names of kept profiles for which `ours` holds, in order.
    pub(super) fn names(&self, ours: impl Fn(&str) -> bool) -> Result<Vec<String>, ProfileError> {
        let list = || -> Result<Vec<String>, Errno> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::new(open_to_read(&self.dir)?)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if ours(&name) {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(|errno| self.io("list", "")(errno))
    }

    /// The kept text, `None` when there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, ProfileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match open_at(&self.dir, OsStr::new(name), flags, Cross::Nothing) {
            Ok(file) => file,
            Err(ComponentError::Missing) => return Ok(None),
            Err(problem) => return Err(self.taken(name, &problem.to_string())),
        };
        let stat =
            require_roots(&file).map_err(|problem| self.taken(name, &problem.to_string()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(self.taken(name, "is not a plain file"));
        }
        let mut text = Vec::new();
        File::from(file)
            .take(MAX_PROFILE_LEN + 1)
            .read_to_end(&mut text)
            .map_err(|error| self.io_error("read", name, error))?;
        if text.len() as u64 > MAX_PROFILE_LEN {
            return Err(self.taken(name, "is larger than any profile"));
        }
        // Text that is not UTF-8 is none of ours, and is replaced like any other.
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// True when an earlier load of this profile was cut off.
    pub(super) fn is_staged(&self, name: &str) -> Result<bool, ProfileError> {
        match rustix::fs::statat(&self.dir, staged(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.io("look at", name)(errno)),
        }
    }

    /// Writes `text` beside the kept copy, durably.
    pub(super) fn stage(&self, name: &str, text: &str) -> Result<(), ProfileError> {
        self.unstage(name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, staged(name), flags, MODE)
            .map_err(self.io("create", name))?;
        // Whatever the umask is.
        rustix::fs::fchmod(&file, MODE).map_err(self.io("set the mode of", name))?;
        let mut file = File::from(file);
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| self.io_error("write", name, error))?;
        self.sync()
    }

    /// Makes the staged text the kept one, and forgets what was compiled from the old one. Not
    /// durable before [`Store::sync`].
    pub(super) fn commit(&self, name: &str) -> Result<(), ProfileError> {
        self.forget_compiled(name)?;
        rustix::fs::renameat(&self.dir, staged(name), &self.dir, name)
            .map_err(self.io("replace", name))
    }

    /// Removes what is staged, if anything is.
    pub(super) fn unstage(&self, name: &str) -> Result<(), ProfileError> {
        self.unlink(&staged(name), name).map(drop)
    }

    /// Removes the kept copy and what was compiled from it; false when there was none.
    pub(super) fn remove(&self, name: &str) -> Result<bool, ProfileError> {
        self.forget_compiled(name)?;
        let removed = self.unlink(OsStr::new(name), name)?;
        self.sync()?;
        Ok(removed)
    }

    /// The cache is keyed by the file's name and judged by its time (apparmor_parser(8)): a stale
    /// entry would be loaded instead of the text.
    fn forget_compiled(&self, name: &str) -> Result<(), ProfileError> {
        let cache = match open_root_owned(&self.cache, Missing::Refuse) {
            Err(error) if error.problem == ComponentError::Missing => return Ok(()),
            other => other.map_err(|error| ProfileError::Place {
                path: error.path.display().to_string(),
                problem: error.problem.to_string(),
            })?,
        };
        let forget = || -> Result<(), Errno> {
            for entry in rustix::fs::Dir::new(open_to_read(&cache)?)? {
                let entry = entry?;
                let entry = OsStr::from_bytes(entry.file_name().to_bytes());
                // Plain files, `.` and `..` are no set of features.
                let Ok(set) = open_dir(&cache, entry, Cross::Nothing) else {
                    continue;
                };
                match rustix::fs::unlinkat(&set, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Ok(())
        };
        forget().map_err(|errno| ProfileError::Io {
            step: "clean",
            path: self.cache.display().to_string(),
            source: errno.into(),
        })
    }

    fn unlink(&self, file: &OsStr, name: &str) -> Result<bool, ProfileError> {
        match rustix::fs::unlinkat(&self.dir, file, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR | Errno::PERM) => Err(self.taken(name, "is a directory")),
            Err(errno) => Err(self.io("remove", name)(errno)),
        }
    }

    /// Makes what was renamed and removed durable.
    pub(super) fn sync(&self) -> Result<(), ProfileError> {
        open_to_read(&self.dir)
            .and_then(rustix::fs::fsync)
            .map_err(self.io("write", ""))
    }

    fn taken(&self, name: &str, problem: &str) -> ProfileError {
        ProfileError::Place {
            path: self.path.join(name).display().to_string(),
            problem: problem.to_owned(),
        }
    }

    fn io(&self, step: &'static str, name: &str) -> impl Fn(Errno) -> ProfileError + use<> {
        let path = self.path.join(name).display().to_string();
        move |errno| ProfileError::Io {
            step,
            path: path.clone(),
            source: errno.into(),
        }
    }

    fn io_error(&self, step: &'static str, name: &str, error: std::io::Error) -> ProfileError {
        ProfileError::Io {
            step,
            path: self.path.join(name).display().to_string(),
            source: error,
        }
    }
}

/// AppArmor's tools skip names that begin with a dot (apparmor, rc.apparmor.functions,
/// `skip_profile`).
fn staged(name: &str) -> OsString {
    format!(".{name}.tmp").into()
}
