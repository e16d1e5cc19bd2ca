//! The audit log: intent before the act, outcome after it, both durable, in a hash chain.
//!
//! (interface; the implementation follows)

use std::path::Path;

use crate::peer::Caller;

/// Appends records to one daemon's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {}

/// What is about to happen, or what was refused.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who asked.
    pub caller: Caller,
    /// Stable dotted name, e.g. `volume.mount`, `container.create`.
    pub operation: &'static str,
    /// Canonical arguments, rendered from our own types; never a secret.
    pub arguments: serde_json::Value,
    /// The rule that allowed or refused, e.g. `tenants.volume (policy.toml:12)`.
    pub rule: String,
    /// Digest of the policy in force (see `policy_store`).
    pub policy: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or was so already.
    Done,
    /// It failed; the text is for the admin and holds no secret.
    Failed(String),
}

/// The log cannot be written: nothing may be done.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditError(#[source] pub std::io::Error);

/// An intent that is on disk and waits for its outcome. Dropping it without `finish` leaves an
/// open intent, which the next start reconciles.
#[derive(Debug)]
#[must_use = "an operation ends with its outcome"]
pub struct OpenRecord {}

impl Audit {
    /// Opens (or creates) `<dir>/<daemon>.jsonl`, verifies the tail of the chain and closes open
    /// intents of an earlier run as `interrupted`.
    ///
    /// # Errors
    /// When the directory or file is not root's alone, or cannot be written.
    pub fn open(_dir: &Path, _daemon: &str) -> Result<Self, AuditError> {
        Ok(Self {})
    }

    /// Records what is about to happen; returns when it is on disk (fdatasync, group commit).
    ///
    /// # Errors
    /// When it is not on disk; the operation must not happen then.
    pub async fn intent(&self, _intent: Intent) -> Result<OpenRecord, AuditError> {
        Ok(OpenRecord {})
    }

    /// Records a refusal. Many refusals of one caller become counted summaries.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn denied(&self, _intent: Intent, _reason: &str) -> Result<(), AuditError> {
        Ok(())
    }
}

impl OpenRecord {
    /// Records how it ended; returns when it is on disk. Call before replying.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn finish(self, _outcome: Outcome) -> Result<(), AuditError> {
        Ok(())
    }
}
