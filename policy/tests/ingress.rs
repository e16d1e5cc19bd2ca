//! `[ingress]` and `domains`: who is reached by which name, and what is not allowed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

use aistack_policy::Policy;
use aistack_policy::ingress::{Files, config};
use proptest::prelude::*;

const FILES: Files<'static> = Files {
    map: "/run/aistack-ingress/domains.map",
    admin_socket: "/run/aistack-ingress/admin.sock",
};

fn errors(text: &str) -> String {
    let errors = Policy::parse(text).unwrap_err().0;
    let lines = errors
        .iter()
        .map(|error| format!("{}: {}\n", error.key, error.message));
    lines.collect()
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|errors| panic!("{:?}\n{text}", errors.0))
}

#[test]
fn there_is_no_front_door_until_the_admin_says_so() {
    for ingress in ["", "[ingress]", "[ingress]\nenabled = false"] {
        let policy = policy(&format!(
            "version = 1\n{ingress}\n[tenants]\nuids = [\"1001-1003\"]"
        ));
        assert_eq!(policy.ingress(), None);
        assert_eq!(policy.grant(1001).unwrap().front_door, None);
    }
}

#[test]
fn every_domain_leads_to_the_one_address_of_its_tenant() {
    let policy = policy(
        "version = 1\n[ingress]\nenabled = true\n[tenants]\nuids = [\"1001-1002\"]\n\
         [[tenant]]\nuid = 1002\ndomain = \"acme.example\"\ndomains = [\"shop.test\", \"a.b.acme.example\"]\n\
         [[tenant]]\nuid = 3000\nports = { first = 9000 }\nnetwork = { subnet = \"10.129.7.0/29\" }\n",
    );
    let ingress = policy.ingress().unwrap();
    assert_eq!(
        ingress.map(),
        "a.b.acme.example 10.128.0.126\nacme.example 10.128.0.126\nshop.test 10.128.0.126\n\
         tenant-1001.internal 10.128.0.62\ntenant-3000.internal 10.129.7.6\n"
    );
    let door = policy.grant(1001).unwrap().front_door.unwrap();
    assert_eq!(door.proxy.to_string(), "10.128.0.62");
    assert_eq!((door.http_port, door.https_port), (80, 443));
    assert_eq!(
        policy.grant(1002).unwrap().domains,
        ["shop.test", "a.b.acme.example"]
    );
}

