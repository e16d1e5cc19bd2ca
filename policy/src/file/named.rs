//! `[[tenant]]`: what one UID has instead of the defaults.

use std::collections::BTreeSet;

use super::Tenants;
use super::parts::{self, ServiceUids};
use super::volume::{self, Pins, Volume};
use crate::guard::{Egress, GuardMode};
use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::{
    MAX_UID, Template, directory, domain, network_name, reserved_in, subnet, tenant_name,
};
use crate::{AppArmorMode, ImagePattern, Ipv4Subnet, Limits, WritableLayer};

/// One `[[tenant]]`; what it does not say is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) uid: At<u32>,
    pub(crate) gid: Option<At<u32>>,
    pub(crate) name: Option<At<String>>,
    pub(crate) base_dir: Option<At<String>>,
    pub(crate) domain: Option<At<String>>,
    /// Further names of the tenant.
    pub(crate) domains: Vec<At<String>>,
    pub(crate) network: Option<At<NetworkOverride>>,
    pub(crate) ports: Option<At<PortsOverride>>,
    pub(crate) service_uids: Option<At<ServiceUids>>,
    pub(crate) volume: Option<At<Volume>>,
    pub(crate) egress: Option<At<Egress>>,
    pub(crate) guard: Option<At<GuardMode>>,
    pub(crate) apparmor: Option<At<AppArmorMode>>,
    pub(crate) capabilities: Option<At<BTreeSet<String>>>,
    pub(crate) images: Option<At<Vec<ImagePattern>>>,
    pub(crate) local_images: Option<At<Vec<ImagePattern>>>,
    pub(crate) limits: Option<At<Limits>>,
    pub(crate) writable_layer: Option<At<WritableLayer>>,
}

/// `network = { name, subnet }`.
#[derive(Debug, Clone)]
pub(crate) struct NetworkOverride {
    pub(crate) name: Option<At<String>>,
    pub(crate) subnet: Option<At<Ipv4Subnet>>,
}

/// `ports = { first, count }`; without `first` the formula gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortsOverride {
    pub(crate) first: Option<u16>,
    pub(crate) count: u16,
}

/// Further domains of one tenant, at most.
const MAX_DOMAINS: usize = 64;

const KEYS: [&str; 18] = [
    "uid",
    "gid",
    "name",
    "base_dir",
    "domain",
    "domains",
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

impl Named {
    /// `None` when the UID is missing or wrong; the rest is checked all the same.
    pub(super) fn read(
        section: Section<'_, '_>,
        tenants: &Tenants,
        report: &mut Report,
    ) -> Option<Self> {
        let section = section.renamed("tenant[?]".to_owned());
        let uid = read_uid(&section, report);
        let section = match uid {
            Some(uid) => section.renamed(format!("tenant[{}]", uid.value)),
            None => section,
        };
        section.only(&KEYS, report);
        let entry = |name: &str| section.get(name);
        let fill = |found: At<Template>| At {
            value: found.value.fill(uid.map_or(0, |uid| uid.value)),
            at: found.at,
        };
        let gid = entry("gid").and_then(|e| read_id(&e, "GID", report));
        let name = entry("name").and_then(|e| e.parse(tenant_name, report));
        let base_dir = entry("base_dir").and_then(|e| e.parse(directory, report));
        let domain = entry("domain").and_then(|e| e.parse(domain, report));
        let domains = entry("domains").map(|e| read_domains(&e, report));
        let network = entry("network").and_then(|e| read_network(&e, fill, report));
        let default = tenants.ports.value.per_tenant;
        let ports = entry("ports").and_then(|e| read_ports(&e, default, report));
        let default = tenants.service_uids.value;
        let service_uids =
            entry("service_uids").and_then(|e| parts::service_uids(&e, default, report));
        let default = &tenants.volume.value;
        let volume = entry("volume").and_then(|e| volume::read(&e, default, Pins::May, report));
        let egress = entry("egress").and_then(|e| parts::egress(&e, report));
        let guard = entry("guard").and_then(|e| parts::guard(&e, report));
        let apparmor = entry("apparmor").and_then(|e| parts::apparmor(&e, report));
        let capabilities = entry("capabilities").and_then(|e| parts::capabilities(&e, report));
        let images = entry("images").and_then(|e| parts::images(&e, report));
        let local_images = entry("local_images").and_then(|e| parts::images(&e, report));
        let writable_layer =
            entry("writable_layer").and_then(|e| parts::writable_layer(&e, report));
        let default = tenants.limits.value;
        let limits = entry("limits").and_then(|e| parts::limits(&e, default, report));
        Some(Self {
            uid: uid?,
            gid,
            name,
            base_dir: base_dir.map(fill),
            domain: domain.map(fill),
            domains: domains.unwrap_or_default().into_iter().map(fill).collect(),
            network,
            ports,
            service_uids,
            volume,
            egress,
            guard,
            apparmor,
            capabilities,
            images,
            local_images,
            limits,
            writable_layer,
        })
    }
}

/// Further domains, each once; whether they meet anybody's is for the whole file to say.
fn read_domains(entry: &Entry<'_, '_>, report: &mut Report) -> Vec<At<Template>> {
    let list = entry.list(MAX_DOMAINS, report).unwrap_or_default();
    list.iter()
        .filter_map(|element| element.parse(domain, report))
        .collect()
}

fn read_uid(section: &Section<'_, '_>, report: &mut Report) -> Option<At<u32>> {
    let entry = section.get("uid");
    if entry.is_none() {
        let message = "missing; every [[tenant]] has one";
        report.error(section.at, &section.key("uid"), message);
    }
    read_id(&entry?, "UID", report)
}

/// A UID or GID that may be given to a tenant.
fn read_id(entry: &Entry<'_, '_>, what: &str, report: &mut Report) -> Option<At<u32>> {
    let number = entry.integer(0..=MAX_UID, report)?;
    if let Some((number, why)) = reserved_in(number, number) {
        report.error(entry.at, &entry.key, format!("{what} {number} {why}"));
        return None;
    }
    u32::try_from(number).ok().map(|id| entry.spot(id))
}

fn read_network(
    entry: &Entry<'_, '_>,
    fill: impl Fn(At<Template>) -> At<String>,
    report: &mut Report,
) -> Option<At<NetworkOverride>> {
    let section = entry.section(report)?;
    section.only(&["name", "subnet"], report);
    let name = section.get("name");
    let range = section.get("subnet");
    let found = NetworkOverride {
        name: name.and_then(|e| e.parse(network_name, report)).map(fill),
        subnet: range.and_then(|e| e.parse(subnet, report)),
    };
    Some(entry.spot(found))
}

fn read_ports(
    entry: &Entry<'_, '_>,
    per_tenant: u16,
    report: &mut Report,
) -> Option<At<PortsOverride>> {
    let section = entry.section(report)?;
    section.only(&["first", "count"], report);
    let found = PortsOverride {
        first: parts::port(&section, "first", report),
        count: parts::port_count(&section, "count", report).unwrap_or(per_tenant),
    };
    Some(entry.spot(found))
}
