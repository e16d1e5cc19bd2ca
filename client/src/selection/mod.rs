//! Which services a stack has, and why: a pure function of the manifest's values and the catalog.
//!
//! An entry with `when` is part of the stack exactly while that holds. Any other is part of it when
//! `SERVICES` names it or its group, or when a part of the stack needs it. A part whose `requires`
//! has no value is left out, and with it everything that needs it.

mod fit;
mod names;
mod sums;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use fit::{Lighter, lighter};
pub use names::{named, preset, with, without};
pub use sums::{Sums, cpus, gib};

use crate::catalog::{Catalog, Entry, Preset, When};
use crate::keys::SERVICES;

/// A value of the manifest.
pub type Value<'v> = dyn Fn(&str) -> Option<String> + 'v;

/// The services of a stack.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// In catalog order.
    pub members: Vec<Member<'a>>,
    /// What was requested and cannot be, in catalog order.
    pub left_out: Vec<LeftOut>,
}

/// One service of a stack.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Its entry.
    pub entry: &'a Entry,
    /// Why it is part of the stack.
    pub reason: Reason,
}

/// Why a service is part of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// `SERVICES` names it or its group.
    Chosen,
    /// Its condition holds, e.g. `VECTOR_DB=qdrant`.
    Condition {
        /// Key of the manifest.
        key: String,
    },
    /// Another part of the stack needs it.
    Needed {
        /// That one.
        by: String,
    },
}

/// A service that was requested and is not part of the stack.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Its name.
    pub service: String,
    /// Why: a clause, e.g. `TAILSCALE_AUTH_KEY is empty`.
    pub because: String,
    /// What adds it.
    pub next: String,
}

/// For people, on one line.
impl std::fmt::Display for LeftOut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            service,
            because,
            next,
        } = self;
        write!(out, "{service} is left out: {because}; to add it: {next}")
    }
}

/// Why there is no selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// `SERVICES` names something that is neither a service nor a group.
    #[error("there is no service {name:?}{}", did_you_mean(.near.as_deref()))]
    Unknown {
        /// As it is written.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// `SERVICES` names a service that another key decides on.
    #[error("{name} is not chosen by name; set {key} to {value}")]
    Conditional {
        /// Its name.
        name: String,
        /// The key that decides.
        key: String,
        /// What the key must be.
        value: String,
    },
    /// A part of a group, where the group is meant.
    #[error("{name} is a part of {group}; name {group}")]
    Part {
        /// Its name.
        name: String,
        /// The group.
        group: String,
    },
    /// A part needs a service whose condition does not hold.
    #[error("{service} needs {need}, which is only part of the stack with {condition}")]
    Excluded {
        /// The part.
        service: String,
        /// What it needs.
        need: String,
        /// The condition, e.g. `VECTOR_DB=qdrant`.
        condition: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
}

/// True when the manifest meets a condition.
#[must_use]
pub fn holds(when: &When, value: &Value<'_>) -> bool {
    let value = value(&when.key).unwrap_or_default();
    match &when.is {
        Some(wanted) => value == *wanted,
        None => !value.is_empty(),
    }
}

/// Everything that must be there for an entry: what it needs, always or with a variant that holds,
/// and the service whose network it shares.
#[must_use]
pub fn needs<'a>(entry: &'a Entry, value: &Value<'_>) -> Vec<&'a str> {
    let variants = entry
        .variants
        .iter()
        .filter(|variant| holds(&variant.when, value));
    let mut needs: Vec<&str> = Vec::new();
    let all = entry
        .needs
        .iter()
        .chain(variants.flat_map(|variant| &variant.needs))
        .chain(&entry.network_of);
    for need in all {
        if !needs.contains(&need.as_str()) {
            needs.push(need);
        }
    }
    needs
}

impl<'a> Selection<'a> {
    /// The selection that the manifest's values make.
    ///
    /// # Errors
    /// Every name in `SERVICES` that cannot be chosen, every need that is excluded.
    pub fn of(catalog: &'a Catalog, value: &Value<'_>) -> Result<Self, Vec<SelectionError>> {
        // A manifest that is older than the key stands for the least there is.
        let services = value(SERVICES).unwrap_or_else(|| preset(catalog, Preset::Minimal));
        let chosen = names::chosen(catalog, &services)?;
        let mut seeds = BTreeMap::new();
        for entry in catalog.entries() {
            match &entry.when {
                Some(when) if holds(when, value) => {
                    let key = when.key.clone();
                    seeds.insert(entry.name.as_str(), Reason::Condition { key });
                }
                None if chosen.contains(entry.name.as_str()) => {
                    seeds.insert(entry.name.as_str(), Reason::Chosen);
                }
                _ => {}
            }
        }
        let (all, errors) = closure(catalog, value, &seeds, &BTreeMap::new());
        if !errors.is_empty() {
            return Err(errors);
        }
        let out = left_out(catalog, value, &all);
        let (parts, _) = closure(catalog, value, &seeds, &out);
        let entries = || catalog.entries().iter();
        let member = |entry: &'a Entry| {
            let reason = parts.get(entry.name.as_str())?.clone();
            Some(Member { entry, reason })
        };
        Ok(Self {
            members: entries().filter_map(member).collect(),
            left_out: entries()
                .filter_map(|entry| out.get(entry.name.as_str()).cloned())
                .collect(),
        })
    }

    /// Entries of the stack, in catalog order.
    #[must_use]
    pub fn entries(&self) -> Vec<&'a Entry> {
        self.members.iter().map(|member| member.entry).collect()
    }

    /// True when the stack has a service.
    #[must_use]
    pub fn has(&self, service: &str) -> bool {
        self.members
            .iter()
            .any(|member| member.entry.name == service)
    }

    /// Members that need a service, directly or not, in catalog order.
    #[must_use]
    pub fn dependants(&self, service: &str, value: &Value<'_>) -> Vec<&'a str> {
        let mut found: BTreeSet<&str> = BTreeSet::from([service]);
        loop {
            let before = found.len();
            for Member { entry, .. } in &self.members {
                if needs(entry, value).iter().any(|need| found.contains(need)) {
                    found.insert(&entry.name);
                }
            }
            if found.len() == before {
                break;
            }
        }
        let names = self.members.iter().map(|member| member.entry.name.as_str());
        names
            .filter(|name| *name != service && found.contains(name))
            .collect()
    }

    /// What all of them may use together.
    #[must_use]
    pub fn sums(&self) -> Sums {
        Sums::of(self.members.iter().map(|member| member.entry))
    }
}

