//! What root says to HAProxy's admin socket reaches HAProxy and nobody else.

use std::io::{Read, Write};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::test_host::TestHost;

/// Somebody who is neither HAProxy nor root.
const OTHER: u32 = 63_900;

/// A listener of this user at `path`; whether anything was sent to it.
fn foreign(path: PathBuf, uid: u32) -> Arc<AtomicBool> {
    let heard = Arc::new(AtomicBool::new(false));
    let connected = Arc::clone(&heard);
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let uid = Uid::from_raw(uid);
        set_thread_res_uid(uid, uid, uid).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut first = [0];
            if stream.read(&mut first).unwrap_or(0) > 0 {
                connected.store(true, Ordering::Relaxed);
            }
            let _ = stream.write_all(b"\n");
        }
    });
    is_ready.recv().unwrap();
    heard
}

/// What both commands say; neither may succeed.
fn refused(host: &TestHost) -> String {
    let mut said = String::new();
    for command in ["status", "apply"] {
        assert!(!host.helper(&[command]).status.success(), "{command}");
        said.push_str(&host.says(&[command]));
    }
    said
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_link_in_the_place_of_the_admin_socket_is_not_followed() {
    let host = TestHost::start(2);
    let socket = host.front().join("haproxy/admin.sock");
    let elsewhere = host.dir.path().join("elsewhere.sock");
    let heard = foreign(elsewhere.clone(), 0);
    std::fs::remove_file(&socket).unwrap();
    symlink(&elsewhere, &socket).unwrap();
    let said = refused(&host);
    assert!(said.contains("symbolic link"), "{said}");
    assert!(!heard.load(Ordering::Relaxed));
    // Nor one in the place of its directory.
    std::fs::remove_file(&socket).unwrap();
    std::fs::rename(&elsewhere, host.dir.path().join("admin.sock")).unwrap();
    std::fs::rename(host.front().join("haproxy"), host.dir.path().join("old")).unwrap();
    symlink(host.dir.path(), host.front().join("haproxy")).unwrap();
    let said = refused(&host);
    assert!(said.contains("symbolic link"), "{said}");
    assert!(!heard.load(Ordering::Relaxed));
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_socket_of_somebody_else_in_its_place_gets_no_command() {
    let host = TestHost::start(2);
    let dir = host.front().join("haproxy");
    let socket = dir.join("admin.sock");
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "").unwrap();
    let said = refused(&host);
    assert!(said.contains("is not a socket"), "{said}");
    std::fs::remove_file(&socket).unwrap();
    // As HAProxy's directory would be, were it this user's.
    chown(&dir, Some(OTHER), None).unwrap();
    let heard = foreign(socket.clone(), OTHER);
    chown(&dir, Some(OTHER + 1), None).unwrap();
    let said = refused(&host);
    assert!(said.contains("it belongs to UID 63900"), "{said}");
    // The file is HAProxy's, and who listens on it is not.
    chown(&socket, Some(OTHER + 1), None).unwrap();
    let said = refused(&host);
    assert!(said.contains("UID 63900 listens on it"), "{said}");
    assert!(!heard.load(Ordering::Relaxed));
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn without_haproxy_nothing_runs_and_nothing_is_wrong_with_its_socket() {
    let host = TestHost::start(2);
    std::fs::remove_file(host.front().join("haproxy/admin.sock")).unwrap();
    assert!(host.says(&["status"]).contains("HAProxy does not run"));
    std::fs::remove_dir_all(host.front()).unwrap();
    assert!(host.says(&["status"]).contains("HAProxy does not run"));
}

/// What stands in HAProxy's place may keep root waiting for a while, and no longer.
fn status_ends(host: &TestHost) -> String {
    let began = Instant::now();
    let said = host.says(&["status"]);
    assert!(began.elapsed() < Duration::from_mins(1), "{said}");
    assert!(!said.contains("does not run"), "{said}");
    assert!(!host.helper(&["status"]).status.success());
    said
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_socket_that_takes_no_connection_does_not_hold_up_root() {
    let host = TestHost::start(2);
    let socket = host.front().join("haproxy/admin.sock");
    std::fs::remove_file(&socket).unwrap();
    let listener = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _the_only_place = UnixStream::connect(&socket).unwrap();
    status_ends(&host);
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn an_answer_that_never_ends_does_not_hold_up_root() {
    let host = TestHost::start(2);
    let socket = host.front().join("haproxy/admin.sock");
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                while stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
    });
    status_ends(&host);
}
