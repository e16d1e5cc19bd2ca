//! Whether a stack is within what the policy gives, and what would be.

use super::{Selection, Sums, Value, without};
use crate::catalog::{Catalog, Entry, Phase};
use crate::keys::{SERVICES, VECTOR_DB};

/// A stack within the limits, made of one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lighter {
    /// What was taken out, in the order of doing so.
    pub dropped: Vec<String>,
    /// The value of `SERVICES` then.
    pub services: String,
    /// The value of `VECTOR_DB` then, where it is another.
    pub vector_db: Option<String>,
}

/// Takes out one service at a time, with what only it needs, until the rest is within them: the lightest one
/// that is enough, else the heaviest. What others need stays, and so does the proxy.
///
/// `None` when nothing is left to take out.
#[must_use]
pub fn lighter(catalog: &Catalog, value: &Value<'_>, given: Sums) -> Option<Lighter> {
    let mut lighter = Lighter {
        dropped: Vec::new(),
        services: value(SERVICES).unwrap_or_default(),
        vector_db: None,
    };
    loop {
        let of = |services: &str, vector_db: Option<&str>| {
            let value = |key: &str| match key {
                SERVICES => Some(services.to_owned()),
                VECTOR_DB if vector_db.is_some() => vector_db.map(str::to_owned),
                key => value(key),
            };
            let selection = Selection::of(catalog, &value).ok()?;
            Some((selection.sums(), droppable(&selection, &value)))
        };
        let (sums, droppable) = of(&lighter.services, lighter.vector_db.as_deref())?;
        if sums.is_within(given) {
            return Some(lighter);
        }
        let next = droppable
            .into_iter()
            .filter_map(|name| {
                let one = lighter.without(catalog, &name)?;
                let (sums, _) = of(&one.services, one.vector_db.as_deref())?;
                Some((sums, one))
            })
            .min_by_key(|(sums, one)| {
                let weight = sums.memory_bytes;
                // Of those that are enough, what leaves the most; of the others, what leaves least.
                let enough = sums.is_within(given);
                let weight = if enough { u64::MAX - weight } else { weight };
                (!enough, weight, one.vector_db != lighter.vector_db)
            });
        lighter = next?.1;
    }
}

impl Lighter {
    fn without(&self, catalog: &Catalog, name: &str) -> Option<Self> {
        let mut one = self.clone();
        one.dropped.push(name.to_owned());
        let entry = catalog.get(name);
        if entry.is_some_and(|entry| entry.vector_db.is_some()) {
            one.vector_db = Some(smaller_vector_db(catalog, name));
        } else {
            one.services = without(catalog, &self.services, &[name]).ok()?;
        }
        (one.services != self.services || one.vector_db != self.vector_db).then_some(one)
    }
}

/// The lightest vector database, when that is lighter than this one; else none.
fn smaller_vector_db(catalog: &Catalog, name: &str) -> String {
    let memory = |entry: &Entry| entry.limits.memory.0;
    let entries = catalog.entries().iter();
    let lightest = entries
        .filter(|entry| entry.vector_db.is_some())
        .min_by_key(|entry| memory(entry));
    match (lightest, catalog.get(name)) {
        (Some(lightest), Some(own)) if memory(lightest) < memory(own) => lightest.name.clone(),
        _ => "none".to_owned(),
    }
}

/// Names of services and groups that nothing else in the stack needs.
fn droppable(selection: &Selection<'_>, value: &Value<'_>) -> Vec<String> {
    let group = |name: &str| {
        let mut members = selection.members.iter();
        let member = members.find(|member| member.entry.name == name);
        member.and_then(|member| member.entry.group.clone())
    };
    let mut names: Vec<String> = Vec::new();
    for member in &selection.members {
        let entry = member.entry;
        let dependants = selection.dependants(&entry.name, value);
        let mut others = dependants
            .iter()
            .filter(|other| entry.group.is_none() || group(other) != entry.group);
        // Who needs the vector database needs another one with another choice.
        let stays = entry.when.is_some() || others.next().is_some();
        if entry.phase == Phase::Ingress || (stays && entry.vector_db.is_none()) {
            continue;
        }
        let name = entry.group.as_ref().unwrap_or(&entry.name);
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
