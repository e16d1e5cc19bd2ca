use proptest::prelude::*;

use super::*;
use crate::Policy;

const TWO: &str = "version = 1\n[tenants]\nuids = [\"1001-1002\"]\n";

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn table(text: &str) -> String {
    render(&policy(text), &Facts::default(), None).unwrap()
}

/// The lines of one chain, map or set.
fn block<'t>(table: &'t str, head: &str) -> Vec<&'t str> {
    let lines = table.lines().map(str::trim);
    let mut lines = lines.skip_while(|line| *line != format!("{head} {{"));
    assert!(lines.next().is_some(), "no {head} in\n{table}");
    lines.take_while(|line| *line != "}").collect()
}

#[test]
fn each_tenant_has_its_ports_subnet_and_bridge_in_a_map() {
    let table = table(TWO);
    let elements = |map: &str| block(&table, map).pop().unwrap().to_owned();
    assert_eq!(
        elements("map ports"),
        "elements = { 5100-5199 : goto owner_1001, 5200-5299 : goto owner_1002 }"
    );
    assert_eq!(
        elements("map subnets"),
        "elements = { 10.128.0.0/26 : goto owner_1001, 10.128.0.64/26 : goto owner_1002 }"
    );
    assert_eq!(
        elements("map bridges"),
        "elements = { \"ai-1001\" : goto from_1001, \"ai-1002\" : goto from_1002 }"
    );
    assert_eq!(
        block(&table, "chain owner_1001"),
        ["meta skuid { 0, 1001, 2001 } accept", "goto refuse"]
    );
}

#[test]
fn the_table_replaces_the_one_that_is_there_in_the_same_transaction() {
    let text = table(TWO);
    let head: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(
        head,
        [
            "table inet aistack",
            "delete table inet aistack",
            "table inet aistack {"
        ]
    );
}

#[test]
fn a_policy_that_wants_no_guard_has_no_table_and_one_without_tenants_has_an_empty_one() {
    let off = policy("version = 1\n[guard]\nenabled = false\n");
    assert_eq!(render(&off, &Facts::default(), None), None);
    let nobody = table("version = 1\n");
    assert_eq!(
        block(&nobody, "map ports"),
        ["type inet_service : verdict", "flags interval"]
    );
    assert!(!nobody.contains("owner_"), "{nobody}");
}

#[test]
fn who_may_connect_to_every_tenant_is_root_and_whom_the_policy_names() {
    let text = format!("{TWO}[guard]\nallow_uids = [115, 3000]\nmetadata_uids = [1500]\n");
    let table = with_front_door(&text);
    assert!(block(&table, "set allowed_uids").contains(&"elements = { 0, 115, 3000 }"));
    assert!(block(&table, "set metadata_uids").contains(&"elements = { 1500 }"));
    // Its user is there as soon as the package is; the policy has no front door.
    assert!(!table.contains("117"), "{table}");
}

/// The table on a host that has the front door's user.
fn with_front_door(text: &str) -> String {
    let facts = Facts {
        front_door: Some(117),
        ..Facts::default()
    };
    render(&policy(text), &facts, None).unwrap()
}

const DOOR: &str = "[ingress]\nenabled = true\n";

#[test]
fn the_front_door_reaches_the_ports_of_the_proxies_and_nothing_else_of_the_tenants() {
    let table = with_front_door(&format!("{TWO}{DOOR}"));
    assert!(block(&table, "set allowed_uids").contains(&"elements = { 0 }"));
    assert!(block(&table, "set proxies").contains(&"elements = { 10.128.0.62, 10.128.0.126 }"));
    let of_its_uid: Vec<&str> = table
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("skuid 117 "))
        .collect();
    assert_eq!(
        of_its_uid,
        [
            "meta skuid 117 return",
            "meta skuid 117 ip daddr @proxies tcp dport { 9080, 9443 } accept"
        ]
    );
    // Before the tenants' own rules, which would refuse it.
    let output = block(&table, "chain output");
    let at = |part: &str| output.iter().position(|line| line.contains(part)).unwrap();
    assert!(at("@proxies") < at("vmap @subnets"));
}

#[test]
fn containers_reach_the_front_door_where_it_listens_and_no_other_port_of_the_host() {
    let to_host = |ingress: &str| {
        let table = with_front_door(&format!("{TWO}{DOOR}{ingress}"));
        block(&table, "chain to_host").join("\n")
    };
    let common = |rules: &str| {
        format!(
            "ct state established,related accept\n\
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n\
             iifname @resolving jump name_server\n{rules}goto refuse"
        )
    };
    assert_eq!(
        to_host("addresses = ['192.0.2.7', '2001:db8::7', '192.0.2.8']\nhttps_port = 8443\n"),
        common(
            "ip daddr { 192.0.2.7, 192.0.2.8 } tcp dport { 80, 8443 } iifname vmap @visitors\n\
             ip6 daddr { 2001:db8::7 } tcp dport { 80, 8443 } iifname vmap @visitors\n"
        )
    );
    assert_eq!(
        to_host("addresses = ['0.0.0.0', '::']\n"),
        common(
            "meta nfproto ipv4 fib daddr type local tcp dport { 80, 443 } iifname vmap @visitors\n\
             meta nfproto ipv6 fib daddr type local tcp dport { 80, 443 } iifname vmap @visitors\n"
        )
    );
    // Neither without a front door nor without its user.
    let refuses = common("");
    let off = with_front_door(TWO);
    assert_eq!(block(&off, "chain to_host").join("\n"), refuses);
    let no_user = table(&format!("{TWO}{DOOR}"));
    assert_eq!(block(&no_user, "chain to_host").join("\n"), refuses);
}

