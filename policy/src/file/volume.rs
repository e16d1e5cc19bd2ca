//! `volume = { … }`, in `[tenants]` and in `[[tenant]]`.

use super::parts::{choice, read_choice, size};
use crate::disk::{DiskMatch, parse_uuid};
use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::MIB;
use crate::{Format, VolumeKind};

const MAX_VOLUME: u64 = 16 * 1024 * 1024 * MIB;
/// mkfs.xfs refuses anything smaller.
const XFS_LEAST: u64 = 300 * MIB;
/// Size of a loop volume where nobody says one.
const DEFAULT_SIZE: u64 = 20 * 1024 * MIB;

/// A volume as the file says it.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) kind: VolumeKind,
    pub(crate) fs: &'static str,
    pub(crate) format: Format,
    pub(crate) uuid: Option<String>,
    pub(crate) size_min: u64,
    pub(crate) grow: bool,
}

/// Whether one disk or file system may be named: only in `[[tenant]]`, since one volume cannot
/// serve two tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pins {
    May,
    MayNot,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loop,
    Ebs,
    Disk,
}

impl Kind {
    fn of(kind: &VolumeKind) -> Self {
        match kind {
            VolumeKind::Loop { .. } => Self::Loop,
            VolumeKind::Ebs { .. } => Self::Ebs,
            VolumeKind::Disk { .. } => Self::Disk,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Ebs => "ebs",
            Self::Disk => "disk",
        }
    }
}

/// The keys that belong to some kinds only: their kinds, and how the key is spoken of.
const KEYS_OF_KINDS: [(&str, &str, &[Kind], &str); 5] = [
    ("size", "a size", &[Kind::Loop], "kind = \"loop\""),
    ("id", "an id", &[Kind::Ebs], "kind = \"ebs\""),
    ("match", "a match", &[Kind::Disk], "kind = \"disk\""),
    ("uuid", "a uuid", &[Kind::Ebs, Kind::Disk], "disks"),
    ("size_min", "a size_min", &[Kind::Ebs, Kind::Disk], "disks"),
];

/// Reads a volume: what the file says, over what holds so far.
pub(super) fn read(
    entry: &Entry<'_, '_>,
    base: &Volume,
    pins: Pins,
    report: &mut Report,
) -> Option<At<Volume>> {
    let section = entry.section(report)?;
    let known = [
        "kind", "fs", "format", "grow", "size", "id", "match", "uuid", "size_min",
    ];
    section.only(&known, report);
    let mut found = base.clone();
    if let Some(fs) = read_choice(&section, "fs", &[("ext4", "ext4"), ("xfs", "xfs")], report) {
        found.fs = fs;
    }
    let formats = [("never", Format::Never), ("if-blank", Format::IfBlank)];
    let format = read_choice(&section, "format", &formats, report);
    found.format = format.unwrap_or(base.format);
    if let Some(grow) = section.get("grow").and_then(|e| e.boolean(report)) {
        found.grow = grow;
    }
    let Some(kind) = read_kind(&section, &base.kind, report) else {
        // Whether the other keys belong to it cannot be said.
        return Some(entry.spot(found));
    };
    refuse_pins(&section, pins, report);
    refuse_keys_of_others(&section, kind, pins, report);
    match kind {
        Kind::Loop => {
            let size = loop_size(&section, &base.kind, found.fs, report);
            found.kind = VolumeKind::Loop { size };
            (found.uuid, found.size_min) = (None, 0);
        }
        Kind::Ebs | Kind::Disk => {
            found.kind = disk_kind(&section, kind, pins, report);
            read_disk(&section, &mut found, pins, report);
            forbid_formatting(&section, &mut found, format, report);
        }
    }
    Some(entry.spot(found))
}

fn read_kind(section: &Section<'_, '_>, base: &VolumeKind, report: &mut Report) -> Option<Kind> {
    let kinds = [Kind::Loop, Kind::Ebs, Kind::Disk].map(|kind| (kind.name(), kind));
    match section.get("kind") {
        None => Some(Kind::of(base)),
        Some(entry) => choice(&entry, &kinds, report),
    }
}

