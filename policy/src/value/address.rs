//! IPv4 networks.

use std::net::Ipv4Addr;

use crate::Ipv4Subnet;

/// Networks that no public host can have (RFC 1918, RFC 6598).
const PRIVATE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// The addresses of a network as plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Block {
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let first = u64::from(u32::from(address));
        Self {
            first,
            last: first + Self::size(prefix) - 1,
        }
    }

    /// How many addresses a network of this prefix length has.
    pub(crate) fn size(prefix: u8) -> u64 {
        1 << 32_u32.saturating_sub(u32::from(prefix))
    }

    pub(crate) fn holds(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<Ipv4Subnet> for Block {
    fn from(subnet: Ipv4Subnet) -> Self {
        Self::of(subnet.address, subnet.prefix)
    }
}

/// `"10.128.0.0/10"`: canonical, host bits zero, prefix 8 to 30, private.
pub(crate) fn subnet(text: &str) -> Result<Ipv4Subnet, String> {
    let malformed = || format!("{text:?} is no IPv4 network; write it like \"10.128.0.0/10\"");
    let (address, length) = text.split_once('/').ok_or_else(malformed)?;
    let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
    let prefix: u8 = length.parse().map_err(|_| malformed())?;
    if prefix.to_string() != length {
        return Err(malformed());
    }
    if !(8..=30).contains(&prefix) {
        return Err(format!("the prefix /{prefix} is not between /8 and /30"));
    }
    let below = u64::from(u32::from(address)) % Block::size(prefix);
    if below != 0 {
        return Err(format!(
            "{address} is not the first address of a /{prefix}: {below} addresses lie below it"
        ));
    }
    let block = Block::of(address, prefix);
    let private = |(address, prefix): &(Ipv4Addr, u8)| Block::of(*address, *prefix).holds(block);
    if !PRIVATE.iter().any(private) {
        return Err(format!(
            "{text} is not private: it must lie in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"
        ));
    }
    Ok(Ipv4Subnet { address, prefix })
}
