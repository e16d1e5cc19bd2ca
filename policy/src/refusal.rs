//! How every refusal looks: what, by which rule, and what to do next.

use std::fmt;

/// The place in the policy file that decided: a key and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Dotted key, e.g. `tenants.ports` or `tenant[1001].domain`; `builtin.<name>` for rules that
    /// no policy can change.
    pub key: String,
    /// Line in the policy file, from 1; `None` for a rule that stands in no file (a default).
    pub line: Option<usize>,
}

impl Rule {
    /// A rule that holds whatever the policy file says, e.g. `builtin.no-privileged`.
    #[must_use]
    pub fn builtin(name: &str) -> Self {
        Self {
            key: format!("builtin.{name}"),
            line: None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{} (policy.toml:{line})", self.key),
            None => out.write_str(&self.key),
        }
    }
}

/// A request that the policy does not allow. The text is for the caller: it never names another
/// tenant, and never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{rule}]")]
pub struct Refusal {
    /// Stable upper-case word for programs, e.g. `PRIVILEGED_REFUSED`.
    pub reason: &'static str,
    /// One sentence for people, without a full stop.
    pub message: String,
    /// What refused.
    pub rule: Rule,
    /// What to do next, where there is something to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>, rule: Rule) -> Self {
        Self {
            reason,
            message: message.into(),
            rule,
            hint: None,
        }
    }

    /// The same refusal with a next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
