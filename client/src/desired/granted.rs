//! What the settings ask for against what the grant gives. The gateway and the helper check again;
//! here every refusal is told at once, before anything has changed.

use std::collections::BTreeMap;

use super::{DesiredError, World, limits, mistake};
use crate::keys::VECTOR_DB;

/// Where ports are published. The gateway accepts no other address.
const LOOPBACK: &str = "127.0.0.1";

/// Everything that the settings ask for and the grant does not give.
pub(super) fn refusals(world: &World<'_>) -> Vec<DesiredError> {
    let mut errors = Vec::new();
    tenant(world, &mut errors);
    vector_db(world, &mut errors);
    ports(world, &mut errors);
    errors.extend(limits::refusals(world));
    errors
}

/// Each of these has exactly one value that the policy gives.
fn tenant(world: &World<'_>, errors: &mut Vec<DesiredError>) {
    let grant = world.grant;
    let network = grant.network.as_ref().map(|network| network.name.clone());
    let mut given = vec![
        ("BASE_DIR", "base_dir", grant.base_dir.clone()),
        ("DOCKER_NETWORK", "network", network.unwrap_or_default()),
        ("DOMAIN_NAME", "domain", grant.domain.clone()),
        ("STACK_USER_UID", "uid", grant.uid.to_string()),
        ("STACK_USER_GID", "uid", grant.gid.to_string()),
    ];
    if let Some(first) = grant.service_uids.first() {
        given.push(("OPENCLAW_UID", "service_uids", first.to_string()));
        given.push(("OPENCLAW_GID", "service_uids", first.to_string()));
    }
    for (key, part, given) in given {
        match world.setting(key) {
            Err(missing) => errors.push(missing),
            Ok(asked) if asked == given => {}
            Ok(asked) if part == "base_dir" && asked.strip_suffix('/') == Some(&given) => {}
            Ok(asked) => {
                let message = format!("{asked:?} is not what the policy gives; that is {given:?}");
                errors.push(world.refusal(key, part, message));
            }
        }
    }
    match world.setting("LOCALHOST") {
        Err(missing) => errors.push(missing),
        Ok(LOOPBACK) => {}
        Ok(other) => {
            let message = format!("ports are published on {LOOPBACK} only, not on {other:?}");
            errors.push(world.refusal("LOCALHOST", "ports", message));
        }
    }
}

fn vector_db(world: &World<'_>, errors: &mut Vec<DesiredError>) {
    let known = world.catalog.vector_dbs();
    match world.setting(VECTOR_DB) {
        Err(missing) => errors.push(missing),
        Ok(chosen) if known.contains(&chosen) => {}
        Ok(other) => {
            let known = known.join(", ");
            let message = format!("{other:?} is not in this version; choose one of: {known}");
            errors.push(mistake(VECTOR_DB, message));
        }
    }
}

/// Every published port is in the tenant's range, and no two services share one.
fn ports(world: &World<'_>, errors: &mut Vec<DesiredError>) {
    let (first, count) = world
        .grant
        .ports
        .map_or((0, 0), |range| (range.first, range.count));
    let range = first..first.saturating_add(count);
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for port in world.entries.iter().flat_map(|entry| &entry.ports) {
        let key = port.key.as_str();
        let number = match world.port(key) {
            Ok(number) => number,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        if !range.contains(&u32::from(number)) {
            let last = range.end.saturating_sub(1);
            let message =
                format!("{number} is not in the ports that the policy gives, {first} to {last}");
            errors.push(world.refusal(key, "ports", message));
        }
        if let Some(other) = taken.insert(number, key) {
            let message = format!("{number} is also {other}; each service needs its own");
            errors.push(mistake(key, message));
        }
    }
}
