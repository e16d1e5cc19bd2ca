//! The JSON Schema of a service file, for editors.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Bytes, Cpus, Days, Entry, Span, Template};

/// A text or number that is read by a parser of ours.
macro_rules! read_from {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

read_from!(Bytes, "Bytes", {
    "type": "string",
    "pattern": "^0*[1-9][0-9]*[MG]$",
    "description": "Bytes, written 64M or 2G (powers of 1024).",
});
read_from!(Span, "Span", {
    "type": "string",
    "pattern": "^0*[1-9][0-9]*s$",
    "description": "A time, written 90s.",
});
read_from!(Days, "Days", {
    "type": "string",
    "pattern": "^0*[1-9][0-9]*d$",
    "description": "A number of days, written 90d.",
});
read_from!(Cpus, "Cpus", {
    "type": "number",
    "minimum": 0.01,
    "maximum": 64,
    "description": "CPUs, e.g. 0.5.",
});
read_from!(Template, "Template", {
    "type": "string",
    "description": "Text with ${…}: ${KEY} is a value of the .env, ${host:SERVICE} and ${port:SERVICE} where a service is found; docs/catalog.md has all.",
});

/// The schema as text, draft 2020-12. It says what has the right shape; names that must exist and
/// places that must be free are checked when the file is loaded.
#[must_use]
pub fn text() -> String {
    let schema = schemars::schema_for!(Entry);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `INSTA_UPDATE=always cargo test -p aistack --lib schema` rewrites docs/service.schema.json.
    #[test]
    fn the_file_in_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/service.schema.json");
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            std::fs::write(path, text()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(there == text(), "docs/service.schema.json is out of date");
    }

    #[test]
    fn every_embedded_entry_is_valid_and_a_mistyped_one_is_not() {
        let schema = serde_json::from_str(&text()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (name, text) in super::super::EMBEDDED {
            let value: serde_json::Value = toml::from_str(text).unwrap();
            let wrong: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
        }
        let sound = include_str!("../../../tests/services/fake-model.toml");
        for (from, to) in [
            ("offset = 40", "offset = \"forty\""),
            ("phase = \"services\"", "phase = \"later\""),
            ("memory = \"128M\"", "memory = \"128\""),
            ("grace = \"5s\"", "grace = \"5 s\""),
            (
                "title = \"Fake model server\"",
                "titel = \"Fake model server\"",
            ),
        ] {
            let invalid = sound.replacen(from, to, 1);
            assert_ne!(sound, invalid, "{from}");
            let value: serde_json::Value = toml::from_str(&invalid).unwrap();
            assert!(!validator.is_valid(&value), "{to} fits");
            assert!(toml::from_str::<Entry>(&invalid).is_err(), "{to} loads");
        }
    }
}
