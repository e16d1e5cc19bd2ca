//! Clients that do not play by the rules, and what they can do to others: nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aistack_helper::accept::Bounds;
use aistack_helper::audit::{Audit, Settings};
use aistack_helper::daemon;
use aistack_helper::docker::Docker;
use aistack_helper::front::{self, Front, Times};
use aistack_helper::ops::Ops;
use aistack_helper::policy_store::PolicyStore;
use aistack_proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

use super::raw;
use super::test_host::{
    A, B, STRANGER, TestHost, become_user, client_of, connect_as, details, try_channel_of,
};

/// The HTTP/2 connection preface (RFC 9113, 3.4) and an empty SETTINGS frame.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Time until the daemon closes the connection; panics after `limit`.
fn closed_after(mut stream: StdStream, limit: Duration) -> Duration {
    let started = Instant::now();
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return started.elapsed(),
            Ok(_) => assert!(started.elapsed() < limit, "still open"),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return started.elapsed();
            }
            Err(error) => panic!("still open after {:?}: {error}", started.elapsed()),
        }
    }
}

/// The server speaks first (SETTINGS), so what can be read is read.
pub(crate) fn is_open(stream: &mut StdStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

async fn whoami_takes(host: &TestHost, uid: u32) -> Duration {
    let started = Instant::now();
    let mut client = host.client(uid).await;
    client.who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    started.elapsed()
}

/// Processor time of the daemon so far, in ticks of 10 ms (proc(5)).
fn ticks(host: &TestHost) -> u64 {
    let path = format!("/proc/{}/stat", host.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
#[ignore = "needs root"]
async fn three_hundred_idle_connections_of_one_uid_keep_nobody_out() {
    let host = TestHost::start();
    let mut idle: Vec<StdStream> = (0..300)
        .map(|_| connect_as(A, &host.socket()).unwrap())
        .collect();
    let before = ticks(&host);
    let takes = whoami_takes(&host, B).await;
    std::thread::sleep(Duration::from_secs(1));
    let busy = ticks(&host) - before;
    // Those whose answer says that they are too many have a second to ask something.
    std::thread::sleep(Duration::from_secs(2));
    let open = idle
        .iter_mut()
        .filter_map(|s| is_open(s).then_some(()))
        .count();
    println!(
        "300 idle connections: {open} kept, another UID answered in {takes:?}, {busy} ticks of CPU in 1 s"
    );
    assert_eq!(open, 8);
    assert!(takes < Duration::from_secs(5), "{takes:?}");
    assert!(
        busy < 50,
        "the daemon turns without pause: {busy} ticks in a second"
    );
    drop(idle);
    host.wait_for("room for the same UID", || {
        is_open(&mut connect_as(A, &host.socket()).unwrap())
    });
    whoami_takes(&host, A).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn strangers_in_numbers_keep_no_tenant_out_and_are_answered_again_afterwards() {
    let host = TestHost::start();
    let mut idle: Vec<StdStream> = (0..200)
        .map(|uid| connect_as(70_000 + uid, &host.socket()).unwrap())
        .collect();
    let takes = whoami_takes(&host, A).await;
    let open = idle
        .iter_mut()
        .filter_map(|s| is_open(s).then_some(()))
        .count();
    assert_eq!(open, 16);
    assert!(takes < Duration::from_secs(5), "{takes:?}");
    drop(idle);
    std::thread::sleep(Duration::from_millis(200));
    let mut client = host.client(STRANGER).await;
    let status = client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(details(&status).0, "NO_GRANT");
}

#[tokio::test]
#[ignore = "needs root"]
async fn without_descriptors_the_daemon_waits_and_recovers() {
    let mut host = TestHost::prepare();
    host.spawn(|command| {
        let mut limited = std::process::Command::new("bash");
        limited.args(["-c", "ulimit -n 20; exec \"$@\"", "bash"]);
        limited.arg(command.get_program()).args(command.get_args());
        limited
    });
    host.wait_for("the daemon", || host.said().contains("answers"));
    let tenants = (A..A + 4).flat_map(|uid| std::iter::repeat_n(uid, 8));
    let idle: Vec<_> = tenants
        .map(|uid| connect_as(uid, &host.socket()).unwrap())
        .collect();
    host.wait_for("the shortage", || host.said().contains("cannot accept"));
    let before = ticks(&host);
    std::thread::sleep(Duration::from_secs(1));
    let busy = ticks(&host) - before;
    println!("out of descriptors: {busy} ticks of CPU in 1 s");
    assert!(
        busy < 20,
        "the daemon turns without pause: {busy} ticks in a second"
    );
    drop(idle);
    whoami_takes(&host, B).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_flood_of_connections_slows_others_down_but_keeps_nobody_out() {
    let host = TestHost::start();
    let (socket, stop) = (host.socket(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let flood = std::thread::spawn(move || {
        become_user(A).unwrap();
        let mut connections = 0u64;
        while !stopped.load(Ordering::Relaxed) {
            connections += u64::from(StdStream::connect(&socket).is_ok());
        }
        connections
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        slowest = slowest.max(whoami_takes(&host, B).await);
    }
    stop.store(true, Ordering::Relaxed);
    let connections = flood.join().unwrap();
    println!("{connections} connections of one UID; another one waited {slowest:?} at most");
    assert!(connections > 100);
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn the_uid_of_nobody_in_particular_is_not_answered() {
    let host = TestHost::start();
    let stream = connect_as(65534, &host.socket()).unwrap();
    closed_after(stream, Duration::from_secs(4));
}

#[test]
#[ignore = "needs root"]
fn a_connection_that_does_not_speak_is_closed() {
    let host = TestHost::start();
    let silent = connect_as(A, &host.socket()).unwrap();
    let mut partial = connect_as(A, &host.socket()).unwrap();
    partial.write_all(&PREFACE[..20]).unwrap();
    let limit = Duration::from_secs(20);
    let silent = std::thread::spawn(move || closed_after(silent, limit));
    let partial = closed_after(partial, limit);
    let silent = silent.join().unwrap();
    println!("silent connection closed after {silent:?}, half a preface after {partial:?}");
    for time in [silent, partial] {
        assert!(
            time > Duration::from_secs(4) && time < Duration::from_secs(15),
            "{time:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn bytes_that_are_no_http2_end_the_connection_and_nothing_else() {
    let host = TestHost::start();
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        &[0; 64],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for bytes in garbage {
        let mut stream = connect_as(A, &host.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        closed_after(stream, Duration::from_secs(20));
    }
    let mut stream = connect_as(A, &host.socket()).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&[0xff; 64]).unwrap();
    closed_after(stream, Duration::from_secs(20));
    whoami_takes(&host, A).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_message_that_is_too_large_is_not_read() {
    let host = TestHost::start();
    let mut client = host.client(A).await;
    let directory = v1::ServiceDirectory {
        service: "a".repeat(70_000),
        kind: 1,
        owner: 1,
    };
    let request = v1::PrepareDirectoriesRequest {
        directories: vec![directory],
    };
    let status = client.prepare_directories(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let stream = connect_as(A, &host.socket()).unwrap();
    let mut channel = try_channel_of(stream).await.unwrap();
    let path = "/aistack.helper.v1.Helper/MountVolume";
    let status = raw::call(&mut channel, path, &vec![0x0a; 70_000])
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert_eq!(host.records_of("intent").len(), 0);
    whoami_takes(&host, A).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn unknown_fields_broken_messages_and_unknown_methods_are_refused_and_recorded() {
    let host = TestHost::start();
    let stream = connect_as(A, &host.socket()).unwrap();
    let mut channel = try_channel_of(stream).await.unwrap();
    // Field 1 = 0: "mount it for root", if anybody believed it.
    let mount = "/aistack.helper.v1.Helper/MountVolume";
    let cases: [(&str, &[u8], Code, &str); 5] = [
        (
            mount,
            &[0x08, 0x00],
            Code::InvalidArgument,
            "UNKNOWN_FIELDS",
        ),
        (
            mount,
            &[0x0a, 0x04, b'/', b'e', b't', b'c'],
            Code::InvalidArgument,
            "UNKNOWN_FIELDS",
        ),
        (mount, &[0xff, 0xff], Code::InvalidArgument, "BAD_MESSAGE"),
        (
            "/aistack.helper.v1.Helper/Format",
            &[],
            Code::Unimplemented,
            "UNKNOWN_METHOD",
        ),
        (
            "/grpc.reflection.v1.ServerReflection/x",
            &[],
            Code::Unimplemented,
            "UNKNOWN_METHOD",
        ),
    ];
    for (path, bytes, code, reason) in cases {
        let status = raw::call(&mut channel, path, bytes).await.unwrap_err();
        assert_eq!(
            (status.code(), details(&status).0.as_str()),
            (code, reason),
            "{path}"
        );
    }
    assert_eq!(host.records_of("intent").len(), 0);
    let refused = host.records_of("refused");
    assert_eq!(refused.len(), cases.len());
    assert_eq!(refused[0]["operation"], "volume.mount");
    assert_eq!(refused[0]["rule"], "builtin.closed-messages");
    assert_eq!(refused[3]["operation"], "unknown");
}

#[tokio::test]
#[ignore = "needs root"]
async fn who_sends_too_many_requests_learns_when_to_come_back_and_disturbs_nobody() {
    let host = TestHost::start();
    let mut client = host.client(A).await;
    let mut refused = None;
    for _ in 0..200 {
        if let Err(status) = client.who_am_i(v1::WhoAmIRequest {}).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("never refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(details(&status).0, "TOO_MANY_REQUESTS");
    let wait = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    whoami_takes(&host, B).await;
    tokio::time::sleep(wait + Duration::from_millis(20)).await;
    assert!(client.who_am_i(v1::WhoAmIRequest {}).await.is_ok());
}

/// The daemon's parts in this process, with times short enough to wait for.
fn quick_server(host: &TestHost, idle: Option<Duration>) -> tokio::task::JoinHandle<()> {
    let policy = PolicyStore::load(&host.path("policy.toml")).unwrap();
    let audit = Audit::open(host.audit_dir(), "helper", Settings::DEFAULT).unwrap();
    let docker = Docker::new(&host.path("docker.sock"));
    let ops = Ops::new(docker, host.path("mount.sock"), &host.path("state")).unwrap();
    let times = Times {
        connection: Duration::from_millis(700),
        idle,
        ..Times::DEFAULT
    };
    let bounds = Bounds {
        max_age: Some(Duration::from_secs(2)),
        ..Bounds::GRPC
    };
    let listener = daemon::listen(&host.socket(), 0o666).unwrap();
    let listener = daemon::attach(listener.listener).unwrap();
    let front = Front::new(policy, audit, ops, times);
    tokio::spawn(async move {
        let never = std::future::pending();
        front::serve(listener, bounds, front, never).await.unwrap();
    })
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_server_that_may_ends_when_nobody_is_connected_and_not_before() {
    let host = TestHost::prepare();
    let idle = Duration::from_millis(400);
    let mut server = quick_server(&host, Some(idle));
    let open = connect_as(A, &host.socket()).unwrap();
    assert!(
        tokio::time::timeout(3 * idle, &mut server).await.is_err(),
        "it ended under a caller"
    );
    let closed = Instant::now();
    drop(open);
    tokio::time::timeout(10 * idle, server)
        .await
        .expect("it goes on although nobody is connected")
        .unwrap();
    assert!(closed.elapsed() >= idle, "{:?}", closed.elapsed());
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_connection_grows_old_in_order_and_a_silent_one_is_cut_off() {
    let host = TestHost::prepare();
    let server = quick_server(&host, None);
    let mut silent = connect_as(A, &host.socket()).unwrap();
    silent.write_all(PREFACE).unwrap();
    silent.write_all(SETTINGS).unwrap();
    let silent = tokio::task::spawn_blocking(|| closed_after(silent, Duration::from_secs(10)));
    let mut client = client_of(connect_as(A, &host.socket()).unwrap()).await;
    assert!(client.who_am_i(v1::WhoAmIRequest {}).await.is_ok());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let late = client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{late:?}");
    let silent = silent.await.unwrap();
    println!("a silent HTTP/2 connection was cut off after {silent:?}");
    assert!(silent < Duration::from_secs(8), "{silent:?}");
    server.abort();
}
