//! What one tenant may have. A `Grant` is made only by [`crate::Policy::grant`].

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use crate::guard::{Egress, GuardMode};
use crate::{DiskMatch, Rule, image};

/// Everything the policy gives one UID: a pure function of the policy text and the UID.
///
/// Two different UIDs never share a directory, UID, network name, subnet, bridge, port, profile
/// name or container name prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The tenant's UID.
    pub uid: u32,
    /// The GID that the tenant's containers and directories carry; the UID's own number unless the
    /// policy says otherwise.
    pub gid: u32,
    /// Short name for people, e.g. `acme`; `tenant-<uid>` unless the policy says otherwise.
    pub name: String,
    /// Absolute, normalised path of the tenant's volume, e.g. `/mnt/data-tenant-1001`.
    pub base_dir: String,
    /// DNS name that the tenant's sites live under.
    pub domain: String,
    /// Further DNS names that lead to the tenant.
    pub domains: Vec<String>,
    /// The front door, where the policy has one.
    pub front_door: Option<FrontDoor>,
    /// The one Docker network of the tenant.
    pub network: NetworkGrant,
    /// Ports that containers may publish.
    pub ports: PortRange,
    /// UIDs, each with a GID of the same number, that containers may run as beside `uid`. The
    /// first is OPENCLAW_UID.
    pub service_uids: Vec<u32>,
    /// AppArmor profile of the services, `ai-platform-<uid>`.
    pub platform_profile: String,
    /// AppArmor profile of OpenClaw, `ai-platform-openclaw-<first service uid>`.
    pub openclaw_profile: String,
    /// The tenant's volume.
    pub volume: VolumeGrant,
    /// What containers may connect to outside of their own network, while the guard is in force.
    pub egress: Egress,
    /// Whether containers may run while the network guard is not in force.
    pub guard: GuardMode,
    /// Whether containers may run without AppArmor on a kernel that has none.
    pub apparmor: AppArmorMode,
    /// Capabilities that containers may add, upper case without `CAP_`, e.g. `NET_BIND_SERVICE`.
    pub capabilities: BTreeSet<String>,
    /// Images that containers may be made from.
    pub images: Vec<ImagePattern>,
    /// Images of this host that `images` allows and that the tenant may use without having pulled
    /// them, e.g. those that the administrator loaded for everybody.
    pub local_images: Vec<ImagePattern>,
    /// What all containers of the tenant may use together.
    pub limits: Limits,
    /// What containers may write outside of their mounts.
    pub writable_layer: WritableLayer,
    /// Every container name starts with this: `tenant-<uid>-`.
    pub container_prefix: String,
    /// Which rule gives each part.
    pub rules: GrantRules,
}

impl Grant {
    /// True for the tenant's own UID and for its service UIDs.
    #[must_use]
    pub fn owns_uid(&self, uid: u32) -> bool {
        uid == self.uid || self.service_uids.contains(&uid)
    }

    /// The GID that belongs to one of the grant's UIDs, `None` for any other UID.
    #[must_use]
    pub fn gid_of(&self, uid: u32) -> Option<u32> {
        if uid == self.uid {
            Some(self.gid)
        } else {
            self.service_uids.contains(&uid).then_some(uid)
        }
    }
}

/// The rule behind each part of a [`Grant`], for refusals and `policy explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // one field for each part of the grant, by the same name
pub struct GrantRules {
    pub uid: Rule,
    pub gid: Rule,
    pub name: Rule,
    pub base_dir: Rule,
    pub domain: Rule,
    pub network: Rule,
    pub ports: Rule,
    pub service_uids: Rule,
    pub volume: Rule,
    pub egress: Rule,
    pub guard: Rule,
    pub apparmor: Rule,
    pub capabilities: Rule,
    pub images: Rule,
    pub local_images: Rule,
    pub limits: Rule,
    pub writable_layer: Rule,
}

impl GrantRules {
    /// Every part with its rule, in the order of the policy file.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        [
            ("uid", &self.uid),
            ("gid", &self.gid),
            ("name", &self.name),
            ("base_dir", &self.base_dir),
            ("domain", &self.domain),
            ("network", &self.network),
            ("ports", &self.ports),
            ("service_uids", &self.service_uids),
            ("volume", &self.volume),
            ("egress", &self.egress),
            ("guard", &self.guard),
            ("apparmor", &self.apparmor),
            ("capabilities", &self.capabilities),
            ("images", &self.images),
            ("local_images", &self.local_images),
            ("limits", &self.limits),
            ("writable_layer", &self.writable_layer),
        ]
        .into_iter()
    }
}

