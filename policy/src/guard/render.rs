//! The text for `nft -f`.
//!
//! The table stands in four hooks. `output` comes before Docker's address translation (priority -100)
//! and so sees the port that was requested; `translated` comes after it and sees the container. Each
//! looks its packet up in a map, which gives the chain of one tenant: what a packet costs does not
//! depend on how many there are. An accept here is the table's own; no other table's drop is undone.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use super::front_door::{self, front_door};
use super::special::{METADATA4, METADATA6, PRIVATE4, PRIVATE6, UNREACHABLE4, UNREACHABLE6};
use super::{Canary, Cidr, Egress, Facts, GuardSettings, NameServers, TABLE};
use crate::{Grant, Policy};

/// UIDs below are the system's own: nobody becomes one by a subordinate UID.
const FIRST_USER: u32 = 1000;

/// The whole table in one transaction, which replaces the table that is there; `None` when the policy
/// wants none. With `canary` it answers who asks whether it is in force.
#[must_use]
pub fn render(policy: &Policy, facts: &Facts, canary: Option<Canary>) -> Option<String> {
    let settings = policy.guard();
    if !settings.enabled {
        return None;
    }
    let tenants: Vec<Grant> = policy
        .tenants()
        .iter()
        .cloned()
        .flatten()
        .filter_map(|uid| policy.grant(uid))
        .collect();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = table(&mut text, policy, settings, facts, canary, &tenants);
    Some(text)
}

fn table(
    text: &mut String,
    policy: &Policy,
    settings: &GuardSettings,
    facts: &Facts,
    canary: Option<Canary>,
    tenants: &[Grant],
) -> fmt::Result {
    // The first line makes the second one possible where there is no table yet.
    writeln!(text, "table inet {TABLE}")?;
    writeln!(text, "delete table inet {TABLE}")?;
    writeln!(text, "table inet {TABLE} {{")?;
    addresses(text, settings, facts)?;
    uids(text, settings)?;
    maps(text, tenants)?;
    text.push_str(REFUSE);
    let door = front_door(text, policy.ingress().as_ref(), facts, tenants)?;
    for grant in tenants {
        owner(text, grant)?;
        from_container(text, grant)?;
    }
    containers(text, policy, &door)?;
    hooks(text, canary, &door)?;
    writeln!(text, "}}")
}

fn addresses(text: &mut String, settings: &GuardSettings, facts: &Facts) -> fmt::Result {
    let servers = match &settings.dns {
        NameServers::Host => &facts.name_servers,
        NameServers::Listed(listed) => listed,
    };
    let of_version = |v4: bool| {
        let mut found: Vec<&IpAddr> = servers.iter().filter(|s| s.is_ipv4() == v4).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    set(text, "name_servers4", "ipv4_addr", "", of_version(true))?;
    set(text, "name_servers6", "ipv6_addr", "", of_version(false))?;
    set(text, "metadata4", "ipv4_addr", "", METADATA4)?;
    set(text, "metadata6", "ipv6_addr", "", METADATA6)?;
    let interval = "flags interval";
    set(text, "unreachable4", "ipv4_addr", interval, UNREACHABLE4)?;
    set(text, "unreachable6", "ipv6_addr", interval, UNREACHABLE6)?;
    set(text, "private4", "ipv4_addr", interval, PRIVATE4)?;
    set(text, "private6", "ipv6_addr", interval, PRIVATE6)
}

fn uids(text: &mut String, settings: &GuardSettings) -> fmt::Result {
    let everywhere = settings.allow_uids.iter().copied();
    let mut everywhere: Vec<u32> = everywhere.chain([0]).collect();
    everywhere.sort_unstable();
    everywhere.dedup();
    set(text, "allowed_uids", "uid", "", everywhere)?;
    set(text, "metadata_uids", "uid", "", &settings.metadata_uids)
}

fn maps(text: &mut String, tenants: &[Grant]) -> fmt::Result {
    let interval = "flags interval";
    let ports = tenants.iter().map(|grant| {
        let (first, last) = (grant.ports.first, grant.ports.last());
        // nft does not take a range of one.
        let range = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        format!("{range} : goto owner_{}", grant.uid)
    });
    set_or_map(
        text,
        "map",
        "ports",
        "inet_service : verdict",
        interval,
        ports,
    )?;
    let subnets = tenants
        .iter()
        .map(|grant| format!("{} : goto owner_{}", grant.network.subnet, grant.uid));
    set_or_map(
        text,
        "map",
        "subnets",
        "ipv4_addr : verdict",
        interval,
        subnets,
    )?;
    let bridges = tenants
        .iter()
        .map(|grant| format!("\"{}\" : goto from_{}", grant.network.bridge, grant.uid));
    set_or_map(text, "map", "bridges", "ifname : verdict", "", bridges)?;
    let outward = tenants.iter().filter(|grant| grant.egress != Egress::None);
    let resolving = outward.map(|grant| format!("\"{}\"", grant.network.bridge));
    set(text, "resolving", "ifname", "", resolving)
}

pub(super) fn set<T: Display>(
    text: &mut String,
    name: &str,
    of: &str,
    flags: &str,
    elements: impl IntoIterator<Item = T>,
) -> fmt::Result {
    set_or_map(text, "set", name, of, flags, elements)
}

/// nft takes no empty list of elements.
pub(super) fn set_or_map<T: Display>(
    text: &mut String,
    kind: &str,
    name: &str,
    of: &str,
    flags: &str,
    elements: impl IntoIterator<Item = T>,
) -> fmt::Result {
    writeln!(text, "\t{kind} {name} {{\n\t\ttype {of}")?;
    if !flags.is_empty() {
        writeln!(text, "\t\t{flags}")?;
    }
    let elements = list(elements);
    if !elements.is_empty() {
        writeln!(text, "\t\telements = {{ {elements} }}")?;
    }
    writeln!(text, "\t}}")
}

pub(super) fn list<T: Display>(elements: impl IntoIterator<Item = T>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|e| e.to_string()).collect();
    elements.join(", ")
}

