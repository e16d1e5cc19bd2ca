//! The front door: one HAProxy in front of all tenants' proxies, rendered from the policy alone.
//!
//! Pure. A name is looked up in one map, and what it leads to is the address that the tenant's network
//! reserves for the tenant's proxy, so that adding, changing or removing a tenant changes a map and no
//! configuration. TLS is passed through: the keys stay with the tenants.

mod config;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::grant::Ipv4Subnet;

pub use config::{Files, config};

/// The port of a tenant's proxy that takes plain HTTP from the front door, after a PROXY header.
pub const PROXY_HTTP_PORT: u16 = 9080;
/// The port of a tenant's proxy that takes TLS from the front door, after a PROXY header.
pub const PROXY_HTTPS_PORT: u16 = 9443;

/// How many tenants the front door can have. HAProxy keeps about half a kilobyte for each name.
pub const MAX_ROUTED_TENANTS: u64 = 16_384;

/// `[ingress]` of a policy that enables it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ingress {
    /// Addresses of the host to listen on, none of them twice.
    pub addresses: Vec<IpAddr>,
    /// The port for plain HTTP, 80 unless the policy says otherwise.
    pub http_port: u16,
    /// The port for TLS, 443 unless the policy says otherwise.
    pub https_port: u16,
    /// The network that the tenants' subnets lie in: a tenant's containers are visitors, too.
    pub pool: Ipv4Subnet,
    /// The length of a subnet's prefix there.
    pub prefix: u8,
    /// Which proxy each domain leads to; a domain stands for itself and for every name one label below it.
    pub routes: BTreeMap<String, Ipv4Addr>,
}

impl Ingress {
    /// The map as HAProxy reads it: one line a domain.
    #[must_use]
    pub fn map(&self) -> String {
        let mut text = String::new();
        for (domain, address) in &self.routes {
            let _ = writeln!(text, "{domain} {address}");
        }
        text
    }
}
