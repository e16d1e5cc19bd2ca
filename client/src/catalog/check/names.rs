//! Names that are written in an entry: of itself, its image, variables, files and directories.

use super::super::entry::{Database, Entry};
use super::{Error, is_label};
use crate::env_file::is_key;
use aistack_policy::image::ImageRef;

/// Folders of a configuration file's name, and the name itself, at most.
const MAX_COMPONENTS: usize = 4;

pub(super) fn check(entry: &Entry, found: &mut Vec<Error>) {
    if !is_label(&entry.name) {
        let message = format!("{:?} is not a name of a service", entry.name);
        found.push((String::new(), message));
    }
    match ImageRef::parse(&entry.image) {
        Ok(image) if image.to_string() == entry.image && !entry.image.ends_with(":latest") => {}
        _ => found.push((
            entry.image.clone(),
            format!(
                "{:?} is not a full image reference with a pinned tag",
                entry.image
            ),
        )),
    }
    if let Some(group) = entry.group.as_ref().filter(|group| !is_label(group)) {
        found.push((quoted(group), format!("{group:?} is not a name of a group")));
    }
    if let Some(site) = &entry.site {
        if !is_label(&site.host) {
            let message = format!("{:?} is not a host label", site.host);
            found.push((quoted(&site.host), message));
        }
        for route in site.routes.iter().filter(|route| !is_route(&route.path)) {
            let message = format!(
                "{:?} is not a path of a route; write e.g. \"/api\" or \"/api/*\"",
                route.path
            );
            found.push((quoted(&route.path), message));
        }
    }
    let of_variants = entry
        .variants
        .iter()
        .flat_map(|variant| &variant.environment);
    let variables = entry.environment.iter().chain(of_variants);
    for (name, _) in variables.filter(|(name, _)| !is_key(name)) {
        found.push((
            name.clone(),
            format!("{name:?} is not a name of a variable"),
        ));
    }
    for database in databases(entry) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !database.name.bytes().all(plain) || database.name.is_empty() {
            let message = format!("{:?} is not a plain database name", database.name);
            found.push((quoted(&database.name), message));
        }
    }
    files(entry, found);
}

/// Databases of the entry and of all its variants.
pub(super) fn databases(entry: &Entry) -> impl Iterator<Item = &Database> {
    let of_variants = entry.variants.iter().flat_map(|variant| &variant.databases);
    entry.databases.iter().chain(of_variants)
}

/// As a file writes it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A path that Caddy can match: exact, or a prefix that ends in `*`.
fn is_route(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
    let exact = path.strip_suffix('*').unwrap_or(path);
    exact.starts_with('/') && exact.bytes().all(plain)
}

fn files(entry: &Entry, found: &mut Vec<Error>) {
    for name in entry.config.keys() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let sound =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
        if !name.split('/').all(sound) || name.split('/').count() > MAX_COMPONENTS {
            let message = format!(
                "{name:?} is not a plain file name, with at most {} folders before it",
                MAX_COMPONENTS - 1
            );
            found.push((quoted(name), message));
        }
        let inside = |other: &&String| {
            let rest = other.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(other) = entry.config.keys().find(inside) {
            let message = format!("{name:?} cannot be a file and the folder of {other:?}");
            found.push((quoted(name), message));
        }
    }
}

/// Where directories appear.
pub(super) fn mounts(entry: &Entry, found: &mut Vec<Error>) {
    let mounts = [&entry.mounts.etc, &entry.mounts.data, &entry.mounts.logs];
    let targets: Vec<&String> = mounts
        .into_iter()
        .flatten()
        .chain(entry.filesystem.tmpfs.keys())
        .collect();
    for target in &targets {
        let sound = target.len() > 1
            && target.starts_with('/')
            && target
                .split('/')
                .skip(1)
                .all(|part| !matches!(part, "" | "." | ".."));
        if !sound {
            let message = format!("{target:?} is not an absolute path of a directory");
            found.push(((*target).clone(), message));
        }
        let nested = |other: &&&String| {
            target
                .strip_prefix(other.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(outer) = targets.iter().find(nested) {
            let message = format!("{target:?} is mounted inside {outer:?}");
            found.push(((*target).clone(), message));
        }
    }
    if entry.config.is_empty() != entry.mounts.etc.is_none() {
        let message = "`config` and `mounts.etc` go together".to_owned();
        found.push(("[mounts]".to_owned(), message));
    }
}
