//! What is wrong with a policy file, and what is merely doubtful.

use std::fmt;

/// One error in the policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Dotted key, e.g. `tenants.ports` or `tenant[1001].domain`; `syntax` for text that is not TOML.
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

/// Every error in the policy file, in the order of the file.
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

impl fmt::Display for PolicyWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}", self.line, self.key, self.message)
    }
}
