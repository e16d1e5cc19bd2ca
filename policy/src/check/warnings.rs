//! What is legal and will probably hurt.
//!
//! A warning about `[tenants]` may be shown to every tenant: it names numbers, never a UID that
//! somebody has.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use super::claim::{Claim, What};
use super::numbers::{port_claims, service_claims, tenant_claims};
use crate::file::Volume;
use crate::report::Report;
use crate::value::{Block, powerful};
use crate::{ImagePattern, Ipv4Subnet, Limits, VolumeKind};

/// Linux' default `net.ipv4.ip_local_port_range`.
const EPHEMERAL: (u64, u64) = (32_768, 60_999);

/// UIDs that other programs assign by default
/// (systemd.io/UIDS-GIDS, login.defs(5)).
const HANDED_OUT: [(u64, u64, &str); 4] = [
    (60_001, 60_513, "systemd-homed"),
    (61_184, 65_519, "systemd's DynamicUser="),
    (
        100_000,
        600_100_000,
        "useradd as subordinate UIDs (/etc/subuid), whose owner could act as the tenant",
    ),
    (524_288, 1_879_048_191, "systemd-nspawn to containers"),
];

pub(super) fn all(subject: Subject<'_>, report: &mut Report) {
    handed_out(subject, report);
    ephemeral(subject, report);
    unpinned(subject, report);
    capabilities(subject, report);
    images(subject, report);
    local_images(subject, report);
    networks(subject, report);
    super::ingress::warnings(subject, report);
}

fn meeting(claims: &[Claim], low: u64, high: u64) -> impl Iterator<Item = &Claim> {
    claims
        .iter()
        .filter(move |claim| claim.low <= high && low <= claim.high)
}

/// One warning for each part of the file and each range of others.
fn handed_out(subject: Subject<'_>, report: &mut Report) {
    let mut claims = tenant_claims(subject);
    claims.extend(service_claims(subject));
    for (low, high, by) in HANDED_OUT {
        let mut seen = BTreeSet::new();
        for claim in meeting(&claims, low, high) {
            if seen.insert((claim.at, claim.key())) {
                let what = match claim.what {
                    What::ServiceUid => "service UIDs",
                    _ => "UIDs",
                };
                let message = format!(
                    "{what} from {} on lie in {low}-{high}, which is handed out by {by}",
                    claim.low.max(low)
                );
                report.warn(claim.at, &claim.key(), message);
            }
        }
    }
}

/// One warning for each part of the file, with the first port and how many UIDs have such ports.
fn ephemeral(subject: Subject<'_>, report: &mut Report) {
    let (low, high) = EPHEMERAL;
    let claims = port_claims(subject);
    let mut met: BTreeMap<(usize, String), (u64, u64)> = BTreeMap::new();
    for claim in meeting(&claims, low, high) {
        let (first, last) = (claim.low.max(low), claim.high.min(high));
        let uids = claim.uid_at(last) - claim.uid_at(first) + 1;
        let entry = met.entry((claim.at, claim.key())).or_insert((first, 0));
        *entry = (entry.0.min(first), entry.1 + uids);
    }
    for ((at, key), (first, uids)) in met {
        let message = format!(
            "ports from {first} on ({uids} UIDs) are ephemeral ports ({low}-{high}): an outgoing connection may take a service's port"
        );
        report.warn(at, &key, message);
    }
}

/// Disks that nothing says which they are.
fn unpinned(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let lacking = |volume: &Volume| match volume.kind {
        VolumeKind::Ebs { id: None } => Some("an EBS volume without an id"),
        VolumeKind::Disk { which: None } => Some("a disk without a match"),
        _ => None,
    };
    let consequence = "so that it cannot be mounted";
    let tenants = &document.tenants.volume;
    if let Some(what) = lacking(&tenants.value) {
        let in_ranges: u64 = document
            .runs(|named| named.volume.is_some())
            .iter()
            .map(|run| run.uids.len())
            .sum();
        let outsiders = document.outsiders().filter(|named| named.volume.is_none());
        let uids = outsiders.fold(in_ranges, |uids, _| uids + 1);
        if uids > 0 {
            let at = subject.anchor(tenants.at);
            report.warn(
                at,
                "tenants.volume",
                format!("{uids} UIDs have {what}, {consequence}"),
            );
        }
    }
    for named in document.named.values() {
        if let Some(own) = &named.volume
            && let Some(what) = lacking(&own.value)
        {
            let uid = named.uid.value;
            let message = format!("UID {uid} has {what}, {consequence}");
            report.warn(own.at, &format!("tenant[{uid}].volume"), message);
        }
    }
}

