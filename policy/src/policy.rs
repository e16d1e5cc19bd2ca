//! The policy in force: text in, [`Policy`] or every error out; then one [`Grant`] a UID.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use toml::de::DeTable;

use crate::error::{PolicyError, PolicyErrors, PolicyWarning};
use crate::file::{Document, Named, ServiceUids, Setting, Volume};
use crate::grant::{
    FrontDoor, Grant, GrantRules, Ipv4Subnet, NetworkGrant, PortRange, VolumeGrant,
};
use crate::guard::GuardSettings;
use crate::ingress::Ingress;
use crate::report::Report;
use crate::text::{At, Cursor, Lines};
use crate::value::Block;
use crate::{Rule, check};

/// The longest policy file that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// How many `[[tenant]]` a policy file may have.
pub const MAX_NAMED_TENANTS: usize = 4096;

/// A policy file that was accepted as a whole.
#[derive(Debug, Clone)]
pub struct Policy {
    document: Document,
    lines: Lines,
    tenants: Vec<RangeInclusive<u32>>,
    warnings: Vec<PolicyWarning>,
}

impl Policy {
    /// Parses and validates the text of a policy file.
    ///
    /// # Errors
    /// Every error in the file, each with line and column; never only the first. A text that is
    /// no TOML has exactly one: where the parser stopped.
    pub fn parse(text: &str) -> Result<Self, PolicyErrors> {
        if text.len() > MAX_TEXT_BYTES {
            let size = format!("{} bytes, at most {MAX_TEXT_BYTES} are read", text.len());
            return Err(PolicyErrors(vec![syntax_error(text, 0, &size)]));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            PolicyErrors(vec![syntax_error(text, at, error.message())])
        })?;
        let lines = Lines::new(text);
        let mut report = Report::default();
        let document = Document::read(&table, &lines, &mut report);
        check::whole(&document, &lines, &mut report);
        if !report.is_clean() {
            return Err(PolicyErrors(report.into_errors(text)));
        }
        Ok(Self {
            warnings: report.into_warnings(&lines),
            tenants: merged_uids(&document),
            document,
            lines,
        })
    }

    /// What `uid` may have; `None` when it is not a tenant.
    ///
    /// Pure, and linear in the number of ranges of the file; the ranges themselves may be of any
    /// size.
    #[must_use]
    pub fn grant(&self, uid: u32) -> Option<Grant> {
        let named = self.document.named.get(&uid);
        let place = self.document.place_of(uid);
        if named.is_none() && place.is_none() {
            return None;
        }
        Seeker {
            policy: self,
            uid,
            named,
            place,
        }
        .grant()
    }

    /// The front door with the routes to all tenants; `None` where the policy has none.
    #[must_use]
    pub fn ingress(&self) -> Option<Ingress> {
        let ingress = &self.document.ingress;
        if !ingress.enabled {
            return None;
        }
        let mut routes = BTreeMap::new();
        for uid in self.tenants.iter().cloned().flatten() {
            let Some(grant) = self.grant(uid) else {
                continue;
            };
            let Some(door) = grant.front_door else {
                continue;
            };
            routes.insert(grant.domain, door.proxy);
            routes.extend(grant.domains.into_iter().map(|domain| (domain, door.proxy)));
        }
        Some(Ingress {
            addresses: ingress.addresses.clone(),
            http_port: ingress.http_port,
            https_port: ingress.https_port,
            pool: self.pool(),
            prefix: self.document.tenants.network.value.prefix,
            routes,
        })
    }

    /// Every tenant, as ranges that neither overlap nor touch, lowest first.
    #[must_use]
    pub fn tenants(&self) -> &[RangeInclusive<u32>] {
        &self.tenants
    }

    /// What `[guard]` says.
    #[must_use]
    pub fn guard(&self) -> &GuardSettings {
        &self.document.guard.settings
    }

    /// The network that every tenant's subnet lies in.
    #[must_use]
    pub fn pool(&self) -> Ipv4Subnet {
        self.document.tenants.network.value.pool
    }

    /// What the admin should know although the file is accepted.
    #[must_use]
    pub fn warnings(&self) -> &[PolicyWarning] {
        &self.warnings
    }
}

fn syntax_error(text: &str, at: usize, message: &str) -> PolicyError {
    let (line, column) = Cursor::new(text).advance(at);
    PolicyError {
        line,
        column,
        key: "syntax".to_owned(),
        message: message.replace('\n', ", "),
    }
}