/// A refused caller is rejected at once. A refused listener (the second packet of a TCP connection comes
/// from it, or a SYN where one is waited for) is not: a reset would go to the listener, and the caller would not learn
/// of it either way.
const REFUSE: &str = "\
\tchain refuse {
\t\tcounter
\t\ttcp flags & (fin | syn | rst | ack) == syn | ack drop
\t\tct direction reply drop
\t\tmeta l4proto tcp reject with tcp reset
\t\treject with icmpx type admin-prohibited
\t}
";

/// Who may connect to the tenant, and who may answer on its ports; docker-proxy is root's.
fn owner(text: &mut String, grant: &Grant) -> fmt::Result {
    let uid = grant.uid;
    let mut uids = vec![0, uid];
    uids.extend(&grant.service_uids);
    writeln!(text, "\tchain owner_{uid} {{")?;
    writeln!(text, "\t\tmeta skuid {{ {} }} accept", list(uids))?;
    writeln!(text, "\t\tgoto refuse\n\t}}")
}

/// What the tenant's containers may connect to.
fn from_container(text: &mut String, grant: &Grant) -> fmt::Result {
    let (uid, network) = (grant.uid, &grant.network);
    writeln!(text, "\tchain from_{uid} {{")?;
    // Where the kernel hands bridged packets to this hook (br_netfilter): its own network.
    writeln!(text, "\t\toifname \"{}\" accept", network.bridge)?;
    writeln!(text, "\t\tip saddr != {} drop", network.subnet)?;
    match &grant.egress {
        Egress::None => writeln!(text, "\t\tgoto refuse")?,
        Egress::Internet => writeln!(text, "\t\tgoto egress_internet")?,
        Egress::All => writeln!(text, "\t\tgoto outside")?,
        Egress::Listed(networks) => {
            writeln!(text, "\t\tjump outside")?;
            listed(text, "ip", networks.iter().filter(|n| n.address.is_ipv4()))?;
            listed(text, "ip6", networks.iter().filter(|n| n.address.is_ipv6()))?;
            writeln!(text, "\t\tgoto refuse")?;
        }
    }
    writeln!(text, "\t}}")
}

pub(super) fn listed<'n>(
    text: &mut String,
    family: &str,
    networks: impl Iterator<Item = &'n Cidr>,
) -> fmt::Result {
    let networks = list(networks);
    if networks.is_empty() {
        return Ok(());
    }
    writeln!(text, "\t\t{family} daddr {{ {networks} }} accept")
}

