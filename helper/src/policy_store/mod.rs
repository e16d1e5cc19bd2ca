//! The policy in force: read through a checked descriptor, swapped as a whole on SIGHUP.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aistack_policy::guard::Canary;
use aistack_policy::{Policy, PolicyErrors};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::safe_path::{
    ComponentError, Cross, Missing, PathError, open_at, open_root_owned_parent, require_roots,
};

/// The largest policy file, bytes.
pub const MAX_POLICY: u64 = 1 << 20;

/// The policy says who has what. Who is in it needs only their own part, and `WhoAmI` tells that.
const OTHERS_READ: u32 = 0o004;

/// A policy with what identifies it.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// The parsed policy.
    pub policy: Policy,
    /// SHA-256 of the file, hexadecimal.
    pub digest: String,
    /// Where the kernel tells whether this policy's network guard is in force.
    pub canary: Option<Canary>,
}

/// Holds the policy in force. Cheap to clone; readers never wait for a file to be read.
#[derive(Debug, Clone)]
pub struct PolicyStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    current: RwLock<Arc<LoadedPolicy>>,
}

/// Why a policy file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyStoreError {
    /// A directory above the file, or the file itself, is missing or can be changed by others.
    #[error("the policy file cannot be trusted: {0}")]
    Path(PathError),
    /// The file or a directory above it is closed to this user.
    #[error(
        "the policy file may not be read: {0}; as root: chown root:GROUP and chmod 0640, with the \
         group that the gateway runs in"
    )]
    Closed(PathError),
    /// Something that is not a file stands there.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// More than [`MAX_POLICY`] bytes.
    #[error("{} is larger than {MAX_POLICY} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The kernel refused to read it.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What read(2) said.
        #[source]
        source: io::Error,
    },
    /// The file is safe and has errors.
    #[error("{} has errors: {}", path.display(), listed(errors))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        errors: PolicyErrors,
    },
}

impl From<PathError> for PolicyStoreError {
    fn from(error: PathError) -> Self {
        match error.problem {
            ComponentError::Os(Errno::ACCESS) => Self::Closed(error),
            _ => Self::Path(error),
        }
    }
}

impl PolicyStore {
    /// Reads the file: root-owned, not writable by others, parents too, all checked on descriptors.
    ///
    /// # Errors
    /// When the file is unsafe, unreadable or has errors.
    pub fn load(path: &Path) -> Result<Self, PolicyStoreError> {
        let loaded = read(path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                current: RwLock::new(Arc::new(loaded)),
            }),
        })
    }

    /// Reads the file again; on any error the policy in force stays and the error is returned.
    ///
    /// # Errors
    /// As [`PolicyStore::load`].
    pub fn reload(&self) -> Result<(), PolicyStoreError> {
        let loaded = Arc::new(read(&self.shared.path)?);
        *self
            .shared
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The policy in force now; ask again for every request.
    #[must_use]
    pub fn current(&self) -> Arc<LoadedPolicy> {
        Arc::clone(
            &self
                .shared
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The text of a policy file after every check that concerns the file, not its content.
///
/// # Errors
/// When the file is unsafe or unreadable.
pub fn read_text(path: &Path) -> Result<String, PolicyStoreError> {
    let mut bytes = Vec::new();
    let limited = open_checked(path)?;
    limited
        .take(MAX_POLICY + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| PolicyStoreError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > MAX_POLICY {
        return Err(PolicyStoreError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| PolicyStoreError::NotText(path.to_owned()))
}

fn read(path: &Path) -> Result<LoadedPolicy, PolicyStoreError> {
    let text = read_text(path)?;
    let digest = hex(&Sha256::digest(text.as_bytes()));
    let policy = Policy::parse(&text).map_err(|errors| PolicyStoreError::Invalid {
        path: path.to_owned(),
        errors,
    })?;
    Ok(LoadedPolicy {
        canary: crate::guard::canary(&policy),
        policy,
        digest,
    })
}

fn open_checked(path: &Path) -> Result<File, PolicyStoreError> {
    let (dir, name) = open_root_owned_parent(path, Missing::Refuse)?;
    let error_at = |problem: ComponentError| PathError {
        path: path.to_owned(),
        problem,
    };
    // O_NONBLOCK: a FIFO in the file's place must not hold the daemon.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = open_at(&dir, &name, flags, Cross::Mounts).map_err(error_at)?;
    let stat = require_roots(&fd).map_err(error_at)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(PolicyStoreError::NotAFile(path.to_owned()));
    }
    if stat.st_mode & OTHERS_READ != 0 {
        tracing::warn!(
            path = %path.display(),
            "every user of this host can read the policy; root:GROUP with the gateway's group and \
             mode 0640 is enough"
        );
    }
    Ok(File::from(fd))
}

fn listed(errors: &PolicyErrors) -> String {
    let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests;
