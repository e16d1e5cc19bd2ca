//! A policy file as numbers, and the slow judge of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A policy file as numbers.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) ranges: Vec<(u32, u32)>,
    pub(crate) base_dir: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) pool: (u32, u8),
    pub(crate) prefix: u8,
    pub(crate) ports: (u16, u16),
    pub(crate) service: (u32, u32),
    pub(crate) named: BTreeMap<u32, Own>,
}

/// One `[[tenant]]`.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) gid: Option<u32>,
    pub(crate) base_dir: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) network_name: Option<String>,
    pub(crate) subnet: Option<(u32, u8)>,
    pub(crate) first_port: Option<u16>,
    pub(crate) port_count: Option<u16>,
    pub(crate) service: Option<(u32, u32)>,
}

/// What one UID would have, in numbers that cannot wrap.
pub(crate) struct Share {
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) services: Vec<u64>,
    pub(crate) ports: (u64, u64),
    pub(crate) addresses: (u64, u64),
    pub(crate) directory: Vec<String>,
    pub(crate) domain: Vec<String>,
    pub(crate) network: String,
    pub(crate) name: String,
}

impl Model {
    pub(crate) fn text(&self) -> String {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|(a, b)| format!("\"{a}-{b}\""))
            .collect();
        let mut text = format!(
            "version = 1\n[tenants]\nuids = [{}]\nbase_dir = \"{}\"\ndomain = \"{}\"\n\
             network = {{ name = \"{}\", pool = \"{}\", prefix = {} }}\n\
             ports = {{ first = {}, per_tenant = {} }}\n\
             service_uids = {{ offset = {}, count = {} }}\n",
            ranges.join(", "),
            self.base_dir,
            self.domain,
            self.name,
            subnet_text(self.pool),
            self.prefix,
            self.ports.0,
            self.ports.1,
            self.service.0,
            self.service.1,
        );
        for (uid, own) in &self.named {
            own.write(*uid, &mut text);
        }
        text
    }

    /// The UIDs in the order of their places.
    pub(crate) fn in_ranges(&self) -> Vec<u64> {
        let ranges = self.ranges.iter();
        ranges
            .flat_map(|(a, b)| u64::from(*a)..=u64::from(*b))
            .collect()
    }

    /// Everybody's share; `None` when somebody has none.
    pub(crate) fn shares(&self) -> Option<Vec<Share>> {
        let placed = self.in_ranges();
        let places: BTreeMap<u64, u64> = placed.iter().copied().zip(0..).collect();
        let everybody: BTreeSet<u64> = placed
            .iter()
            .copied()
            .chain(self.named.keys().map(|uid| u64::from(*uid)))
            .collect();
        everybody
            .into_iter()
            .map(|uid| self.share(uid, places.get(&uid).copied()))
            .collect()
    }

    pub(crate) fn share(&self, uid: u64, place: Option<u64>) -> Option<Share> {
        let own = self.named.get(&u32::try_from(uid).unwrap());
        let fill = |template: &str| template.replace("{uid}", &uid.to_string());
        let (offset, count) = own.and_then(|o| o.service).unwrap_or(self.service);
        let by_formula = || {
            let size = 1_u64 << (32 - self.prefix);
            Some((u64::from(self.pool.0) + place? * size, size))
        };
        let own_subnet = own
            .and_then(|o| o.subnet)
            .map(|(address, prefix)| (u64::from(address), 1 << (32 - prefix)));
        let subnet = own_subnet.or_else(by_formula)?;
        let each = u64::from(self.ports.1);
        let first = match own.and_then(|o| o.first_port) {
            Some(first) => u64::from(first),
            None => u64::from(self.ports.0) + place? * each,
        };
        let count_of_ports = own.and_then(|o| o.port_count).map_or(each, u64::from);
        let text = |own: Option<&String>, template: &str| own.cloned().unwrap_or(fill(template));
        let directory = text(own.and_then(|o| o.base_dir.as_ref()), self.base_dir);
        let domain = text(own.and_then(|o| o.domain.as_ref()), self.domain);
        Some(Share {
            uid,
            gid: own.and_then(|o| o.gid).map_or(uid, u64::from),
            services: (1..=u64::from(count))
                .map(|n| uid + n * u64::from(offset))
                .collect(),
            ports: (first, first + count_of_ports - 1),
            addresses: (subnet.0, subnet.0 + subnet.1 - 1),
            directory: directory.split('/').map(str::to_owned).collect(),
            domain: domain.rsplit('.').map(str::to_owned).collect(),
            network: text(own.and_then(|o| o.network_name.as_ref()), self.name),
            name: text(own.and_then(|o| o.name.as_ref()), "tenant-{uid}"),
        })
    }

    /// Whether the file must be accepted.
    pub(crate) fn is_legal(&self) -> bool {
        let placed = self.in_ranges();
        let distinct: BTreeSet<u64> = placed.iter().copied().collect();
        if distinct.len() != placed.len() {
            return false;
        }
        let Some(shares) = self.shares() else {
            return false;
        };
        let pool = (
            u64::from(self.pool.0),
            u64::from(self.pool.0) + (1 << (32 - self.pool.1)) - 1,
        );
        let bounded = shares.iter().all(|share| {
            let uids = share.services.iter().chain([&share.uid, &share.gid]);
            uids.clone().all(|uid| is_free(*uid))
                && share.ports.1 <= 65_535
                && pool.0 <= share.addresses.0
                && share.addresses.1 <= pool.1
        });
        bounded && is_disjoint(&shares)
    }
}

