//! The name of a service's directory, which the helper and the gateway both take from callers.

use std::fmt;

use aistack_policy::{Refusal, Rule};

/// The longest service name, bytes.
pub(crate) const MAX_NAME: usize = 32;

/// A service's directory name: `[a-z0-9]` with inner dashes, at most 32 bytes, so it is never a
/// path, an option or a hidden file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as one path component.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for ServiceName {
    type Error = Refusal;

    fn try_from(name: String) -> Result<Self, Refusal> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let legal = !name.is_empty()
            && name.len() <= MAX_NAME
            && name.bytes().all(|byte| inner(byte) || byte == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if legal {
            return Ok(Self(name));
        }
        Err(Refusal::new(
            "BAD_SERVICE_NAME",
            "a service name has 1 to 32 lower-case letters, digits and inner dashes",
            Rule::builtin("service-name"),
        ))
    }
}
