//! `[ingress]`: the front door of all tenants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;

/// Addresses that the front door may listen on, at most.
const MAX_ADDRESSES: usize = 16;

/// The table as it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct Ingress {
    pub(crate) enabled: bool,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) http_port: u16,
    pub(crate) https_port: u16,
    /// Where the table stands, if it does.
    pub(crate) at: Option<usize>,
}

impl Default for Ingress {
    /// Off until the administrator says otherwise; then every address of the host.
    fn default() -> Self {
        Self {
            enabled: false,
            addresses: vec![
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
            http_port: 80,
            https_port: 443,
            at: None,
        }
    }
}

impl Ingress {
    pub(super) fn read(section: &Section<'_, '_>, report: &mut Report) -> Self {
        section.only(&["enabled", "addresses", "http_port", "https_port"], report);
        let mut ingress = Self {
            at: Some(section.at),
            ..Self::default()
        };
        if let Some(enabled) = section.get("enabled").and_then(|e| e.boolean(report)) {
            ingress.enabled = enabled;
        }
        if let Some(found) = section
            .get("addresses")
            .and_then(|entry| addresses(&entry, report))
        {
            ingress.addresses = found;
        }
        ingress.http_port = port(section, "http_port", report).unwrap_or(ingress.http_port);
        ingress.https_port = port(section, "https_port", report).unwrap_or(ingress.https_port);
        if ingress.http_port == ingress.https_port {
            let key = section.key("https_port");
            let message = format!("{} is http_port too", ingress.https_port);
            report.error(section.at, &key, message);
        }
        ingress
    }
}

fn port(section: &Section<'_, '_>, name: &str, report: &mut Report) -> Option<u16> {
    let number = section.get(name)?.integer(1..=65_535, report)?;
    u16::try_from(number).ok()
}

fn addresses(entry: &Entry<'_, '_>, report: &mut Report) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for element in entry.list(MAX_ADDRESSES, report)? {
        let Some(At { value, at }) = element.parse(address, report) else {
            continue;
        };
        if found.contains(&value) {
            report.error(at, &element.key, "listed twice");
        } else {
            found.push(value);
        }
    }
    if found.is_empty() {
        report.error(entry.at, &entry.key, "names no address");
    }
    Some(found)
}

/// An address of the host in its usual spelling, without a zone.
fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IP address"))?;
    if address.to_string() != text {
        return Err(format!("write {address} for {text}"));
    }
    if address.is_multicast() {
        return Err(format!("{text} is a multicast address"));
    }
    Ok(address)
}
