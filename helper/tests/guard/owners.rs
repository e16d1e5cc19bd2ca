//! Who reaches a tenant's ports and containers from the host.

use std::net::UdpSocket;

use rustix::net::{Protocol, ipproto};

use crate::host::{
    self, A, A_CONTAINER, A_SERVICE, B, End, Host, METADATA, MONITOR, NOBODY, POLICY, PRIVATE,
    STRANGER, SUBORDINATE,
};

/// Who may connect to A, and who may not.
const FRIENDS: [u32; 4] = [0, A, A_SERVICE, MONITOR];
const OTHERS: [u32; 4] = [B, STRANGER, SUBORDINATE, NOBODY];

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn only_the_owner_root_and_who_is_allowed_reach_a_tenants_ports_and_containers() {
    let host = Host::start();
    // As docker-proxy: root's, on loopback and elsewhere.
    let addresses = [
        "127.0.0.1:5100",
        "[::1]:5100",
        "192.168.77.1:5101",
        "[fd77::1]:5101",
        "10.200.0.1:5102",
    ];
    let _proxies = addresses.map(|place| host.listen("host", 0, place));
    let _container = host.listen("a", 0, "0.0.0.0:8080");
    let container = format!("{A_CONTAINER}:8080");
    let all: Vec<&str> = addresses.into_iter().chain([container.as_str()]).collect();
    for place in &all {
        assert_eq!(
            host.connect("host", B, place),
            End::Open,
            "{place} before the guard"
        );
    }
    host.apply();
    for place in &all {
        for uid in FRIENDS {
            assert_eq!(
                host.connect("host", uid, place),
                End::Open,
                "{uid} to {place}"
            );
        }
        for uid in OTHERS {
            assert_eq!(
                host.connect("host", uid, place),
                End::Rejected,
                "{uid} to {place}"
            );
        }
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn ports_of_nobody_are_as_they_were() {
    let host = Host::start();
    let _web = host.listen("host", STRANGER, "127.0.0.1:4000");
    let _lan = host.listen("lan", 0, &format!("{PRIVATE}:5100"));
    host.apply();
    for uid in [0, A, B, STRANGER] {
        assert_eq!(
            host.connect("host", uid, "127.0.0.1:4000"),
            End::Open,
            "{uid}"
        );
        // The same number on another machine.
        assert_eq!(
            host.connect("host", uid, &format!("{PRIVATE}:5100")),
            End::Open,
            "{uid}"
        );
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_datagram_is_judged_each_time_also_from_a_source_port_that_the_owner_had() {
    let host = Host::start();
    let server = host.within("host", 0, || UdpSocket::bind("127.0.0.1:5103").unwrap());
    host.apply();
    assert!(host.datagram_arrives("host", A, &server));
    assert!(!host.datagram_arrives("host", B, &server));
    // The owner asks and is answered, so that the kernel has a connection; then B takes the port.
    let ask = |uid: u32| {
        host.within("host", uid, || {
            let client = UdpSocket::bind("127.0.0.1:45000").unwrap();
            let _ = client.send_to(b"hello", "127.0.0.1:5103");
            client
        })
    };
    let owner = ask(A);
    assert!(host::arrives(&server));
    server.send_to(b"answer", "127.0.0.1:45000").unwrap();
    assert!(host::arrives(&owner), "the answer passes");
    drop(owner);
    let _thief = ask(B);
    assert!(!host::arrives(&server));
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn nobody_else_answers_on_a_tenants_port_while_its_service_is_down() {
    let host = Host::start();
    let _thief = host.listen("host", B, "127.0.0.1:5104");
    let _own = host.listen("host", A, "127.0.0.1:5105");
    let _service = host.listen("host", 110, "127.0.0.1:5106");
    assert_eq!(
        host.connect("host", A, "127.0.0.1:5104"),
        End::Open,
        "before the guard"
    );
    host.apply();
    assert_ne!(host.connect("host", A, "127.0.0.1:5104"), End::Open);
    assert_eq!(host.connect("host", A, "127.0.0.1:5105"), End::Open);
    // A service of the host on a port that the policy gives away: nobody can become that UID.
    assert_eq!(host.connect("host", 0, "127.0.0.1:5106"), End::Open);
    let thief = host.within("host", B, || UdpSocket::bind("127.0.0.1:5107").unwrap());
    let owner = host.within("host", A, || {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"password", "127.0.0.1:5107").unwrap();
        client
    });
    let from = owner.local_addr().unwrap();
    assert!(host::arrives(&thief), "datagrams have no handshake");
    let _ = thief.send_to(b"welcome", from);
    assert!(!host::arrives(&owner), "but no answer");
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_listener_whose_answer_has_no_socket_answers_nobody_but_its_owner() {
    let host = Host::start();
    // Where nobody has room to wait, the kernel answers with a cookie, and such a packet is no socket's. The first
    // caller takes the only place for half a minute.
    let listen = |uid: u32, port: u16, protocol: Option<Protocol>, backlog: i32| {
        let at = format!("127.0.0.1:{port}");
        host.listen_with("host", uid, &at, protocol, backlog)
    };
    let connect = |port: u16| host.connect("host", A, &format!("127.0.0.1:{port}"));
    let _cookies = listen(B, 5104, None, 0);
    // MPTCP's listener is a socket of the kernel's own, within the user's.
    let _mptcp = listen(B, 5105, Some(ipproto::MPTCP), 16);
    let _own = listen(A, 5106, Some(ipproto::MPTCP), 16);
    let _service = listen(110, 5107, Some(ipproto::MPTCP), 16);
    host.apply();
    for _ in 0..3 {
        assert_ne!(connect(5104), End::Open);
    }
    assert_ne!(connect(5105), End::Open);
    assert_eq!(connect(5106), End::Open);
    assert_eq!(connect(5107), End::Open);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn nobody_else_meets_the_owners_connection_from_the_other_end() {
    let host = Host::start();
    assert_eq!(host.meet(A, B, 5106), "connected", "before the guard");
    host.apply();
    assert_eq!(host.meet(A, B, 5106), "alone");
    // Of no tenant's port that is nobody's matter.
    assert_eq!(host.meet(A, B, 4000), "connected");
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_bridge_is_reached_by_no_address_that_is_no_tenants() {
    let host = Host::start();
    let _a = ["0.0.0.0:8080", "[::]:8081"].map(|at| host.listen("a", 0, at));
    host.inside("a", "ip addr add fe80::aa/64 dev eth0 nodad");
    host.inside("host", "ip addr add fe80::ab/64 dev ai-70001 nodad");
    let index = host.inside("host", "cat /sys/class/net/ai-70001/ifindex");
    let link_local = format!("[fe80::aa%{}]:8081", index.trim());
    let ways = ["[fd66:1::2]:8081", link_local.as_str()];
    for way in ways {
        assert_eq!(
            host.connect("host", B, way),
            End::Open,
            "{way} before the guard"
        );
    }
    host.apply();
    for way in ways {
        assert_eq!(host.connect("host", 0, way), End::Open, "{way}");
        for uid in OTHERS {
            assert_eq!(
                host.connect("host", uid, way),
                End::Rejected,
                "{uid} to {way}"
            );
        }
    }
    // The bridge and containers of a tenant whom the policy does not name any more.
    let left = POLICY
        .replace("70001-70006", "70101-70106")
        .replace("10.200.0.0", "10.210.0.0");
    host.policy(&left);
    host.apply();
    let container = format!("{A_CONTAINER}:8080");
    assert_eq!(host.connect("host", 0, &container), End::Open);
    for uid in [A, B, STRANGER, NOBODY] {
        assert_eq!(
            host.connect("host", uid, &container),
            End::Rejected,
            "{uid}"
        );
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_port_that_is_translated_is_judged_by_what_was_requested_and_by_where_it_ends() {
    let host = Host::start();
    let _container = host.listen("a", 0, "0.0.0.0:80");
    // As Docker without userland-proxy; the second by somebody else, from a port that is not a tenant's.
    host.inside(
        "host",
        "echo 1 >/proc/sys/net/ipv4/conf/ai-70001/route_localnet",
    );
    host.inside(
        "host",
        "nft -f - <<'END'
table ip nat {
    chain output {
        type nat hook output priority -100; policy accept;
        fib daddr type local tcp dport 5100 dnat to 10.200.0.2:80
        fib daddr type local tcp dport 9999 dnat to 10.200.0.2:80
    }
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        fib daddr type local tcp dport 5100 dnat to 10.200.0.2:80
    }
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        oifname \"ai-70001\" ip saddr 127.0.0.0/8 masquerade
    }
}
END",
    );
    let ways = ["127.0.0.1:5100", "192.168.77.1:5100", "127.0.0.1:9999"];
    for way in ways {
        assert_eq!(
            host.connect("host", B, way),
            End::Open,
            "{way} before the guard"
        );
    }
    assert_eq!(
        host.connect("b", 0, "10.200.0.65:5100"),
        End::Open,
        "before the guard"
    );
    assert_eq!(
        host.connect("lan", 0, "192.168.77.1:5100"),
        End::Open,
        "before the guard"
    );
    host.apply();
    for way in ways {
        for uid in FRIENDS {
            assert_eq!(host.connect("host", uid, way), End::Open, "{uid} to {way}");
        }
        for uid in OTHERS {
            assert_eq!(
                host.connect("host", uid, way),
                End::Rejected,
                "{uid} to {way}"
            );
        }
    }
    // Published on loopback, as all of a tenant's ports are: not for B's container, nor for the LAN. Such a
    // connection, translated and then refused where it is forwarded, was seen to end without an answer.
    assert_ne!(host.connect("b", 0, "10.200.0.65:5100"), End::Open);
    assert_ne!(host.connect("lan", 0, "192.168.77.1:5100"), End::Open);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn users_reach_no_metadata_address_unless_the_policy_says_so() {
    let host = Host::start();
    let _metadata = ["0.0.0.0:80", "[::]:81"].map(|at| host.listen("lan", 0, at));
    let ways = [format!("{METADATA}:80"), "[fd00:ec2::254]:81".to_owned()];
    for way in &ways {
        assert_eq!(host.connect("host", A, way), End::Open, "before the guard");
    }
    let text = POLICY.replacen("[guard]\n", "[guard]\nmetadata_uids = [70500]\n", 1);
    host.policy(&text);
    host.apply();
    for way in &ways {
        for uid in [A, A_SERVICE, B, SUBORDINATE, NOBODY] {
            assert_eq!(
                host.connect("host", uid, way),
                End::Rejected,
                "{uid} to {way}"
            );
        }
        for uid in [0, 110, STRANGER] {
            assert_eq!(host.connect("host", uid, way), End::Open, "{uid} to {way}");
        }
    }
}
