//! What an entry says of other services.

use std::collections::BTreeSet;

use super::super::Catalog;
use super::super::entry::{Database, Entry, When};
use super::names::{databases, quoted};
use super::when::{exclude, implies};
use super::{Error, is_label};

pub(super) fn check(catalog: &Catalog, entry: &Entry, earlier: &[&Entry], found: &mut Vec<Error>) {
    for need in &entry.needs {
        needed(catalog, entry, entry.when.as_ref(), need, found);
    }
    for variant in &entry.variants {
        for need in &variant.needs {
            let own = entry.when.as_ref();
            let when = catalog.get(need).and_then(|other| other.when.as_ref());
            let by_own = when.is_some_and(|when| implies(own, when));
            let when = if by_own { own } else { Some(&variant.when) };
            needed(catalog, entry, when, need, found);
        }
    }
    for other in &entry.after {
        let why = match catalog.get(other) {
            _ if *other == entry.name => "which is itself".to_owned(),
            None => "which is not a service".to_owned(),
            Some(other) if leads_to(catalog, other, &entry.name, Edges::All) => {
                format!("which waits for {}", entry.name)
            }
            Some(_) => continue,
        };
        found.push((quoted(other), format!("it starts after {other:?}, {why}")));
    }
    network(catalog, entry, found);
    shared_data(catalog, entry, found);
    let own = entry.databases.iter().map(|database| (database, None));
    let of_variants = entry.variants.iter().flat_map(|variant| {
        let databases = variant.databases.iter();
        databases.map(move |database| (database, Some(&variant.needs)))
    });
    for (database, more) in own.chain(of_variants) {
        provided(entry, earlier, database, more, found);
    }
    site(catalog, entry, earlier, found);
}

/// One need, under the condition that it is a need under.
fn needed(
    catalog: &Catalog,
    entry: &Entry,
    when: Option<&When>,
    need: &str,
    found: &mut Vec<Error>,
) {
    let message = match catalog.get(need) {
        None => format!("it needs {need:?}, which is not a service"),
        Some(other) => match &other.when {
            Some(condition) if !implies(when, condition) => {
                format!("it needs {need:?}, which not every stack has: only with {condition}")
            }
            _ if need == entry.name || leads_to(catalog, other, &entry.name, Edges::Hard) => {
                format!("it needs {need:?}, which needs {}", entry.name)
            }
            _ => return,
        },
    };
    found.push((quoted(need), message));
}

/// A data directory is shared within a group, by services that run as one user, and the one whose it
/// is comes first.
fn shared_data(catalog: &Catalog, entry: &Entry, found: &mut Vec<Error>) {
    let Some(other) = &entry.mounts.data_of else {
        return;
    };
    let owner = catalog.get(other);
    let fitting = |owner: &Entry| {
        owner.group.is_some()
            && owner.group == entry.group
            && owner.user == entry.user
            && owner.mounts.data.is_some()
            && owner.mounts.data_of.is_none()
    };
    if entry.mounts.data.is_none() || !entry.needs.contains(other) || !owner.is_some_and(fitting) {
        let message = format!(
            "`data_of` names a service of its group that it needs, that runs as the same user and has a data directory of its own; {other:?} is none"
        );
        found.push((quoted(other), message));
    }
}

fn network(catalog: &Catalog, entry: &Entry, found: &mut Vec<Error>) {
    let Some(owner) = &entry.network_of else {
        return;
    };
    needed(catalog, entry, entry.when.as_ref(), owner, found);
    if catalog
        .get(owner)
        .is_some_and(|other| other.network_of.is_some())
    {
        let message = format!("{owner:?} itself is in the network of another service");
        found.push((quoted(owner), message));
    }
    if !entry.ports.is_empty() {
        let message = format!("it is in the network of {owner}, which is where its ports stand");
        found.push(("[[port]]".to_owned(), message));
    }
}

fn provided(
    entry: &Entry,
    earlier: &[&Entry],
    database: &Database,
    more: Option<&Vec<String>>,
    found: &mut Vec<Error>,
) {
    let provider = &database.provider;
    if !entry.needs.contains(provider) && !more.is_some_and(|needs| needs.contains(provider)) {
        let message = format!("its database is in {provider:?}, which it does not need");
        found.push((quoted(provider), message));
    }
    let shared = earlier.iter().find(|other| {
        databases(other).any(|theirs| {
            theirs.provider == *provider
                && theirs.name == database.name
                && theirs.password != database.password
        })
    });
    if let Some(other) = shared {
        let message = format!(
            "the database {:?} is also that of {}, with another password",
            database.name, other.name
        );
        found.push((quoted(&database.name), message));
    }
}

fn site(catalog: &Catalog, entry: &Entry, earlier: &[&Entry], found: &mut Vec<Error>) {
    let Some(site) = &entry.site else {
        return;
    };
    if !catalog.has_proxy("https") {
        let message = "it has a site, and no service of phase ingress speaks https".to_owned();
        found.push(("[site]".to_owned(), message));
    }
    let same = |other: &Entry| {
        let host = other.site.as_ref().map(|theirs| &theirs.host);
        host == Some(&site.host) && !exclude(entry.when.as_ref(), other.when.as_ref())
    };
    if let Some(other) = earlier.iter().find(|other| same(other)) {
        let message = format!("the host {:?} is also that of {}", site.host, other.name);
        found.push((quoted(&site.host), message));
    }
    for route in &site.routes {
        if !is_label(&route.service) || catalog.get(&route.service).is_none() {
            let message = format!(
                "the route {} leads to {:?}, which is not a service",
                route.path, route.service
            );
            found.push((quoted(&route.service), message));
        }
    }
}

/// Which edges of the graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edges {
    /// Needs, always or with a variant, and the network.
    Hard,
    /// These, and what is only waited for.
    All,
}

/// True when edges lead from one service to another.
fn leads_to(catalog: &Catalog, from: &Entry, to: &str, edges: Edges) -> bool {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut queue: Vec<&Entry> = vec![from];
    while let Some(entry) = queue.pop() {
        if !seen.insert(&entry.name) {
            continue;
        }
        let reads = |other: &&Entry| entry.uses_vector_db && other.vector_db.is_some();
        let soft = entry.after.iter().map(String::as_str).chain(
            catalog
                .entries()
                .iter()
                .filter(reads)
                .map(|other| other.name.as_str()),
        );
        let soft = soft.filter(|_| edges == Edges::All);
        for next in hard(entry).map(String::as_str).chain(soft) {
            if next == to {
                return true;
            }
            queue.extend(catalog.get(next));
        }
    }
    false
}

/// Every service that the entry needs, at least with one of its variants.
pub(super) fn hard(entry: &Entry) -> impl Iterator<Item = &String> {
    let variants = entry.variants.iter().flat_map(|variant| &variant.needs);
    entry.needs.iter().chain(&entry.network_of).chain(variants)
}
