//! Which ports a container has, and which of them are published: on loopback, in the grant's range.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;
use super::body::Body;
use super::user::decimal;

/// The one address that ports are published on. Docker takes an address that it cannot read, even
/// `"127.0.0.1 "`, for all addresses.
pub(in crate::engine::vet) const HOST_IP: &str = "127.0.0.1";

/// Ports of one container, at most.
const MAX_PORTS: usize = 128;

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// A port in the container, `6379/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(out, "{}/{protocol}", self.number)
    }
}

/// Ports of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ports {
    /// Every port that is known, published or not.
    pub(super) exposed: BTreeSet<Port>,
    /// Ports of the host, on [`HOST_IP`], by the port in the container.
    pub(super) published: BTreeMap<Port, BTreeSet<u16>>,
}

impl Ports {
    pub(super) fn decide(grant: &Grant, body: &Body) -> Result<Self, Refusal> {
        let bindings = &body.host.port_bindings;
        let count = bindings
            .values()
            .map(|hosts| hosts.len().max(1))
            .sum::<usize>();
        if count + body.exposed_ports.len() > MAX_PORTS {
            let message = format!("HostConfig.PortBindings has more than {MAX_PORTS} ports");
            return Err(refused("PORTS_REFUSED", message));
        }
        let mut ports = Self::default();
        for text in &body.exposed_ports {
            ports.exposed.insert(port("ExposedPorts", text)?);
        }
        let mut taken = BTreeSet::new();
        for (text, hosts) in bindings {
            let place = format!("HostConfig.PortBindings[\"{}\"]", shown(text));
            let port = port("HostConfig.PortBindings", text)?;
            ports.exposed.insert(port);
            for host in hosts {
                check_host_ip(&place, &host.host_ip)?;
                let number = host_port(grant, &place, &host.host_port)?;
                if !taken.insert((number, port.protocol)) {
                    let message = format!("{place}: HostPort {number} is listed twice");
                    return Err(refused("PORTS_REFUSED", message));
                }
                ports.published.entry(port).or_default().insert(number);
            }
        }
        Ok(ports)
    }
}

/// `number` or `number/protocol`; a range would be published in part, a sign or zero read anyhow.
fn port(place: &str, text: &str) -> Result<Port, Refusal> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    let number = decimal(number).and_then(|number| u16::try_from(number).ok());
    match (number, protocol) {
        (Some(number), Some(protocol)) if number != 0 => Ok(Port { number, protocol }),
        _ => Err(refused(
            "PORTS_REFUSED",
            format!(
                "{place} has \"{}\", which is not a port such as 6379/tcp or 53/udp",
                shown(text)
            ),
        )),
    }
}

fn check_host_ip(place: &str, host_ip: &str) -> Result<(), Refusal> {
    if matches!(host_ip, "" | HOST_IP) {
        return Ok(());
    }
    let message = format!(
        "{place}: HostIp is \"{}\"; ports can only be published on {HOST_IP}",
        shown(host_ip)
    );
    Err(refused("HOST_IP_REFUSED", message))
}

fn host_port(grant: &Grant, place: &str, text: &str) -> Result<u16, Refusal> {
    decimal(text)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| grant.ports.contains(*number))
        .ok_or_else(|| {
            let message = format!(
                "{place}: HostPort \"{}\" is not in this tenant's ports {} to {}",
                shown(text),
                grant.ports.first,
                grant.ports.last()
            );
            Refusal::new("HOST_PORT_REFUSED", message, grant.rules.ports.clone())
        })
}

fn refused(reason: &'static str, message: String) -> Refusal {
    Refusal::new(reason, message, Rule::builtin("ports"))
}