fn merged_uids(document: &Document) -> Vec<RangeInclusive<u32>> {
    let ranges = document.tenants.uids.value.iter();
    let ranges = ranges.map(|range| (range.value.first, range.value.last));
    let outsiders = document.outsiders().map(|n| (n.uid.value, n.uid.value));
    let mut sorted: Vec<(u32, u32)> = ranges.chain(outsiders).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if before.1.checked_add(1) == Some(first) => before.1 = last,
            _ => merged.push((first, last)),
        }
    }
    merged.into_iter().map(|(a, b)| a..=b).collect()
}

/// A tenant whose grant is being put together. Every `None` on the way would be a hole in the
/// checks of [`Policy::parse`]; it ends as "no tenant", never as a wrong number.
struct Seeker<'p> {
    policy: &'p Policy,
    uid: u32,
    named: Option<&'p Named>,
    place: Option<u64>,
}

impl<'p> Seeker<'p> {
    fn grant(&self) -> Option<Grant> {
        let tenants = &self.policy.document.tenants;
        let uid = self.uid;
        let own = self.named;
        let service_rule = self.pick(&tenants.service_uids, |n| n.service_uids.as_ref());
        let service_uids = service_uids(uid, *service_rule)?;
        let first_service_uid = service_uids.first()?;
        let base_dir = own.and_then(|n| n.base_dir.as_ref());
        let domain = own.and_then(|n| n.domain.as_ref());
        let name = own.and_then(|n| n.name.as_ref());
        let text = |own: Option<&At<String>>, default: &dyn Fn() -> String| {
            own.map_or_else(default, |own| own.value.clone())
        };
        let network = self.network()?;
        Some(Grant {
            uid,
            gid: own.and_then(|n| n.gid).map_or(uid, |gid| gid.value),
            name: text(name, &|| format!("tenant-{uid}")),
            base_dir: text(base_dir, &|| tenants.base_dir.value.fill(uid)),
            domain: text(domain, &|| tenants.domain.value.fill(uid)),
            domains: own.map_or_else(Vec::new, |own| {
                own.domains
                    .iter()
                    .map(|domain| domain.value.clone())
                    .collect()
            }),
            front_door: self.front_door(&network)?,
            network,
            ports: self.ports()?,
            platform_profile: format!("ai-platform-{uid}"),
            openclaw_profile: format!("ai-platform-openclaw-{first_service_uid}"),
            service_uids,
            volume: volume(self.pick(&tenants.volume, |n| n.volume.as_ref())),
            egress: self.pick(&tenants.egress, |n| n.egress.as_ref()).clone(),
            guard: *self.pick(&tenants.guard, |n| n.guard.as_ref()),
            apparmor: *self.pick(&tenants.apparmor, |n| n.apparmor.as_ref()),
            capabilities: self
                .pick(&tenants.capabilities, |n| n.capabilities.as_ref())
                .clone(),
            images: self.pick(&tenants.images, |n| n.images.as_ref()).clone(),
            local_images: self
                .pick(&tenants.local_images, |n| n.local_images.as_ref())
                .clone(),
            limits: *self.pick(&tenants.limits, |n| n.limits.as_ref()),
            writable_layer: *self.pick(&tenants.writable_layer, |n| n.writable_layer.as_ref()),
            container_prefix: format!("tenant-{uid}-"),
            rules: self.rules(),
        })
    }

    /// The named tenant's own value, or everybody's.
    fn pick<T>(
        &self,
        everybody: &'p Setting<T>,
        own: impl Fn(&'p Named) -> Option<&'p At<T>>,
    ) -> &'p T {
        self.named
            .and_then(own)
            .map_or(&everybody.value, |own| &own.value)
    }

    fn network(&self) -> Option<NetworkGrant> {
        let rule = &self.policy.document.tenants.network.value;
        let own = self.named.and_then(|n| n.network.as_ref());
        let own_name = own.and_then(|n| n.value.name.as_ref());
        let own_subnet = own.and_then(|n| n.value.subnet);
        let subnet = match own_subnet {
            Some(subnet) => subnet.value,
            None => self.subnet_by_formula(rule.pool, rule.prefix)?,
        };
        let gateway = u32::from(subnet.address).checked_add(1)?;
        Some(NetworkGrant {
            name: own_name.map_or_else(|| rule.name.value.fill(self.uid), |n| n.value.clone()),
            subnet,
            gateway: Ipv4Addr::from(gateway),
            bridge: format!("ai-{}", self.uid),
        })
    }

