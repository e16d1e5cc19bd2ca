//! Addresses that are no public host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

/// Where clouds serve the credentials of the host, and other things that are the host's alone:
/// AWS, Google, Azure, Oracle and others (169.254.169.254), ECS tasks (169.254.170.2), EKS
/// (169.254.170.23), Alibaba (100.100.100.200), Oracle (192.0.0.192), Azure's host agent
/// (168.63.129.16).
pub(super) const METADATA4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The same by IPv6: AWS, EKS, Google.
pub(super) const METADATA6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// What no container reaches, whatever `egress` says: this host, link-local, multicast, and what is
/// no address of a host (RFC 6890).
pub(super) const UNREACHABLE4: [Cidr; 5] = [
    v4([0, 0, 0, 0], 8),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The same for IPv6; the third is IPv4 in another form.
pub(super) const UNREACHABLE6: [Cidr; 5] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

/// Private networks: RFC 1918, RFC 6598, and what RFC 6890 keeps for protocols and benchmarks.
pub(super) const PRIVATE4: [Cidr; 6] = [
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
];

/// Private networks: RFC 4193, and the site-local ones before them.
pub(super) const PRIVATE6: [Cidr; 2] = [
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Cidr {
    let [a, b, c, d] = octets;
    Cidr {
        address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix,
    }
}

/// None of them has more groups than these four.
const fn v6(parts: [u16; 8], prefix: u8) -> Cidr {
    let [first, second, .., last] = parts;
    let sixth = parts[5];
    Cidr {
        address: IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, sixth, 0, last)),
        prefix,
    }
}

/// True when no container could ever reach any address of the network.
pub(crate) fn is_unreachable(network: Cidr) -> bool {
    let all = UNREACHABLE4.iter().chain(&UNREACHABLE6);
    all.into_iter().any(|none| none.holds(network)) || {
        let single = network.prefix == if network.address.is_ipv4() { 32 } else { 128 };
        single && is_metadata(network.address)
    }
}

/// True for an address where a cloud hands out the host's credentials.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => METADATA4.contains(&address),
        IpAddr::V6(address) => METADATA6.contains(&address),
    }
}
