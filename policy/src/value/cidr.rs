//! Networks that containers may connect to.

use std::net::IpAddr;

use crate::guard::{Cidr, is_unreachable};

/// `"192.168.7.0/24"`, `"2001:db8::/32"`: canonical, host bits zero.
pub(crate) fn cidr(text: &str) -> Result<Cidr, String> {
    let malformed = || {
        format!("{text:?} is not a network; write it like \"192.168.7.0/24\" or \"2001:db8::/32\"")
    };
    let (address, length) = text.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let prefix: u8 = length.parse().map_err(|_| malformed())?;
    if prefix.to_string() != length {
        return Err(malformed());
    }
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if prefix > bits {
        return Err(format!("the prefix /{prefix} is longer than /{bits}"));
    }
    if prefix == 0 {
        return Err(format!("{text} is every address; write egress = \"all\""));
    }
    let network = Cidr { address, prefix };
    let host_bits = match address {
        IpAddr::V4(address) => address.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
        IpAddr::V6(address) => address.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
    };
    if host_bits {
        return Err(format!("{address} is not the first address of a /{prefix}"));
    }
    if is_unreachable(network) {
        return Err(format!(
            "no container may connect to {text}: it is the host's own, link-local, multicast, a metadata \
             address or not a host address"
        ));
    }
    Ok(network)
}

/// The address of a name server.
pub(crate) fn name_server(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IP address"))?;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(format!("{text} is not an address that a container can ask"));
    }
    Ok(address)
}