fn capabilities(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let tenants = &document.tenants.capabilities;
    let everybody = tenants
        .at
        .map(|at| (at, "tenants".to_owned(), &tenants.value));
    let named = document.named.values().filter_map(|named| {
        let own = named.capabilities.as_ref()?;
        Some((own.at, format!("tenant[{}]", named.uid.value), &own.value))
    });
    for (at, who, allowed) in everybody.into_iter().chain(named) {
        let strong: Vec<&str> = allowed
            .iter()
            .map(String::as_str)
            .filter(|name| powerful(name))
            .collect();
        if !strong.is_empty() {
            let message = format!(
                "{} reaches beyond a container, because there is no user namespace",
                strong.join(", ")
            );
            report.warn(at, &format!("{who}.capabilities"), message);
        }
    }
}

fn images(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let tenants = &document.tenants.images;
    let mut look = |at: usize, who: &str, images: &[ImagePattern]| {
        let key = format!("{who}.images");
        if images.is_empty() {
            report.warn(
                at,
                &key,
                "no image is allowed, so no container can be created",
            );
        }
        for pattern in images {
            let text = pattern.to_string();
            if text.strip_suffix("/*").is_some_and(|r| !r.contains('/')) {
                report.warn(
                    at,
                    &key,
                    format!("{text} allows every image of the registry"),
                );
            }
        }
    };
    let in_use = !document.runs(|named| named.images.is_some()).is_empty()
        || document.outsiders().any(|named| named.images.is_none());
    if in_use {
        look(subject.anchor(tenants.at), "tenants", &tenants.value);
    }
    for named in document.named.values() {
        if let Some(own) = &named.images {
            look(own.at, &format!("tenant[{}]", named.uid.value), &own.value);
        }
    }
}

/// A list that opens again what it is there to close: images without a registry in their name are the
/// host's own as often as they are Docker Hub's.
fn local_images(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let tenants = &document.tenants.local_images;
    let everybody = tenants
        .at
        .map(|at| (at, "tenants".to_owned(), &tenants.value));
    let named = document.named.values().filter_map(|named| {
        let own = named.local_images.as_ref()?;
        Some((own.at, format!("tenant[{}]", named.uid.value), &own.value))
    });
    for (at, who, patterns) in everybody.into_iter().chain(named) {
        let nameless = ["docker.io/library/*", "docker.io/*"];
        let open = patterns.iter().map(ToString::to_string);
        for pattern in open.filter(|text| nameless.contains(&text.as_str())) {
            let message = format!(
                "{pattern} allows every local image without a registry in its name, including \
                 images not meant for tenants"
            );
            report.warn(at, &format!("{who}.local_images"), message);
        }
    }
}

/// Networks that are too small for the containers, or that Docker or Tailscale uses itself.
fn networks(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let (network, limits) = (&document.tenants.network, &document.tenants.limits);
    if !document.runs(|_| false).is_empty() {
        let at = subject.anchor(network.at.or(limits.at));
        room(
            at,
            "tenants.network",
            network.value.prefix,
            limits.value,
            report,
        );
    }
    for named in document.named.values() {
        let own = named.network.as_ref().and_then(|n| n.value.subnet);
        let places = [own.map(|o| o.at), named.limits.as_ref().map(|l| l.at)];
        let Some(at) = places.into_iter().flatten().next() else {
            continue;
        };
        let prefix = own.map_or(network.value.prefix, |o| o.value.prefix);
        let limits = named.limits.as_ref().map_or(limits.value, |l| l.value);
        let key = format!("tenant[{}].network", named.uid.value);
        room(at, &key, prefix, limits, report);
    }
    let Some(at) = network.at else { return };
    for (taken, by) in [
        (
            Ipv4Subnet::new([172, 17, 0, 0], 16),
            "Docker's own bridge docker0",
        ),
        (Ipv4Subnet::new([100, 64, 0, 0], 10), "Tailscale"),
    ] {
        if Block::from(network.value.pool).meets(taken.into()) {
            let message = format!(
                "the pool {} meets {taken}, which {by} uses by default",
                network.value.pool
            );
            report.warn(at, "tenants.network.pool", message);
        }
    }
}

fn room(at: usize, key: &str, prefix: u8, limits: Limits, report: &mut Report) {
    // The network's, the gateway's and the broadcast address are no container's.
    let hosts = Block::size(prefix).saturating_sub(3);
    if hosts < limits.containers {
        let message = format!(
            "a /{prefix} has addresses for {hosts} containers, limits.containers is {}",
            limits.containers
        );
        report.warn(at, key, message);
    }
}
