//! JSON as the gateway reads it: one value, exact keys, no duplicates under Go's case folding.
//!
//! Docker's decoder matches keys of structs without regard to case (U+017F counts as `s`, U+212A
//! as `k`), merges duplicates and stops after the first value. What it could read in another way
//! than we do is refused here, before any typing.

pub(super) mod fields;

use std::collections::BTreeSet;
use std::fmt;

use aistack_policy::{Refusal, Rule};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde_json::{Map, Number, Value};

/// The largest body, bytes; the docker command sends less than 2 KiB.
pub const MAX_BODY: usize = 256 << 10;

/// The deepest nesting of objects and lists; a create body has 6.
pub const MAX_DEPTH: usize = 32;

/// Reads one JSON value into a closed type (`deny_unknown_fields`). Serde takes a list of values
/// for a struct, which Go does not: what comes of it is still only the type's own fields.
///
/// # Errors
/// `BAD_JSON` for anything that Go's decoder and ours could read differently: duplicate keys
/// (exact, ASCII case, U+017F, U+212A), trailing bytes, depth over 32, size over [`MAX_BODY`].
pub fn strict<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_value(value(body)?).map_err(|error| bad_json(&without_values(&error)))
}

/// Reads one JSON value as it stands, under the same conditions as [`strict`].
///
/// # Errors
/// `BAD_JSON`, as [`strict`].
pub fn value(body: &[u8]) -> Result<Value, Refusal> {
    if body.len() > MAX_BODY {
        return Err(bad_json(&format!(
            "it has {} bytes, and at most {MAX_BODY} are read",
            body.len()
        )));
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(bad_json("it starts with a byte order mark"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    Tree { depth: 0 }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| bad_json(&error.to_string()))
}

/// A refusal of the body as a whole.
pub(super) fn bad_json(why: &str) -> Refusal {
    Refusal::new(
        "BAD_JSON",
        format!("the request body cannot be read: {why}"),
        Rule::builtin("strict-json"),
    )
}

/// Text of a caller as it may stand in a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let escaped = text.escape_debug().to_string();
    if escaped.chars().count() <= LONGEST {
        return escaped;
    }
    let cut: String = escaped.chars().take(LONGEST).collect();
    format!("{cut}…")
}

/// A key as Go's decoder compares keys of structs: two keys that fold to the same are one field.
pub(super) fn folded(key: &str) -> String {
    key.chars()
        .map(|character| match character {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// What serde says, unless it quotes a value: values may be secrets.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let head = text.split(", expected").next().unwrap_or_default();
    if head.starts_with("unknown field") || head.starts_with("missing field") {
        shown(head)
    } else {
        "a value has a wrong type".to_owned()
    }
}

/// Builds a [`Value`], and refuses what could be read in two ways while it does.
#[derive(Clone, Copy)]
struct Tree {
    depth: usize,
}

impl Tree {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "it is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let (mut seen, mut values) = (BTreeSet::new(), Map::new());
        while let Some(key) = object.next_key::<String>()? {
            if !seen.insert(folded(&key)) {
                return Err(de::Error::custom(format_args!(
                    "the key \"{}\" is repeated, or differs from another only in case",
                    shown(&key)
                )));
            }
            values.insert(key, object.next_value_seed(below)?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests;
