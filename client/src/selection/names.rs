//! The value of `SERVICES`: names of services and of groups, separated by commas.

use std::collections::BTreeSet;

use super::SelectionError;
use crate::catalog::{Catalog, Entry, Preset};
use crate::nearest::nearest;

/// The names in a value, as they are written, each once.
#[must_use]
pub fn named(value: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in value.split(|c: char| c == ',' || c.is_whitespace()) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The value with more services, in catalog order. A part of a group cannot be added by itself.
///
/// # Errors
/// Names that cannot be chosen, in `value` and in `more`.
pub fn with(catalog: &Catalog, value: &str, more: &[&str]) -> Result<String, Vec<SelectionError>> {
    let mut names = chosen(catalog, value)?;
    names.extend(whole(catalog, more)?);
    Ok(written(catalog, &names))
}

/// The value without some services, in catalog order. What is not in it is not missed.
///
/// # Errors
/// Names that cannot be chosen, in `value` and in `less`.
pub fn without(
    catalog: &Catalog,
    value: &str,
    less: &[&str],
) -> Result<String, Vec<SelectionError>> {
    let gone = whole(catalog, less)?;
    let mut names = chosen(catalog, value)?;
    names.retain(|name| !gone.contains(name));
    Ok(written(catalog, &names))
}

/// The value that a preset stands for.
#[must_use]
pub fn preset(catalog: &Catalog, preset: Preset) -> String {
    let names = catalog
        .entries()
        .iter()
        .filter(|entry| entry.when.is_none() && entry.presets.contains(&preset))
        .map(|entry| entry.name.as_str())
        .collect();
    written(catalog, &names)
}

/// Services that a value names, groups resolved.
pub(super) fn chosen<'a>(
    catalog: &'a Catalog,
    value: &str,
) -> Result<BTreeSet<&'a str>, Vec<SelectionError>> {
    resolve(catalog, &named(value))
}

/// Services of names that are to be added or removed: never only a part of a group.
fn whole<'a>(
    catalog: &'a Catalog,
    names: &[&str],
) -> Result<BTreeSet<&'a str>, Vec<SelectionError>> {
    let parts: Vec<SelectionError> = names
        .iter()
        .filter_map(|name| {
            let group = catalog.get(name)?.group.clone()?;
            let name = (*name).to_owned();
            Some(SelectionError::Part { name, group })
        })
        .collect();
    if !parts.is_empty() {
        return Err(parts);
    }
    resolve(catalog, names)
}

/// The service of each name, or those of the group.
fn resolve<'a>(
    catalog: &'a Catalog,
    names: &[&str],
) -> Result<BTreeSet<&'a str>, Vec<SelectionError>> {
    let mut found = BTreeSet::new();
    let mut errors = Vec::new();
    for &name in names {
        let entries: Vec<&Entry> = catalog
            .entries()
            .iter()
            .filter(|entry| entry.name == name || entry.group.as_deref() == Some(name))
            .collect();
        if entries.is_empty() {
            errors.push(unknown(catalog, name));
        }
        for entry in entries {
            match &entry.when {
                None => {
                    found.insert(entry.name.as_str());
                }
                Some(when) => errors.push(SelectionError::Conditional {
                    name: entry.name.clone(),
                    key: when.key.clone(),
                    value: when.is.clone().unwrap_or_else(|| "a value".to_owned()),
                }),
            }
        }
    }
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(errors)
    }
}

fn unknown(catalog: &Catalog, name: &str) -> SelectionError {
    let entries = catalog.entries().iter();
    let known = entries.flat_map(|entry| {
        let name = entry.when.is_none().then_some(entry.name.as_str());
        name.into_iter().chain(entry.group.as_deref())
    });
    SelectionError::Unknown {
        name: name.to_owned(),
        near: nearest(name, known).map(str::to_owned),
    }
}

/// Names in catalog order; a group that is whole by its own name, where its first part stands.
fn written(catalog: &Catalog, names: &BTreeSet<&str>) -> String {
    let mut words: Vec<&str> = Vec::new();
    for entry in catalog.entries() {
        if !names.contains(entry.name.as_str()) {
            continue;
        }
        let whole = entry.group.as_deref().filter(|group| {
            let mut parts = catalog.entries().iter();
            parts.all(|part| {
                part.group.as_deref() != Some(group) || names.contains(part.name.as_str())
            })
        });
        let word = whole.unwrap_or(&entry.name);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(",")
}
