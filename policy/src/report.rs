//! Collects errors and warnings while a file is read and checked.

use std::collections::BTreeSet;

use crate::text::{Cursor, Lines};
use crate::{PolicyError, PolicyWarning};

/// How many clashes of one kind are listed; a file with more is wrong in one place, not in many.
pub(crate) const LISTED_CLASHES: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    at: usize,
    key: String,
    message: String,
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<Note>,
    warnings: Vec<Note>,
    invalid: InvalidParts,
}

/// Parts of the file that have an error. A check that compares their values would complain about
/// what stands in for an invalid one.
#[derive(Debug, Clone, Default)]
pub(crate) struct InvalidParts(BTreeSet<String>);

impl InvalidParts {
    /// True when these parts can be compared.
    pub(crate) fn holds_none(&self, parts: &[&str]) -> bool {
        let whole_tables = ["tenants", "tenant"];
        let mut all = parts.iter().chain(&whole_tables);
        !all.any(|part| self.0.contains(*part))
    }
}

impl Report {
    pub(crate) fn error(&mut self, at: usize, key: &str, message: impl Into<String>) {
        self.invalid.0.insert(subject(key).to_owned());
        self.errors.push(Note {
            at,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    pub(crate) fn warn(&mut self, at: usize, key: &str, message: impl Into<String>) {
        self.warnings.push(Note {
            at,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// True when none of these parts (`ports`, `uids`, …) has an error so far.
    pub(crate) fn sound(&self, parts: &[&str]) -> bool {
        self.invalid.holds_none(parts)
    }

    /// The parts that have an error so far.
    pub(crate) fn invalid_parts(&self) -> InvalidParts {
        self.invalid.clone()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors in the order of the text.
    pub(crate) fn into_errors(mut self, text: &str) -> Vec<PolicyError> {
        self.errors.sort();
        self.errors.dedup();
        let mut cursor = Cursor::new(text);
        self.errors
            .into_iter()
            .map(|note| {
                let (line, column) = cursor.advance(note.at);
                PolicyError {
                    line,
                    column,
                    key: note.key,
                    message: note.message,
                }
            })
            .collect()
    }

    /// The warnings in the order of the text.
    pub(crate) fn into_warnings(mut self, lines: &Lines) -> Vec<PolicyWarning> {
        self.warnings.sort();
        self.warnings
            .into_iter()
            .map(|note| PolicyWarning {
                line: lines.line(note.at),
                key: note.key,
                message: note.message,
            })
            .collect()
    }
}

/// `ports` of `tenants.ports.first` and of `tenant[1001].ports`.
fn subject(key: &str) -> &str {
    key.split('.').nth(1).unwrap_or(key)
}
