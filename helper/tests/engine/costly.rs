//! Reads that cost the host much: one at a time for each UID, and what waits for them holds up nothing else.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use super::floods::{head, rest, say};
use super::lasting::{C, setting};

const SIZES: &[u8] = b"GET /containers/json?size=1 HTTP/1.1\r\nHost: d\r\n\r\n";
const CHANGES: &[u8] = b"GET /containers/tenant-62003-tty/changes HTTP/1.1\r\nHost: d\r\n\r\n";
const START: &[u8] = b"POST /containers/tenant-62003-slow/start HTTP/1.1\r\nHost: d\r\n\r\n";
const STOP: &[u8] = b"POST /containers/tenant-62003-web/stop HTTP/1.1\r\nHost: d\r\n\r\n";

/// Docker takes for ever for the first. 16 requests of one UID are worked on at once.
#[test]
#[ignore = "needs root"]
fn reads_that_wait_for_their_turn_take_no_place_of_a_stop() {
    let setting = setting();
    let socket = setting.host.socket();
    let waiting: Vec<_> = (0..20).map(|_| say(C, &socket, SIZES)).collect();
    std::thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    let mut stop = say(C, &socket, STOP);
    // A place that is waited for is not free before the turns of a minute are over.
    stop.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let answer = head(&mut stop);
    println!("answered after {:?}", started.elapsed());
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer:?}");
    let walks = setting
        .sent()
        .iter()
        .filter(|text| text.contains("size=true"))
        .count();
    assert_eq!(walks, 1);
    drop((waiting, rest(stop)));
}

/// Docker holds the whole list until its end is taken.
#[test]
#[ignore = "needs root"]
fn a_uid_has_one_list_of_changes_open_at_a_time() {
    let setting = setting();
    let socket = setting.host.socket();
    let mut lists: Vec<_> = (0..3).map(|_| say(C, &socket, CHANGES)).collect();
    let mut first = None;
    let until = Instant::now() + Duration::from_secs(30);
    while first.is_none() {
        assert!(Instant::now() < until, "none was answered");
        first = lists.iter().position(|list| {
            list.set_nonblocking(true).unwrap();
            let answer = Read::read(&mut &*list, &mut [0; 512]);
            !answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    // The others are as far as they come.
    std::thread::sleep(Duration::from_secs(1));
    let mut seen = 0;
    let mut look = || {
        let sent = setting.sent();
        seen += sent
            .iter()
            .filter(|text| text.contains("/changes "))
            .count();
        seen
    };
    assert_eq!(look(), 1, "while the first is open");
    drop(lists.swap_remove(first.unwrap()));
    let until = Instant::now() + Duration::from_secs(20);
    while look() < 2 {
        assert!(Instant::now() < until, "the next never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(look(), 2);
    // What looks at all layers once is not behind it.
    let _sizes = say(C, &socket, SIZES);
    let until = Instant::now() + Duration::from_secs(20);
    while !setting.sent().iter().any(|text| text.contains("size=true")) {
        assert!(Instant::now() < until, "a stream holds up walks");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root"]
fn a_list_of_changes_that_nobody_takes_ends_after_a_minute() {
    let setting = setting();
    let mut list = say(C, &setting.host.socket(), CHANGES);
    assert!(head(&mut list).starts_with("HTTP/1.1 200 "));
    let started = Instant::now();
    list.set_read_timeout(Some(Duration::from_mins(5))).unwrap();
    assert_eq!(list.read(&mut [0; 64]).unwrap(), 0, "it was cut");
    println!("ended after {:?}", started.elapsed());
}

/// Docker never ends to measure the first.
#[test]
#[ignore = "needs root"]
fn starts_measure_one_layer_of_a_uid_at_a_time_and_take_no_place_of_a_stop() {
    let setting = setting();
    let socket = setting.host.socket();
    let starts: Vec<_> = (0..20).map(|_| say(C, &socket, START)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let mut stop = say(C, &socket, STOP);
    stop.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let answer = head(&mut stop);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer:?}");
    let sent = setting.sent();
    let walks = sent
        .iter()
        .filter(|text| text.contains("size=true"))
        .count();
    assert_eq!(walks, 1);
    drop((starts, stop));
}

#[test]
#[ignore = "needs root"]
fn an_unpause_of_what_is_not_paused_measures_and_sends_nothing() {
    let setting = setting();
    let answer = setting.post("web", "unpause");
    assert!(
        answer.starts_with("HTTP/1.1 500 ") && answer.contains("is not paused"),
        "{answer}"
    );
    for text in setting.sent() {
        let line = text.lines().next().unwrap_or_default();
        assert!(
            !["size=true", "/changes", "/unpause"]
                .iter()
                .any(|part| line.contains(part)),
            "{line}"
        );
    }
}
