//! The manifest `BASE_DIR/config/.env`: one parser, one writer, and values with their source.
//!
//! Pure. Reading and writing the file itself is in [`crate::run`].

use std::collections::BTreeMap;

/// A parsed `.env` that keeps comments, order and unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvFile {}

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(".env:{line}:{column}: {message}")]
pub struct EnvError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// One sentence; never holds a value.
    pub message: String,
}

impl EnvFile {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(_text: &str) -> Result<Self, Vec<EnvError>> {
        Ok(Self::default())
    }

    /// The raw text of a key's value, before substitution.
    #[must_use]
    pub fn get(&self, _key: &str) -> Option<&str> {
        None
    }

    /// Sets a key: in place where it stands, at the end (under `comment`, if it is new) otherwise.
    pub fn set(&mut self, _key: &str, _value: &str, _comment: Option<&str>) {}

    /// The file's text.
    #[must_use]
    pub fn render(&self) -> String {
        String::new()
    }
}

/// The values in force: the process environment over the file, `${VAR}` substituted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
}

/// One value and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: String,
    /// Where it was set.
    pub source: Source,
}

/// Values may be secrets, so `Debug` shows none.
impl std::fmt::Debug for Setting {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Setting({:?})", self.source)
    }
}

/// Where a value was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The process environment.
    Environment,
    /// The file.
    File,
}

impl Settings {
    /// Resolves `file` under `environment`; only keys that `known` says are the stack's are taken
    /// from the environment.
    ///
    /// # Errors
    /// An unset variable, a reference in a circle.
    pub fn resolve(
        _file: &EnvFile,
        _environment: &BTreeMap<String, String>,
        _known: impl Fn(&str) -> bool,
    ) -> Result<Self, Vec<EnvError>> {
        Ok(Self::default())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|setting| setting.value.as_str())
    }

    /// Every key with its value and source, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values
            .iter()
            .map(|(key, setting)| (key.as_str(), setting))
    }
}
