//! What was applied last, for `guard status`, and why it failed, for the daemons.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::safe_path::{Cross, Missing, PathError, open_at, open_root_owned_parent, require_roots};

/// Where the packages keep it; empty after each boot, as the kernel is.
pub const STATE_FILE: &str = "/run/aistack/guard.json";
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// As much of the file as is read, bytes.
const MAX_LENGTH: u64 = 4096;

/// The state file.
#[derive(Debug, Clone)]
pub struct State {
    path: PathBuf,
}

/// Why it could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A directory above it is missing or can be changed by others.
    #[error("the state file cannot be trusted: {0}")]
    Path(#[from] PathError),
    /// The kernel refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// SHA-256 of the text that nft was given; empty after a failure.
    table: String,
    /// SHA-256 of what nft listed afterwards.
    listing: String,
    /// A sentence for tenants, empty when it went well.
    problem: String,
}

impl State {
    /// The state file at this place.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Digests of what was applied and of what was listed then.
    pub(super) fn applied(&self) -> Option<(String, String)> {
        let content = read(&self.path)?;
        (!content.table.is_empty()).then_some((content.table, content.listing))
    }

    pub(super) fn in_force(&self, table: &str, listing: &str) -> Result<(), StateError> {
        self.write(&Content {
            table: table.to_owned(),
            listing: listing.to_owned(),
            problem: String::new(),
        })
    }

    pub(super) fn failed(&self, problem: &str) -> Result<(), StateError> {
        self.write(&Content {
            problem: problem.to_owned(),
            ..Content::default()
        })
    }

    pub(super) fn remove(&self) -> Result<(), StateError> {
        let (dir, name) = open_root_owned_parent(&self.path, Missing::Create)?;
        match rustix::fs::unlinkat(&dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.io(errno.into())),
        }
    }

    /// A reader sees the old content or the new one.
    fn write(&self, content: &Content) -> Result<(), StateError> {
        let (dir, name) = open_root_owned_parent(&self.path, Missing::Create)?;
        let mut staged = name.clone();
        staged.push(".tmp");
        let text = serde_json::to_string(content).map_err(|error| self.io(error.into()))?;
        let write = || -> std::io::Result<()> {
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::TRUNC
                | OFlags::NOFOLLOW
                | OFlags::CLOEXEC;
            let file: OwnedFd = rustix::fs::openat(&dir, &staged, flags, FILE_MODE)?;
            rustix::fs::fchmod(&file, FILE_MODE)?;
            File::from(file).write_all(text.as_bytes())?;
            Ok(rustix::fs::renameat(&dir, &staged, &dir, &name)?)
        };
        write().map_err(|source| self.io(source))
    }

    fn io(&self, source: std::io::Error) -> StateError {
        StateError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Why the guard could not be applied last time, as a sentence for tenants; `None` when nothing is
/// known of a failure.
#[must_use]
pub fn last_error(path: &Path) -> Option<String> {
    Some(read(path)?.problem).filter(|problem| !problem.is_empty())
}

/// Nothing that anybody but root could have written.
fn read(path: &Path) -> Option<Content> {
    let (dir, name) = open_root_owned_parent(path, Missing::Refuse).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = open_at(&dir, &name, flags, Cross::Nothing).ok()?;
    let stat = require_roots(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = String::new();
    File::from(file)
        .take(MAX_LENGTH)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}
