//! The policy in force: read through a checked descriptor, swapped as a whole on SIGHUP.
//!
//! (interface; the implementation follows)

use std::path::Path;
use std::sync::Arc;

use aistack_policy::Policy;

/// A policy with what identifies it.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// The parsed policy.
    pub policy: Policy,
    /// SHA-256 of the file, hexadecimal.
    pub digest: String,
}

/// Holds the policy in force. Cheap to clone; readers never block.
#[derive(Debug, Clone)]
pub struct PolicyStore {}

/// Why a policy file was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the policy file cannot be used")]
pub struct PolicyStoreError;

impl PolicyStore {
    /// Reads the file: root-owned, not writable by others, parents too, all checked on descriptors.
    ///
    /// # Errors
    /// When the file is unsafe, unreadable or has mistakes.
    pub fn load(_path: &Path) -> Result<Self, PolicyStoreError> {
        Err(PolicyStoreError)
    }

    /// Reads the file again; on any error the policy in force stays and the error is returned.
    ///
    /// # Errors
    /// As [`PolicyStore::load`].
    pub fn reload(&self) -> Result<(), PolicyStoreError> {
        Err(PolicyStoreError)
    }

    /// The policy in force now; ask again for every request.
    #[must_use]
    pub fn current(&self) -> Arc<LoadedPolicy> {
        unreachable_until_implemented()
    }
}

fn unreachable_until_implemented() -> ! {
    std::process::abort()
}
