//! Closed objects: every key that a body may have, in one table, with its type or its refusal.
//!
//! `null` means the zero value, as Go has it; a list never stands for an object; numbers are whole.
//! A key that is not in the table is refused by name, and so is a key of the table's second part
//! that holds anything but its zero value.

use std::collections::{BTreeMap, BTreeSet};

use aistack_policy::{Refusal, Rule};
use serde_json::{Map, Value};

use super::{bad_json, folded, shown};

/// A type that a JSON value can be read into. `path` is the value's place in the API, for
/// messages: `HostConfig.Memory`.
pub(in crate::engine::vet) trait Field: Sized {
    /// Reads `value`.
    fn read(path: &str, value: Value) -> Result<Self, Refusal>;
}

impl Field for bool {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(false),
            Value::Bool(value) => Ok(value),
            _ => Err(wrong(path, "true or false")),
        }
    }
}

impl Field for i64 {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(0),
            other => other.as_i64().ok_or_else(|| wrong(path, "a whole number")),
        }
    }
}

impl Field for String {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::String(text) => Ok(text),
            _ => Err(wrong(path, "a string")),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(None),
            other => T::read(path, other).map(Some),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(index, value)| T::read(&format!("{path}[{index}]"), value))
                .collect(),
            _ => Err(wrong(path, "a list")),
        }
    }
}

/// A map with keys of the caller's choice, e.g. labels.
impl<T: Field> Field for BTreeMap<String, T> {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Object(values) => values
                .into_iter()
                .map(|(key, value)| {
                    let value = T::read(&format!("{path}[\"{}\"]", shown(&key)), value)?;
                    Ok((key, value))
                })
                .collect(),
            _ => Err(wrong(path, "an object")),
        }
    }
}

/// A command: a list of words, or one bare string that is the only word. Empty is not absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine::vet) struct Words(pub(in crate::engine::vet) Option<Vec<String>>);

impl Field for Words {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::String(word) => Ok(Self(Some(vec![word]))),
            other => Option::read(path, other).map(Self),
        }
    }
}

/// A set, which Docker writes as an object of empty objects: `{"6379/tcp": {}}`.
impl Field for BTreeSet<String> {
    fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        let values = match value {
            Value::Null => return Ok(Self::new()),
            Value::Object(values) => values,
            _ => return Err(wrong(path, "an object")),
        };
        let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        if values.values().all(|value| value.is_null() || empty(value)) {
            return Ok(values.into_iter().map(|(key, _)| key).collect());
        }
        Err(wrong(path, "an object of empty objects"))
    }
}

/// Why a field must keep its zero value.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine::vet) struct Unset {
    /// Reason word of the refusal.
    pub(in crate::engine::vet) reason: &'static str,
    /// Name of the built-in rule.
    pub(in crate::engine::vet) rule: &'static str,
    /// What the field would do, for people.
    pub(in crate::engine::vet) because: &'static str,
    /// Words that mean the same as the zero value.
    pub(in crate::engine::vet) or: &'static [&'static str],
}

impl Unset {
    /// Refuses `value` unless it is the zero value of its type.
    pub(in crate::engine::vet) fn check(&self, path: &str, value: &Value) -> Result<(), Refusal> {
        let unset = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_i64() == Some(0),
            Value::String(text) => text.is_empty() || self.or.contains(&text.as_str()),
            Value::Array(values) => values.is_empty(),
            Value::Object(values) => values.is_empty(),
        };
        if unset {
            return Ok(());
        }
        let message = format!("{path} must not be set: {}", self.because);
        Err(Refusal::new(self.reason, message, Rule::builtin(self.rule)))
    }
}

/// Where `key` stands below `path`.
pub(in crate::engine::vet) fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The refusal of a value of a wrong type; it says where, never what.
pub(in crate::engine::vet) fn wrong(path: &str, expected: &str) -> Refusal {
    let place = if path.is_empty() { "it" } else { path };
    bad_json(&format!("{place} must be {expected}"))
}

/// The refusal of a key that is in no table.
pub(in crate::engine::vet) fn unknown(path: &str, key: &str, known: &[&str]) -> Refusal {
    let message = format!("{} is no field of the API", below(path, &shown(key)));
    let refusal = Refusal::new("UNKNOWN_FIELD", message, Rule::builtin("closed-types"));
    match known.iter().find(|name| folded(name) == folded(key)) {
        Some(name) => refusal.with_hint(format!("write it {name}, exactly so")),
        None => refusal,
    }
}

/// Declares a closed object: a struct of the keys that are read, then the keys that must be unset.
macro_rules! object {
    (
        $(#[$about:meta])*
        $name:ident {
            $( $key:literal => $field:ident: $kind:ty, )*
        }
        unset {
            $( $($zero:literal)|+ => $reason:literal, $rule:literal, $because:literal
               $(, or $($word:literal)|+ )?; )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $( pub(super) $field: $kind, )*
        }

        #[cfg(test)]
        impl $name {
            /// Keys that are read, and keys that must be unset.
            #[allow(dead_code, reason = "small objects are tested through their owners")]
            pub(super) const KEYS: [&[&str]; 2] = [&[$( $key, )*], &[$( $( $zero, )+ )*]];
        }

        impl $crate::engine::vet::json::fields::Field for $name {
            fn read(path: &str, value: serde_json::Value) -> Result<Self, aistack_policy::Refusal> {
                use $crate::engine::vet::json::fields as json;
                const KNOWN: &[&str] = &[$( $key, )* $( $( $zero, )+ )*];
                let values = match value {
                    serde_json::Value::Null => return Ok(Self::default()),
                    serde_json::Value::Object(values) => values,
                    _ => return Err(json::wrong(path, "an object")),
                };
                #[allow(unused_mut, reason = "an object may have no field that is read")]
                let mut read = Self::default();
                for (key, value) in values {
                    let place = json::below(path, &key);
                    match key.as_str() {
                        $( $key => read.$field = json::Field::read(&place, value)?, )*
                        $( $( $zero )|+ => json::Unset {
                            reason: $reason,
                            rule: $rule,
                            because: $because,
                            or: &[$( $( $word, )+ )?],
                        }
                        .check(&place, &value)?, )*
                        _ => return Err(json::unknown(path, &key, KNOWN)),
                    }
                }
                Ok(read)
            }
        }
    };
}
pub(in crate::engine::vet) use object;
