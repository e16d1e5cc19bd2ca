//! Floods: what one UID does a hundred thousand times costs others nothing that stays.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;

use super::as_user::{Flood, become_user, connect_as, leaves_no_memory_behind};
use super::lasting::{C, setting};
use super::test_host::{A, B, STRANGER, TestHost};

const EVENTS: &[u8] = b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n";
const LIST: &[u8] = b"GET /v1.41/containers/json HTTP/1.1\r\nHost: d\r\n\r\n";
/// An answer of some mebibytes, more than a socket holds.
const BIG: &[u8] = b"GET /containers/tenant-62003-big/json HTTP/1.1\r\nHost: d\r\n\r\n";

pub(crate) fn say(uid: u32, socket: &Path, request: &[u8]) -> UnixStream {
    let mut stream = connect_as(uid, socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    // One that is turned away may be closed already.
    let _ = stream.write_all(request);
    stream
}

/// Everything that comes until the other side closes.
pub(crate) fn rest(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of the answer, or as much of it as came.
pub(crate) fn head(stream: &mut UnixStream) -> String {
    let mut answer = String::new();
    let mut bytes = [0; 4096];
    while !answer.contains("\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => answer.push_str(&String::from_utf8_lossy(&bytes[..count])),
            _ => break,
        }
    }
    answer
}

#[test]
#[ignore = "needs root"]
fn connections_without_number_leave_no_memory_behind_in_the_gateway() {
    let setting = setting();
    let socket = setting.host.socket();
    println!(
        "{}",
        leaves_no_memory_behind(setting.host.pid(), A, STRANGER, &socket)
    );
}

/// Connects as Go's clients do, which do not wait where the queue is full: how often that was so.
fn connect_without_patience(socket: &Path, times: u32) -> u32 {
    let socket = socket.to_owned();
    let connects = std::thread::spawn(move || {
        become_user(B).unwrap();
        let address = SocketAddrUnix::new(&socket).unwrap();
        let mut full = 0;
        for _ in 0..times {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let stream =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                    .unwrap();
            full += u32::from(rustix::net::connect(&stream, &address).is_err());
            std::thread::sleep(Duration::from_millis(3));
        }
        full
    });
    connects.join().unwrap()
}

#[test]
#[ignore = "needs root"]
fn while_others_connect_in_a_loop_every_request_of_a_tenant_is_answered() {
    let setting = setting();
    let socket = setting.host.socket();
    let flood = Flood::of(&[A, A, STRANGER, STRANGER], &socket);
    let mut times = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        let answer = rest(say(B, &socket, LIST));
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        times.push(started.elapsed());
    }
    times.sort();
    let full = connect_without_patience(&socket, 500);
    println!(
        "{} connections of {} tries meanwhile; a request took {:?}, the slowest {:?}; the queue was \
         full {full} times of 500",
        flood.connections(),
        flood.tries(),
        times[50],
        times[99]
    );
    assert!(flood.tries() > 1000);
    let said = setting.host.said();
    assert!(
        !said.contains("is not shut out"),
        "/run has no access lists: {said}"
    );
    assert!(full <= 25, "the queue was full {full} times of 500");
    // It is a while for which the kernel refuses them, and not for ever.
    drop(flood);
    for uid in [A, STRANGER] {
        let until = Instant::now() + Duration::from_secs(30);
        while connect_as(uid, &socket).is_err() {
            assert!(Instant::now() < until, "UID {uid} is kept out for ever");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn tenants_with_all_the_streams_they_can_have_shut_no_other_out() {
    let setting = setting();
    let socket = setting.host.socket();
    let mut held = Vec::new();
    for _ in 0..64 {
        for uid in 62_011..62_027 {
            held.push(say(uid, &socket, EVENTS));
        }
    }
    let streams = held
        .iter_mut()
        .filter_map(|stream| head(stream).contains(" 200 OK").then_some(()))
        .count();
    println!("{streams} streams were held");
    assert!(streams > 500 && streams < 1024, "{streams}");
    for uid in [A, B] {
        let mut own: Vec<_> = (0..8).map(|_| say(uid, &socket, EVENTS)).collect();
        for stream in &mut own {
            let head = head(stream);
            assert!(head.contains(" 200 OK"), "{uid}: {head}");
        }
        let answer = rest(say(uid, &socket, LIST));
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{uid}: {answer}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_65th_connection_gets_429_with_the_number() {
    let setting = setting();
    let socket = setting.host.socket();
    let mut held: Vec<_> = (0..64).map(|_| say(A, &socket, EVENTS)).collect();
    for stream in &mut held {
        assert!(head(stream).contains(" 200 OK"));
    }
    let answer = rest(say(A, &socket, LIST));
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with("you have 64 open connections"),
        "{message}"
    );
    assert!(message.contains("[builtin.connections]"), "{message}");
    // A flood of them is closed: 32 at a time get an answer.
    let mut many: Vec<_> = (0..300).map(|_| connect_as(A, &socket).unwrap()).collect();
    let until = Instant::now() + Duration::from_secs(20);
    while many.len() > 32 + 8 {
        assert!(Instant::now() < until, "{} are open", many.len());
        std::thread::sleep(Duration::from_millis(20));
        many.retain(|stream| {
            stream.set_nonblocking(true).unwrap();
            let answer = Read::read(&mut &*stream, &mut [0; 16]);
            answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        });
    }
    drop(many);
    assert!(rest(say(B, &socket, LIST)).starts_with("HTTP/1.1 200 OK"));
    // One that hangs up makes room.
    held.pop();
    std::thread::sleep(Duration::from_secs(4));
    assert!(rest(say(A, &socket, LIST)).starts_with("HTTP/1.1 200 OK"));
}

#[test]
#[ignore = "needs root"]
fn what_strangers_and_tenants_do_is_no_line_of_the_gateways_log_each() {
    let setting = setting();
    let host: &TestHost = &setting.host;
    let until = Instant::now() + Duration::from_secs(20);
    while !host.said().contains("Docker answers") {
        assert!(Instant::now() < until, "{}", host.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = host.said().lines().count();
    for uid in [STRANGER, A] {
        for bytes in [LIST, b"GET / HTTP/2\r\n\r\n", &[0xff; 64], b"GET /x", BIG] {
            for _ in 0..30 {
                say(uid, &host.socket(), bytes);
            }
        }
        Flood::of(&[uid; 2], &host.socket()).until_tried(5000);
    }
    std::thread::sleep(Duration::from_millis(300));
    let said = host.said();
    let lines: Vec<_> = said.lines().skip(before).collect();
    // Beside it, other tests' containers fill Docker's disk, which is reported at times.
    assert!(lines.len() <= 30, "{}", lines.join("\n"));
}

#[test]
#[ignore = "needs root"]
fn answers_that_nobody_takes_hold_up_a_stop_for_seconds_only() {
    let mut setting = setting();
    let socket = setting.host.socket();
    let unread: Vec<_> = (0..8).map(|_| say(C, &socket, BIG)).collect();
    std::thread::sleep(Duration::from_secs(2));
    setting.host.signal(Signal::TERM);
    assert!(setting.host.ends_within(Duration::from_secs(15)));
    drop(unread);
}

/// 16 requests of one UID are worked on at once; these are never taken.
#[test]
#[ignore = "needs root"]
fn an_answer_that_nobody_takes_gives_its_place_back_in_time() {
    let setting = setting();
    let socket = setting.host.socket();
    let unread: Vec<_> = (0..16).map(|_| say(C, &socket, BIG)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    let answer = rest(say(C, &socket, LIST));
    println!("answered after {:?}", started.elapsed());
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    drop(unread);
}
