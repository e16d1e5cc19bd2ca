//! What containers reach, and what the LAN reaches of them.

use crate::host::{A, A_CONTAINER, B_CONTAINER, End, Host, METADATA, POLICY, PRIVATE, PUBLIC};

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_service_of_the_host_that_docker_publishes_is_the_hosts_whatever_egress_says() {
    let host = Host::start();
    let _service = host.listen("lan", 0, "0.0.0.0:8080");
    host.inside(
        "host",
        "nft -f - <<'END'
table ip nat {
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        fib daddr type local tcp dport 8090 dnat to 192.168.77.2:8080
    }
}
END",
    );
    assert_eq!(
        host.connect("a", 0, "10.200.0.1:8090"),
        End::Open,
        "before the guard"
    );
    host.policy(&format!("{POLICY}egress = 'all'\n"));
    host.apply();
    assert_eq!(host.connect("a", 0, &format!("{PRIVATE}:8080")), End::Open);
    assert_ne!(host.connect("a", 0, "10.200.0.1:8090"), End::Open);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_container_reaches_its_own_network_and_the_internet_and_nothing_of_the_host() {
    let host = Host::start();
    let everywhere = ["0.0.0.0:8080", "[::]:8081"];
    let _listeners: Vec<_> = ["host", "a", "b", "lan"]
        .into_iter()
        .flat_map(|name| everywhere.map(|at| (name, at)))
        .map(|(name, at)| host.listen(name, 0, at))
        .collect();
    let forbidden = [
        ("the host on its bridge", "10.200.0.1:8080".to_owned()),
        ("the host on the LAN", "192.168.77.1:8080".to_owned()),
        ("the host by IPv6", "[fd77::1]:8081".to_owned()),
        ("the bridge by IPv6", "[fd66:1::1]:8081".to_owned()),
        ("another tenant's container", format!("{B_CONTAINER}:8080")),
        ("the same by IPv6", "[fd66:2::2]:8081".to_owned()),
        ("metadata", format!("{METADATA}:8080")),
        ("metadata by IPv6", "[fd00:ec2::254]:8081".to_owned()),
        ("the LAN", format!("{PRIVATE}:8080")),
        ("the LAN by IPv6", "[fd77::2]:8081".to_owned()),
    ];
    for (what, to) in &forbidden {
        assert_eq!(
            host.connect("a", 0, to),
            End::Open,
            "{what} before the guard"
        );
    }
    host.apply();
    for (what, to) in &forbidden {
        assert_eq!(host.connect("a", 0, to), End::Rejected, "{what}");
    }
    for to in [format!("{PUBLIC}:8080"), "[2001:db8::5]:8081".to_owned()] {
        assert_eq!(host.connect("a", 0, &to), End::Open, "{to}");
    }
    assert_eq!(
        host.connect("a", 0, &format!("{A_CONTAINER}:8080")),
        End::Open
    );
    // The host's own connections to a container, and so their answers, pass.
    assert_eq!(
        host.connect("host", A, &format!("{A_CONTAINER}:8080")),
        End::Open
    );
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn egress_is_what_the_policy_says_for_each_tenant() {
    let host = Host::start();
    let _lan = ["0.0.0.0:8080", "[::]:8081"].map(|at| host.listen("lan", 0, at));
    let _host = host.listen("host", 0, "0.0.0.0:8080");
    let _dns = host.listen("host", 0, "192.168.77.1:53");
    let private = format!("{PRIVATE}:8080");
    let public = format!("{PUBLIC}:8080");
    let public6 = "[2001:db8::5]:8081";
    let metadata = format!("{METADATA}:8080");
    let (open, shut) = (End::Open, End::Rejected);
    for (egress, to_private, to_public, to_public6) in [
        ("'internet'", shut, open, open),
        ("'none'", shut, shut, shut),
        ("'all'", open, open, open),
        ("['192.168.77.2/32']", open, shut, shut),
        ("['203.0.113.0/24', '2001:db8::/32']", shut, open, open),
    ] {
        let policy = POLICY.replacen("[guard]\n", "[guard]\ndns = ['192.168.77.1']\n", 1);
        host.policy(&format!("{policy}egress = {egress}\n"));
        host.apply();
        let names = if egress == "'none'" { shut } else { open };
        for (to, expected) in [
            ("192.168.77.1:53", names),
            (private.as_str(), to_private),
            (&public, to_public),
            (public6, to_public6),
            (&metadata, shut),
            ("10.200.0.1:8080", shut),
        ] {
            assert_eq!(host.connect("a", 0, to), expected, "{egress}: {to}");
        }
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn containers_ask_the_name_servers_of_the_policy_and_nothing_else_of_them() {
    let host = Host::start();
    let _dns = host.listen("lan", 0, &format!("{PRIVATE}:53"));
    let _web = host.listen("lan", 0, &format!("{PRIVATE}:80"));
    let _own = host.listen("host", 0, "192.168.77.1:53");
    let dns = |list: &str| {
        host.policy(&POLICY.replacen("[guard]\n", &format!("[guard]\ndns = {list}\n"), 1));
    };
    dns("['192.168.77.2', '192.168.77.1']");
    host.apply();
    assert_eq!(host.connect("a", 0, "192.168.77.2:53"), End::Open);
    assert_eq!(
        host.connect("a", 0, "192.168.77.1:53"),
        End::Open,
        "the host itself is one"
    );
    assert_eq!(host.connect("a", 0, "192.168.77.2:80"), End::Rejected);
    // The bridge of a tenant whom the policy does not name any more.
    let left = POLICY.replacen("70001-", "70002-", 1);
    host.policy(&left.replacen("[guard]\n", "[guard]\ndns = ['192.168.77.1']\n", 1));
    host.apply();
    assert_eq!(host.connect("a", 0, "192.168.77.1:53"), End::Rejected);
    dns("[]");
    host.apply();
    assert_eq!(host.connect("a", 0, "192.168.77.2:53"), End::Rejected);
    assert_eq!(host.connect("a", 0, "192.168.77.1:53"), End::Rejected);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_machine_of_the_lan_reaches_no_container_by_a_route_to_the_pool() {
    let host = Host::start();
    let _a = ["0.0.0.0:8080", "[::]:8081"].map(|at| host.listen("a", 0, at));
    let ways = [format!("{A_CONTAINER}:8080"), "[fd66:1::2]:8081".to_owned()];
    for way in &ways {
        assert_eq!(
            host.connect("lan", 0, way),
            End::Open,
            "{way} before the guard"
        );
    }
    host.apply();
    for way in &ways {
        assert_eq!(host.connect("lan", 0, way), End::Rejected, "{way}");
    }
}
