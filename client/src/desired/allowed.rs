//! What the settings ask for against what the grant gives. The gateway and the helper check again;
//! here every refusal is reported at once, before anything has changed.

use std::collections::BTreeMap;

use super::{DesiredError, Inputs, invalid, limits};
use crate::keys::VECTOR_DB;

/// Where ports are published. The gateway accepts no other address.
const LOOPBACK: &str = "127.0.0.1";

/// Everything that the settings ask for and the grant does not give.
pub(super) fn refusals(inputs: &Inputs<'_>) -> Vec<DesiredError> {
    let mut errors = Vec::new();
    tenant(inputs, &mut errors);
    vector_db(inputs, &mut errors);
    ports(inputs, &mut errors);
    errors.extend(limits::refusals(inputs));
    errors
}

/// Each of these has exactly one value that the policy gives.
fn tenant(inputs: &Inputs<'_>, errors: &mut Vec<DesiredError>) {
    let grant = inputs.grant;
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
        match inputs.setting(key) {
            Err(missing) => errors.push(missing),
            Ok(requested) if requested == given => {}
            Ok(requested) if part == "base_dir" && requested.strip_suffix('/') == Some(&given) => {}
            Ok(requested) => {
                let message =
                    format!("{requested:?} is not what the policy gives; that is {given:?}");
                errors.push(inputs.refusal(key, part, message));
            }
        }
    }
    match inputs.setting("LOCALHOST") {
        Err(missing) => errors.push(missing),
        Ok(LOOPBACK) => {}
        Ok(other) => {
            let message = format!("ports are published on {LOOPBACK} only, not on {other:?}");
            errors.push(inputs.refusal("LOCALHOST", "ports", message));
        }
    }
}

fn vector_db(inputs: &Inputs<'_>, errors: &mut Vec<DesiredError>) {
    let known = inputs.catalog.vector_dbs();
    match inputs.setting(VECTOR_DB) {
        Err(missing) => errors.push(missing),
        Ok(chosen) if known.contains(&chosen) => {}
        Ok(other) => {
            let known = known.join(", ");
            let message = format!("{other:?} is not in this version; choose one of: {known}");
            errors.push(invalid(VECTOR_DB, message));
        }
    }
}

/// Every published port is in the tenant's range, and no two services share one.
fn ports(inputs: &Inputs<'_>, errors: &mut Vec<DesiredError>) {
    let (first, count) = inputs
        .grant
        .ports
        .map_or((0, 0), |range| (range.first, range.count));
    let range = first..first.saturating_add(count);
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for port in inputs.entries.iter().flat_map(|entry| &entry.ports) {
        let key = port.key.as_str();
        let number = match inputs.port(key) {
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
            errors.push(inputs.refusal(key, "ports", message));
        }
        if let Some(other) = taken.insert(number, key) {
            let message = format!("{number} is also {other}; each service needs its own");
            errors.push(invalid(key, message));
        }
    }
}
