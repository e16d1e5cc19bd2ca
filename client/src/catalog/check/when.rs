//! Conditions, and what chooses a service.

use super::super::Catalog;
use super::super::entry::{Entry, When};
use super::Error;
use super::names::quoted;
use crate::keys::VECTOR_DB;

pub(super) fn check(catalog: &Catalog, entry: &Entry, found: &mut Vec<Error>) {
    let of_variants = entry.variants.iter().map(|variant| &variant.when);
    let of_checks = entry
        .checks
        .iter()
        .filter_map(|check_entry| check_entry.when());
    for when in entry.when.iter().chain(of_variants).chain(of_checks) {
        condition(catalog, when, found);
    }
    if let Some(requires) = &entry.requires {
        if !catalog.is_key(&requires.key) {
            found.push(no_key(&requires.key));
        }
        if requires.why.trim().is_empty() {
            let message = "`requires.why` is empty; say what the value is and where it comes from";
            found.push(("requires".to_owned(), message.to_owned()));
        }
    }
    if entry.when.is_some() && !entry.presets.is_empty() {
        let message = "`presets` choose by name, and `when` decides on this service alone";
        found.push(("presets".to_owned(), message.to_owned()));
    }
    let decides = |when: &When| when.key == VECTOR_DB && when.is.as_ref() == Some(&entry.name);
    if entry.vector_db.is_some() && !entry.when.as_ref().is_some_and(decides) {
        let message = format!(
            "a vector database has `when = {{ key = \"{VECTOR_DB}\", is = {:?} }}`",
            entry.name
        );
        found.push(("vector_db".to_owned(), message));
    }
    if let Some(group) = &entry.group {
        if catalog.get(group).is_some() {
            let message = format!("{group:?} is a service; give the group another name");
            found.push((quoted(group), message));
        }
        if entry.when.is_some() {
            let message = "`group` chooses by name, and `when` decides on this service alone";
            found.push(("group".to_owned(), message.to_owned()));
        }
    }
}

fn condition(catalog: &Catalog, when: &When, found: &mut Vec<Error>) {
    if !catalog.is_key(&when.key) {
        found.push(no_key(&when.key));
    }
    let Some(is) = when.is.as_ref().filter(|_| when.key == VECTOR_DB) else {
        return;
    };
    if !catalog.vector_dbs().contains(&is.as_str()) {
        let message =
            format!("{VECTOR_DB} is never {is:?}: no service has [vector_db] of that name");
        found.push((quoted(is), message));
    }
}

fn no_key(key: &str) -> Error {
    (quoted(key), format!("{key:?} is not a key of the manifest"))
}

/// True when `other` holds wherever `when` does.
pub(super) fn implies(when: Option<&When>, other: &When) -> bool {
    when.is_some_and(|when| when.key == other.key && (other.is.is_none() || when.is == other.is))
}

/// True when the two never hold together.
pub(super) fn exclude(one: Option<&When>, other: Option<&When>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one.key == other.key && one.is.is_some() && other.is.is_some() && one.is != other.is
}
