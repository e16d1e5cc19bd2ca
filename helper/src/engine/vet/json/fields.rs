//! Closed objects: every key that a body may have, in one table, with its type or its refusal.
//!
//! `null` means the zero value, as Go has it; a list never stands for an object; numbers are whole.
//! A key that is not in the table is refused by name, and so is a key of the table's second part
//! that holds anything but its zero value.
//!
//! A key is read under every API version, since clients send their newest keys under old versions,
//! too. Where the engine looks at the caller's version, the table says so: `"Key" [44..]` may hold
//! something from API 1.44 on, `"Key" [24..52]` before 1.52.

use std::collections::{BTreeMap, BTreeSet};

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Refusal, Rule};
use serde_json::{Map, Value};

use super::{bad_json, folded, shown};

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine::vet) struct At<'a> {
    /// Its place in the API, for messages: `HostConfig.Memory`; empty for the whole body.
    pub(in crate::engine::vet) path: &'a str,
    /// The API version that the caller asks for.
    pub(in crate::engine::vet) api: ApiVersion,
}

impl At<'static> {
    /// A whole body.
    pub(in crate::engine::vet) fn body(api: ApiVersion) -> Self {
        Self { path: "", api }
    }
}

impl At<'_> {
    /// The place of `key`, in words.
    pub(in crate::engine::vet) fn below(self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The same request at another place.
    pub(in crate::engine::vet) fn to(self, path: &str) -> At<'_> {
        At {
            path,
            api: self.api,
        }
    }
}

/// A type that a JSON value can be read into.
pub(in crate::engine::vet) trait Field: Sized {
    /// Reads `value`.
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal>;
}

impl Field for bool {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(false),
            Value::Bool(value) => Ok(value),
            _ => Err(wrong(at.path, "true or false")),
        }
    }
}

impl Field for i64 {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(0),
            other => other
                .as_i64()
                .ok_or_else(|| wrong(at.path, "a whole number")),
        }
    }
}

impl Field for String {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::String(text) => Ok(text),
            _ => Err(wrong(at.path, "a string")),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(None),
            other => T::read(at, other).map(Some),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(index, value)| T::read(at.to(&format!("{}[{index}]", at.path)), value))
                .collect(),
            _ => Err(wrong(at.path, "a list")),
        }
    }
}

/// A map with keys of the caller's choice, e.g. labels.
impl<T: Field> Field for BTreeMap<String, T> {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Object(values) => values
                .into_iter()
                .map(|(key, value)| {
                    let path = format!("{}[\"{}\"]", at.path, shown(&key));
                    let value = T::read(at.to(&path), value)?;
                    Ok((key, value))
                })
                .collect(),
            _ => Err(wrong(at.path, "an object")),
        }
    }
}

/// A command: a list of words, or one bare string that is the only word. Empty is not absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine::vet) struct Words(pub(in crate::engine::vet) Option<Vec<String>>);

impl Field for Words {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::String(word) => Ok(Self(Some(vec![word]))),
            other => Option::read(at, other).map(Self),
        }
    }
}

/// A set, which Docker writes as an object of empty objects: `{"6379/tcp": {}}`.
impl Field for BTreeSet<String> {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        let values = match value {
            Value::Null => return Ok(Self::new()),
            Value::Object(values) => values,
            _ => return Err(wrong(at.path, "an object")),
        };
        let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        if values.values().all(|value| value.is_null() || empty(value)) {
            return Ok(values.into_iter().map(|(key, _)| key).collect());
        }
        Err(wrong(at.path, "an object of empty objects"))
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
    /// True for the zero value of any type, and for words that mean the same.
    pub(in crate::engine::vet) fn is_met_by(&self, value: &Value) -> bool {
        is_zero(value) || value.as_str().is_some_and(|text| self.or.contains(&text))
    }

    /// Refuses `value` unless it is the zero value of its type.
    pub(in crate::engine::vet) fn check(&self, path: &str, value: &Value) -> Result<(), Refusal> {
        if self.is_met_by(value) {
            return Ok(());
        }
        let message = format!("{path} must not be set: {}", self.because);
        Err(Refusal::new(self.reason, message, Rule::builtin(self.rule)))
    }
}

/// True for the zero value of any type.
pub(in crate::engine::vet) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
    }
}

/// The API versions under which a field is taken from a caller.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine::vet) struct Versions {
    /// The first.
    pub(in crate::engine::vet) since: ApiVersion,
    /// The first one no more.
    pub(in crate::engine::vet) until: Option<ApiVersion>,
}

