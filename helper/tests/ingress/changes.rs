//! Tenants come, change and go, and nobody else's connection feels it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::hello::plain;
use crate::test_host::{HTTPS, TestHost, line_after, line_of, two_tenants, visit};

/// Changes of the policy while visitors come.
const CHANGES: u32 = 100;

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn changing_tenants_ends_no_connection_and_fails_no_new_one() {
    let host = TestHost::start(2);
    two_tenants(&host);
    // One that lasts through all of it.
    let mut lasting = visit(HTTPS);
    lasting
        .write_all(&plain("n8n.t-63001.example.test"))
        .unwrap();
    assert!(line_of(&lasting).starts_with("tenant 0 "));
    let stop = Arc::new(AtomicBool::new(false));
    let visits = Arc::new(AtomicU32::new(0));
    let visitor = {
        let (stop, visits) = (Arc::clone(&stop), Arc::clone(&visits));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let line = line_after(HTTPS, &plain("t-63001.example.test"));
                assert!(line.starts_with("tenant 0 "), "{line:?}");
                visits.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    for change in 0..CHANGES {
        let more = format!("[[tenant]]\nuid = 63002\ndomains = [\"shop-{change}.test\"]\n");
        host.policy(2 + change % 3, &more);
        let output = host.helper(&["apply"]);
        assert!(output.status.success(), "{}", host.says(&["apply"]));
        let line = line_after(HTTPS, &plain(&format!("shop-{change}.test")));
        assert!(line.starts_with("tenant 1 "), "{change}: {line:?}");
        if change > 0 {
            assert_eq!(
                line_after(HTTPS, &plain(&format!("shop-{}.test", change - 1))),
                ""
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    visitor.join().unwrap();
    assert!(visits.load(Ordering::Relaxed) > CHANGES);
    lasting.write_all(b"still here").unwrap();
    let mut back = [0; 10];
    lasting.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"still here");
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn other_ports_reload_it_and_what_lasts_goes_on() {
    let host = TestHost::start(2);
    two_tenants(&host);
    let mut lasting = visit(HTTPS);
    lasting.write_all(&plain("t-63001.example.test")).unwrap();
    assert!(line_of(&lasting).starts_with("tenant 0 "));
    let path = host.dir.path().join("policy.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("enabled = true", "enabled = true\nhttps_port = 444"),
    )
    .unwrap();
    assert!(host.helper(&["render", "--write"]).status.success());
    // As the unit's ExecReload does, once the master is there; here it may have made its worker just now, and a signal
    // that comes before its loop is lost.
    let master = rustix::process::Pid::from_raw(host.haproxy().try_into().unwrap()).unwrap();
    let mut signalled: Option<std::time::Instant> = None;
    host.until("the new port answers", || {
        if signalled.is_none_or(|at| at.elapsed() > Duration::from_secs(5)) {
            rustix::process::kill_process(master, rustix::process::Signal::USR2).unwrap();
            signalled = Some(std::time::Instant::now());
        }
        std::net::TcpStream::connect("127.0.0.1:444").is_ok()
    });
    assert!(line_after("127.0.0.1:444", &plain("t-63002.example.test")).starts_with("tenant 1 "));
    lasting.write_all(b"ping").unwrap();
    let mut back = [0; 4];
    lasting.read_exact(&mut back).unwrap();
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn status_looks_at_what_runs_and_apply_puts_it_right() {
    let host = TestHost::start(3);
    assert_eq!(
        host.says(&["status"]),
        "front door: runs, 3 domains as the policy says\n"
    );
    host.policy(5, "");
    assert!(!host.helper(&["status"]).status.success());
    assert!(
        host.says(&["status"])
            .contains("2 domains of the policy are missing")
    );
    assert!(host.says(&["apply"]).contains("routes replaced, 5 domains"));
    assert_eq!(
        host.says(&["status"]),
        "front door: runs, 5 domains as the policy says\n"
    );
    // Somebody changes the map behind the policy's back.
    let map = host.front().join("domains.map");
    let mut socket =
        std::os::unix::net::UnixStream::connect(host.front().join("haproxy/admin.sock")).unwrap();
    let command = format!(
        "set map {} t-63001.example.test 10.128.0.126\n",
        map.display()
    );
    socket.write_all(command.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(
        host.says(&["status"])
            .contains("1 domains of the policy are missing and 1 are not")
    );
    assert!(host.helper(&["apply"]).status.success());
    assert!(host.helper(&["status"]).status.success());
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_thousand_tenants_are_applied_at_once_and_cost_little() {
    let host = TestHost::start(1);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.worker())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    // What the first apply and the first answer take is there once, however many tenants there are.
    host.policy(2, "");
    assert!(host.says(&["apply"]).contains("routes replaced, 2 domains"));
    assert!(host.helper(&["status"]).status.success());
    let before = memory();
    host.policy(1000, "");
    let began = std::time::Instant::now();
    assert!(
        host.says(&["apply"])
            .contains("routes replaced, 1000 domains")
    );
    let took = began.elapsed();
    let grown = memory().saturating_sub(before);
    eprintln!(
        "1000 domains: applied in {took:?}, HAProxy's memory {before} KiB and {grown} KiB more"
    );
    assert!(grown < 4 << 10, "{grown} KiB");
    assert!(took < Duration::from_secs(30));
}