/// The seeds with everything that they need, each with its reason, without what is left out and
/// without what only that needs.
fn closure<'a>(
    catalog: &'a Catalog,
    value: &Value<'_>,
    seeds: &BTreeMap<&'a str, Reason>,
    out: &BTreeMap<&'a str, LeftOut>,
) -> (BTreeMap<&'a str, Reason>, Vec<SelectionError>) {
    let mut parts: BTreeMap<&str, Reason> = seeds
        .iter()
        .filter(|(name, _)| !out.contains_key(*name))
        .map(|(name, reason)| (*name, reason.clone()))
        .collect();
    let mut errors = Vec::new();
    let mut queue: Vec<&str> = parts.keys().copied().collect();
    while let Some(name) = queue.pop() {
        let Some(entry) = catalog.get(name) else {
            continue;
        };
        for need in needs(entry, value) {
            if parts.contains_key(need) || out.contains_key(need) {
                continue;
            }
            // A need that is not an entry is found when the catalog is loaded.
            let Some(needed) = catalog.get(need) else {
                continue;
            };
            if let Some(when) = needed.when.as_ref().filter(|when| !holds(when, value)) {
                errors.push(SelectionError::Excluded {
                    service: name.to_owned(),
                    need: need.to_owned(),
                    condition: when.to_string(),
                });
                continue;
            }
            let by = name.to_owned();
            parts.insert(need, Reason::Needed { by });
            queue.push(need);
        }
    }
    (parts, errors)
}

/// Parts whose required value is empty, and everything that needs them.
fn left_out<'a>(
    catalog: &'a Catalog,
    value: &Value<'_>,
    parts: &BTreeMap<&'a str, Reason>,
) -> BTreeMap<&'a str, LeftOut> {
    let mut out: BTreeMap<&str, LeftOut> = BTreeMap::new();
    for entry in parts.keys().filter_map(|name| catalog.get(name)) {
        let Some(requires) = &entry.requires else {
            continue;
        };
        if value(&requires.key).unwrap_or_default().is_empty() {
            let left = LeftOut {
                service: entry.name.clone(),
                because: format!("{} is empty", requires.key),
                next: how_to_set(catalog, &requires.key, &requires.why),
            };
            out.insert(&entry.name, left);
        }
    }
    loop {
        let mut more: Vec<(&str, LeftOut)> = Vec::new();
        for entry in parts.keys().filter_map(|name| catalog.get(name)) {
            if out.contains_key(entry.name.as_str()) {
                continue;
            }
            let missing = needs(entry, value)
                .into_iter()
                .find_map(|need| out.get(need));
            if let Some(missing) = missing {
                let left = LeftOut {
                    service: entry.name.clone(),
                    because: format!("it needs {}, which is left out", missing.service),
                    next: missing.next.clone(),
                };
                more.push((&entry.name, left));
            }
        }
        if more.is_empty() {
            return out;
        }
        out.extend(more);
    }
}

fn how_to_set(catalog: &Catalog, key: &str, why: &str) -> String {
    let why = why.trim_end_matches('.');
    let how = if catalog.is_secret(key) {
        format!("aistack init --secret-file {key}=FILE")
    } else {
        format!("aistack init --set {key}=VALUE")
    };
    format!("{how} ({why}), then aistack deploy")
}
