//! The network guard: one nftables table, `inet aistack`, that keeps everybody but the owner from a
//! tenant's ports and subnet, and a tenant's containers from everybody else's.
//!
//! [`render`] is pure: the policy and a few [`Facts`] of the host in, the text for `nft -f` out. Every
//! word of the text comes from a number or an address of a typed value.

mod front_door;
mod render;
mod special;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

pub use render::render;
pub(crate) use special::is_unreachable;

/// Name of the table, of the family `inet`.
pub const TABLE: &str = "aistack";

/// What `[guard]` of the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardSettings {
    /// Whether the host is to be guarded at all.
    pub enabled: bool,
    /// UIDs, beside root, that may connect to every tenant.
    pub allow_uids: Vec<u32>,
    /// UIDs from 1000 up that may connect to the metadata addresses of clouds.
    pub metadata_uids: Vec<u32>,
    /// Which name servers containers may ask.
    pub dns: NameServers,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_uids: Vec::new(),
            metadata_uids: Vec::new(),
            dns: NameServers::Host,
        }
    }
}

/// `guard.dns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameServers {
    /// Those that the host asks itself, as its resolv.conf(5) has them.
    Host,
    /// These, and no other.
    Listed(Vec<IpAddr>),
}

/// `guard = …` of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardMode {
    /// No container starts while the guard is not in force.
    Required,
    /// Containers start without it, and `whoami`, `status` and `doctor` say so.
    IfAvailable,
}

/// `egress = …` of a tenant: what its containers may connect to outside of their own network. Never
/// services of the host other than its front door and name servers, other tenants, link-local and metadata addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// Nothing.
    None,
    /// Public addresses.
    Internet,
    /// Private networks too.
    All,
    /// These networks.
    Listed(Vec<Cidr>),
}

impl fmt::Display for Egress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Internet => out.write_str("internet"),
            Self::All => out.write_str("all"),
            Self::Listed(networks) => {
                let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
                out.write_str(&texts.join(", "))
            }
        }
    }
}

/// An IPv4 or IPv6 network; the host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// Network address.
    pub address: IpAddr,
    /// Prefix length, at least 1.
    pub prefix: u8,
}

impl Cidr {
    /// First and last address as numbers; `None` in place of a prefix that is too long.
    fn bounds(self) -> (u128, u128) {
        let (first, bits) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let below = bits.saturating_sub(u32::from(self.prefix));
        let rest = 1_u128.checked_shl(below).map_or(u128::MAX, |size| size - 1);
        (first, first | rest)
    }

    /// True when every address of `other` is one of this network.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        let ((first, last), (from, to)) = (self.bounds(), other.bounds());
        self.address.is_ipv4() == other.address.is_ipv4() && first <= from && to <= last
    }

    /// True when both have an address in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// What the table depends on beside the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name servers of the host, for `dns = "host"`.
    pub name_servers: Vec<IpAddr>,
    /// UID of the front door's HAProxy; `None` where the host has no such user.
    pub front_door: Option<u32>,
}

/// A UDP destination on loopback that the table drops. Nothing listens there: who sends a datagram and
/// gets EPERM knows, without any privilege, that the table is in force, and that it was rendered
/// from the policy that this destination was derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    address: Ipv4Addr,
    port: u16,
}

impl Canary {
    /// The destination for a digest; only its first four bytes count.
    #[must_use]
    pub fn of(digest: [u8; 4]) -> Self {
        let [a, b, c, d] = digest;
        // Not the network's first or last address. An even port: the one above it is the control.
        let port = 1024 + ((u16::from_be_bytes([c, d]) % 64_000) & !1);
        Self {
            address: Ipv4Addr::new(127, 86, a, b.clamp(1, 254)),
            port,
        }
    }

    /// What the table drops.
    #[must_use]
    pub fn dropped(self) -> (Ipv4Addr, u16) {
        (self.address, self.port)
    }

    /// What it lets pass: a datagram that is refused there too was refused by something else.
    #[must_use]
    pub fn control(self) -> (Ipv4Addr, u16) {
        (self.address, self.port | 1)
    }
}

#[cfg(test)]
mod tests;
