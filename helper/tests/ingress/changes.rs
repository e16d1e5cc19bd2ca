//! Tenants come, change and go, and nobody else's connection feels it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::hello::plain;
use crate::test_host::{
    HTTP, HTTPS, TestHost, answer_of, line_after, line_of, two_tenants, visit, websocket_request,
};

/// Changes of the policy while visitors come, each applied by the command that the path unit runs.
const CHANGES: u32 = 1000;

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_thousand_changes_of_tenants_end_no_connection_and_fail_no_new_one() {
    let host = TestHost::start(2);
    two_tenants(&host);
    let visitors = Visitors::come();
    let began = Instant::now();
    for change in 0..CHANGES {
        // One tenant has another domain each time, and one or two more come and go.
        let more = format!("[[tenant]]\nuid = 63002\ndomains = [\"shop-{change}.test\"]\n");
        host.policy(2 + change % 3, &more);
        let output = host.helper(&["apply"]);
        assert!(
            output.status.success(),
            "{change}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let line = line_after(HTTPS, &plain(&format!("shop-{change}.test")));
        assert!(line.starts_with("tenant 1 "), "{change}: {line:?}");
        if change > 0 {
            let gone = format!("shop-{}.test", change - 1);
            assert_eq!(line_after(HTTPS, &plain(&gone)), "", "{gone}");
        }
    }
    let took = began.elapsed();
    let (handshakes, requests, downloaded, frames) = visitors.go();
    eprintln!(
        "{CHANGES} changes in {took:?}: {handshakes} new connections and {requests} requests, none failed; one \
         download of {} MiB and one websocket with {frames} messages lasted through all of them",
        downloaded >> 20
    );
    // Nobody of them waited for the end of the changes.
    for (what, count) in [
        ("new connections", handshakes),
        ("requests", requests),
        ("messages", frames),
        ("blocks", downloaded >> 16),
    ] {
        assert!(count > u64::from(CHANGES / 10), "{count} {what}");
    }
}

/// Four who never stop while tenants change: new connections by TLS and by plain HTTP, each after the other; one
/// long download; one websocket. Each of them panics at the first thing that goes wrong.
struct Visitors {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<u64>; 4],
}

impl Visitors {
    fn come() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut download, mut websocket) = (visit(HTTPS), visit(HTTP));
        let hello = plain("n8n.t-63001.example.test");
        download.write_all(&hello).unwrap();
        assert!(line_of(&download).starts_with("tenant 0 "));
        let upgrade = websocket_request("n8n.t-63001.example.test");
        websocket.write_all(upgrade.as_bytes()).unwrap();
        assert!(answer_of(&mut websocket).starts_with("HTTP/1.1 101 "));
        let block = vec![0x5a; 1 << 16];
        let threads = [
            repeat(&stop, || {
                let line = line_after(HTTPS, &plain("t-63001.example.test"));
                assert!(line.starts_with("tenant 0 "), "{line:?}");
                1
            }),
            repeat(&stop, || {
                let mut stream = visit(HTTP);
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: t-63001.example.test\r\n\r\n")
                    .unwrap();
                let answer = answer_of(&mut stream);
                assert!(answer.contains("tenant 0 127.0.0.1"), "{answer}");
                1
            }),
            repeat(&stop, move || echoed(&mut download, &block)),
            repeat(&stop, move || {
                echoed(&mut websocket, b"still here");
                std::thread::sleep(Duration::from_millis(5));
                1
            }),
        ];
        Self { stop, threads }
    }

    /// How many connections, requests, bytes and messages there were.
    fn go(self) -> (u64, u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let [handshakes, requests, downloaded, frames] =
            self.threads.map(|thread| thread.join().unwrap());
        (handshakes, requests, downloaded, frames)
    }
}

/// Does it again and again in a thread of its own, and adds up what it says.
fn repeat(
    stop: &Arc<AtomicBool>,
    mut once: impl FnMut() -> u64 + Send + 'static,
) -> JoinHandle<u64> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut sum = 0;
        while !stop.load(Ordering::Relaxed) {
            sum += once();
        }
        sum
    })
}

/// Sends bytes to a tenant that sends them back; their number.
fn echoed(stream: &mut TcpStream, bytes: &[u8]) -> u64 {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
    u64::try_from(bytes.len()).unwrap()
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
    two_tenants(&host);
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
    // What the first apply, the first answer and the first visitors take is there once, however many tenants there are.
    host.policy(2, "");
    assert!(host.says(&["apply"]).contains("routes replaced, 2 domains"));
    assert!(host.helper(&["status"]).status.success());
    one_visit(&host);
    let before = memory();
    for count in [1, 10, 100, 1000] {
        host.policy(count, "");
        let [rendered, applied, looked] = ["render", "apply", "status"].map(|command| {
            // The least of some: the machine may have other work to do.
            let runs = (0..5).map(|_| {
                let began = Instant::now();
                let output = host.helper(&[command]);
                assert!(output.status.success(), "{}", host.says(&[command]));
                (began.elapsed(), output.stdout)
            });
            runs.min_by_key(|run| run.0).unwrap()
        });
        let says = String::from_utf8_lossy(&applied.1).into_owned();
        assert!(
            says.contains(&format!("routes replaced, {count} domain")),
            "{says}"
        );
        let map = std::fs::metadata(host.front().join("domains.map")).unwrap();
        let visit = one_visit(&host);
        // For docs/scale.md; how fast this machine is today is no matter of right or wrong.
        eprintln!(
            "{count} tenants: map {} bytes; rendered in {:?}, applied in {:?}, status in {:?}; HAProxy's memory {} KiB, \
             its processor time for one visit {visit:?}",
            map.len(),
            rendered.0,
            applied.0,
            looked.0,
            memory()
        );
        assert!(applied.0 < Duration::from_secs(30));
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB");
}

/// HAProxy's processor time for one visitor of the first tenant, who comes, says hello, and goes.
fn one_visit(host: &TestHost) -> Duration {
    const VISITS: u32 = 2000;
    // Nanoseconds on a processor, of each thread (proc(5), schedstat).
    let used = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", host.worker())).unwrap();
        let used = threads.map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            let schedstat = std::fs::read_to_string(path).unwrap();
            let nanoseconds = schedstat.split(' ').next().unwrap();
            nanoseconds.parse::<u64>().unwrap()
        });
        Duration::from_nanos(used.sum())
    };
    let hello = plain("t-63001.example.test");
    let before = used();
    for _ in 0..VISITS {
        assert!(line_after(HTTPS, &hello).starts_with("tenant 0 "));
    }
    used().checked_sub(before).unwrap() / VISITS
}
