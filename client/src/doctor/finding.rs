//! One thing that was looked at, and how it stands.

use serde::Serialize;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work, or will not.
    #[serde(rename = "problem")]
    Error,
    /// It could not be looked at.
    Unchecked,
}

impl Level {
    /// The word for people, as wide as every other.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "PROBLEM",
            Self::Unchecked => "-",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, e.g. `volume`.
    pub check: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was seen, one sentence.
    pub found: String,
    /// What that means for the stack; a line each.
    pub means: Vec<String>,
    /// What to do about it.
    pub next: Option<String>,
}

impl Finding {
    /// It is as it should be.
    #[must_use]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::at(Level::Ok, check, found)
    }

    /// It works, and somebody should know.
    #[must_use]
    pub fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Self::at(Level::Warning, check, found)
    }

    /// It does not work, or will not.
    #[must_use]
    pub fn problem(check: &'static str, found: impl Into<String>) -> Self {
        Self::at(Level::Error, check, found)
    }

    /// It could not be looked at, and why.
    #[must_use]
    pub fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self::at(Level::Unchecked, check, why)
    }

    /// The same with one more line on what it means.
    #[must_use]
    pub fn means(mut self, text: impl Into<String>) -> Self {
        self.means.push(text.into());
        self
    }

    /// The same with what to do.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn at(level: Level, check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level,
            found: found.into(),
            means: Vec::new(),
            next: None,
        }
    }
}
