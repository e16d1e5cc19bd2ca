//! A strict walk over spanned TOML: closed lists of keys, exact types, every error reported.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::report::Report;
use crate::text::At;

/// One table of the file.
pub(crate) struct Section<'a, 't> {
    /// Dotted name, empty for the file itself.
    path: String,
    /// Byte offset of the table.
    pub(crate) at: usize,
    table: &'a DeTable<'t>,
}

/// One value of the file, with the key it stands under.
pub(crate) struct Entry<'a, 't> {
    pub(crate) key: String,
    pub(crate) at: usize,
    value: &'a DeValue<'t>,
}

impl<'a, 't> Section<'a, 't> {
    /// The file itself.
    pub(crate) fn root(document: &'a Spanned<DeTable<'t>>) -> Self {
        Self {
            path: String::new(),
            at: 0,
            table: document.get_ref(),
        }
    }

    /// The same table under another name.
    pub(crate) fn renamed(self, path: String) -> Self {
        Self { path, ..self }
    }

    /// The dotted name of a key in this table.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Refuses every key that is not on the list.
    pub(crate) fn only(&self, known: &[&str], report: &mut Report) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key; known here: {}", known.join(", "));
                report.error(
                    key.span().start,
                    &self.key(&name.escape_debug().to_string()),
                    message,
                );
            }
        }
    }

    /// The value under a key, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<Entry<'a, 't>> {
        self.table.get(name).map(|value| Entry {
            key: self.key(name),
            at: value.span().start,
            value: value.get_ref(),
        })
    }
}

impl<'a, 't> Entry<'a, 't> {
    /// The string, or an error.
    pub(crate) fn string(&self, report: &mut Report) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a string", report);
        }
        text
    }

    /// The string turned into a value by `parse`, or an error.
    pub(crate) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
        report: &mut Report,
    ) -> Option<At<T>> {
        match parse(self.string(report)?) {
            Ok(value) => Some(self.spot(value)),
            Err(message) => {
                report.error(self.at, &self.key, message);
                None
            }
        }
    }

    /// The integer, if it lies in the range.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type("an integer", report);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let inside = number
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n));
        if inside.is_none() {
            let shown = number.map_or_else(|| "the number".to_owned(), |n| n.to_string());
            let message = format!(
                "{shown} is not between {} and {}",
                range.start(),
                range.end()
            );
            report.error(self.at, &self.key, message);
        }
        inside
    }

    /// The text of an integer or a decimal fraction, as it was written but without underscores.
    pub(crate) fn decimal(&self) -> Option<&'a str> {
        match self.value {
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            _ => None,
        }
    }

    /// True for this string.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.value.as_str() == Some(text)
    }

    /// True for a string, whatever it says.
    pub(crate) fn is_string(&self) -> bool {
        self.value.is_str()
    }

    /// True for an integer, whatever its value.
    pub(crate) fn is_integer(&self) -> bool {
        self.value.is_integer()
    }

    /// The truth value, or an error.
    pub(crate) fn boolean(&self, report: &mut Report) -> Option<bool> {
        let found = self.value.as_bool();
        if found.is_none() {
            self.wrong_type("true or false", report);
        }
        found
    }

    /// The elements of a list, each under the key of the list, or an error.
    pub(crate) fn list(&self, at_most: usize, report: &mut Report) -> Option<Vec<Entry<'a, 't>>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type("a list", report);
            return None;
        };
        if array.len() > at_most {
            let message = format!("{} entries, at most {at_most} are read", array.len());
            report.error(self.at, &self.key, message);
            return None;
        }
        let elements = array.iter().map(|value| Entry {
            key: self.key.clone(),
            at: value.span().start,
            value: value.get_ref(),
        });
        Some(elements.collect())
    }

    /// The table, or an error.
    pub(crate) fn section(&self, report: &mut Report) -> Option<Section<'a, 't>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table", report);
            return None;
        };
        Some(Section {
            path: self.key.clone(),
            at: self.at,
            table,
        })
    }

    /// The value at this place.
    pub(crate) fn spot<T>(&self, value: T) -> At<T> {
        At { value, at: self.at }
    }

    fn wrong_type(&self, wanted: &str, report: &mut Report) {
        let message = format!("expected {wanted}, found {}", self.value.type_str());
        report.error(self.at, &self.key, message);
    }
}
