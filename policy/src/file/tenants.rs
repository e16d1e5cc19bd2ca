//! `[tenants]`: the ranges, and what everybody in them has.

use std::collections::BTreeSet;

use super::parts::{self, ServiceUids};
use super::volume::{self, Pins, Volume};
use crate::guard::{Egress, GuardMode};
use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::{Block, Template, UidRange, directory, domain, network_name, subnet};
use crate::{AppArmorMode, Format, ImagePattern, Ipv4Subnet, Limits, VolumeKind, WritableLayer};

const MAX_RANGES: usize = 1024;
const GIB: u64 = 1024 * 1024 * 1024;

/// A value of `[tenants]`; `at` is `None` where the default stands.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) at: Option<usize>,
}

/// What the ranges have in common.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    pub(crate) uids: Setting<Vec<At<UidRange>>>,
    pub(crate) base_dir: Setting<Template>,
    pub(crate) domain: Setting<Template>,
    pub(crate) network: Setting<Network>,
    pub(crate) ports: Setting<Ports>,
    pub(crate) service_uids: Setting<ServiceUids>,
    pub(crate) volume: Setting<Volume>,
    pub(crate) egress: Setting<Egress>,
    pub(crate) guard: Setting<GuardMode>,
    pub(crate) apparmor: Setting<AppArmorMode>,
    pub(crate) capabilities: Setting<BTreeSet<String>>,
    pub(crate) images: Setting<Vec<ImagePattern>>,
    pub(crate) local_images: Setting<Vec<ImagePattern>>,
    pub(crate) limits: Setting<Limits>,
    pub(crate) writable_layer: Setting<WritableLayer>,
}

/// `network = { name, pool, prefix }`.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) name: Setting<Template>,
    pub(crate) pool: Ipv4Subnet,
    pub(crate) prefix: u8,
}

/// `ports = { first, per_tenant }`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) first: u16,
    pub(crate) per_tenant: u16,
}

impl<T> Setting<T> {
    fn default(value: T) -> Self {
        Self { value, at: None }
    }

    /// Replaces the default by what stands in the file.
    fn take(&mut self, found: Option<At<T>>) {
        if let Some(At { value, at }) = found {
            (self.value, self.at) = (value, Some(at));
        }
    }
}

impl Default for Tenants {
    /// A file without `[tenants]`: nobody is a tenant.
    fn default() -> Self {
        Self {
            uids: Setting::default(Vec::new()),
            base_dir: Setting::default(Template::known("/mnt/data-tenant-{uid}")),
            domain: Setting::default(Template::known("tenant-{uid}.internal")),
            network: Setting::default(Network {
                name: Setting::default(Template::known("ai-platform-{uid}")),
                pool: Ipv4Subnet::new([10, 128, 0, 0], 10),
                prefix: 26,
            }),
            ports: Setting::default(Ports {
                first: 5100,
                per_tenant: 100,
            }),
            service_uids: Setting::default(ServiceUids {
                offset: 1000,
                count: 1,
            }),
            volume: Setting::default(Volume {
                kind: VolumeKind::Loop { size: 20 * GIB },
                fs: "ext4",
                format: Format::IfBlank,
                uuid: None,
                size_min: 0,
                grow: false,
            }),
            egress: Setting::default(Egress::Internet),
            guard: Setting::default(GuardMode::IfAvailable),
            apparmor: Setting::default(AppArmorMode::Required),
            capabilities: Setting::default(BTreeSet::new()),
            images: Setting::default(Vec::new()),
            local_images: Setting::default(Vec::new()),
            writable_layer: Setting::default(WritableLayer::AtMost(2 * GIB)),
            limits: Setting::default(Limits {
                memory: 16 * GIB,
                cpu_millis: 8000,
                pids: 8192,
                containers: 40,
            }),
        }
    }
}

impl Tenants {
    const KEYS: [&'static str; 15] = [
        "uids",
        "base_dir",
        "domain",
        "network",
        "ports",
        "service_uids",
        "volume",
        "egress",
        "guard",
        "apparmor",
        "capabilities",
        "images",
        "local_images",
        "limits",
        "writable_layer",
    ];

