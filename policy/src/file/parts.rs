//! The parts that `[tenants]` and `[[tenant]]` write in the same way. Each function takes what
//! holds so far and returns it with what the file says instead.

use std::collections::BTreeSet;

use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::{MAX_UID, MIB, bytes, capability, cpu_millis, ebs_id, image_pattern};
use crate::{AppArmorMode, Format, ImagePattern, Limits, VolumeKind};

const MAX_LIST: usize = 256;
const MIN_MEMORY: u64 = 64 * MIB;
const MAX_MEMORY: u64 = 1 << 50;
const MAX_VOLUME: u64 = 16 * 1024 * 1024 * MIB;

/// `service_uids = { offset, count }`: the n-th is `uid + n × offset`, from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceUids {
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

/// `volume = { … }`.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) kind: VolumeKind,
    pub(crate) fs: &'static str,
    pub(crate) format: Format,
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
fn size(entry: &Entry<'_, '_>, least: u64, most: u64, report: &mut Report) -> Option<u64> {
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

/// Reads a volume. `pins` is true in `[[tenant]]`, the only place for an EBS id: one volume cannot
/// serve two tenants.
pub(super) fn volume(
    entry: &Entry<'_, '_>,
    base: &Volume,
    pins: bool,
    report: &mut Report,
) -> Option<At<Volume>> {
    let section = entry.section(report)?;
    section.only(&["kind", "fs", "format", "size", "id"], report);
    let fs = read_choice(&section, "fs", &[("ext4", "ext4"), ("xfs", "xfs")], report);
    let formats = [("never", Format::Never), ("if-blank", Format::IfBlank)];
    let format = read_choice(&section, "format", &formats, report);
    let fs = fs.unwrap_or(base.fs);
    let kind = volume_kind(&section, &base.kind, fs, pins, report);
    let found = Volume {
        kind,
        fs,
        format: format.unwrap_or(base.format),
    };
    Some(entry.spot(found))
}

fn volume_kind(
    section: &Section<'_, '_>,
    base: &VolumeKind,
    fs: &str,
    pins: bool,
    report: &mut Report,
) -> VolumeKind {
    let is_loop = match section.get("kind") {
        None => matches!(base, VolumeKind::Loop { .. }),
        Some(kind) => match choice(&kind, &[("loop", true), ("ebs", false)], report) {
            Some(is_loop) => is_loop,
            // Whether the other keys belong to it cannot be said.
            None => return base.clone(),
        },
    };
    let (size_entry, id_entry) = (section.get("size"), section.get("id"));
    if let (Some(id), false) = (&id_entry, pins) {
        let message = "an id belongs into a [[tenant]]: one volume cannot serve several tenants";
        report.error(id.at, &id.key, message);
    }
    if is_loop {
        if let (Some(id), true) = (&id_entry, pins) {
            report.error(
                id.at,
                &id.key,
                "an id belongs to kind = \"ebs\", this is \"loop\"",
            );
        }
        let default = match base {
            VolumeKind::Loop { size } => *size,
            VolumeKind::Ebs { .. } => 20 * 1024 * MIB,
        };
        let found = size_entry.as_ref().and_then(|e| volume_size(e, fs, report));
        let size = found.unwrap_or(default);
        if fs == "xfs" && size < XFS_LEAST && size_entry.is_none() {
            let message = format!("xfs needs {XFS_LEAST} bytes, the size is {size}");
            report.error(section.at, &section.key("fs"), message);
        }
        return VolumeKind::Loop { size };
    }
    if let Some(size) = size_entry {
        let message = "a size belongs to kind = \"loop\", this is \"ebs\"";
        report.error(size.at, &size.key, message);
    }
    let id = id_entry
        .filter(|_| pins)
        .and_then(|e| e.parse(ebs_id, report));
    VolumeKind::Ebs {
        id: id.map(|id| id.value),
    }
}

/// mkfs.xfs refuses anything smaller.
const XFS_LEAST: u64 = 300 * MIB;

/// A size that the file system can be made on and that is whole pages.
fn volume_size(entry: &Entry<'_, '_>, fs: &str, report: &mut Report) -> Option<u64> {
    let least = if fs == "xfs" { XFS_LEAST } else { 16 * MIB };
    let found = size(entry, least, MAX_VOLUME, report)?;
    if found.is_multiple_of(4096) {
        return Some(found);
    }
    let message = format!("{found} bytes is no multiple of 4096");
    report.error(entry.at, &entry.key, message);
    None
}

fn read_choice<T: Copy>(
    section: &Section<'_, '_>,
    name: &str,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    choice(&section.get(name)?, choices, report)
}

fn choice<T: Copy>(entry: &Entry<'_, '_>, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
    let pick = |text: &str| {
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(n, _)| format!("{n:?}")).collect();
            format!("{text:?} is none of {}", names.join(", "))
        })
    };
    entry.parse(pick, report).map(|found| found.value)
}
