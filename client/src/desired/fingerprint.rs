//! What a service is made of, one short hash for each part.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Fingerprint;

/// Bytes of a hash that are kept: enough that no change goes unseen.
const LENGTH: usize = 8;

impl Fingerprint {
    /// Adds a part.
    ///
    /// The hash of a secret is readable in the container's label, but only by its tenant and by
    /// root, and both can read the secret itself in the container's environment.
    pub(super) fn add(&mut self, part: impl Into<String>, value: &impl Serialize) {
        // Everything that comes here is made of strings, numbers and lists: it always serialises.
        let text = serde_json::to_string(value).unwrap_or_default();
        let hash = Sha256::digest(text.as_bytes());
        let short = hash.iter().take(LENGTH).map(|byte| format!("{byte:02x}"));
        self.0.insert(part.into(), short.collect());
    }

    /// As the container's label holds it.
    #[must_use]
    pub fn to_label(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the container's label; `None` when it is invalid.
    #[must_use]
    pub fn from_label(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Names of the parts that differ, in order.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .cloned()
            .collect()
    }
}
