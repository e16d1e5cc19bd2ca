//! Any text gets an answer from the policy parser: every error stands inside the text, and what
//! is accepted gives each tenant at both ends of a range a grant that keeps its bounds.
#![no_main]

use std::collections::BTreeSet;

use aistack_policy::{Grant, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match Policy::parse(text) {
    Ok(policy) => look_at(&policy),
    Err(errors) => {
        let lines = text.split('\n').count();
        assert!(!errors.0.is_empty());
        assert!(
            errors
                .0
                .iter()
                .all(|e| (1..=lines).contains(&e.line) && e.column >= 1)
        );
    }
});

fn look_at(policy: &Policy) {
    let mut given = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for range in policy.tenants().iter().take(64) {
        for uid in [*range.start(), *range.end()] {
            let grant = policy.grant(uid).expect("a listed UID is a tenant");
            if seen.insert(uid) {
                look_at_grant(&grant, &mut given);
            }
        }
    }
    for uid in [0, 999, 65_534, 65_535, u32::MAX] {
        assert!(policy.grant(uid).is_none(), "{uid} is reserved");
    }
}

/// Adds what the grant gives and fails when somebody has it already.
fn look_at_grant(grant: &Grant, given: &mut BTreeSet<String>) {
    assert!(grant.ports.first >= 1024 && grant.ports.last() >= grant.ports.first);
    assert!(grant.network.bridge.len() <= 15);
    for own in [
        format!("directory {}", grant.base_dir),
        format!("domain {}", grant.domain),
        format!("network {}", grant.network.name),
        format!("subnet {}", grant.network.subnet),
        format!("first port {}", grant.ports.first),
        format!("last port {}", grant.ports.last()),
        format!("uid {}", grant.uid),
    ] {
        assert!(given.insert(own.clone()), "{own} is given twice");
    }
    for uid in &grant.service_uids {
        assert!(
            given.insert(format!("uid {uid}")),
            "UID {uid} is given twice"
        );
    }
}
