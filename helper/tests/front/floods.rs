//! Floods: what one UID does a hundred thousand times costs others nothing that stays.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::time::{Duration, Instant};

use aistack_helper::accept::REFUSAL_ENDS;
use aistack_proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

use super::as_user::{Flood, connect_as, leaves_no_memory_behind};
use super::hostile::{PREFACE, SETTINGS, is_open};
use super::test_host::{A, B, STRANGER, TestHost, client_of, details, policy};

#[test]
#[ignore = "needs root"]
fn connections_without_number_leave_no_memory_behind() {
    let host = TestHost::start();
    let pid = host.daemon.as_ref().unwrap().id();
    println!(
        "{}",
        leaves_no_memory_behind(pid, A, STRANGER, &host.socket())
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn while_others_connect_in_a_loop_every_call_of_a_tenant_is_answered() {
    let host = TestHost::start();
    let uids = [A, A, STRANGER, STRANGER];
    let flood = Flood::of(&uids, &host.socket());
    let mut times = Vec::new();
    for _ in 0..40 {
        let started = Instant::now();
        let mut client = host.client(B).await;
        let answer = client.who_am_i(v1::WhoAmIRequest {}).await;
        assert_eq!(answer.unwrap().into_inner().grant.unwrap().uid, B);
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "{} connections of {} tries meanwhile; a call took {:?}, the slowest {:?}",
        flood.connections(),
        flood.tries(),
        times[20],
        times[39]
    );
    assert!(flood.tries() > 1000);
}

/// 40 tenants with 8 connections each, of which 256 have a place in all.
#[tokio::test]
#[ignore = "needs root"]
async fn tenants_who_hold_all_the_connections_they_can_keep_no_other_out() {
    let mut host = TestHost::prepare();
    host.write_policy(&policy("61001-61050"));
    host.start_daemon();
    let mut held = Vec::new();
    for _ in 0..8 {
        for uid in 61_001..61_041 {
            let mut stream = connect_as(uid, &host.socket()).unwrap();
            let _ = stream
                .write_all(PREFACE)
                .and_then(|()| stream.write_all(SETTINGS));
            held.push(stream);
        }
    }
    // Those who got an answer have gone by then.
    std::thread::sleep(Duration::from_secs(3));
    for uid in 61_041..61_051 {
        let mut client = host.client(uid).await;
        let answer = client.who_am_i(v1::WhoAmIRequest {}).await;
        assert!(answer.is_ok(), "{uid}: {answer:?}");
    }
    let open = held
        .iter_mut()
        .filter_map(|s| is_open(s).then_some(()))
        .count();
    println!("{open} connections were held");
    assert!(open > 160 && open < 256, "{open}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_connection_too_many_is_refused_with_the_number() {
    let host = TestHost::start();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = host.client(A).await;
        client.who_am_i(v1::WhoAmIRequest {}).await.unwrap();
        held.push(client);
    }
    let mut client = host.client(A).await;
    let status = client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let (reason, rule, hint) = details(&status);
    assert_eq!(reason, "TOO_MANY_CONNECTIONS");
    assert_eq!(rule, "builtin.connections");
    assert!(!hint.is_empty());
    assert!(
        status.message().starts_with("you have 8 open connections"),
        "{status:?}"
    );
    // As long as it names, and this connection has ended.
    let wait = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!(wait > REFUSAL_ENDS && wait < 2 * REFUSAL_ENDS, "{wait:?}");
    // A flood of them is closed without an answer: no more than the few at a time.
    let mut flood: Vec<StdStream> = (0..200)
        .map(|_| connect_as(A, &host.socket()).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let details = flood.iter_mut().filter_map(|s| is_open(s).then_some(()));
    assert!(details.count() <= 64);
    let mut other = host.client(B).await;
    assert!(other.who_am_i(v1::WhoAmIRequest {}).await.is_ok());
    // One that hangs up makes room.
    held.pop();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut client = host.client(A).await;
        if client.who_am_i(v1::WhoAmIRequest {}).await.is_ok() {
            break;
        }
        assert!(Instant::now() < until, "there is no room again");
    }
}

/// One frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Requests that are taken back at once, as fast as they are read: CVE-2023-44487.
fn header_and_reset_pairs(uid: u32, host: &TestHost, time: Duration) -> u64 {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    // POST, http, and the path "/" of HPACK's static table, and an authority "x".
    const BLOCK: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'x'];
    let until = Instant::now() + time;
    let mut pairs = 0;
    while Instant::now() < until {
        let mut stream = connect_as(uid, &host.socket()).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let mut sent = stream
            .write_all(PREFACE)
            .and_then(|()| stream.write_all(SETTINGS));
        for number in 0..50 {
            let id = 2 * number + 1;
            let pair = [
                frame(HEADERS, 0x5, id, BLOCK),
                frame(RST_STREAM, 0, id, &[0, 0, 0, 8]),
            ];
            sent = sent.and_then(|()| stream.write_all(&pair.concat()));
            pairs += u64::from(sent.is_ok());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    pairs
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_strangers_and_tenants_do_is_no_line_of_the_daemons_log_each() {
    let host = TestHost::start();
    let before = host.said().lines().count();
    for uid in [STRANGER, A] {
        let pairs = header_and_reset_pairs(uid, &host, Duration::from_secs(3));
        assert!(pairs > 500, "{pairs}");
        // Garbage, a preface and no more, calls that are refused.
        for bytes in [&[0xff; 64][..], PREFACE, b"GET / HTTP/1.1\r\n\r\n"] {
            for _ in 0..30 {
                let mut stream = connect_as(uid, &host.socket()).unwrap();
                let _ = stream.write_all(bytes);
            }
        }
        Flood::of(&[uid; 2], &host.socket()).until_tried(5000);
    }
    std::thread::sleep(Duration::from_millis(300));
    let said = host.said();
    let lines = said.lines().count() - before;
    println!("{lines} lines");
    assert!(
        lines <= 5,
        "{lines} lines, the last:\n{}",
        said.lines().last().unwrap()
    );
}

/// Sends frames as fast as they are taken and counts the answers.
fn answers_to_a_flood_of(frame: &[u8], uid: u32, socket: &std::path::Path, time: Duration) -> u64 {
    let mut stream = connect_as(uid, socket).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(SETTINGS).unwrap();
    stream.set_nonblocking(true).unwrap();
    let many = frame.repeat(500);
    let (mut sent, mut received) = (0, 0_u64);
    let until = Instant::now() + time;
    let mut buffer = vec![0; 64 << 10];
    while Instant::now() < until {
        let written = match stream.write(&many[sent % frame.len()..]) {
            Ok(count) => {
                sent += count;
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(_) => break,
        };
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => received += count as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if !written {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Err(_) => break,
        }
    }
    received / frame.len() as u64
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_flood_of_pings_or_settings_is_answered_slowly_and_others_at_once() {
    const SECONDS: u64 = 4;
    let host = TestHost::start();
    let settings = frame(4, 0, 0, &[]);
    let ping = frame(6, 0, 0, &[7; 8]);
    for (uid, flooding) in [(A, ping.clone()), (STRANGER, settings), (STRANGER, ping)] {
        let socket = host.socket();
        let length = flooding.len() as u64;
        let time = Duration::from_secs(SECONDS);
        let flood =
            std::thread::spawn(move || answers_to_a_flood_of(&flooding, uid, &socket, time));
        // Not more often than a tenant may.
        for _ in 0..30 {
            let mut client = client_of(connect_as(B, &host.socket()).unwrap()).await;
            client.who_am_i(v1::WhoAmIRequest {}).await.unwrap();
        }
        let answers = flood.join().unwrap();
        let most = ((128 << 10) + (SECONDS + 2) * (16 << 10)) / length;
        println!("{answers} answers in {SECONDS} s, {most} are the bound");
        assert!(answers > 100, "it was not a flood: {answers}");
        assert!(answers <= most, "{answers} of {most}");
        // B's calls come back.
        std::thread::sleep(Duration::from_secs(3));
    }
}
