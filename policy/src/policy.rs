//! The policy file: text in, [`Policy`] or every error out.

use std::fmt;

use crate::Grant;

/// A policy file that was accepted as a whole.
#[derive(Debug, Clone)]
pub struct Policy {}

impl Policy {
    /// Parses and validates the text of a policy file.
    ///
    /// # Errors
    /// Every mistake in the file, each with line and column; never only the first.
    pub fn parse(_text: &str) -> Result<Self, PolicyErrors> {
        Ok(Self {})
    }

    /// What `uid` may have; `None` when it is no tenant.
    #[must_use]
    pub fn grant(&self, _uid: u32) -> Option<Grant> {
        None
    }

    /// What the admin should know although the file is accepted.
    #[must_use]
    pub fn warnings(&self) -> &[PolicyWarning] {
        &[]
    }
}

/// One mistake in the policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Dotted key.
    pub key: String,
    /// One sentence with the numbers that clash.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}:{}: {}: {}",
            self.line, self.column, self.key, self.message
        )
    }
}

/// Every mistake in the policy file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy has {} error(s)", .0.len())]
pub struct PolicyErrors(pub Vec<PolicyError>);

/// Something legal that will probably hurt, e.g. a port range that meets the ephemeral ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWarning {
    /// From 1.
    pub line: usize,
    /// Dotted key.
    pub key: String,
    /// One sentence with the numbers.
    pub message: String,
}