#[test]
fn only_the_front_doors_user_answers_a_container_on_its_ports() {
    let table = with_front_door(&format!("{TWO}{DOOR}http_port = 81\n"));
    assert_eq!(
        block(&table, "chain output").get(1),
        Some(
            &"oifname \"ai-*\" tcp sport { 81, 443 } tcp flags & (fin | syn | rst | ack) == syn | ack \
              jump front_door_answers"
        )
    );
    // Nor does somebody else open the same connection from the other end.
    assert_eq!(
        block(&table, "chain output").get(2),
        Some(
            &"oifname \"ai-*\" tcp sport { 81, 443 } ct direction reply tcp flags & (fin | syn | rst | ack) == syn \
              jump front_door_answers"
        )
    );
    assert_eq!(
        block(&table, "chain front_door_answers"),
        ["meta skuid 117 return", "goto refuse"]
    );
}

#[test]
fn egress_says_whose_containers_reach_the_front_door() {
    let table = with_front_door(
        "version = 1\n[ingress]\nenabled = true\n[tenants]\nuids = ['1001-1004']\n\
         [[tenant]]\nuid = 1002\negress = 'none'\n\
         [[tenant]]\nuid = 1003\negress = 'all'\n\
         [[tenant]]\nuid = 1004\negress = ['192.0.2.7/32', '2001:db8::/32']\n",
    );
    assert_eq!(
        block(&table, "map visitors").pop(),
        Some(
            "elements = { \"ai-1001\" : accept, \"ai-1003\" : accept, \"ai-1004\" : jump visitor_1004 }"
        )
    );
    assert_eq!(
        block(&table, "chain visitor_1004"),
        [
            "ip daddr { 192.0.2.7/32 } accept",
            "ip6 daddr { 2001:db8::/32 } accept"
        ]
    );
}

#[test]
fn egress_is_one_chain_for_each_word_and_a_list_of_ones_own() {
    let text = "version = 1\n[tenants]\nuids = ['1001-1004']\n\
        [[tenant]]\nuid = 1002\negress = 'none'\n\
        [[tenant]]\nuid = 1003\negress = 'all'\n\
        [[tenant]]\nuid = 1004\negress = ['192.168.7.0/24', '2001:db8::/32', '10.1.2.3/32']\n";
    let table = table(text);
    let last = |uid: u32| {
        block(&table, &format!("chain from_{uid}"))
            .pop()
            .unwrap()
            .to_owned()
    };
    assert_eq!(last(1001), "goto egress_internet");
    assert_eq!(last(1002), "goto refuse");
    assert_eq!(last(1003), "goto outside");
    assert_eq!(
        block(&table, "chain from_1004"),
        [
            "oifname \"ai-1004\" accept",
            "ip saddr != 10.128.0.192/26 drop",
            "jump outside",
            "ip daddr { 192.168.7.0/24, 10.1.2.3/32 } accept",
            "ip6 daddr { 2001:db8::/32 } accept",
            "goto refuse",
        ]
    );
}

#[test]
fn name_servers_are_the_hosts_or_the_policys_in_any_order() {
    let facts = |servers: &[&str]| Facts {
        name_servers: servers
            .iter()
            .map(|server| server.parse().unwrap())
            .collect(),
        front_door: None,
    };
    let one = facts(&["192.168.7.1", "2001:db8::53", "10.0.0.2"]);
    let other = facts(&["10.0.0.2", "10.0.0.2", "192.168.7.1", "2001:db8::53"]);
    let host = policy(TWO);
    let table = render(&host, &one, None).unwrap();
    assert!(block(&table, "set name_servers4").contains(&"elements = { 10.0.0.2, 192.168.7.1 }"));
    assert_eq!(render(&host, &other, None).unwrap(), table);
    let none = policy(&format!("{TWO}[guard]\ndns = []\n"));
    let table = render(&none, &one, None).unwrap();
    assert_eq!(block(&table, "set name_servers4"), ["type ipv4_addr"]);
}

