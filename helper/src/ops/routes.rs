//! The host's IPv4 routes, so that no tenant's subnet hides a network that the host uses.

use std::net::Ipv4Addr;

use aistack_policy::Ipv4Subnet;

/// The first route of this host that overlaps `subnet`; the default route does not count. When the
/// table cannot be read, Docker's own check remains.
pub(super) fn overlapping(subnet: Ipv4Subnet) -> Option<Ipv4Subnet> {
    let table = std::fs::read_to_string("/proc/net/route").ok()?;
    routes(&table).find(|route| overlap(*route, subnet))
}

/// The networks of `/proc/net/route` (proc_net(5)): from the second line on, the second field is
/// the destination and the eighth the mask, as hexadecimal numbers in the host's byte order.
fn routes(table: &str) -> impl Iterator<Item = Ipv4Subnet> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let address = number(fields.nth(1)?)?;
        let prefix = u8::try_from(number(fields.nth(5)?)?.leading_ones()).ok()?;
        (prefix > 0).then(|| Ipv4Subnet {
            address: Ipv4Addr::from_bits(address),
            prefix,
        })
    })
}

fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16)
        .ok()
        .map(|raw| u32::from_be_bytes(raw.to_ne_bytes()))
}

fn overlap(one: Ipv4Subnet, other: Ipv4Subnet) -> bool {
    let shorter = u32::from(one.prefix.min(other.prefix)).min(32);
    let mask = u32::MAX.checked_shl(32 - shorter).unwrap_or(0);
    (one.address.to_bits() ^ other.address.to_bits()) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        let (address, prefix) = text.split_once('/').unwrap();
        Ipv4Subnet {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read_without_the_default_route() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            ai\t4000800A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0\n\
            broken line\n";
        let read: Vec<String> = routes(table).map(|route| route.to_string()).collect();
        assert_eq!(read, ["192.168.0.0/24", "10.128.0.64/26"]);
    }

    #[test]
    fn subnets_overlap_when_one_is_in_the_other() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.0/24", true),
            ("10.1.2.0/24", "10.0.0.0/8", true),
            ("10.1.2.0/24", "10.1.2.0/24", true),
            ("10.1.2.0/26", "10.1.2.64/26", false),
            ("192.168.0.0/16", "10.0.0.0/8", false),
            ("10.1.2.3/32", "10.1.2.0/30", true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(
                overlap(subnet(one), subnet(other)),
                expected,
                "{one} {other}"
            );
        }
    }
}