/// How the tenant's sites are reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrontDoor {
    /// The one address that the front door sends the tenant's visitors to; only the tenant's proxy has it.
    pub proxy: Ipv4Addr,
    /// The port for plain HTTP.
    pub http_port: u16,
    /// The port for TLS.
    pub https_port: u16,
}

/// The tenant's Docker network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkGrant {
    /// Docker network name.
    pub name: String,
    /// The tenant's part of the pool.
    pub subnet: Ipv4Subnet,
    /// First host address of the subnet.
    pub gateway: Ipv4Addr,
    /// Bridge interface name, at most 15 characters (IFNAMSIZ - 1), e.g. `ai-1001`.
    pub bridge: String,
}

/// An IPv4 network in CIDR form; the host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipv4Subnet {
    /// Network address.
    pub address: Ipv4Addr,
    /// Prefix length, 8 to 30.
    pub prefix: u8,
}

impl Ipv4Subnet {
    pub(crate) const fn new(address: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: Ipv4Addr::new(a, b, c, d),
            prefix,
        }
    }
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// A run of TCP/UDP ports; never reaches past 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// How many, at least 1.
    pub count: u16,
}

impl PortRange {
    /// Last port of the range.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    /// True when `port` is in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last()).contains(&port)
    }
}

/// Where the tenant's data lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeGrant {
    /// A disk or a file.
    pub kind: VolumeKind,
    /// File system, `ext4` or `xfs`.
    pub fs: String,
    /// Whether a blank volume may be formatted; never with a `uuid`.
    pub format: Format,
    /// UUID of the file system that the disk must hold, lower case with dashes.
    pub uuid: Option<String>,
    /// The fewest bytes that the disk must have; 0 for any.
    pub size_min: u64,
    /// Whether each mount grows the file system to what the policy and the disk allow.
    pub grow: bool,
}

impl VolumeGrant {
    /// The disk that the policy pins; `None` for loop volumes and where it pins none.
    #[must_use]
    pub fn disk(&self) -> Option<DiskMatch> {
        match &self.kind {
            VolumeKind::Ebs { id } => DiskMatch::ebs(id.as_ref()?).ok(),
            VolumeKind::Disk { which } => which.clone(),
            VolumeKind::Loop { .. } => None,
        }
    }
}

/// The kinds of volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// An EBS volume; `None` until the policy pins an id.
    Ebs {
        /// `vol-` and 8 or 17 hexadecimal digits.
        id: Option<String>,
    },
    /// A disk of any make; `None` until the policy pins one.
    Disk {
        /// Which disk it is.
        which: Option<DiskMatch>,
    },
    /// A sparse file of this many bytes, owned by root.
    Loop {
        /// Bytes.
        size: u64,
    },
}

/// When the helper may make a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Never: a blank volume is refused.
    Never,
    /// Once, on a volume that reads as zeros and was never formatted by aistack before.
    IfBlank,
}

/// `apparmor = …` of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppArmorMode {
    /// No profile, no container.
    Required,
    /// The tenant's profile where the kernel has AppArmor and the profile is installed, Docker's
    /// default otherwise; `status` says so loudly.
    IfAvailable,
}

/// Bounds on all containers of one tenant together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Containers, running or not.
    pub containers: u64,
}

/// `writable_layer = …` of the policy: a container's own changes to its root file system, which lie on
/// Docker's disk and not on the tenant's volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritableLayer {
    /// Every root file system is read-only.
    Never,
    /// Each container may write so many bytes. This holds by looking, not by a quota of the kernel.
    AtMost(u64),
}

/// One entry of `images`: a normalised `registry/path` with an optional final `/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePattern(pub(crate) String);

impl ImagePattern {
    /// True when the normalised repository (`docker.io/library/redis`, without tag or digest)
    /// matches. `*` stands only at the end, after a `/`, for exactly one or more further segments.
    #[must_use]
    pub fn matches(&self, repository: &str) -> bool {
        image::matches(&self.0, repository)
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