    pub(super) fn read(section: &Section<'_, '_>, report: &mut Report) -> Self {
        section.only(&Self::KEYS, report);
        let mut tenants = Self::default();
        for name in Self::KEYS {
            if let Some(entry) = section.get(name) {
                tenants.read_key(name, &entry, report);
            }
        }
        tenants
    }

    fn read_key(&mut self, name: &str, entry: &Entry<'_, '_>, report: &mut Report) {
        match name {
            "uids" => self.uids.take(read_ranges(entry, report)),
            "base_dir" => self.base_dir.take(entry.parse(directory, report)),
            "domain" => self.domain.take(entry.parse(domain, report)),
            "network" => {
                let found = read_network(entry, &self.network.value, report);
                self.network.take(found);
            }
            "ports" => {
                let found = read_ports(entry, self.ports.value, report);
                self.ports.take(found);
            }
            "service_uids" => {
                let found = parts::service_uids(entry, self.service_uids.value, report);
                self.service_uids.take(found);
            }
            "volume" => {
                let found = volume::read(entry, &self.volume.value, Pins::MayNot, report);
                self.volume.take(found);
            }
            "egress" => self.egress.take(parts::egress(entry, report)),
            "guard" => self.guard.take(parts::guard(entry, report)),
            "apparmor" => self.apparmor.take(parts::apparmor(entry, report)),
            "capabilities" => self.capabilities.take(parts::capabilities(entry, report)),
            "images" => self.images.take(parts::images(entry, report)),
            "local_images" => self.local_images.take(parts::images(entry, report)),
            "writable_layer" => self
                .writable_layer
                .take(parts::writable_layer(entry, report)),
            "limits" => {
                let found = parts::limits(entry, self.limits.value, report);
                self.limits.take(found);
            }
            _ => {}
        }
    }
}

fn read_ranges(entry: &Entry<'_, '_>, report: &mut Report) -> Option<At<Vec<At<UidRange>>>> {
    let ranges = entry
        .list(MAX_RANGES, report)?
        .iter()
        .filter_map(|element| {
            if element.is_integer() {
                let hint = "expected a string, found an integer; write \"1001\"";
                report.error(element.at, &element.key, hint);
                return None;
            }
            element.parse(UidRange::parse, report)
        })
        .collect();
    Some(entry.spot(ranges))
}

fn read_network(
    entry: &Entry<'_, '_>,
    default: &Network,
    report: &mut Report,
) -> Option<At<Network>> {
    let section = entry.section(report)?;
    section.only(&["name", "pool", "prefix"], report);
    let mut network = default.clone();
    if let Some(name) = section.get("name") {
        network.name.take(name.parse(network_name, report));
    }
    let pool = section.get("pool");
    if let Some(found) = pool.as_ref().and_then(|e| e.parse(subnet, report)) {
        network.pool = found.value;
    }
    let prefix = section.get("prefix");
    if let Some(found) = prefix.as_ref().and_then(|e| e.integer(8..=30, report)) {
        network.prefix = u8::try_from(found).unwrap_or(network.prefix);
    }
    if Block::size(network.prefix) > Block::size(network.pool.prefix) && report.sound(&["network"])
    {
        let at = prefix.or(pool).map_or(section.at, |e| e.at);
        let message = format!(
            "a subnet of /{} does not fit into the pool {}",
            network.prefix, network.pool
        );
        report.error(at, &section.key("prefix"), message);
    }
    Some(entry.spot(network))
}

fn read_ports(entry: &Entry<'_, '_>, default: Ports, report: &mut Report) -> Option<At<Ports>> {
    let section = entry.section(report)?;
    section.only(&["first", "per_tenant"], report);
    let ports = Ports {
        first: parts::port(&section, "first", report).unwrap_or(default.first),
        per_tenant: parts::port_count(&section, "per_tenant", report).unwrap_or(default.per_tenant),
    };
    Some(entry.spot(ports))
}