    /// The proxy has the last host address of the subnet: Docker hands out the lowest that is free, and so
    /// reaches it only when every other one is taken.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a number that does not fit"
    )]
    fn front_door(&self, network: &NetworkGrant) -> Option<Option<FrontDoor>> {
        let ingress = &self.policy.document.ingress;
        if !ingress.enabled {
            return Some(None);
        }
        let subnet = network.subnet;
        let last = u32::try_from(Block::size(subnet.prefix).checked_sub(2)?).ok()?;
        Some(Some(FrontDoor {
            proxy: Ipv4Addr::from(u32::from(subnet.address).checked_add(last)?),
            http_port: ingress.http_port,
            https_port: ingress.https_port,
        }))
    }

    fn subnet_by_formula(&self, pool: Ipv4Subnet, prefix: u8) -> Option<Ipv4Subnet> {
        let below = self.place?.checked_mul(Block::size(prefix))?;
        let address = Block::from(pool).first.checked_add(below)?;
        Some(Ipv4Subnet {
            address: Ipv4Addr::from(u32::try_from(address).ok()?),
            prefix,
        })
    }

    fn ports(&self) -> Option<PortRange> {
        let rule = self.policy.document.tenants.ports.value;
        let own = self.named.and_then(|n| n.ports);
        let by_formula = || {
            let below = self.place?.checked_mul(rule.per_tenant.into())?;
            u16::try_from(below.checked_add(rule.first.into())?).ok()
        };
        let first = own.and_then(|o| o.value.first).or_else(by_formula)?;
        let count = own.map_or(rule.per_tenant, |ports| ports.value.count);
        first.checked_add(count.checked_sub(1)?)?;
        Some(PortRange { first, count })
    }

    fn rules(&self) -> GrantRules {
        let tenants = &self.policy.document.tenants;
        let own = self.named;
        macro_rules! rule {
            ($part:ident) => {{
                let own = own.and_then(|n| n.$part.as_ref()).map(|value| value.at);
                self.rule(stringify!($part), own, tenants.$part.at)
            }};
        }
        let follows_uid = |part: &str, own: Option<usize>| match own {
            Some(_) => self.rule(part, own, None),
            None => self.uid_rule(),
        };
        GrantRules {
            uid: self.uid_rule(),
            gid: follows_uid("gid", own.and_then(|n| n.gid).map(|gid| gid.at)),
            name: follows_uid(
                "name",
                own.and_then(|n| n.name.as_ref()).map(|name| name.at),
            ),
            base_dir: rule!(base_dir),
            domain: rule!(domain),
            network: rule!(network),
            ports: rule!(ports),
            service_uids: rule!(service_uids),
            volume: rule!(volume),
            egress: rule!(egress),
            guard: rule!(guard),
            apparmor: rule!(apparmor),
            capabilities: rule!(capabilities),
            images: rule!(images),
            local_images: rule!(local_images),
            limits: rule!(limits),
            writable_layer: rule!(writable_layer),
        }
    }

    /// The range that makes the UID a tenant, or else its `[[tenant]]`.
    fn uid_rule(&self) -> Rule {
        let ranges = &self.policy.document.tenants.uids.value;
        match ranges.iter().find(|r| r.value.contains(self.uid)) {
            Some(range) => self.rule("uids", None, Some(range.at)),
            None => self.rule("uid", self.named.map(|n| n.uid.at), None),
        }
    }

    fn rule(&self, part: &str, own: Option<usize>, everybody: Option<usize>) -> Rule {
        let line = |at: usize| self.policy.lines.line(at);
        match own {
            Some(at) => Rule {
                key: format!("tenant[{}].{part}", self.uid),
                line: Some(line(at)),
            },
            None => Rule {
                key: format!("tenants.{part}"),
                line: everybody.map(line),
            },
        }
    }
}

fn service_uids(uid: u32, rule: ServiceUids) -> Option<Vec<u32>> {
    (1..=rule.count)
        .map(|number| uid.checked_add(rule.offset.checked_mul(number)?))
        .collect()
}

fn volume(volume: &Volume) -> VolumeGrant {
    VolumeGrant {
        kind: volume.kind.clone(),
        fs: volume.fs.to_owned(),
        format: volume.format,
        uuid: volume.uuid.clone(),
        size_min: volume.size_min,
        grow: volume.grow,
    }
}
