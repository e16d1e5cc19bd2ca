//! Intervals of numbers that UIDs lay claim to, and where two of them overlap.

use super::Subject;
use crate::report::{LISTED_CLASHES, Report};

/// Numbers that belong to one UID or, in equal steps, to a row of UIDs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) low: u64,
    pub(super) high: u64,
    /// The UID that owns `low`.
    pub(super) first_uid: u64,
    /// How many numbers each UID owns.
    pub(super) step: u64,
    pub(super) what: What,
    pub(super) source: Source,
    /// Where the file says so.
    pub(super) at: usize,
}

/// What the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    TenantUid,
    ServiceUid,
    Ports,
    Addresses,
}

/// Which part of the file gives them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Tenants,
    /// A value of `[tenants]` that the file leaves out.
    Default,
    Named(u64),
}

impl Claim {
    /// The UID that owns this number.
    pub(super) fn uid_at(&self, number: u64) -> u64 {
        let steps = number.saturating_sub(self.low) / self.step.max(1);
        self.first_uid.saturating_add(steps)
    }

    /// The first and last number of the UID that owns this number.
    pub(super) fn slot_at(&self, number: u64) -> (u64, u64) {
        let steps = number.saturating_sub(self.low) / self.step.max(1);
        let first = self.low.saturating_add(steps * self.step);
        (first, first.saturating_add(self.step.max(1) - 1))
    }

    pub(super) fn key(&self) -> String {
        let part = match (self.what, self.source) {
            (What::TenantUid, Source::Named(_)) => "uid",
            (What::TenantUid, _) => "uids",
            (What::ServiceUid, _) => "service_uids",
            (What::Ports, _) => "ports",
            (What::Addresses, _) => "network",
        };
        match self.source {
            Source::Tenants | Source::Default => format!("tenants.{part}"),
            Source::Named(uid) => format!("tenant[{uid}].{part}"),
        }
    }

    /// The owner's numbers around this one, in words.
    pub(super) fn describe(&self, number: u64) -> String {
        let (first, last) = self.slot_at(number);
        let uid = self.uid_at(number);
        match self.what {
            What::TenantUid => format!("tenant UID {number}"),
            What::ServiceUid => format!("service UID {number} of UID {uid}"),
            What::Ports => format!("ports {first}-{last} of UID {uid}"),
            What::Addresses => {
                let prefix = 32 - self.step.max(1).ilog2();
                let address = u32::try_from(first).unwrap_or(u32::MAX);
                let address = std::net::Ipv4Addr::from(address);
                format!("subnet {address}/{prefix} of UID {uid}")
            }
        }
    }
}

/// Reports where claims overlap, each clash at the place that stands later in the file.
pub(super) fn report_clashes(mut claims: Vec<Claim>, subject: Subject<'_>, report: &mut Report) {
    claims.sort_by_key(|claim| (claim.low, claim.high));
    let mut widest: Option<Claim> = None;
    let mut found = 0_usize;
    for claim in claims {
        if let Some(before) = widest.filter(|before| claim.low <= before.high) {
            found += 1;
            if found <= LISTED_CLASHES {
                report_clash(&before, &claim, subject, report);
            }
        }
        if widest.is_none_or(|before| before.high < claim.high) {
            widest = Some(claim);
        }
    }
    if let (Some(claim), true) = (widest, found > LISTED_CLASHES) {
        let message = format!("{} more clashes are not listed", found - LISTED_CLASHES);
        report.error(claim.at, &claim.key(), message);
    }
}

fn report_clash(one: &Claim, other: &Claim, subject: Subject<'_>, report: &mut Report) {
    let (earlier, later) = if one.at <= other.at {
        (one, other)
    } else {
        (other, one)
    };
    // The claims are sorted, so that the overlap starts where the second one does.
    let number = other.low;
    let verb = match (later.what, earlier.what) {
        (What::TenantUid, What::TenantUid) => "is the same as",
        (What::Ports, _) => "clash with",
        _ => "clashes with",
    };
    let place = match earlier.source {
        Source::Default => "default".to_owned(),
        _ => format!("line {}", subject.lines.line(earlier.at)),
    };
    let message = format!(
        "{} {verb} {} ({}, {place})",
        later.describe(number),
        earlier.describe(number),
        earlier.key(),
    );
    report.error(later.at, &later.key(), message);
}
