//! The `filters` parameter of lists: JSON, its keys closed, to which the owner is always added.

use std::collections::BTreeMap;

use aistack_policy::Refusal;
use serde::Deserialize;

use super::super::json::{shown, strict};
use super::bad_query;
use crate::docker::percent_encoded;

/// Filters of the container list, which Docker compares with what each of the caller's containers has
/// (moby, `daemon/list.go`). `before` and `since` are none of them: they tell whether a container exists.
pub(super) const CONTAINERS: &[&str] = &[
    "id", "name", "label", "status", "health", "exited", "ancestor", "network", "volume",
    "publish", "expose",
];
/// Filters of the event stream.
pub(super) const EVENTS: &[&str] = &["type", "event", "container", "image", "label"];
/// Filters of the image list.
pub(super) const IMAGES: &[&str] = &["reference", "label", "dangling", "before", "since", "until"];
/// Filters of the network list.
pub(super) const NETWORKS: &[&str] =
    &["id", "name", "label", "driver", "scope", "type", "dangling"];
/// Filters of the volume list, which is empty whatever they say.
pub(super) const VOLUMES: &[&str] = &["name", "label", "driver", "dangling"];

/// Values of one request, at most.
const MAX_VALUES: usize = 64;

/// The caller's filters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

/// Docker reads a list of values and, from older clients, an object of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let read: BTreeMap<String, Values> = strict(text.as_bytes())?;
        let mut filters = BTreeMap::new();
        for (key, values) in read {
            if !known.contains(&key.as_str()) {
                let why = format!("the filter \"{}\" is not supported", shown(&key));
                return Err(bad_query(&why));
            }
            let values: Vec<String> = match values {
                Values::List(values) => values,
                Values::Set(set) => set
                    .into_iter()
                    .filter_map(|(value, on)| on.then_some(value))
                    .collect(),
            };
            filters.insert(key, values);
        }
        if filters.values().map(Vec::len).sum::<usize>() > MAX_VALUES {
            return Err(bad_query("it has too many filters"));
        }
        Ok(Self(filters))
    }

    /// Takes out a key that may have one value.
    pub(super) fn take_one(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.0.remove(key).unwrap_or_default().into_iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(bad_query(&format!("the filter {key} is given twice"))),
        }
    }

    /// The values of one key.
    #[must_use]
    pub fn of(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// These filters and one more value, encoded for a query.
    #[must_use]
    pub fn encoded_with(&self, key: &str, value: &str) -> String {
        let mut filters = self.0.clone();
        let values = filters.entry(key.to_owned()).or_default();
        values.push(value.to_owned());
        percent_encoded(&serde_json::json!(filters).to_string())
    }

    /// These filters, encoded for a query.
    #[must_use]
    pub fn encoded(&self) -> String {
        percent_encoded(&serde_json::json!(self.0).to_string())
    }

    /// These filters with one key set to one value.
    #[must_use]
    pub fn only(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_owned(), vec![value.to_owned()]);
        self
    }
}
