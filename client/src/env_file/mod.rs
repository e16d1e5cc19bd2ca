//! The manifest `BASE_DIR/config/.env`: one parser, one writer, and values with their source.
//!
//! Pure. Reading and writing the file itself is in [`crate::run`]. The grammar, a line at a time:
//! blank, `# comment`, or `KEY=VALUE` with VALUE unquoted (trimmed, up to ` #`), `'literal'` or
//! `"with \\ \" \n \$"`. `${KEY}` is substituted except in single quotes; see [`Settings`].

mod settings;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use settings::{Setting, Settings, Source};
use value::Value;

/// A parsed `.env` that keeps comments, order and unknown keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EnvFile {
    lines: Vec<Line>,
}

/// Values may be secrets, so `Debug` shows the keys only.
impl std::fmt::Debug for EnvFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "EnvFile({:?})", self.keys().collect::<Vec<_>>())
    }
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
enum Line {
    /// Blank or a comment, as it was written.
    Other(String),
    /// `KEY=VALUE`.
    Assignment(Assignment),
}

/// One assignment: what it says, and the text around it.
#[derive(Clone, PartialEq, Eq)]
struct Assignment {
    key: String,
    /// Everything up to the value.
    head: String,
    /// The value as it was written, quotes included.
    written: String,
    /// Everything behind the value: a comment, a carriage return.
    tail: String,
    value: Value,
}

/// An error in the file.
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
    /// Every error in it.
    pub fn parse(text: &str) -> Result<Self, Vec<EnvError>> {
        let mut file = Self::default();
        let mut errors = Vec::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        // Some editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let body = text.strip_suffix('\n').unwrap_or(text);
        let count = if text.is_empty() { 0 } else { usize::MAX };
        for (index, raw) in body.split('\n').take(count).enumerate() {
            let line = index + 1;
            match parse_line(raw) {
                Err((column, message)) => errors.push(EnvError {
                    line,
                    column,
                    message,
                }),
                Ok(parsed) => {
                    if let Line::Assignment(assignment) = &parsed
                        && let Some(first) = seen.insert(assignment.key.clone(), line)
                    {
                        errors.push(EnvError {
                            line,
                            column: 1,
                            message: format!(
                                "{} is set here and in line {first}; keep one of them",
                                assignment.key
                            ),
                        });
                    }
                    file.lines.push(parsed);
                }
            }
        }
        if errors.is_empty() {
            Ok(file)
        } else {
            Err(errors)
        }
    }

    /// Parses what is in a file.
    ///
    /// # Errors
    /// The first bytes that are not UTF-8, else every error.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, Vec<EnvError>> {
        let wrong = match std::str::from_utf8(bytes) {
            Ok(text) => return Self::parse(text),
            Err(wrong) => wrong,
        };
        let good = bytes.get(..wrong.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let before = good.rsplit('\n').next().unwrap_or_default();
        Err(vec![EnvError {
            line,
            column: before.chars().count() + 1,
            message: "bytes that are not UTF-8; save the file as UTF-8".to_owned(),
        }])
    }

    /// Keys that `known` does not know and no other value refers to, in the order of the file.
    pub fn unknown<'a>(
        &'a self,
        known: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = &'a str> {
        let mut used = Vec::new();
        for (_, assignment) in self.assignments() {
            assignment.value.names(&mut used);
        }
        self.keys()
            .filter(move |key| !known(key) && !used.contains(key))
    }

    /// The raw text of a key's value, before substitution: without its quotes, with its `${…}`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.assignments()
            .find(|(_, assignment)| assignment.key == key)
            .map(|(_, assignment)| assignment.value.raw())
    }

    /// Sets a key: in place where it stands, at the end (under `comment`, if it is new) otherwise.
    /// The value is taken literally and quoted as needed.
    ///
    /// Returns false, and changes nothing, when `key` is not a name that a line can start with.
    pub fn set(&mut self, key: &str, value: &str, comment: Option<&str>) -> bool {
        if !is_key(key) {
            return false;
        }
        let parsed = Value::literal(value);
        let written = value::quote(value);
        let existing = self.lines.iter_mut().find_map(|line| match line {
            Line::Assignment(assignment) if assignment.key == key => Some(assignment),
            _ => None,
        });
        if let Some(assignment) = existing {
            if !assignment.value.same_literal(value) {
                assignment.written = written;
                assignment.value = parsed;
                // Directly behind an unquoted value a comment would be part of it.
                if assignment.tail.starts_with('#') {
                    assignment.tail.insert(0, ' ');
                }
            }
            return true;
        }
        if let Some(comment) = comment {
            self.push_comment(comment);
        }
        self.lines.push(Line::Assignment(Assignment {
            key: key.to_owned(),
            head: format!("{key}="),
            written,
            tail: String::new(),
            value: parsed,
        }));
        true
    }

    /// Takes a key out, wherever it stands; comments stay.
    pub fn remove(&mut self, key: &str) {
        self.lines
            .retain(|line| !matches!(line, Line::Assignment(found) if found.key == key));
    }

    /// Every key, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.assignments()
            .map(|(_, assignment)| assignment.key.as_str())
    }

    /// The file's text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Other(raw) => text.push_str(raw),
                Line::Assignment(assignment) => {
                    text.push_str(&assignment.head);
                    text.push_str(&assignment.written);
                    text.push_str(&assignment.tail);
                }
            }
            text.push('\n');
        }
        text
    }

    /// Appends a comment, one `# ` line for each of its lines, with a blank line before it.
    pub fn push_comment(&mut self, comment: &str) {
        if !self.lines.is_empty() {
            self.lines.push(Line::Other(String::new()));
        }
        for line in comment.split('\n') {
            let line = line.trim();
            let raw = if line.is_empty() {
                "#".to_owned()
            } else {
                format!("# {line}")
            };
            self.lines.push(Line::Other(raw));
        }
    }

    /// Assignments with their line numbers from 1.
    fn assignments(&self) -> impl Iterator<Item = (usize, &Assignment)> {
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| match line {
                Line::Assignment(assignment) => Some((index + 1, assignment)),
                Line::Other(_) => None,
            })
    }
}

/// True for `[A-Za-z_][A-Za-z0-9_]*`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Parses one line; an error is its column from 1 and a message without the value.
fn parse_line(raw: &str) -> Result<Line, (usize, String)> {
    let content = raw.trim_start();
    if content.is_empty() || content.starts_with('#') {
        return Ok(Line::Other(raw.to_owned()));
    }
    let indent = column_after(raw, raw.len() - content.len());
    let Some((name, rest)) = content.split_once('=') else {
        return Err((indent, "expected KEY=VALUE or a # comment".to_owned()));
    };
    let key = name.trim_end();
    if !is_key(key) {
        let why = if key.starts_with("export ") {
            "a line is KEY=VALUE without `export`"
        } else {
            "a key is made of letters, digits and _, and starts with no digit"
        };
        return Err((indent, why.to_owned()));
    }
    let text = rest.trim_start_matches([' ', '\t']);
    let start = raw.len() - text.len();
    let (value, length) = Value::parse(text, column_after(raw, start))?;
    let (written, tail) = text.split_at(length);
    Ok(Line::Assignment(Assignment {
        key: key.to_owned(),
        head: raw[..start].to_owned(),
        written: written.to_owned(),
        tail: tail.to_owned(),
        value,
    }))
}

/// The column, from 1, of the character that starts at this byte.
fn column_after(raw: &str, byte: usize) -> usize {
    raw.get(..byte).map_or(0, |before| before.chars().count()) + 1
}
