//! How a policy, its errors and a grant look, as text and as JSON.

use std::io::{self, Write};
use std::path::Path;

use aistack_policy::guard::{Egress, GuardMode};
use aistack_policy::{
    AppArmorMode, Format, Grant, ImagePattern, Policy, Rule, VolumeKind, WritableLayer,
};
use serde_json::{Value, json};

use super::Unusable;

/// `["1001-1250", "3000"]`.
pub(super) fn ranges(policy: &Policy) -> Vec<String> {
    policy
        .tenants()
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect()
}

/// `1001-1250, 3000`, or `nobody`.
pub(super) fn ranges_text(policy: &Policy) -> String {
    match ranges(policy) {
        ranges if ranges.is_empty() => "nobody".to_owned(),
        ranges => ranges.join(", "),
    }
}

fn tenant_count(policy: &Policy) -> u64 {
    let count = |first: u32, last: u32| u64::from(last) - u64::from(first) + 1;
    let ranges = policy.tenants().iter();
    ranges
        .map(|range| count(*range.start(), *range.end()))
        .sum()
}

/// `1 error`, `2 errors`.
fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

pub(super) fn accepted(file: &Path, policy: &Policy, out: &mut impl Write) -> io::Result<()> {
    let file = file.display();
    for warning in policy.warnings() {
        let (line, key, message) = (warning.line, &warning.key, &warning.message);
        writeln!(out, "{file}:{line}: warning: {key}: {message}")?;
    }
    writeln!(
        out,
        "{file}: accepted, {} ({}), {}",
        counted(tenant_count(policy), "tenant"),
        ranges_text(policy),
        counted(policy.warnings().len(), "warning")
    )
}

pub(super) fn unusable(file: &Path, unusable: &Unusable, out: &mut impl Write) -> io::Result<()> {
    let file = file.display();
    match unusable {
        Unusable::Unreadable(error) => {
            writeln!(out, "{file}: cannot be read: {error}")?;
            if error.kind() == io::ErrorKind::PermissionDenied {
                writeln!(
                    out,
                    "only root and the gateway may read the policy: run it as root. A tenant runs \
                     `aistack whoami`"
                )?;
            }
            Ok(())
        }
        Unusable::Invalid(errors) => {
            for error in &errors.0 {
                writeln!(out, "{file}:{error}")?;
            }
            writeln!(out, "{file}: refused, {}", counted(errors.0.len(), "error"))
        }
    }
}

pub(super) fn check_json(file: &Path, loaded: &Result<Policy, Unusable>) -> Value {
    match loaded {
        Ok(policy) => {
            let warnings: Vec<Value> = policy
                .warnings()
                .iter()
                .map(|w| json!({"line": w.line, "key": w.key, "message": w.message}))
                .collect();
            json!({
                "file": file, "accepted": true, "errors": [], "warnings": warnings,
                "tenants": ranges(policy), "tenant_count": tenant_count(policy),
            })
        }
        Err(Unusable::Invalid(errors)) => {
            let errors: Vec<Value> = errors
                .0
                .iter()
                .map(|e| {
                    json!({
                        "line": e.line, "column": e.column, "key": e.key, "message": e.message,
                    })
                })
                .collect();
            json!({"file": file, "accepted": false, "errors": errors, "warnings": []})
        }
        Err(Unusable::Unreadable(error)) => json!({
            "file": file, "accepted": false, "unreadable": error.to_string(),
            "errors": [], "warnings": [],
        }),
    }
}

/// Each part, its value and where it comes from, in columns.
pub(super) fn grant(file: &Path, grant: &Grant, out: &mut impl Write) -> io::Result<()> {
    for (part, rule) in grant.rules.iter() {
        for (nth, value) in values(part, grant).iter().enumerate() {
            if nth == 0 {
                let rule = rule_text(file, rule);
                writeln!(out, "{part:<14} {value:<44} {rule}")?;
            } else {
                writeln!(out, "{:<14} {value}", "")?;
            }
        }
    }
    for (part, value) in [
        ("profiles", grant.platform_profile.as_str()),
        ("", grant.openclaw_profile.as_str()),
        ("containers", grant.container_prefix.as_str()),
    ] {
        let star = if part == "containers" { "*" } else { "" };
        writeln!(out, "{part:<14} {value}{star}")?;
    }
    Ok(())
}

fn rule_text(file: &Path, rule: &Rule) -> String {
    match rule.line {
        Some(line) => format!("{} ({}:{line})", rule.key, file.display()),
        None => format!("{} (default)", rule.key),
    }
}