pub(crate) fn is_free(uid: u64) -> bool {
    (1000..=2_147_483_647).contains(&uid) && uid != 65_534 && uid != 65_535
}

/// Compares everybody with everybody.
pub(crate) fn is_disjoint(shares: &[Share]) -> bool {
    let apart = |a: (u64, u64), b: (u64, u64)| a.1 < b.0 || b.1 < a.0;
    let nested = |a: &[String], b: &[String]| a.starts_with(b) || b.starts_with(a);
    let numbers =
        |share: &Share| -> Vec<u64> { share.services.iter().copied().chain([share.uid]).collect() };
    for (nth, a) in shares.iter().enumerate() {
        // An own GID may not be one of the own service UIDs either.
        if a.gid != a.uid && a.services.contains(&a.gid) {
            return false;
        }
        for b in &shares[nth + 1..] {
            let theirs = numbers(b);
            let shared = numbers(a).iter().any(|uid| theirs.contains(uid))
                || theirs.contains(&a.gid)
                || numbers(a).contains(&b.gid)
                || a.gid == b.gid;
            if shared
                || !apart(a.ports, b.ports)
                || !apart(a.addresses, b.addresses)
                || nested(&a.directory, &b.directory)
                || nested(&a.domain, &b.domain)
                || a.network == b.network
                || a.name == b.name
            {
                return false;
            }
        }
    }
    true
}

pub(crate) fn subnet_text((address, prefix): (u32, u8)) -> String {
    format!("{}/{prefix}", std::net::Ipv4Addr::from(address))
}

impl Own {
    pub(crate) fn write(&self, uid: u32, text: &mut String) {
        writeln!(text, "[[tenant]]\nuid = {uid}").unwrap();
        if let Some(gid) = self.gid {
            writeln!(text, "gid = {gid}").unwrap();
        }
        for (key, value) in [
            ("base_dir", &self.base_dir),
            ("domain", &self.domain),
            ("name", &self.name),
            ("network.name", &self.network_name),
        ] {
            if let Some(value) = value {
                writeln!(text, "{key} = \"{value}\"").unwrap();
            }
        }
        if let Some(subnet) = self.subnet {
            writeln!(text, "network.subnet = \"{}\"", subnet_text(subnet)).unwrap();
        }
        if let Some(first) = self.first_port {
            writeln!(text, "ports.first = {first}").unwrap();
        }
        if let Some(count) = self.port_count {
            writeln!(text, "ports.count = {count}").unwrap();
        }
        if let Some((offset, count)) = self.service {
            writeln!(
                text,
                "service_uids = {{ offset = {offset}, count = {count} }}"
            )
            .unwrap();
        }
    }
}

// --- generators --------------------------------------------------------------------------------
