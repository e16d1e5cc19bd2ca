//! Reads that cost the host much: one at a time for each UID, and what waits for them holds up nothing else.

use std::time::{Duration, Instant};

use super::floods::{rest, say};
use super::lasting::{C, setting};

const SIZES: &[u8] = b"GET /containers/json?size=1 HTTP/1.1\r\nHost: d\r\n\r\n";
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
    let answer = super::floods::head(&mut stop);
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