fn refuse_pins(section: &Section<'_, '_>, pins: Pins, report: &mut Report) {
    if pins == Pins::May {
        return;
    }
    for (name, noun) in [("id", "an id"), ("match", "a match"), ("uuid", "a uuid")] {
        if let Some(entry) = section.get(name) {
            let message =
                format!("{noun} belongs in a [[tenant]]: one volume cannot serve several tenants");
            report.error(entry.at, &entry.key, message);
        }
    }
}

fn refuse_keys_of_others(section: &Section<'_, '_>, kind: Kind, pins: Pins, report: &mut Report) {
    for (name, noun, kinds, place) in KEYS_OF_KINDS {
        let refused_already = pins == Pins::MayNot && matches!(name, "id" | "match" | "uuid");
        let Some(entry) = section.get(name).filter(|_| !refused_already) else {
            continue;
        };
        if !kinds.contains(&kind) {
            let message = format!("{noun} belongs to {place}, this is {:?}", kind.name());
            report.error(entry.at, &entry.key, message);
        }
    }
}

fn loop_size(section: &Section<'_, '_>, base: &VolumeKind, fs: &str, report: &mut Report) -> u64 {
    let default = match base {
        VolumeKind::Loop { size } => *size,
        VolumeKind::Ebs { .. } | VolumeKind::Disk { .. } => DEFAULT_SIZE,
    };
    let entry = section.get("size");
    let found = entry.as_ref().and_then(|e| whole_size(e, fs, report));
    let size = found.unwrap_or(default);
    if fs == "xfs" && size < XFS_LEAST && entry.is_none() {
        let message = format!("xfs needs {XFS_LEAST} bytes, the size is {size}");
        report.error(section.at, &section.key("fs"), message);
    }
    size
}

/// A size that the file system can be made on and that is whole pages.
fn whole_size(entry: &Entry<'_, '_>, fs: &str, report: &mut Report) -> Option<u64> {
    let least = if fs == "xfs" { XFS_LEAST } else { 16 * MIB };
    let found = size(entry, least, MAX_VOLUME, report)?;
    if found.is_multiple_of(4096) {
        return Some(found);
    }
    let message = format!("{found} bytes is not a multiple of 4096");
    report.error(entry.at, &entry.key, message);
    None
}

fn disk_kind(section: &Section<'_, '_>, kind: Kind, pins: Pins, report: &mut Report) -> VolumeKind {
    let key = if kind == Kind::Ebs { "id" } else { "match" };
    let parse = if kind == Kind::Ebs {
        DiskMatch::ebs
    } else {
        DiskMatch::parse
    };
    let entry = section.get(key).filter(|_| pins == Pins::May);
    let which = entry
        .and_then(|e| e.parse(parse, report))
        .map(|which| which.value);
    match (kind, which) {
        (Kind::Ebs, Some(DiskMatch::Ebs { id })) => VolumeKind::Ebs { id: Some(id) },
        (Kind::Ebs, _) => VolumeKind::Ebs { id: None },
        (_, which) => VolumeKind::Disk { which },
    }
}

fn read_disk(section: &Section<'_, '_>, found: &mut Volume, pins: Pins, report: &mut Report) {
    let uuid = section.get("uuid").filter(|_| pins == Pins::May);
    found.uuid = uuid
        .and_then(|e| e.parse(parse_uuid, report))
        .map(|uuid| uuid.value);
    if let Some(entry) = section.get("size_min")
        && let Some(least) = size(&entry, 0, MAX_VOLUME, report)
    {
        found.size_min = least;
    }
    let position = match &found.kind {
        VolumeKind::Disk { which: Some(which) } if !which.is_identity() => which,
        _ => return,
    };
    if section.get("uuid").is_none() {
        let message = format!(
            "{position} is a disk's position, not its identity: add the uuid of its file system"
        );
        report.error(section.at, &section.key("uuid"), message);
    }
}

/// Who names a file system says that it is there: a disk without it is the wrong one.
fn forbid_formatting(
    section: &Section<'_, '_>,
    found: &mut Volume,
    written: Option<Format>,
    report: &mut Report,
) {
    if found.uuid.is_none() {
        return;
    }
    if let (Some(Format::IfBlank), Some(entry)) = (written, section.get("format")) {
        let message = "a volume with a uuid has its file system already and is never formatted";
        report.error(entry.at, &entry.key, message);
    }
    found.format = Format::Never;
}
