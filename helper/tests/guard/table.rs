//! The table in the kernel: applied, looked at, changed, removed, and with a thousand tenants.

use std::fmt::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use aistack_helper::guard::{Answer, Probe, canary};
use aistack_policy::Policy;

use crate::host::{A, B, End, Host, POLICY, STRANGER};

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_connection_that_was_open_before_goes_on_when_the_guard_is_applied_again() {
    use std::io::{Read, Write};
    let host = Host::start();
    let listener = host.listen("host", 0, "127.0.0.1:5100");
    host.apply();
    let connect = || TcpStream::connect("127.0.0.1:5100").unwrap();
    let mut client = host.within("host", A, connect);
    let (mut server, _) = listener.accept().unwrap();
    for _ in 0..5 {
        host.apply();
        client.write_all(b"x").unwrap();
        let mut got = [0];
        server.read_exact(&mut got).unwrap();
    }
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn status_sees_a_flush_a_change_and_another_policy_and_apply_puts_it_right() {
    let host = Host::start();
    let state = || host.guard("status");
    let is = |word: &str| {
        let (right, answer) = state();
        assert_eq!(answer["state"], word, "{answer}");
        assert_eq!(right, matches!(word, "in-force" | "off"), "{answer}");
    };
    is("missing");
    host.apply();
    is("in-force");
    host.inside("host", "nft flush ruleset");
    is("missing");
    host.apply();
    is("in-force");
    host.inside("host", "nft insert rule inet aistack output accept");
    is("changed");
    host.apply();
    is("in-force");
    host.inside(
        "host",
        "nft 'delete element inet aistack ports { 5100-5109 }'",
    );
    is("changed");
    host.apply();
    host.policy(&format!("{POLICY}egress = 'none'\n"));
    is("outdated");
    host.apply();
    is("in-force");
    host.policy("version = 1\n[guard]\nenabled = false\n");
    is("unwanted");
    host.apply();
    is("off");
    assert_eq!(host.guard("off").1["state"], "off");
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn who_has_no_privilege_sees_whether_the_guard_of_this_policy_is_in_force() {
    let host = Host::start();
    let canary_of = |text: &str| canary(&Policy::parse(text).unwrap());
    let ask = |text: &str| host.within("host", STRANGER, || Probe::open().ask(canary_of(text)));
    assert_eq!(ask(POLICY), Answer::NotInForce);
    host.apply();
    assert_eq!(ask(POLICY), Answer::InForce);
    assert_eq!(
        ask(&format!("{POLICY}egress = 'none'\n")),
        Answer::NotInForce
    );
    // Whoever listens there changes nothing.
    let (address, port) = canary_of(POLICY).unwrap().dropped();
    let _listener = host.within("host", B, || UdpSocket::bind((address, port)).unwrap());
    assert_eq!(ask(POLICY), Answer::InForce);
    host.inside("host", "nft flush ruleset");
    assert_eq!(ask(POLICY), Answer::NotInForce);
    // Something that refuses everything is not a guard.
    host.inside(
        "host",
        "nft add table ip f; nft 'add chain ip f o { type filter hook output priority 0; policy drop; }'",
    );
    assert_eq!(ask(POLICY), Answer::Unknown);
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn what_others_have_in_the_kernel_stays_and_off_removes_the_own_table_alone() {
    let host = Host::start();
    host.inside("host", "nft add table inet mine; nft add chain inet mine c");
    host.apply();
    let (done, answer) = host.guard("off");
    assert!(done, "{answer}");
    let tables = host.inside("host", "nft list tables");
    assert!(
        tables.contains("mine") && !tables.contains("aistack"),
        "{tables}"
    );
    let (done, answer) = host.guard("off");
    assert!(done, "{answer}");
}

#[test]
#[ignore = "needs root, nft and network namespaces"]
fn a_thousand_tenants_load_and_connections_cost_no_more() {
    let host = Host::start();
    let _listener = host.listen("host", 0, "127.0.0.1:5100");
    let mut said = format!("no table: one connection {:?}\n", one_connection(&host));
    for count in [1_u32, 2, 10, 100, 1000] {
        let last = 70_000 + count;
        host.policy(&format!(
            "version = 1\n[tenants]\nuids = [\"70001-{last}\"]\nnetwork = {{ pool = \"10.200.0.0/16\", prefix = 26 }}\n\
             ports = {{ first = 5100, per_tenant = 20 }}\nservice_uids = {{ offset = 10000, count = 1 }}\n"
        ));
        let [rendered, applied, looked] = ["render", "apply", "status"].map(|verb| {
            // The least of some: the machine may have other work to do.
            let runs = (0..5).map(|_| {
                let began = Instant::now();
                let (done, answer) = host.guard(verb);
                assert!(done, "{answer}");
                (began.elapsed(), answer)
            });
            runs.min_by_key(|run| run.0).unwrap()
        });
        let table = rendered.1["table"].as_str().unwrap();
        let _ = writeln!(
            said,
            "{count} tenants: table {} bytes, {} entries of maps; rendered in {:?}, applied in {:?}, status in {:?}; \
             one connection {:?}",
            table.len(),
            table.matches(" : goto ").count(),
            rendered.0,
            applied.0,
            looked.0,
            one_connection(&host)
        );
        assert_eq!(host.connect("host", A, "127.0.0.1:5100"), End::Open);
        assert_eq!(host.connect("host", B, "127.0.0.1:5100"), End::Rejected);
    }
    // For docs/scale.md; how fast this machine is today is no matter of right or wrong.
    eprint!("{said}");
}

/// Processor time of connecting to a port of A's by A, on loopback; nothing listens there, since a backlog would fill.
fn one_connection(host: &Host) -> Duration {
    const CONNECTIONS: u32 = 20_000;
    host.within("host", A, || {
        // Nanoseconds on a processor (proc(5), schedstat).
        let used = || {
            let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            let nanoseconds = schedstat.split(' ').next().unwrap();
            Duration::from_nanos(nanoseconds.parse().unwrap())
        };
        let before = used();
        for _ in 0..CONNECTIONS {
            TcpStream::connect("127.0.0.1:5109").unwrap_err();
        }
        used().checked_sub(before).unwrap() / CONNECTIONS
    })
}