/// The lines that show one part of a grant; at least one.
fn values(part: &str, grant: &Grant) -> Vec<String> {
    match part {
        "uid" => vec![grant.uid.to_string()],
        "gid" => vec![grant.gid.to_string()],
        "name" => vec![grant.name.clone()],
        "base_dir" => vec![grant.base_dir.clone()],
        "domain" => vec![grant.domain.clone()],
        "network" => vec![
            format!("{} {}", grant.network.name, grant.network.subnet),
            format!(
                "gateway {}, bridge {}",
                grant.network.gateway, grant.network.bridge
            ),
        ],
        "ports" => vec![format!("{}-{}", grant.ports.first, grant.ports.last())],
        "service_uids" => vec![list(&grant.service_uids)],
        "volume" => vec![volume(grant)],
        "egress" => vec![grant.egress.to_string()],
        "guard" => vec![guard(grant.guard).to_owned()],
        "apparmor" => vec![apparmor(grant.apparmor).to_owned()],
        "capabilities" => vec![list(&grant.capabilities)],
        "images" if grant.images.is_empty() => vec!["none".to_owned()],
        "images" => grant.images.iter().map(ToString::to_string).collect(),
        "local_images" if grant.local_images.is_empty() => vec!["none".to_owned()],
        "local_images" => grant.local_images.iter().map(ToString::to_string).collect(),
        "limits" => vec![limits(grant)],
        "writable_layer" => vec![writable_layer(grant.writable_layer)],
        other => vec![format!("(no text for {other})")],
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn volume(grant: &Grant) -> String {
    let format = format_name(grant.volume.format);
    let what = match &grant.volume.kind {
        VolumeKind::Loop { size } => format!("loop {}", bytes(*size)),
        VolumeKind::Ebs { id: Some(id) } => format!("ebs {id}"),
        VolumeKind::Ebs { id: None } => "ebs (no id pinned)".to_owned(),
        VolumeKind::Disk { which: Some(which) } => format!("disk {which}"),
        VolumeKind::Disk { which: None } => "disk (no match pinned)".to_owned(),
    };
    let mut text = format!("{what} {} format={format}", grant.volume.fs);
    if let Some(uuid) = &grant.volume.uuid {
        text = format!("{text} uuid={uuid}");
    }
    if grant.volume.size_min > 0 {
        text = format!("{text} size_min={}", bytes(grant.volume.size_min));
    }
    if grant.volume.grow {
        text.push_str(" grow");
    }
    text
}

fn limits(grant: &Grant) -> String {
    let limits = &grant.limits;
    let (whole, millis) = (limits.cpu_millis / 1000, limits.cpu_millis % 1000);
    let fraction = format!(".{millis:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!(
        "memory {} cpus {whole}{fraction} pids {} containers {}",
        bytes(limits.memory),
        limits.pids,
        limits.containers
    )
}

/// As the policy file writes it.
fn writable_layer(layer: WritableLayer) -> String {
    match layer {
        WritableLayer::Never => "never".to_owned(),
        WritableLayer::AtMost(size) => bytes(size),
    }
}

/// The largest unit that leaves no rest, as the policy file writes it.
fn bytes(number: u64) -> String {
    let units = [
        ("T", 1_u64 << 40),
        ("G", 1 << 30),
        ("M", 1 << 20),
        ("K", 1 << 10),
    ];
    let fitting = units.iter().find(|(_, unit)| number.is_multiple_of(*unit));
    match fitting {
        Some((name, unit)) if number > 0 => format!("{}{name}", number / unit),
        _ => number.to_string(),
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Never => "never",
        Format::IfBlank => "if-blank",
    }
}

fn apparmor(mode: AppArmorMode) -> &'static str {
    match mode {
        AppArmorMode::Required => "required",
        AppArmorMode::IfAvailable => "if-available",
    }
}

fn guard(mode: GuardMode) -> &'static str {
    match mode {
        GuardMode::Required => "required",
        GuardMode::IfAvailable => "if-available",
    }
}

/// As the policy file writes it.
fn egress_json(egress: &Egress) -> Value {
    match egress {
        Egress::Listed(networks) => {
            let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
            json!(texts)
        }
        word => json!(word.to_string()),
    }
}

pub(super) fn grant_json(file: &Path, grant: &Grant) -> Value {
    let rules: serde_json::Map<String, Value> = grant
        .rules
        .iter()
        .map(|(part, rule)| (part.to_owned(), json!({"key": rule.key, "line": rule.line})))
        .collect();
    let texts = |images: &[ImagePattern]| -> Vec<String> {
        images.iter().map(ToString::to_string).collect()
    };
    json!({
        "file": file,
        "tenant": true,
        "uid": grant.uid,
        "gid": grant.gid,
        "name": grant.name,
        "base_dir": grant.base_dir,
        "domain": grant.domain,
        "network": {
            "name": grant.network.name,
            "subnet": grant.network.subnet.to_string(),
            "gateway": grant.network.gateway,
            "bridge": grant.network.bridge,
        },
        "ports": {
            "first": grant.ports.first, "last": grant.ports.last(), "count": grant.ports.count,
        },
        "service_uids": grant.service_uids,
        "platform_profile": grant.platform_profile,
        "openclaw_profile": grant.openclaw_profile,
        "volume": volume_json(grant),
        "egress": egress_json(&grant.egress),
        "guard": guard(grant.guard),
        "apparmor": apparmor(grant.apparmor),
        "capabilities": grant.capabilities,
        "images": texts(&grant.images),
        "local_images": texts(&grant.local_images),
        "limits": {
            "memory": grant.limits.memory,
            "cpu_millis": grant.limits.cpu_millis,
            "pids": grant.limits.pids,
            "containers": grant.limits.containers,
        },
        "writable_layer": match grant.writable_layer {
            WritableLayer::Never => json!("never"),
            WritableLayer::AtMost(size) => json!(size),
        },
        "container_prefix": grant.container_prefix,
        "rules": rules,
    })
}

fn volume_json(grant: &Grant) -> Value {
    let volume = &grant.volume;
    let (fs, format, grow) = (&volume.fs, format_name(volume.format), volume.grow);
    let (uuid, size_min) = (&volume.uuid, volume.size_min);
    match &volume.kind {
        VolumeKind::Loop { size } => {
            json!({"kind": "loop", "size": size, "fs": fs, "format": format, "grow": grow})
        }
        VolumeKind::Ebs { id } => json!({
            "kind": "ebs", "id": id, "fs": fs, "format": format, "grow": grow,
            "uuid": uuid, "size_min": size_min,
        }),
        VolumeKind::Disk { which } => json!({
            "kind": "disk", "match": which.as_ref().map(ToString::to_string), "fs": fs,
            "format": format, "grow": grow, "uuid": uuid, "size_min": size_min,
        }),
    }
}
