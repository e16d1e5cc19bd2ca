//! Services that share a network namespace go together: one of them alone would be without a network.

use std::collections::BTreeSet;

use crate::desired::DesiredService;

/// Adds to the names whatever shares a network namespace with one of them.
pub fn complete<'a>(
    names: &mut BTreeSet<String>,
    services: impl Iterator<Item = &'a DesiredService>,
) {
    let joined: Vec<&DesiredService> = services
        .filter(|service| service.network_of.is_some())
        .collect();
    loop {
        let before = names.len();
        for service in &joined {
            if let Some(owner) = &service.network_of
                && (names.contains(owner) || names.contains(&service.name))
            {
                names.insert(owner.clone());
                names.insert(service.name.clone());
            }
        }
        if names.len() == before {
            return;
        }
    }
}
