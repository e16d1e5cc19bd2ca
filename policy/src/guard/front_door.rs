//! The rules for the front door: HAProxy may connect to the tenants' proxies and to nothing else of theirs,
//! and containers may open their own sites by name, as every visitor does.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::render::{list, listed, set, set_or_map};
use super::{Egress, Facts};
use crate::Grant;
use crate::ingress::{Ingress, PROXY_HTTP_PORT, PROXY_HTTPS_PORT};

/// What the chains that see every packet say of the front door; empty where there is none.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// In `output`, before anything is accepted.
    pub(super) answers: String,
    /// In `output`, before the tenants' own rules.
    pub(super) visits: String,
    /// In `to_host`, before the refusal.
    pub(super) to_host: String,
}

/// Writes the sets and chains of the front door, and returns the rules that use them.
pub(super) fn front_door(
    text: &mut String,
    ingress: Option<&Ingress>,
    facts: &Facts,
    tenants: &[Grant],
) -> Result<Rules, fmt::Error> {
    let Some(ingress) = ingress else {
        return Ok(Rules::default());
    };
    let proxies = tenants.iter().filter_map(|grant| grant.front_door);
    let proxies = proxies.map(|door| door.proxy);
    set(text, "proxies", "ipv4_addr", "", proxies)?;
    visitors(text, tenants)?;
    // Without its user nothing can be the front door.
    let Some(uid) = facts.front_door else {
        return Ok(Rules::default());
    };
    let ports = format!("{{ {}, {} }}", ingress.http_port, ingress.https_port);
    // A container that asks for a port of the front door gets no answer but HAProxy's, also while HAProxy is
    // down and something else listens there, or opens the same connection from the other end. An answer without
    // a socket (a SYN cookie) is nobody's.
    writeln!(text, "\tchain front_door_answers {{")?;
    writeln!(text, "\t\tmeta skuid {uid} return\n\t\tgoto refuse\n\t}}")?;
    let mut rules = Rules {
        answers: format!(
            "\t\toifname \"ai-*\" tcp sport {ports} tcp flags & (fin | syn | rst | ack) == syn | ack \
             jump front_door_answers\n\
             \t\toifname \"ai-*\" tcp sport {ports} ct direction reply tcp flags & (fin | syn | rst | ack) == syn \
             jump front_door_answers\n"
        ),
        visits: format!(
            "\t\tmeta skuid {uid} ip daddr @proxies tcp dport {{ {PROXY_HTTP_PORT}, {PROXY_HTTPS_PORT} }} accept\n"
        ),
        to_host: String::new(),
    };
    for v4 in [true, false] {
        let of_version = ingress.addresses.iter().filter(|a| a.is_ipv4() == v4);
        let addresses: Vec<&IpAddr> = of_version.collect();
        if let Some(place) = place(v4, &addresses) {
            writeln!(
                rules.to_host,
                "\t\t{place} tcp dport {ports} iifname vmap @visitors"
            )?;
        }
    }
    Ok(rules)
}

/// Where the front door listens, of one version of IP; `None` where it does not.
fn place(v4: bool, addresses: &[&IpAddr]) -> Option<String> {
    let (family, version) = if v4 { ("ip", "ipv4") } else { ("ip6", "ipv6") };
    if addresses.is_empty() {
        None
    } else if addresses.iter().any(|address| address.is_unspecified()) {
        Some(format!("meta nfproto {version} fib daddr type local"))
    } else {
        Some(format!("{family} daddr {{ {} }}", list(addresses)))
    }
}

/// Whose containers reach the front door: who may connect to the internet, where its sites are, and who has its
/// address in a list.
fn visitors(text: &mut String, tenants: &[Grant]) -> fmt::Result {
    let mut verdicts = Vec::new();
    for grant in tenants {
        let (uid, bridge) = (grant.uid, &grant.network.bridge);
        match &grant.egress {
            Egress::None => {}
            Egress::Internet | Egress::All => verdicts.push(format!("\"{bridge}\" : accept")),
            Egress::Listed(networks) => {
                writeln!(text, "\tchain visitor_{uid} {{")?;
                listed(text, "ip", networks.iter().filter(|n| n.address.is_ipv4()))?;
                listed(text, "ip6", networks.iter().filter(|n| n.address.is_ipv6()))?;
                writeln!(text, "\t}}")?;
                verdicts.push(format!("\"{bridge}\" : jump visitor_{uid}"));
            }
        }
    }
    set_or_map(text, "map", "visitors", "ifname : verdict", "", verdicts)
}
