//! What the host's own network has already, so that no tenant's network hides or takes it.
//!
//! The daemon's unit gives it a network namespace without interfaces, so that what it sees of its
//! own is nothing: the host's tables are those of process 1.

use std::net::Ipv4Addr;

use aistack_policy::Ipv4Subnet;
use rustix::io::Errno;

use super::Error;
use super::paths::io_error;

/// IPv4 routes of the host (proc_net(5)).
const ROUTES: &str = "/proc/1/net/route";
/// Interfaces of the host with their counters (proc_net(5)).
const INTERFACES: &str = "/proc/1/net/dev";

/// The first route of this host that overlaps `subnet`; the default route does not count.
pub(super) fn overlapping_route(subnet: Ipv4Subnet) -> Result<Option<Ipv4Subnet>, Error> {
    let table = read(ROUTES)?;
    Ok(routes(&table).find(|route| overlap(*route, subnet)))
}

/// True when the host has a network interface of this name.
pub(super) fn has_interface(name: &str) -> Result<bool, Error> {
    let table = read(INTERFACES)?;
    Ok(interfaces(&table).any(|interface| interface == name))
}

fn read(table: &str) -> Result<String, Error> {
    std::fs::read_to_string(table)
        .map_err(|error| io_error("read", table)(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// After two lines of headings, a name and a colon begin each line.
fn interfaces(table: &str) -> impl Iterator<Item = &str> {
    let lines = table.lines().skip(2);
    lines.filter_map(|line| line.split_once(':').map(|(name, _)| name.trim()))
}

/// The networks of the table: from the second line on, the second field is the destination and the
/// eighth the mask, as hexadecimal numbers in the host's byte order.
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
    fn interfaces_are_the_names_before_the_colons() {
        let table = "Inter-|   Receive                |  Transmit\n \
            face |bytes    packets errs |bytes    packets errs\n    \
            lo:  100       1    0  100       1    0\nai-1001:0 0 0 0 0 0\n";
        let names: Vec<&str> = interfaces(table).collect();
        assert_eq!(names, ["lo", "ai-1001"]);
    }

    #[test]
    fn this_host_has_a_loopback_interface_and_not_any_other() {
        assert!(has_interface("lo").unwrap());
        assert!(!has_interface("ai-4294967294").unwrap());
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
