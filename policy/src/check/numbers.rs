//! UIDs, GIDs, ports and addresses: disjoint, in their bounds, enough for all.

use std::collections::BTreeMap;

use super::Subject;
use super::claim::{Claim, Source, What, report_clashes};
use crate::Ipv4Subnet;
use crate::file::{Named, Run, ServiceUids};
use crate::report::Report;
use crate::text::At;
use crate::value::{Block, reserved_in};

const LAST_PORT: u64 = 65_535;

impl Run {
    /// The claim of the whole run where each UID has `step` numbers from `base` on.
    fn claim(
        &self,
        (base, step): (u64, u64),
        what: What,
        at: Option<usize>,
        subject: Subject<'_>,
    ) -> Claim {
        let low = base.saturating_add(self.place.saturating_mul(step));
        Claim {
            low,
            high: low.saturating_add((self.uids.len().saturating_mul(step)).saturating_sub(1)),
            first_uid: self.uids.first.into(),
            step,
            what,
            source: at.map_or(Source::Default, |_| Source::Tenants),
            at: subject.anchor(at),
        }
    }
}

/// The claim of one named tenant.
fn named_claim(named: &Named, low: u64, count: u64, what: What, at: usize) -> Claim {
    let uid = named.uid.value.into();
    Claim {
        low,
        high: low.saturating_add(count.saturating_sub(1)),
        first_uid: uid,
        step: count,
        what,
        source: Source::Named(uid),
        at,
    }
}

/// The ranges of `tenants.uids` do not overlap.
pub(super) fn tenant_uids(subject: Subject<'_>, report: &mut Report) {
    report_clashes(range_claims(subject), subject, report);
}

fn range_claims(subject: Subject<'_>) -> Vec<Claim> {
    let ranges = subject.document.tenants.uids.value.iter();
    ranges
        .map(|range| Claim {
            low: range.value.first.into(),
            high: range.value.last.into(),
            first_uid: range.value.first.into(),
            step: 1,
            what: What::TenantUid,
            source: Source::Tenants,
            at: range.at,
        })
        .collect()
}

/// No service UID is reserved, a tenant or another tenant's service UID.
pub(super) fn service_uids(subject: Subject<'_>, report: &mut Report) {
    let mut claims = tenant_claims(subject);
    for claim in service_claims(subject) {
        if let Some((uid, why)) = reserved_in(claim.low, claim.high) {
            let message = format!("{} {why}", claim.describe(uid));
            report.error(claim.at, &claim.key(), message);
        } else {
            claims.push(claim);
        }
    }
    report_clashes(claims, subject, report);
}

pub(super) fn tenant_claims(subject: Subject<'_>) -> Vec<Claim> {
    let outsiders = subject.document.outsiders().map(|named| {
        let uid = named.uid.value.into();
        named_claim(named, uid, 1, What::TenantUid, named.uid.at)
    });
    range_claims(subject).into_iter().chain(outsiders).collect()
}

pub(super) fn service_claims(subject: Subject<'_>) -> Vec<Claim> {
    let document = subject.document;
    let default = &document.tenants.service_uids;
    let mut claims = Vec::new();
    let mut claim = |claim: Claim, rule: ServiceUids| {
        for number in 1..=u64::from(rule.count) {
            let shift = u64::from(rule.offset).saturating_mul(number);
            claims.push(Claim {
                low: claim.low.saturating_add(shift),
                high: claim.high.saturating_add(shift),
                what: What::ServiceUid,
                ..claim
            });
        }
    };
    for run in document.runs(|named| named.service_uids.is_some()) {
        let uids = Claim {
            low: run.uids.first.into(),
            high: run.uids.last.into(),
            ..run.claim((0, 1), What::ServiceUid, default.at, subject)
        };
        claim(uids, default.value);
    }
    for named in document.named.values() {
        let uid = named.uid.value.into();
        if let Some(own) = &named.service_uids {
            claim(
                named_claim(named, uid, 1, What::ServiceUid, own.at),
                own.value,
            );
        } else if document.place_of(named.uid.value).is_none() {
            let at = default.at.unwrap_or(named.uid.at);
            claim(
                named_claim(named, uid, 1, What::ServiceUid, at),
                default.value,
            );
        }
    }
    claims
}

/// A GID that is named is nobody else's number.
pub(super) fn gids(subject: Subject<'_>, report: &mut Report) {
    let mut claims = tenant_claims(subject);
    claims.extend(service_claims(subject));
    claims.sort_by_key(|claim| claim.low);
    let mut given: BTreeMap<u32, u32> = BTreeMap::new();
    for named in subject.document.named.values() {
        let (Some(gid), uid) = (named.gid, named.uid.value) else {
            continue;
        };
        let key = format!("tenant[{uid}].gid");
        let number = u64::from(gid.value);
        let below = claims.partition_point(|claim| claim.low <= number);
        let owner = claims.get(below.wrapping_sub(1));
        if let Some(owner) = owner.filter(|c| number <= c.high && gid.value != uid) {
            let message = format!("GID {number} is the number of {}", owner.describe(number));
            report.error(gid.at, &key, message);
        }
        if let Some(other) = given.insert(gid.value, uid) {
            let message = format!("GID {number} is the GID of UID {other} too");
            report.error(gid.at, &key, message);
        }
    }
}