impl Versions {
    /// Refuses a value under a version that does not have the field. Docker would drop it, and its
    /// caller would believe that it holds.
    pub(in crate::engine::vet) fn check(self, at: At<'_>, value: &Value) -> Result<(), Refusal> {
        let there = at.api >= self.since && self.until.is_none_or(|until| at.api < until);
        if there || is_zero(value) {
            return Ok(());
        }
        let when = match self.until.filter(|until| at.api >= *until) {
            Some(until) => format!("exists only before API {until}"),
            None => format!("exists since API {}", self.since),
        };
        let message = format!("{} {when}, and this request uses {}", at.path, at.api);
        Err(Refusal::new(
            "FIELD_OF_OTHER_VERSION",
            message,
            Rule::builtin("api-version"),
        ))
    }
}

/// The refusal of a value of a wrong type; it says where, never what.
pub(in crate::engine::vet) fn wrong(path: &str, expected: &str) -> Refusal {
    let place = if path.is_empty() { "it" } else { path };
    bad_json(&format!("{place} must be {expected}"))
}

/// The refusal of a key that is in no table.
pub(in crate::engine::vet) fn unknown(
    at: At<'_>,
    key: &str,
    read: &[&str],
    unset: &[&str],
) -> Refusal {
    let message = format!("{} is not a field of the API", at.below(&shown(key)));
    let refusal = Refusal::new("UNKNOWN_FIELD", message, Rule::builtin("closed-types"));
    let mut known = read.iter().chain(unset);
    match known.find(|name| folded(name) == folded(key)) {
        Some(name) => refusal.with_hint(format!("write it as {name}")),
        None => refusal,
    }
}

/// Declares a closed object: a struct of the keys that are read, then the keys that must be unset.
macro_rules! object {
    (
        $(#[$about:meta])*
        $name:ident {
            $( $key:literal $([ $($versions:tt)+ ])? => $field:ident: $kind:ty, )*
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

        #[allow(dead_code, reason = "most objects are looked at through their owners")]
        impl $name {
            /// Keys that are read.
            pub(super) const READ: &[&str] = &[$( $key, )*];
            /// Keys that must be unset.
            pub(super) const UNSET: &[&str] = &[$( $( $zero, )+ )*];

            /// Why `key` must be unset; nothing for any other key.
            pub(super) fn unset(key: &str) -> Option<$crate::engine::vet::json::fields::Unset> {
                match key {
                    $( $( $zero )|+ => Some($crate::engine::vet::json::fields::Unset {
                        reason: $reason,
                        rule: $rule,
                        because: $because,
                        or: &[$( $( $word, )+ )?],
                    }), )*
                    _ => None,
                }
            }
        }

        impl $crate::engine::vet::json::fields::Field for $name {
            fn read(
                at: $crate::engine::vet::json::fields::At<'_>,
                value: serde_json::Value,
            ) -> Result<Self, aistack_policy::Refusal> {
                use $crate::engine::vet::json::fields as json;
                let values = match value {
                    serde_json::Value::Null => return Ok(Self::default()),
                    serde_json::Value::Object(values) => values,
                    _ => return Err(json::wrong(at.path, "an object")),
                };
                #[allow(unused_mut, reason = "an object may have no field that is read")]
                let mut read = Self::default();
                for (key, value) in values {
                    let place = at.below(&key);
                    let here = at.to(&place);
                    match key.as_str() {
                        $( $key => {
                            $( json::versions!($($versions)+).check(here, &value)?; )?
                            read.$field = json::Field::read(here, value)?;
                        } )*
                        other => match Self::unset(other) {
                            Some(unset) => unset.check(&place, &value)?,
                            None => return Err(json::unknown(at, other, Self::READ, Self::UNSET)),
                        },
                    }
                }
                Ok(read)
            }
        }
    };
}
pub(in crate::engine::vet) use object;

/// `[44..]`: minor versions of API 1 that have a field; `[44..52]` with the first that has it no more.
macro_rules! versions {
    ($since:literal ..) => {
        $crate::engine::vet::json::fields::Versions {
            since: aistack_policy::engine::ApiVersion::v1($since),
            until: None,
        }
    };
    ($since:literal .. $until:literal) => {
        $crate::engine::vet::json::fields::Versions {
            since: aistack_policy::engine::ApiVersion::v1($since),
            until: Some(aistack_policy::engine::ApiVersion::v1($until)),
        }
    };
}
pub(in crate::engine::vet) use versions;
