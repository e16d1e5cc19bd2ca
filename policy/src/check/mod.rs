//! What must hold for the file as a whole: no two UIDs share anything. All of it is arithmetic on
//! ranges; no check counts through the UIDs of a range, which may be billions.

mod claim;
mod guard;
mod ingress;
mod names;
mod numbers;
mod warnings;

use crate::file::Document;
use crate::report::{InvalidParts, Report};
use crate::text::Lines;

/// Adds every clash in the document to the report.
///
/// A part is compared only when each value of it was read, so that one typo gives one
/// error.
pub(crate) fn whole(document: &Document, lines: &Lines, report: &mut Report) {
    let invalid = report.invalid_parts();
    let subject = Subject {
        document,
        lines,
        invalid: &invalid,
    };
    let uids = ["uids", "uid"];
    if !invalid.holds_none(&uids) {
        return;
    }
    numbers::tenant_uids(subject, report);
    if !report.sound(&uids) {
        return;
    }
    if invalid.holds_none(&["service_uids"]) {
        numbers::service_uids(subject, report);
    }
    if invalid.holds_none(&["gid"]) && report.sound(&["service_uids", "uids", "uid"]) {
        numbers::gids(subject, report);
    }
    if invalid.holds_none(&["ports"]) {
        numbers::ports(subject, report);
    }
    if invalid.holds_none(&["network"]) {
        numbers::subnets(subject, report);
    }
    if report.sound(&["service_uids", "uids", "uid", "allow_uids"]) {
        guard::allowed_uids(subject, report);
    }
    guard::required(subject, report);
    names::all(subject, report);
    ingress::all(subject, report);
    if report.is_clean() {
        warnings::all(subject, report);
    }
}

/// What is checked.
#[derive(Clone, Copy)]
struct Subject<'d> {
    document: &'d Document,
    lines: &'d Lines,
    /// Parts that could not be read as they stand in the file.
    invalid: &'d InvalidParts,
}

impl Subject<'_> {
    /// Where to point for a value of `[tenants]` that may be a default: at the ranges that it is
    /// the default for.
    fn anchor(self, at: Option<usize>) -> usize {
        at.or(self.document.tenants.uids.at).unwrap_or_default()
    }
}
