//! The promise of the policy: no two UIDs share anything. Files are generated from values that are
//! each legal; a second, slow implementation that counts through every UID says whether the file as
//! a whole is, and the parser must say the same.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

mod files;
mod model;

use std::collections::BTreeSet;

use aistack_policy::{Grant, Policy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use files::model;
use model::{Model, Share};

/// The grants as they are handed out, compared through the public types only.
fn assert_grants(policy: &Policy, model: &Model) {
    let shares = model.shares().unwrap();
    let listed: Vec<u64> = policy
        .tenants()
        .iter()
        .flat_map(|range| range.clone().map(u64::from))
        .collect();
    let expected: Vec<u64> = shares.iter().map(|share| share.uid).collect();
    assert_eq!(listed, expected);
    let grants: Vec<Grant> = shares
        .iter()
        .map(|share| policy.grant(u32::try_from(share.uid).unwrap()).unwrap())
        .collect();
    for (grant, share) in grants.iter().zip(&shares) {
        assert_grant(grant, share);
    }
    let mut once = BTreeSet::new();
    for grant in &grants {
        for own in [
            format!("directory {}", grant.base_dir),
            format!("network {}", grant.network.name),
            format!("subnet {}", grant.network.subnet),
            format!("bridge {}", grant.network.bridge),
            format!("profile {}", grant.platform_profile),
            format!("profile {}", grant.openclaw_profile),
            format!("containers {}", grant.container_prefix),
            format!("domain {}", grant.domain),
            format!("name {}", grant.name),
            format!("gid {}", grant.gid),
        ] {
            assert!(once.insert(own.clone()), "{own} is given twice");
        }
        for uid in grant.service_uids.iter().chain([&grant.uid]) {
            assert!(
                once.insert(format!("uid {uid}")),
                "UID {uid} is given twice"
            );
        }
        for port in grant.ports.first..=grant.ports.last() {
            assert!(
                once.insert(format!("port {port}")),
                "port {port} is given twice"
            );
        }
    }
}

fn assert_grant(grant: &Grant, share: &Share) {
    assert_eq!(u64::from(grant.uid), share.uid);
    assert_eq!(u64::from(grant.gid), share.gid);
    let services: Vec<u64> = grant.service_uids.iter().copied().map(u64::from).collect();
    assert_eq!(services, share.services);
    let (first, last) = (grant.ports.first, grant.ports.last());
    assert_eq!((u64::from(first), u64::from(last)), share.ports);
    assert!(first >= 1024);
    let address = u64::from(u32::from(grant.network.subnet.address));
    assert_eq!(address, share.addresses.0);
    assert_eq!(
        1_u64 << (32 - grant.network.subnet.prefix),
        share.addresses.1 - share.addresses.0 + 1
    );
    assert_eq!(u64::from(u32::from(grant.network.gateway)), address + 1);
    assert_eq!(grant.base_dir, share.directory.join("/"));
    assert_eq!(grant.network.name, share.network);
    assert_eq!(grant.name, share.name);
    assert!(grant.network.bridge.len() <= 15);
    assert!(grant.owns_uid(grant.uid) && grant.gid_of(grant.uid) == Some(grant.gid));
}

#[test]
fn the_parser_accepts_exactly_what_shares_nothing() {
    const CASES: u32 = 6000;
    let mut runner = TestRunner::new(Config::default());
    let (mut accepted, mut refused, mut with_named) = (0, 0, 0);
    for _ in 0..CASES {
        let model = model().new_tree(&mut runner).unwrap().current();
        let text = model.text();
        match Policy::parse(&text) {
            Ok(policy) => {
                assert!(
                    model.is_legal(),
                    "accepted, but somebody shares something:\n{text}"
                );
                assert_grants(&policy, &model);
                accepted += 1;
                with_named += u32::from(!model.named.is_empty());
            }
            Err(errors) => {
                assert!(
                    !model.is_legal(),
                    "refused, but nothing is shared: {errors:?}\n{text}"
                );
                let sorted = errors.0.is_sorted_by_key(|e| (e.line, e.column));
                assert!(sorted && !errors.0.is_empty());
                refused += 1;
            }
        }
    }
    println!("{accepted} accepted ({with_named} with named tenants), {refused} refused");
    assert!(
        accepted > CASES / 20,
        "only {accepted} of {CASES} were accepted"
    );
    assert!(
        refused > CASES / 20,
        "only {refused} of {CASES} were refused"
    );
    assert!(
        with_named > CASES / 100,
        "only {with_named} with named tenants were accepted"
    );
}
