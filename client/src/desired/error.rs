//! Why no stack can be made.

use super::limits::Excess;

/// Why no stack can be made of these settings: every reason, each naming its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct DesiredError {
    /// Key of the manifest.
    pub key: String,
    /// One sentence; never holds a secret.
    pub message: String,
    /// The policy rule that refuses, when it is a matter of policy (exit code 7, else 5).
    pub rule: Option<String>,
    /// Where the services take too much together: what they take, and what would fit.
    pub excess: Option<Box<Excess>>,
}

/// A value that cannot be used.
pub(super) fn invalid(key: &str, message: impl Into<String>) -> DesiredError {
    DesiredError {
        key: key.to_owned(),
        message: message.into(),
        rule: None,
        excess: None,
    }
}