/// Ports end at 65535 and belong to one UID each.
pub(super) fn ports(subject: Subject<'_>, report: &mut Report) {
    for named in subject.document.outsiders() {
        if named.ports.is_none_or(|ports| ports.value.first.is_none()) {
            missing(named, "ports", "ports", "ports = { first = … }", report);
        }
    }
    let mut claims = Vec::new();
    for claim in port_claims(subject) {
        if claim.high <= LAST_PORT {
            claims.push(claim);
            continue;
        }
        // The first UID whose ports do not end in time.
        let fit = (LAST_PORT + 1).saturating_sub(claim.low) / claim.step.max(1);
        let over = claim.low.saturating_add(fit.saturating_mul(claim.step));
        let message = format!(
            "{} run past {LAST_PORT}: UIDs {}-{} need {} ports from {}, so that only {fit} of them fit",
            claim.describe(over),
            claim.first_uid,
            claim.uid_at(claim.high),
            claim.high - claim.low + 1,
            claim.low,
        );
        report.error(claim.at, &claim.key(), message);
    }
    report_clashes(claims, subject, report);
}

pub(super) fn port_claims(subject: Subject<'_>) -> Vec<Claim> {
    let document = subject.document;
    let rule = &document.tenants.ports;
    let (first, each) = (
        u64::from(rule.value.first),
        u64::from(rule.value.per_tenant),
    );
    let mut claims: Vec<Claim> = document
        .runs(|named| named.ports.is_some())
        .iter()
        .map(|run| run.claim((first, each), What::Ports, rule.at, subject))
        .collect();
    for named in document.named.values() {
        let Some(own) = named.ports else { continue };
        let by_formula = || {
            let place = document.place_of(named.uid.value)?;
            Some(first.saturating_add(place.saturating_mul(each)))
        };
        if let Some(low) = own.value.first.map(u64::from).or_else(by_formula) {
            claims.push(named_claim(
                named,
                low,
                own.value.count.into(),
                What::Ports,
                own.at,
            ));
        }
    }
    claims
}

/// Subnets lie in the pool and belong to one UID each.
pub(super) fn subnets(subject: Subject<'_>, report: &mut Report) {
    let mut claims = formula_subnets(subject, report);
    claims.extend(named_subnets(subject, report));
    report_clashes(claims, subject, report);
}

fn own_subnet(named: &Named) -> Option<At<Ipv4Subnet>> {
    named.network.as_ref()?.value.subnet
}

fn formula_subnets(subject: Subject<'_>, report: &mut Report) -> Vec<Claim> {
    let rule = &subject.document.tenants.network;
    let pool = Block::from(rule.value.pool);
    let each = Block::size(rule.value.prefix);
    let mut claims = Vec::new();
    for run in subject.document.runs(|named| own_subnet(named).is_some()) {
        let claim = run.claim((pool.first, each), What::Addresses, rule.at, subject);
        if claim.high <= pool.last {
            claims.push(claim);
            continue;
        }
        let message = format!(
            "the pool {} has {} subnets of /{}, but UIDs up to {} need {}",
            rule.value.pool,
            (pool.last - pool.first + 1) / each,
            rule.value.prefix,
            run.uids.last,
            run.place.saturating_add(run.uids.len())
        );
        report.error(claim.at, &claim.key(), message);
    }
    claims
}

fn named_subnets(subject: Subject<'_>, report: &mut Report) -> Vec<Claim> {
    let pool = subject.document.tenants.network.value.pool;
    let mut claims = Vec::new();
    for named in subject.document.named.values() {
        let uid = named.uid.value;
        if let Some(own) = own_subnet(named) {
            let block = Block::from(own.value);
            if Block::from(pool).holds(block) {
                let size = Block::size(own.value.prefix);
                let claim = named_claim(named, block.first, size, What::Addresses, own.at);
                claims.push(claim);
            } else {
                let message = format!("{} lies outside of the pool {pool}", own.value);
                let key = format!("tenant[{uid}].network.subnet");
                report.error(own.at, &key, message);
            }
        } else if subject.document.place_of(uid).is_none() {
            let how = "network = { subnet = \"…\" }";
            missing(named, "network", "a subnet", how, report);
        }
    }
    claims
}

/// An error for a tenant outside of the ranges, which no formula reaches.
fn missing(named: &Named, part: &str, what: &str, how: &str, report: &mut Report) {
    let uid = named.uid.value;
    let message = format!(
        "UID {uid} is in no range of tenants.uids, so no formula gives it {what}; write {how}"
    );
    report.error(named.uid.at, &format!("tenant[{uid}].{part}"), message);
}
