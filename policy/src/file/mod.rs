//! The policy file in its own shape: `[tenants]` and `[ingress]` with every default filled in, and the
//! named tenants with what each overrides.

mod guard;
mod ingress;
mod named;
mod parts;
mod tenants;
mod volume;

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeTable;

use crate::MAX_NAMED_TENANTS;
use crate::reader::Section;
use crate::report::Report;
use crate::text::Lines;
use crate::value::UidRange;

pub(crate) use guard::Guard;
pub(crate) use ingress::Ingress;
pub(crate) use named::Named;
pub(crate) use parts::ServiceUids;
pub(crate) use tenants::{Setting, Tenants};
pub(crate) use volume::Volume;

/// The whole file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) ingress: Ingress,
    pub(crate) tenants: Tenants,
    pub(crate) named: BTreeMap<u32, Named>,
    pub(crate) guard: Guard,
}

/// UIDs in a row whose places in the formula are in a row too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) uids: UidRange,
    /// Place of the first UID.
    pub(crate) place: u64,
}

impl Document {
    /// Reads the file; what cannot be read is in the report and stands here as its default.
    pub(crate) fn read(table: &Spanned<DeTable<'_>>, lines: &Lines, report: &mut Report) -> Self {
        let root = Section::root(table);
        root.only(
            &["version", "ingress", "guard", "tenants", "tenant"],
            report,
        );
        read_version(&root, report);
        let ingress = root
            .get("ingress")
            .and_then(|entry| entry.section(report))
            .map(|section| Ingress::read(&section, report))
            .unwrap_or_default();
        let tenants = root
            .get("tenants")
            .and_then(|entry| entry.section(report))
            .map(|section| Tenants::read(&section, report))
            .unwrap_or_default();
        let guard = root
            .get("guard")
            .and_then(|entry| entry.section(report))
            .map(|section| Guard::read(&section, report))
            .unwrap_or_default();
        let mut named = BTreeMap::new();
        for section in named_sections(&root, report) {
            if let Some(tenant) = Named::read(section, &tenants, report) {
                insert(&mut named, tenant, lines, report);
            }
        }
        Self {
            ingress,
            tenants,
            named,
            guard,
        }
    }

    /// The place of a UID in the formula: how many UIDs stand before it in `tenants.uids`, in the
    /// order of the file. `None` outside of the ranges.
    pub(crate) fn place_of(&self, uid: u32) -> Option<u64> {
        let mut before = 0_u64;
        for range in &self.tenants.uids.value {
            if range.value.contains(uid) {
                return Some(before + u64::from(uid) - u64::from(range.value.first));
            }
            before = before.saturating_add(range.value.len());
        }
        None
    }

    /// The UIDs of the ranges without those whose override makes the formula not apply.
    pub(crate) fn runs(&self, overrides: impl Fn(&Named) -> bool) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut before = 0_u64;
        for range in &self.tenants.uids.value {
            let UidRange { first, last } = range.value;
            let mut push = |from: u32, to: u32| {
                if from <= to {
                    let uids = UidRange {
                        first: from,
                        last: to,
                    };
                    let place = before + u64::from(from) - u64::from(first);
                    runs.push(Run { uids, place });
                }
            };
            let mut next = first;
            for (uid, named) in self.named.range(first..=last) {
                if overrides(named) {
                    push(next, uid.saturating_sub(1));
                    next = uid.saturating_add(1);
                }
            }
            push(next, last);
            before = before.saturating_add(range.value.len());
        }
        runs
    }

    /// Named tenants that stand in no range.
    pub(crate) fn outsiders(&self) -> impl Iterator<Item = &Named> {
        self.named
            .values()
            .filter(|named| self.place_of(named.uid.value).is_none())
    }
}

fn read_version(root: &Section<'_, '_>, report: &mut Report) {
    let Some(entry) = root.get("version") else {
        report.error(0, "version", "missing; write version = 1");
        return;
    };
    if let Some(version) = entry.integer(0..=u64::MAX, report)
        && version != 1
    {
        let message = format!("{version} is not a version that this program reads; it reads 1");
        report.error(entry.at, "version", message);
    }
}

fn named_sections<'a, 't>(root: &Section<'a, 't>, report: &mut Report) -> Vec<Section<'a, 't>> {
    root.get("tenant")
        .and_then(|entry| entry.list(MAX_NAMED_TENANTS, report))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|element| element.section(report))
        .collect()
}

fn insert(named: &mut BTreeMap<u32, Named>, new: Named, lines: &Lines, report: &mut Report) {
    let (uid, at) = (new.uid.value, new.uid.at);
    if let Some(old) = named.get(&uid) {
        let message = format!("named already in line {}", lines.line(old.uid.at));
        report.error(at, &format!("tenant[{uid}]"), message);
        return;
    }
    named.insert(uid, new);
}