#[test]
fn the_configuration_has_no_regular_expression_which_the_unit_could_not_compile() {
    let policy = policy("version = 1\n[ingress]\nenabled = true\n[tenants]\nuids = [\"1001\"]");
    let text = config(&policy.ingress().unwrap(), FILES);
    for word in ["reg", "rsprep", "replace-"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn the_configuration_names_addresses_and_ports_and_no_tenant() {
    let text = |tenants: &str| {
        let policy = policy(&format!(
            "version = 1\n[ingress]\nenabled = true\naddresses = [\"192.0.2.7\", \"2001:db8::7\"]\n\
             http_port = 900\nhttps_port = 901\n[tenants]\nuids = [{tenants}]"
        ));
        config(&policy.ingress().unwrap(), FILES)
    };
    let one = text("\"1001\"");
    for line in [
        "    bind 192.0.2.7:900\n",
        "    bind [2001:db8::7]:900 v6only\n",
        "    bind 192.0.2.7:901\n",
        "    bind [2001:db8::7]:901 v6only\n",
        // However many addresses a tenant's containers have, or a user of this host takes.
        "track-sc0 src,ipmask(8,128) table visitors if { src 127.0.0.0/8 }\n",
        "track-sc0 src,ipmask(26,128) table visitors if { src 10.128.0.0/10 }\n",
        "track-sc0 src,ipmask(32,64) table visitors\n",
    ] {
        assert!(one.contains(line), "{line}{one}");
    }
    assert_eq!(one, text("\"1001-1200\""));
    assert!(!one.contains("tenant-1001"));
}

#[test]
fn no_two_tenants_share_a_domain_or_lie_inside_anothers() {
    let file = |own: &str| format!("version = 1\n[tenants]\nuids = [\"1001-1003\"]\n{own}");
    for (own, message) in [
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"tenant-1002.internal\"]",
            "tenant[1001].domains: domain tenant-1002.internal of UID 1001 meets tenant-1002.internal of UID 1002",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"a.tenant-1002.internal\"]",
            "tenant[1001].domains: domain a.tenant-1002.internal of UID 1001 meets",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"internal\"]",
            "tenant[1001].domains: domain internal of UID 1001 meets",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"x.test\"]\n[[tenant]]\nuid = 1002\ndomains = [\"y.x.test\"]",
            "tenant[1002].domains: domain y.x.test of UID 1002 meets x.test of UID 1001",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"x.test\", \"a.x.test\"]\n[[tenant]]\nuid = 1002\ndomain = \"b.a.x.test\"",
            "tenant[1002].domain: domain b.a.x.test of UID 1002 meets x.test of UID 1001",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"x.test\", \"x.test\"]",
            "tenant[1001].domains: domain x.test of UID 1001 meets x.test of UID 1001",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"X.test\"]",
            "tenant[1001].domains: \"X.test\" is not a domain",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"x.test.\"]",
            "tenant[1001].domains: \"x.test.\" is not a domain",
        ),
        (
            "[[tenant]]\nuid = 1001\ndomains = [\"*.x.test\"]",
            "tenant[1001].domains: \"*.x.test\" is not a domain",
        ),
    ] {
        let errors = errors(&file(own));
        assert!(errors.contains(message), "{own}\n{errors}");
    }
    // A tenant may have names inside of its own.
    let own = "[[tenant]]\nuid = 1001\ndomains = [\"a.b.tenant-1001.internal\", \"x.test\", \"a.b.x.test\"]";
    policy(&file(own));
}

#[test]
fn what_does_not_fit_is_refused() {
    let file = |ingress: &str, tenants: &str| {
        format!("version = 1\n[ingress]\nenabled = true\n{ingress}\n[tenants]\n{tenants}\n")
    };
    let some = "uids = [\"1001-1003\"]";
    for (ingress, tenants, message) in [
        ("tls = true", some, "ingress.tls: unknown key"),
        (
            "addresses = []",
            some,
            "ingress.addresses: names no address",
        ),
        ("addresses = [\"::\", \"::\"]", some, "listed twice"),
        (
            "addresses = [\"localhost\"]",
            some,
            "\"localhost\" is not an IP address",
        ),
        ("addresses = [\"::0\"]", some, "write :: for ::0"),
        (
            "addresses = [\"fe80::1%eth0\"]",
            some,
            "is not an IP address",
        ),
        (
            "addresses = [\"224.0.0.1\"]",
            some,
            "is a multicast address",
        ),
        (
            "http_port = 443",
            some,
            "ingress.https_port: 443 is http_port too",
        ),
        ("http_port = 0", some, "0 is not between 1 and 65535"),
        (
            "http_port = 5150",
            some,
            "ingress.http_port: 5150 is one of the ports 5100-5199 of UID 1001",
        ),
        (
            "",
            "uids = [\"1001-1003\"]\nnetwork = { prefix = 30 }",
            "tenants.network.prefix: a subnet of /30 has no room",
        ),
        (
            "",
            "uids = [\"1001-1003\"]\n[[tenant]]\nuid = 1001\nnetwork = { subnet = \"10.129.0.0/30\" }",
            "tenant[1001].network.subnet: a subnet of /30 has no room",
        ),
        (
            "",
            "uids = [\"100000-116384\"]\nports = { first = 1024, per_tenant = 1 }",
            "the policy has 16385 tenants, and the front door has room for 16384",
        ),
    ] {
        let errors = errors(&file(ingress, tenants));
        assert!(errors.contains(message), "{ingress} {tenants}\n{errors}");
    }
}

#[test]
fn the_admin_sees_how_many_addresses_are_left() {
    let warned = |containers: u8| {
        let policy = policy(&format!(
            "version = 1\n[ingress]\nenabled = true\n[tenants]\nuids = [\"1001\"]\n\
             limits = {{ memory = \"1G\", cpus = 1, pids = 100, containers = {containers} }}"
        ));
        policy
            .warnings()
            .iter()
            .any(|warning| warning.message.contains("a /26 has 60 addresses"))
    };
    assert!(warned(61));
    assert!(!warned(60));
}

proptest! {
    /// It is a host's address in the tenant's subnet, the last one, and not the gateway's.
    #[test]
    fn the_proxy_has_the_last_address_of_its_tenants_subnet(prefix in 8_u8..=29, nth in 0_u32..64) {
        let text = format!(
            "version = 1\n[ingress]\nenabled = true\n[tenants]\nuids = [\"1001-1064\"]\n\
             network = {{ pool = \"10.0.0.0/8\", prefix = {prefix} }}"
        );
        let Ok(policy) = Policy::parse(&text) else { return Ok(()) };
        let grant = policy.grant(1001 + nth).unwrap();
        let broadcast = u32::from(grant.network.subnet.address) + ((1_u32 << (32 - prefix)) - 1);
        let proxy = u32::from(grant.front_door.unwrap().proxy);
        prop_assert_eq!(proxy + 1, broadcast);
        prop_assert!(proxy > u32::from(grant.network.gateway));
    }
}
