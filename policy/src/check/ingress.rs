//! The front door agrees with the tenants: not too many, no port of theirs, an address in each network.

use super::Subject;
use super::numbers::{port_claims, tenant_claims};
use crate::ingress::MAX_ROUTED_TENANTS;
use crate::report::Report;
use crate::value::Block;

/// The longest prefix that has room for the gateway, the proxy and a container.
const LONGEST_PREFIX: u8 = 29;

/// Nothing where the front door is off.
pub(super) fn all(subject: Subject<'_>, report: &mut Report) {
    let ingress = &subject.document.ingress;
    if !ingress.enabled {
        return;
    }
    let at = ingress.at.unwrap_or_default();
    let tenants = tenant_claims(subject).iter().fold(0_u64, |sum, claim| {
        sum.saturating_add(claim.high - claim.low + 1)
    });
    if tenants > MAX_ROUTED_TENANTS {
        let message = format!(
            "the policy has {tenants} tenants, and the front door has room for {MAX_ROUTED_TENANTS}"
        );
        report.error(at, "ingress.enabled", message);
    }
    if subject.invalid.holds_none(&["ports"]) {
        ports(subject, at, report);
    }
    prefixes(subject, report);
}

fn ports(subject: Subject<'_>, at: usize, report: &mut Report) {
    let ingress = &subject.document.ingress;
    let claims = port_claims(subject);
    for (key, port) in [
        ("ingress.http_port", u64::from(ingress.http_port)),
        ("ingress.https_port", u64::from(ingress.https_port)),
    ] {
        let theirs = |claim: &&super::claim::Claim| (claim.low..=claim.high).contains(&port);
        if let Some(claim) = claims.iter().find(theirs) {
            report.error(
                at,
                key,
                format!("{port} is one of the {}", claim.describe(port)),
            );
        }
    }
}

fn prefixes(subject: Subject<'_>, report: &mut Report) {
    let message = |prefix: u8| {
        format!(
            "a subnet of /{prefix} has no room for the address of the tenant's proxy, which the front \
             door needs; at most /{LONGEST_PREFIX}"
        )
    };
    let network = &subject.document.tenants.network;
    if network.value.prefix > LONGEST_PREFIX {
        let at = subject.anchor(network.at);
        report.error(at, "tenants.network.prefix", message(network.value.prefix));
    }
    for named in subject.document.named.values() {
        let own = named.network.as_ref().and_then(|n| n.value.subnet);
        if let Some(subnet) = own.filter(|subnet| subnet.value.prefix > LONGEST_PREFIX) {
            let key = format!("tenant[{}].network.subnet", named.uid.value);
            report.error(subnet.at, &key, message(subnet.value.prefix));
        }
    }
}

/// What the administrator should know: with so many containers, Docker gives one of them the proxy's address.
pub(super) fn warnings(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    let network = &document.tenants.network;
    let containers = document.tenants.limits.value.containers;
    // Beside the proxy's: the subnet's own, the gateway's and the broadcast address.
    let room = Block::size(network.value.prefix).saturating_sub(4);
    if document.ingress.enabled && containers > room {
        let message = format!(
            "a /{} has {room} addresses for containers beside the proxy's, which the front door needs, \
             and limits.containers is {containers}",
            network.value.prefix
        );
        report.warn(
            subject.anchor(network.at),
            "tenants.network.prefix",
            message,
        );
    }
}
