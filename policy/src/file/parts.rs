//! The parts that `[tenants]` and `[[tenant]]` write in the same way. Each function takes what
//! holds so far and returns it with what the file says instead.

use std::collections::BTreeSet;

use crate::guard::{Cidr, Egress, GuardMode};
use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::{MAX_UID, MIB, bytes, capability, cidr, cpu_millis, image_pattern};
use crate::{AppArmorMode, ImagePattern, Limits, WritableLayer};

const MAX_LIST: usize = 256;
const MIN_MEMORY: u64 = 64 * MIB;
const MAX_MEMORY: u64 = 1 << 50;
const MIN_LAYER: u64 = 16 * MIB;
const MAX_LAYER: u64 = 1 << 44;

/// `service_uids = { offset, count }`: the n-th is `uid + n × offset`, from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceUids {
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

pub(super) fn port(section: &Section<'_, '_>, name: &str, report: &mut Report) -> Option<u16> {
    let number = section.get(name)?.integer(1024..=65_535, report)?;
    u16::try_from(number).ok()
}

pub(super) fn port_count(
    section: &Section<'_, '_>,
    name: &str,
    report: &mut Report,
) -> Option<u16> {
    let number = section.get(name)?.integer(1..=64_512, report)?;
    u16::try_from(number).ok()
}

pub(super) fn service_uids(
    entry: &Entry<'_, '_>,
    base: ServiceUids,
    report: &mut Report,
) -> Option<At<ServiceUids>> {
    let section = entry.section(report)?;
    section.only(&["offset", "count"], report);
    let mut number = |name: &str, most: u64| -> Option<u32> {
        u32::try_from(section.get(name)?.integer(1..=most, report)?).ok()
    };
    let found = ServiceUids {
        offset: number("offset", MAX_UID).unwrap_or(base.offset),
        count: number("count", 16).unwrap_or(base.count),
    };
    Some(entry.spot(found))
}

pub(super) fn apparmor(entry: &Entry<'_, '_>, report: &mut Report) -> Option<At<AppArmorMode>> {
    let modes = [
        ("required", AppArmorMode::Required),
        ("if-available", AppArmorMode::IfAvailable),
    ];
    choice(entry, &modes, report).map(|mode| entry.spot(mode))
}

pub(super) fn guard(entry: &Entry<'_, '_>, report: &mut Report) -> Option<At<GuardMode>> {
    let modes = [
        ("required", GuardMode::Required),
        ("if-available", GuardMode::IfAvailable),
    ];
    choice(entry, &modes, report).map(|mode| entry.spot(mode))
}

/// A word, or a list of networks of which none meets another: nft takes no such set.
pub(super) fn egress(entry: &Entry<'_, '_>, report: &mut Report) -> Option<At<Egress>> {
    if entry.is_string() {
        let words = [
            ("internet", Word::Internet),
            ("none", Word::None),
            ("all", Word::All),
        ];
        let egress = match choice(entry, &words, report)? {
            Word::Internet => Egress::Internet,
            Word::None => Egress::None,
            Word::All => Egress::All,
        };
        return Some(entry.spot(egress));
    }
    let mut networks: Vec<Cidr> = Vec::new();
    let elements = entry.list(MAX_LIST, report)?;
    if elements.is_empty() {
        let message = "is empty; write \"none\" for no network";
        report.error(entry.at, &entry.key, message);
    }
    for element in elements {
        let Some(At { value, at }) = element.parse(cidr, report) else {
            continue;
        };
        if let Some(other) = networks.iter().find(|other| other.meets(value)) {
            report.error(at, &element.key, format!("{value} and {other} overlap"));
        } else {
            networks.push(value);
        }
    }
    Some(entry.spot(Egress::Listed(networks)))
}

#[derive(Clone, Copy)]
enum Word {
    None,
    Internet,
    All,
}

pub(super) fn capabilities(
    entry: &Entry<'_, '_>,
    report: &mut Report,
) -> Option<At<BTreeSet<String>>> {
    let list = strings(entry, capability, report)?;
    Some(entry.spot(list.into_iter().collect()))
}

pub(super) fn images(entry: &Entry<'_, '_>, report: &mut Report) -> Option<At<Vec<ImagePattern>>> {
    let list = strings(entry, image_pattern, report)?;
    Some(entry.spot(list))
}

/// `"never"`, or how many bytes.
pub(super) fn writable_layer(
    entry: &Entry<'_, '_>,
    report: &mut Report,
) -> Option<At<WritableLayer>> {
    let layer = if entry.is("never") {
        WritableLayer::Never
    } else {
        WritableLayer::AtMost(size(entry, MIN_LAYER, MAX_LAYER, report)?)
    };
    Some(entry.spot(layer))
}

/// A list of strings, none of them twice.
fn strings<T: PartialEq>(
    entry: &Entry<'_, '_>,
    parse: impl Fn(&str) -> Result<T, String>,
    report: &mut Report,
) -> Option<Vec<T>> {
    let mut values = Vec::new();
    for element in entry.list(MAX_LIST, report)? {
        let Some(At { value, at }) = element.parse(&parse, report) else {
            continue;
        };
        if values.contains(&value) {
            report.error(at, &element.key, "listed twice");
        } else {
            values.push(value);
        }
    }
    Some(values)
}

pub(super) fn limits(
    entry: &Entry<'_, '_>,
    base: Limits,
    report: &mut Report,
) -> Option<At<Limits>> {
    let section = entry.section(report)?;
    section.only(&["memory", "cpus", "pids", "containers"], report);
    let mut limits = base;
    if let Some(memory) = section.get("memory")
        && let Some(bytes) = size(&memory, MIN_MEMORY, MAX_MEMORY, report)
    {
        limits.memory = bytes;
    }
    if let Some(cpus) = section.get("cpus")
        && let Some(millis) = cpu_share(&cpus, report)
    {
        limits.cpu_millis = millis;
    }
    if let Some(pids) = section.get("pids")
        && let Some(number) = pids.integer(16..=4_194_304, report)
    {
        limits.pids = number;
    }
    if let Some(containers) = section.get("containers")
        && let Some(number) = containers.integer(1..=10_000, report)
    {
        limits.containers = number;
    }
    Some(entry.spot(limits))
}

fn cpu_share(entry: &Entry<'_, '_>, report: &mut Report) -> Option<u64> {
    let found = match entry.decimal() {
        Some(text) => cpu_millis(text),
        None => Err("expected a number like 4 or 1.5".to_owned()),
    };
    found
        .map_err(|message| report.error(entry.at, &entry.key, message))
        .ok()
}

/// A size as `"20G"` or as a number of bytes.
pub(super) fn size(
    entry: &Entry<'_, '_>,
    least: u64,
    most: u64,
    report: &mut Report,
) -> Option<u64> {
    if entry.is_integer() {
        return entry.integer(least..=most, report);
    }
    let found = entry.parse(bytes, report)?.value;
    if (least..=most).contains(&found) {
        return Some(found);
    }
    let message = format!("{found} bytes is not between {least} and {most}");
    report.error(entry.at, &entry.key, message);
    None
}

pub(super) fn read_choice<T: Copy>(
    section: &Section<'_, '_>,
    name: &str,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    choice(&section.get(name)?, choices, report)
}

pub(super) fn choice<T: Copy>(
    entry: &Entry<'_, '_>,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let pick = |text: &str| {
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(n, _)| format!("{n:?}")).collect();
            format!("{text:?} is none of {}", names.join(", "))
        })
    };
    entry.parse(pick, report).map(|found| found.value)
}
