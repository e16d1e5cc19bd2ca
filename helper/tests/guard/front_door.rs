//! The front door: what it reaches of the tenants, and who reaches it from a tenant's container.

use super::host::{A, B, End, FRONT_DOOR, Host, POLICY, STRANGER};

/// The addresses that the policy's formula gives to the proxies of A and B.
const A_PROXY: &str = "10.200.0.62";

fn with_ingress(ingress: &str) -> String {
    format!("{POLICY}[ingress]\nenabled = true\n{ingress}")
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn the_front_door_reaches_the_proxies_of_the_tenants_and_nothing_else() {
    let host = Host::start();
    host.inside("a", &format!("ip addr add {A_PROXY}/26 dev eth0"));
    let _container = [9080, 9443, 8080].map(|port| host.listen("a", 0, &format!("0.0.0.0:{port}")));
    let _published = host.listen("host", 0, "127.0.0.1:5100");
    let proxy = [9080, 9443].map(|port| format!("{A_PROXY}:{port}"));
    let other = [
        format!("{A_PROXY}:8080"),
        "10.200.0.2:9443".to_owned(),
        "10.200.0.2:8080".to_owned(),
        "127.0.0.1:5100".to_owned(),
    ];
    // The user is there, the front door is not.
    host.apply();
    for place in proxy.iter().chain(&other) {
        assert_eq!(
            host.connect("host", FRONT_DOOR, place),
            End::Rejected,
            "{place}"
        );
    }
    host.policy(&with_ingress(""));
    host.apply();
    for place in &proxy {
        assert_eq!(
            host.connect("host", FRONT_DOOR, place),
            End::Open,
            "{place}"
        );
        for uid in [B, STRANGER] {
            assert_eq!(
                host.connect("host", uid, place),
                End::Rejected,
                "{uid} to {place}"
            );
        }
    }
    for place in &other {
        assert_eq!(
            host.connect("host", FRONT_DOOR, place),
            End::Rejected,
            "{place}"
        );
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_container_opens_the_sites_of_the_host_and_no_other_service() {
    let host = Host::start();
    // The front door where its policy says, and services beside it: the same ports on another address, other
    // ports on its address.
    let _door = [
        "192.168.77.1:80",
        "192.168.77.1:443",
        "[fd77::1]:80",
        "[fd77::1]:443",
    ]
    .map(|at| host.listen("host", FRONT_DOOR, at));
    let _others = ["10.200.0.1:443", "192.168.77.1:8080", "[fd66:1::1]:80"]
        .map(|at| host.listen("host", FRONT_DOOR, at));
    host.policy(&with_ingress(
        "addresses = [\"192.168.77.1\", \"fd77::1\"]\n",
    ));
    host.apply();
    for site in ["192.168.77.1:80", "192.168.77.1:443"] {
        assert_eq!(host.connect("a", 0, site), End::Open, "{site}");
    }
    for site in ["[fd77::1]:80", "[fd77::1]:443"] {
        assert_eq!(host.connect("b", 0, site), End::Open, "{site}");
    }
    for other in ["10.200.0.1:443", "192.168.77.1:8080", "[fd66:1::1]:80"] {
        assert_eq!(host.connect("a", 0, other), End::Rejected, "{other}");
    }
    // On all addresses, as the policy has it unless it says otherwise.
    host.policy(&with_ingress(""));
    host.apply();
    assert_eq!(host.connect("a", 0, "10.200.0.1:443"), End::Open);
    assert_eq!(host.connect("a", 0, "192.168.77.1:443"), End::Open);
    assert_eq!(host.connect("a", 0, "192.168.77.1:8080"), End::Rejected);
    // The bridge of nobody whom the policy names.
    host.policy(&with_ingress("").replace("70001-70006", "70002-70006"));
    host.apply();
    assert_eq!(host.connect("a", 0, "192.168.77.1:443"), End::Rejected);
    host.policy(POLICY);
    host.apply();
    assert_eq!(host.connect("a", 0, "192.168.77.1:443"), End::Rejected);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn what_listens_in_the_place_of_the_front_door_gets_no_container() {
    let host = Host::start();
    let _root = host.listen("host", 0, "192.168.77.1:443");
    let _tenant = host.listen("host", B, "192.168.77.1:80");
    // A SYN cookie is sent by no socket.
    let _cookies = host.listen_with("host", STRANGER, "192.168.77.1:444", None, 0);
    host.policy(&with_ingress(""));
    host.apply();
    assert_ne!(host.connect("a", 0, "192.168.77.1:443"), End::Open);
    assert_ne!(host.connect("a", 0, "192.168.77.1:80"), End::Open);
    // Visitors from elsewhere are as they were.
    assert_eq!(host.connect("lan", 0, "192.168.77.1:443"), End::Open);
    host.policy(&with_ingress("https_port = 444\n"));
    host.apply();
    for _ in 0..3 {
        assert_ne!(host.connect("a", 0, "192.168.77.1:444"), End::Open);
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn nobody_meets_a_containers_connection_to_the_front_door_from_the_other_end() {
    let host = Host::start();
    let meet = || host.meet_container(STRANGER, "192.168.77.1", 8443);
    assert_eq!(meet(), "connected", "before the guard");
    host.policy(&with_ingress("https_port = 8443\n"));
    host.apply();
    assert_eq!(meet(), "alone");
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_translated_port_is_the_front_doors_only_if_it_ends_there() {
    let host = Host::start();
    let _door = host.listen("host", FRONT_DOOR, "0.0.0.0:443");
    let _other = host.listen("host", 0, "0.0.0.0:8080");
    host.inside(
        "host",
        "nft -f - <<'END'
table ip nat {
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        ip daddr 192.168.77.1 tcp dport 443 redirect to :8080
        ip daddr 192.168.77.1 tcp dport 8443 redirect to :443
    }
}
END",
    );
    assert_eq!(
        host.connect("a", 0, "192.168.77.1:443"),
        End::Open,
        "before the guard"
    );
    host.policy(&with_ingress(""));
    host.apply();
    assert_ne!(host.connect("a", 0, "192.168.77.1:443"), End::Open);
    assert_eq!(host.connect("a", 0, "192.168.77.1:8443"), End::Open);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn egress_says_who_opens_the_sites_of_the_host() {
    let host = Host::start();
    let _door = host.listen("host", FRONT_DOOR, "0.0.0.0:443");
    for (egress, expected) in [
        ("'internet'", End::Open),
        ("'all'", End::Open),
        ("'none'", End::Rejected),
        ("['192.168.77.0/24']", End::Open),
        ("['203.0.113.0/24']", End::Rejected),
    ] {
        host.policy(
            &with_ingress("").replace("[tenants]\n", &format!("[tenants]\negress = {egress}\n")),
        );
        host.apply();
        assert_eq!(
            host.connect("a", 0, "192.168.77.1:443"),
            expected,
            "{egress}"
        );
        // A's own user, on the host, is a visitor like every other.
        assert_eq!(host.connect("host", A, "192.168.77.1:443"), End::Open);
    }
}
