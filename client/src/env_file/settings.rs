//! The values in force: the file under the process environment, references substituted.

use std::collections::BTreeMap;

use super::value::{Form, Reference, Segment};
use super::{Assignment, EnvError, EnvFile};

/// A chain of references may be this long.
const MAX_DEPTH: usize = 64;
/// A value may grow to this many bytes by substitution.
const MAX_VALUE: usize = 64 * 1024;

/// The values in force: the process environment over the file, `${VAR}` substituted.
///
/// A reference finds what the key itself would have: the environment's value where the key is the
/// stack's, the file's otherwise. A reference to an unset key is an error, never an empty string.
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
    File {
        /// From 1.
        line: usize,
    },
}

/// As a message tells it, e.g. `.env:7`.
impl std::fmt::Display for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment => out.write_str("the environment"),
            Self::File { line } => write!(out, ".env:{line}"),
        }
    }
}

impl Settings {
    /// Resolves `file` under `environment`; only keys that `known` says are the stack's are taken
    /// from the environment.
    ///
    /// # Errors
    /// An unset variable, a reference in a circle.
    pub fn resolve(
        file: &EnvFile,
        environment: &BTreeMap<String, String>,
        known: impl Fn(&str) -> bool,
    ) -> Result<Self, Vec<EnvError>> {
        let mut values: BTreeMap<String, Setting> = environment
            .iter()
            .filter(|(key, _)| known(key))
            .map(|(key, value)| {
                let value = value.clone();
                let source = Source::Environment;
                (key.clone(), Setting { value, source })
            })
            .collect();
        let mut resolver = Resolver {
            assignments: file
                .assignments()
                .map(|(line, assignment)| (assignment.key.as_str(), (line, assignment)))
                .collect(),
            environment: values
                .iter()
                .map(|(key, setting)| (key.clone(), setting.value.clone()))
                .collect(),
            done: BTreeMap::new(),
            open: Vec::new(),
            errors: Vec::new(),
        };
        for (line, assignment) in file.assignments() {
            let key = assignment.key.as_str();
            if values.contains_key(key) {
                continue;
            }
            if let Ok(Some(value)) = resolver.value_of(key) {
                let source = Source::File { line };
                values.insert(key.to_owned(), Setting { value, source });
            }
        }
        if resolver.errors.is_empty() {
            Ok(Self { values })
        } else {
            Err(resolver.errors)
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.setting(key).map(|setting| setting.value.as_str())
    }

    /// The value of a key with its source.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    /// Keys that the environment gives another value than `file` has, or that `file` has not; by
    /// themselves or through what they refer to.
    #[must_use]
    pub fn overridden(&self, file: &EnvFile) -> Vec<String> {
        let own = Self::resolve(file, &BTreeMap::new(), |_| false).ok();
        let differs = |key: &str, setting: &Setting| match &own {
            Some(own) => own.get(key) != Some(&setting.value),
            None => setting.source == Source::Environment && file.get(key) != Some(&setting.value),
        };
        self.values
            .iter()
            .filter(|(key, setting)| differs(key, setting))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Every key with its value and source, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values
            .iter()
            .map(|(key, setting)| (key.as_str(), setting))
    }
}

/// The error is in the resolver's list already.
#[derive(Debug, Clone, Copy)]
struct Reported;

/// Substitutes, each key once, depth first.
struct Resolver<'a> {
    assignments: BTreeMap<&'a str, (usize, &'a Assignment)>,
    environment: BTreeMap<String, String>,
    done: BTreeMap<&'a str, Result<String, Reported>>,
    /// Keys that are being resolved, outermost first.
    open: Vec<&'a str>,
    errors: Vec<EnvError>,
}

impl<'a> Resolver<'a> {
    /// The value of a key, `None` when nothing sets it.
    fn value_of(&mut self, key: &str) -> Result<Option<String>, Reported> {
        if let Some(value) = self.environment.get(key) {
            return Ok(Some(value.clone()));
        }
        if let Some(done) = self.done.get(key) {
            return done.clone().map(Some);
        }
        let Some((&key, &(line, assignment))) = self.assignments.get_key_value(key) else {
            return Ok(None);
        };
        self.open.push(key);
        let mut value = String::new();
        let result = self
            .expand(&assignment.value.segments, line, &mut value)
            .map(|()| value);
        self.open.pop();
        self.done.insert(key, result.clone());
        result.map(Some)
    }

    fn expand(
        &mut self,
        segments: &'a [Segment],
        line: usize,
        value: &mut String,
    ) -> Result<(), Reported> {
        for segment in segments {
            match segment {
                Segment::Text(text) => value.push_str(text),
                Segment::Reference(reference) => self.substitute(reference, line, value)?,
            }
            if value.len() > MAX_VALUE {
                return Err(self.report(
                    line,
                    1,
                    "the value becomes too long through its references",
                ));
            }
        }
        Ok(())
    }

    fn substitute(
        &mut self,
        reference: &'a Reference,
        line: usize,
        value: &mut String,
    ) -> Result<(), Reported> {
        let name = reference.name.as_str();
        let column = reference.column;
        if !self.environment.contains_key(name) {
            if self.open.contains(&name) {
                let circle = self.open.join(" -> ");
                let message = format!("{name} refers to itself: {circle} -> {name}");
                return Err(self.report(line, column, message));
            }
            if self.open.len() >= MAX_DEPTH {
                return Err(self.report(line, column, "the chain of references is too long"));
            }
        }
        let found = self
            .value_of(name)?
            .filter(|found| !(reference.empty_is_unset && found.is_empty()));
        match (&reference.form, found) {
            (Form::Alternative(other), Some(_)) | (Form::Default(other), None) => {
                self.expand(other, line, value)
            }
            (Form::Alternative(_), None) => Ok(()),
            (_, Some(found)) => {
                value.push_str(&found);
                Ok(())
            }
            (Form::Required(message), None) if !message.is_empty() => {
                Err(self.report(line, column, format!("{name} is not set: {message}")))
            }
            (_, None) => {
                let hint = format!("{name} is not set; set it, or write ${{{name}:-default}}");
                Err(self.report(line, column, hint))
            }
        }
    }

    fn report(&mut self, line: usize, column: usize, message: impl Into<String>) -> Reported {
        self.errors.push(EnvError {
            line,
            column,
            message: message.into(),
        });
        Reported
    }
}
