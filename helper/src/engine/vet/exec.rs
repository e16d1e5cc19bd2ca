//! Exec create and exec start: a create in small, as the container's own user and without
//! privileges.

use aistack_policy::{Grant, Refusal};
use serde_json::Value;

/// An exec that may be made.
#[derive(Debug)]
pub struct CanonicalExec {}

impl CanonicalExec {
    /// Reads and decides an exec create body. `container_user` is the `User` of the container's
    /// own configuration, which is the default.
    ///
    /// # Errors
    /// `BAD_JSON`, or the field that may not be so.
    pub fn decide(_grant: &Grant, _container_user: &str, _body: &[u8]) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    /// The body for Docker.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What the audit log keeps: the user, the program and the number of its arguments, never the
    /// arguments or environment values.
    #[must_use]
    pub fn audit(&self) -> Value {
        Value::Null
    }
}

/// How an exec is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecStart {
    /// Nobody waits for its output.
    pub detach: bool,
    /// It has a terminal.
    pub tty: bool,
}

impl ExecStart {
    /// Reads an exec start body.
    ///
    /// # Errors
    /// `BAD_JSON`.
    pub fn parse(_body: &[u8]) -> Result<Self, Refusal> {
        Ok(Self {
            detach: false,
            tty: false,
        })
    }

    /// The body for Docker.
    #[must_use]
    pub fn render(self) -> Vec<u8> {
        Vec::new()
    }
}
