//! Giving up what a daemon does not need, before it listens to anyone.

mod file_access;
mod syscalls;

use std::io;

use caps::{CapSet, CapsHashSet};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};

pub use caps::Capability;
pub use file_access::{FileAccess, parents_of_base_dirs};
pub use syscalls::{Work, allow_only};

/// Why a privilege could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel refused to change the capabilities.
    #[error("cannot drop capabilities: {0}")]
    Capabilities(String),
    /// The kernel has Landlock and refused.
    #[error("cannot restrict where this daemon writes")]
    Landlock(#[source] landlock::RulesetError),
    /// The kernel refused, or has no seccomp.
    #[error("cannot restrict the system calls of this daemon: {0}")]
    Seccomp(String),
    /// The kernel refused a limit or a flag.
    #[error("cannot {step}")]
    Kernel {
        /// Verb phrase.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Limits this process, for good: nothing it makes is open to others, it opens at most `files`
/// descriptors, no child gains a privilege, and only the capabilities in `keep` stay, in every set.
/// Call it before the first thread starts: each of these is a thread's own.
///
/// # Errors
/// When the kernel refuses; the daemon must not go on then.
pub fn restrict(keep: &[Capability], files: u64) -> Result<(), SandboxError> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    limit_files(files)?;
    keep_only(keep)?;
    rustix::thread::set_no_new_privs(true).map_err(|errno| SandboxError::Kernel {
        step: "set no_new_privs",
        source: errno.into(),
    })
}

/// `files` descriptors, or as many as the hard limit allows.
fn limit_files(files: u64) -> Result<(), SandboxError> {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let files = hard.map_or(files, |hard| hard.min(files));
    let limit = Rlimit {
        current: Some(files),
        maximum: Some(files),
    };
    rustix::process::setrlimit(Resource::Nofile, limit).map_err(|errno| SandboxError::Kernel {
        step: "limit the number of open files",
        source: errno.into(),
    })
}

/// Keeps those of `keep` that the process has. Works without privilege too: giving up is free,
/// and without CAP_SETPCAP the bounding set matters to nobody.
fn keep_only(keep: &[Capability]) -> Result<(), SandboxError> {
    let failed = |error: caps::errors::CapsError| SandboxError::Capabilities(error.to_string());
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        for capability in caps::runtime::thread_all_supported() {
            if !keep.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability).map_err(failed)?;
            }
        }
    }
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = keep
        .iter()
        .copied()
        .filter(|capability| permitted.contains(capability))
        .collect();
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)
}
