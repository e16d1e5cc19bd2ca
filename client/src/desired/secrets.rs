//! The secret values of a manifest, so that no message shows one.

use crate::catalog::Catalog;
use crate::env_file::Settings;
use crate::keys;

/// A shorter value is not a secret, and masking it would eat ordinary text.
const SHORTEST: usize = 4;
/// So much of a secret in a row is a piece of it, characters.
const PIECE: usize = 8;
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

    /// All of `others`, too.
    pub fn add_all(&mut self, others: &Self) {
        for value in &others.0 {
            self.add(value);
        }
    }

    /// Whether the text holds one of them, or a piece that tells much of one: some program took it
    /// apart then.
    #[must_use]
    pub fn shows_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| {
            let characters: Vec<char> = secret.chars().collect();
            let mut pieces = characters.windows(PIECE.min(characters.len()));
            pieces.any(|piece| text.contains(&piece.iter().collect::<String>()))
        })
    }

    /// A line that others wrote, without any of them; nothing of it when it holds a piece of one.
    #[must_use]
    pub fn mask_quoted(&self, line: &str) -> String {
        let masked = self.mask(line);
        if self.shows_in(&masked) {
            format!("({MASK}: a line with a piece of a secret)")
        } else {
            masked
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

    #[test]
    fn a_line_with_a_piece_of_a_secret_is_not_quoted() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2hunter2@tail-of-it");
        for (line, shown) in [
            // What psql says of a password with an @ that stands in a URL as it is.
            (
                "could not translate host name \"tail-of-it@postgres\" to address",
                "(***: a line with a piece of a secret)",
            ),
            ("key hunter2hunter2@tail-of-it is wrong", "key *** is wrong"),
            ("no role n8n", "no role n8n"),
            ("hunter", "hunter"),
        ] {
            assert_eq!(secrets.mask_quoted(line), shown);
        }
    }
}