#[test]
fn a_packet_passes_the_same_rules_however_many_tenants_there_are() {
    let many = with_front_door(&format!(
        "version = 1\n[tenants]\nuids = ['1001-1500']\n{DOOR}"
    ));
    let few = with_front_door(&format!("{TWO}{DOOR}"));
    let own = |line: &&str| {
        let mut parts = line.split(['_', ' ']).filter(|part| !part.is_empty());
        matches!(
            (parts.next(), parts.next()),
            (Some("chain"), Some("owner" | "from"))
        )
    };
    // What does not belong to one tenant, without the elements of the maps.
    let common = |table: &str| -> Vec<String> {
        let mut in_own = false;
        let mut lines = Vec::new();
        for line in table.lines().map(str::trim) {
            let head = own(&line) && !line.starts_with("chain from_container");
            in_own |= head;
            if !in_own && !line.starts_with("elements") {
                lines.push(line.to_owned());
            }
            in_own &= line != "}";
        }
        lines
    };
    assert_eq!(common(&many), common(&few));
    assert_eq!(many.matches("chain owner_").count(), 500);
}

#[test]
fn a_canary_and_its_control_differ_and_neither_changes_the_rest() {
    let canary = Canary::of([9, 0, 7, 8]);
    assert_ne!(canary.dropped(), canary.control());
    let with = render(&policy(TWO), &Facts::default(), Some(canary)).unwrap();
    let (address, port) = canary.dropped();
    let line = format!("\t\tip daddr {address} udp dport {port} drop\n");
    assert_eq!(with.replace(&line, ""), table(TWO));
    assert_ne!(with, table(TWO));
}

#[test]
fn no_container_and_no_user_reaches_a_metadata_address_by_any_egress() {
    for egress in ["'internet'", "'none'", "'all'", "['100.64.0.0/10']"] {
        let table = table(&format!("{TWO}egress = {egress}\n"));
        let outside = block(&table, "chain outside");
        let refuses = |set: &str| {
            outside
                .iter()
                .any(|line| line.ends_with(&format!("@{set} goto refuse")))
        };
        assert!(refuses("metadata4") && refuses("metadata6"), "{table}");
        assert!(
            refuses("unreachable4") && refuses("unreachable6"),
            "{table}"
        );
        let from = block(&table, "chain from_1001");
        let way = from
            .iter()
            .any(|line| line.contains("outside") || line.contains("internet"));
        assert!(way || from.contains(&"goto refuse"), "{from:?}");
    }
    let metadata = block(&table(TWO), "set metadata4").join(" ");
    assert!(metadata.contains("169.254.169.254"), "{metadata}");
    assert!(
        block(&table(TWO), "set metadata6")
            .join(" ")
            .contains("fd00:ec2::254")
    );
}

fn networks() -> impl Strategy<Value = Cidr> {
    let v4 = (any::<u32>(), 1_u8..=32).prop_map(|(bits, prefix)| Cidr {
        address: Ipv4Addr::from_bits(bits & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap())
            .into(),
        prefix,
    });
    let v6 = (any::<u128>(), 1_u8..=128).prop_map(|(bits, prefix)| Cidr {
        address: std::net::Ipv6Addr::from_bits(
            bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap(),
        )
        .into(),
        prefix,
    });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn a_list_of_networks_is_rendered_as_it_was_written_or_refused(
        list in prop::collection::vec(networks(), 1..6)
    ) {
        let texts: Vec<String> = list.iter().map(|network| format!("\"{network}\"")).collect();
        let text = format!("{TWO}egress = [{}]\n", texts.join(", "));
        match Policy::parse(&text) {
            Ok(policy) => {
                let rendered = render(&policy, &Facts::default(), None).unwrap();
                let from = block(&rendered, "chain from_1002").join("\n");
                for network in &list {
                    prop_assert!(from.contains(&network.to_string()), "{from}");
                }
            }
            Err(errors) => {
                let overlap = list.iter().enumerate().any(|(nth, one)| {
                    list.iter().skip(nth + 1).any(|other| one.meets(*other))
                });
                let unreachable = list.iter().any(|network| is_unreachable(*network));
                prop_assert!(overlap || unreachable, "{errors}");
            }
        }
    }

    #[test]
    fn no_uid_but_the_owners_is_in_an_owners_chain(first in 1000_u32..60_000, count in 1_u32..20) {
        let last = first + count - 1;
        let text = format!(
            "version = 1\n[tenants]\nuids = [\"{first}-{last}\"]\nports = {{ first = 5100, per_tenant = 3 }}\n\
             service_uids = {{ offset = 100000, count = 2 }}\n"
        );
        let Ok(policy) = Policy::parse(&text) else { return Ok(()) };
        let rendered = render(&policy, &Facts::default(), None).unwrap();
        for uid in first..=last {
            let owner = block(&rendered, &format!("chain owner_{uid}"));
            let expected = format!(
                "meta skuid {{ 0, {uid}, {}, {} }} accept", uid + 100_000, uid + 200_000
            );
            prop_assert_eq!(owner, vec![expected.as_str(), "goto refuse"]);
        }
    }

    #[test]
    fn a_canary_is_on_loopback_above_the_reserved_ports(digest: [u8; 4]) {
        let (address, port) = Canary::of(digest).dropped();
        prop_assert!(address.is_loopback() && port >= 1024);
        prop_assert!(!matches!(address.octets(), [.., 0 | 255]));
        prop_assert_eq!(Canary::of(digest).control(), (address, port + 1));
    }
}