/// What the containers of all tenants have in common. `outside` refuses what is never reached and
/// returns otherwise.
fn containers(text: &mut String, policy: &Policy, door: &front_door::Rules) -> fmt::Result {
    let pool = policy.pool();
    let to_front_door = &door.to_host;
    write!(
        text,
        "\
\tchain name_server {{
\t\tip daddr @name_servers4 meta l4proto {{ tcp, udp }} th dport 53 accept
\t\tip6 daddr @name_servers6 meta l4proto {{ tcp, udp }} th dport 53 accept
\t}}
\tchain outside {{
\t\tjump name_server
\t\toifname \"ai-*\" goto refuse
\t\tip daddr {pool} goto refuse
\t\tip daddr @metadata4 goto refuse
\t\tip daddr @unreachable4 goto refuse
\t\tip6 daddr @metadata6 goto refuse
\t\tip6 daddr @unreachable6 goto refuse
\t}}
\tchain egress_internet {{
\t\tjump outside
\t\tip daddr @private4 goto refuse
\t\tip6 daddr @private6 goto refuse
\t}}
\tchain from_container {{
\t\tct state established,related accept
\t\tct status & dnat == dnat goto refuse
\t\tiifname vmap @bridges
\t\tgoto refuse
\t}}
\tchain to_container {{
\t\tct state established,related accept
\t\tgoto refuse
\t}}
\tchain to_host {{
\t\tct state established,related accept
\t\ticmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
\t\tiifname @resolving jump name_server
{to_front_door}\t\tgoto refuse
\t}}
"
    )
}

/// `output`, line by line: the canary. Nobody but the owner and services of the host, which no tenant can become, answers
/// from a tenant's port: neither a listener (SYN and ACK; with a SYN cookie it has no socket, and so no UID) nor
/// who opens the same connection from the other end (a SYN where the kernel waits for an answer) nor by UDP. What
/// belongs to a connection that was let through goes on; but the first packet of a TCP connection and every
/// datagram that asks are judged, since somebody else may have got the same source port meanwhile. Then by
/// destination. To a bridge nothing goes that is not to a tenant's subnet, which no IPv6 address is; the kernel's own
/// neighbour discovery and multicast have no port that could be matched.
fn hooks(text: &mut String, canary: Option<Canary>, door: &front_door::Rules) -> fmt::Result {
    writeln!(text, "\tchain metadata {{\n\t\tjump name_server")?;
    writeln!(text, "\t\tmeta skuid < {FIRST_USER} accept")?;
    writeln!(text, "\t\tmeta skuid @metadata_uids accept")?;
    writeln!(text, "\t\tgoto refuse\n\t}}")?;
    writeln!(text, "\tchain answer {{")?;
    writeln!(text, "\t\tmeta skuid < {FIRST_USER} return")?;
    writeln!(
        text,
        "\t\tmeta l4proto {{ tcp, udp }} th sport vmap @ports\n\t}}"
    )?;
    writeln!(text, "\tchain output {{")?;
    writeln!(
        text,
        "\t\ttype filter hook output priority mangle; policy accept;"
    )?;
    if let Some(canary) = canary {
        let (address, port) = canary.dropped();
        writeln!(text, "\t\tip daddr {address} udp dport {port} drop")?;
    }
    let front_door::Rules {
        answers, visits, ..
    } = door;
    write!(
        text,
        "\
{answers}\t\ttcp flags & (fin | syn | rst | ack) == syn | ack jump answer
\t\tct direction reply tcp flags & (fin | syn | rst | ack) == syn jump answer
\t\tct direction reply meta l4proto udp jump answer
\t\ttcp flags & (fin | syn | rst | ack) != syn ct state established,related accept
\t\tct direction reply ct state established,related accept
\t\tip daddr @metadata4 goto metadata
\t\tip6 daddr @metadata6 goto metadata
\t\tmeta skuid @allowed_uids accept
{visits}\t\tip daddr vmap @subnets
\t\tfib daddr type local meta l4proto {{ tcp, udp, sctp }} th dport vmap @ports
\t\toifname \"ai-*\" meta l4proto {{ tcp, udp, sctp }} fib daddr type != multicast goto refuse
\t}}
\tchain translated {{
\t\ttype filter hook output priority filter - 10; policy accept;
\t\tct status & dnat != dnat accept
\t\ttcp flags & (fin | syn | rst | ack) != syn ct state established,related accept
\t\tct direction reply ct state established,related accept
\t\tmeta skuid @allowed_uids accept
\t\tip daddr vmap @subnets
\t}}
\tchain forward {{
\t\ttype filter hook forward priority filter - 10; policy accept;
\t\tiifname \"ai-*\" goto from_container
\t\toifname \"ai-*\" goto to_container
\t}}
\tchain input {{
\t\ttype filter hook input priority filter - 10; policy accept;
\t\tiifname \"ai-*\" goto to_host
\t}}
"
    )
}
