//! Which port each key gets.

use std::collections::BTreeSet;

use super::{Draft, ManifestError, MovedPort, Request, is_fixed};
use crate::catalog::Entry;
use crate::keys;

/// A key with its port.
pub(super) struct ChosenPort {
    pub(super) key: String,
    pub(super) number: u16,
    pub(super) moved: Option<MovedPort>,
}

/// A port for every key of the stack that has none, by offset, and for the fixed ones.
///
/// A usual place that is taken moves to the next free port behind the usual places of all, then to
/// any other of the range, so that one busy port does not shift the rest. The usual places of
/// services that the stack does not have are taken last.
pub(super) fn choose(
    request: &Request<'_>,
    entries: &[&Entry],
    draft: &Draft,
    free: &mut dyn FnMut(u16) -> bool,
) -> Result<Vec<ChosenPort>, ManifestError> {
    let (first, last) = range(request);
    let start = draft
        .value("PORT_RANGE_START")
        .and_then(|start| start.parse().ok())
        .filter(|start| (first..=last).contains(start))
        .unwrap_or(first);
    let wanted: Vec<(&str, u16)> = request
        .catalog
        .port_keys()
        .into_iter()
        .map(|(key, offset)| (key, start.saturating_add(offset)))
        .collect();
    // Ports in use by another key, and the usual places of keys that have none yet.
    let mut reserved: BTreeSet<u16> = BTreeSet::new();
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    for (key, usual) in &wanted {
        match draft.value(key) {
            None => {
                reserved.insert(*usual);
            }
            Some(there) => taken.extend(there.parse::<u16>()),
        }
    }
    let places = wanted.iter().map(|(_, usual)| usual.saturating_add(1));
    let behind = places
        .chain([start.saturating_add(keys::CATALOG_OFFSETS)])
        .max()
        .unwrap_or(first);
    let of_stack = |key: &str| {
        let mut ports = entries.iter().flat_map(|entry| &entry.ports);
        is_fixed(key) || ports.any(|port| port.key == key)
    };
    let mut chosen = Vec::new();
    let missing = wanted.iter().filter(|(key, _)| draft.lacks_value(key));
    for (key, usual) in missing.filter(|(key, _)| of_stack(key)) {
        let others = (behind..=last).chain(first..=behind.min(last));
        let (unused, others): (Vec<u16>, Vec<u16>) =
            others.partition(|port| !reserved.contains(port));
        let nobodys = others.into_iter().filter(|port| {
            let mut keys = wanted.iter().filter(|(_, usual)| usual == port);
            keys.all(|(key, _)| !of_stack(key))
        });
        let candidates = std::iter::once(*usual)
            .filter(|usual| (first..=last).contains(usual))
            .chain(unused)
            .chain(nobodys);
        let number = candidates
            .filter(|port| !taken.contains(port))
            .find(|port| free(*port))
            .ok_or_else(|| ManifestError::NoFreePort {
                key: (*key).to_owned(),
                first,
                last,
            })?;
        taken.insert(number);
        let moved = (number != *usual).then(|| MovedPort {
            key: (*key).to_owned(),
            usual: *usual,
            chosen: number,
        });
        chosen.push(ChosenPort {
            key: (*key).to_owned(),
            number,
            moved,
        });
    }
    Ok(chosen)
}

/// First and last port of the grant.
fn range(request: &Request<'_>) -> (u16, u16) {
    let range = request.grant.ports.unwrap_or_default();
    let last = range.first.saturating_add(range.count.saturating_sub(1));
    let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    (port(range.first), port(last))
}
