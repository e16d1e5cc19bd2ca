//! The secret values of a manifest, so that no message shows one.

use crate::catalog::Catalog;
use crate::env_file::Settings;
use crate::manifest::keys;

/// A shorter value is no secret, and masking it would eat ordinary text.
const SHORTEST: usize = 4;
/// What is shown instead.
const MASK: &str = "***";

/// Every secret value, longest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

/// Says how many, and none.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those of a manifest: what an entry declares as a secret or a database's password, and what
    /// has the name of one.
    #[must_use]
    pub fn of(settings: &Settings, catalog: &Catalog) -> Self {
        let declared = |key: &str| {
            catalog.entries().iter().any(|entry| {
                entry.secrets.iter().any(|secret| secret.key == key)
                    || entry.databases.iter().any(|base| base.password == key)
            })
        };
        let mut secrets = Self::default();
        for (key, setting) in settings.iter() {
            if keys::is_secret_name(key) || declared(key) {
                secrets.add(&setting.value);
            }
        }
        secrets
    }

    /// One more, e.g. a token that a service gave.
    pub fn add(&mut self, value: &str) {
        if value.len() >= SHORTEST && !self.0.iter().any(|known| known == value) {
            self.0.push(value.to_owned());
            self.0.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// The text without any of them.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_within_another_leaves_no_remains() {
        let mut secrets = Secrets::default();
        for value in ["abcd", "abcdefgh", "xy", "abcd"] {
            secrets.add(value);
        }
        assert_eq!(secrets.mask("1 abcdefgh 2 abcd 3 xy"), "1 *** 2 *** 3 xy");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}
