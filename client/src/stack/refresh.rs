//! What else a change of services touches: those that list the others, and those that use the vector
//! database.

use crate::catalog::{Catalog, Entry};
use crate::desired::Stack;
use crate::engine::Container;
use crate::keys::VECTOR_DB;

/// Services of the stack that have a container and render something about one of `changed`: the
/// proxy its site, prometheus its metrics, and everybody the vector database.
#[must_use]
pub fn touched(
    catalog: &Catalog,
    stack: &Stack,
    containers: &[Container],
    changed: &[&Entry],
) -> Vec<String> {
    let site = changed.iter().any(|entry| entry.site.is_some());
    let scrape = changed.iter().any(|entry| entry.scrape.is_some());
    let vector_db = changed.iter().any(|entry| entry.vector_db.is_some());
    let runs = |name: &str| containers.iter().any(|one| one.service == name);
    let services = stack.services.iter();
    services
        .filter(|service| runs(&service.name))
        .filter_map(|service| catalog.get(&service.name))
        .filter(|entry| {
            (site && entry.each.site.is_some())
                || (scrape && entry.each.scrape.is_some())
                || (vector_db && uses_vector_db(entry))
        })
        .map(|entry| entry.name.clone())
        .collect()
}

fn uses_vector_db(entry: &Entry) -> bool {
    let mut variants = entry.variants.iter();
    entry.uses_vector_db || variants.any(|variant| variant.when.key == VECTOR_DB)
}
