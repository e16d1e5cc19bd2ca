//! What the gateway reads. It has no right to read the kernel's list, so the helper leaves one
//! root-owned file for each profile that it has verified, with the digest of its text.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::ProfileError;
use crate::hex::hex;
use crate::safe_path::{Cross, Missing, open_at, open_root_owned, open_to_read, require_roots};

const DIR_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// The digest that stands for a profile's text.
pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// The digest published for a profile; `None` when none is, or when anybody but root could have
/// written it.
#[must_use]
pub(crate) fn published(dir: &Path, name: &str) -> Option<String> {
    let dir = open_root_owned(dir, Missing::Refuse).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = open_at(&dir, OsStr::new(name), flags, Cross::Nothing).ok()?;
    let stat = require_roots(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = String::new();
    File::from(file).take(128).read_to_string(&mut text).ok()?;
    let text = text.trim_end().to_owned();
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then_some(text)
}

/// The directory, as the helper writes it.
pub(super) struct Published {
    dir: OwnedFd,
    path: PathBuf,
}

impl Published {
    /// Opens the directory, and makes it first where it is missing: `/run` is empty after a boot.
    pub(super) fn open(path: &Path) -> Result<Self, ProfileError> {
        let taken = |error: crate::safe_path::PathError| ProfileError::Place {
            path: error.path.display().to_string(),
            problem: error.problem.to_string(),
        };
        let dir = open_root_owned(path, Missing::Create).map_err(taken)?;
        let published = Self {
            dir,
            path: path.to_owned(),
        };
        open_to_read(&published.dir)
            .and_then(|dir| rustix::fs::fchmod(dir, DIR_MODE))
            .map_err(published.io("set the mode of"))?;
        Ok(published)
    }

    /// Says that `text` is loaded as `name`. A reader sees the old digest or the new one.
    pub(super) fn publish(&self, name: &str, text: &str) -> Result<(), ProfileError> {
        let staged = format!(".{name}.tmp");
        self.unlink(&staged)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, staged.as_str(), flags, FILE_MODE)
            .map_err(self.io("write in"))?;
        rustix::fs::fchmod(&file, FILE_MODE).map_err(self.io("write in"))?;
        writeln!(File::from(file), "{}", digest(text)).map_err(|source| ProfileError::Io {
            step: "write in",
            path: self.path.display().to_string(),
            source,
        })?;
        rustix::fs::renameat(&self.dir, staged.as_str(), &self.dir, name)
            .map_err(self.io("write in"))
    }

    /// Says that the profile is not to be used; false when it was not published.
    pub(super) fn withdraw(&self, name: &str) -> Result<bool, ProfileError> {
        self.unlink(name)
    }

    /// The digest published for a profile.
    pub(super) fn of(&self, name: &str) -> Option<String> {
        published(&self.path, name)
    }

    fn unlink(&self, name: &str) -> Result<bool, ProfileError> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.io("write in")(errno)),
        }
    }

    fn io(&self, step: &'static str) -> impl Fn(Errno) -> ProfileError + use<> {
        let path = self.path.display().to_string();
        move |errno| ProfileError::Io {
            step,
            path: path.clone(),
            source: errno.into(),
        }
    }
}
