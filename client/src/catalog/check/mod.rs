//! Everything that can be wrong in an entry although its TOML has the right shape.

mod checks;
mod edges;
mod keys;
mod names;
mod templates;
mod when;

use super::entry::Entry;
use super::{Catalog, CatalogError};

/// An error: what to look for in the file to find its place, and what it is.
type Error = (String, String);

/// What the TOML parser found.
pub(super) fn syntax_error(name: &str, text: &str, error: &toml::de::Error) -> CatalogError {
    let start = error.span().map_or(0, |span| span.start);
    place(name, text, start, error.message().to_owned())
}

/// A second file for a service.
pub(super) fn twice(name: &str, text: &str) -> CatalogError {
    let message = format!("there is a service {name} already; give this one another name");
    place(name, text, 0, message)
}

/// Every error in every entry. Where two entries collide, it is the later source's.
pub(super) fn errors(catalog: &Catalog, sources: &[(&str, &str)]) -> Vec<CatalogError> {
    let mut errors = Vec::new();
    let mut earlier: Vec<&Entry> = Vec::new();
    for (name, text) in sources {
        let Some(entry) = catalog.get(name) else {
            continue;
        };
        let mut found = Vec::new();
        names::check(entry, &mut found);
        names::mounts(entry, &mut found);
        when::check(catalog, entry, &mut found);
        edges::check(catalog, entry, &earlier, &mut found);
        keys::check(catalog, entry, &earlier, &mut found);
        templates::check(catalog, entry, &mut found);
        checks::check(catalog, entry, &mut found);
        for (needle, message) in found {
            errors.push(place(name, text, position(text, &needle), message));
        }
        earlier.push(entry);
    }
    errors
}

/// Where a text stands: by itself and outside of comments, if it does so anywhere.
fn position(text: &str, needle: &str) -> usize {
    if needle.is_empty() {
        return 0;
    }
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let by_itself = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text
            .get(at + needle.len()..)
            .and_then(|after| after.chars().next());
        !before.is_some_and(|c| part_of_word(c) && needle.starts_with(part_of_word))
            && !after.is_some_and(|c| part_of_word(c) && needle.ends_with(part_of_word))
    };
    let in_comment = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.trim_start().starts_with('#')
    };
    let places = || text.match_indices(needle).map(|(at, _)| at);
    places()
        .find(|at| by_itself(*at) && !in_comment(*at))
        .or_else(|| places().find(|at| !in_comment(*at)))
        .or_else(|| places().next())
        .unwrap_or(0)
}

fn place(name: &str, text: &str, start: usize, message: String) -> CatalogError {
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    CatalogError {
        file: format!("{name}.toml"),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
