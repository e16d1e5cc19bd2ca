//! Operations that are under way when something happens. Docker's socket is held by one that
//! accepts and does not answer until the test lets it, as a stuck engine does.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aistack_proto::v1;
use rustix::process::Signal;
use tonic::Code;

use super::test_host::{A, B, TestHost, details};

struct StuckDocker {
    held: Arc<Mutex<Option<Vec<StdStream>>>>,
    requests: Arc<AtomicUsize>,
}

impl StuckDocker {
    fn at(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let held = Arc::new(Mutex::new(Some(Vec::new())));
        let requests = Arc::new(AtomicUsize::new(0));
        let stuck = Self {
            held: Arc::clone(&held),
            requests: Arc::clone(&requests),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                requests.fetch_add(1, Ordering::SeqCst);
                let stream = stream.unwrap();
                match held.lock().unwrap().as_mut() {
                    Some(held) => held.push(stream),
                    None => fail(stream),
                }
            }
        });
        stuck
    }

    /// Whether it was called for a caller: the daemon itself asks once what it is.
    fn was_called(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > 1
    }

    /// Answers what waits, and from now on everything at once, with an error.
    fn answer(&self) {
        let held = self.held.lock().unwrap().take();
        held.into_iter().flatten().for_each(fail);
    }
}

fn fail(mut stream: StdStream) {
    let _ = stream.read(&mut [0; 4096]);
    let body = r#"{"message":"stuck"}"#;
    let _ = write!(
        stream,
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

/// A test host where a call of A for a network is under way and Docker does not answer it.
async fn under_way() -> (
    TestHost,
    StuckDocker,
    tokio::task::JoinHandle<tonic::Status>,
) {
    let mut host = TestHost::prepare();
    let docker = StuckDocker::at(&host.path("docker.sock"));
    host.start_daemon();
    let mut client = host.client(A).await;
    let call = tokio::spawn(async move {
        let answer = client.create_network(v1::CreateNetworkRequest {}).await;
        answer.expect_err("Docker never made a network")
    });
    for _ in 0..500 {
        if docker.was_called() {
            return (host, docker, call);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("Docker was never called: {:?}", call.await);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_kill_in_the_middle_leaves_an_open_intent_that_the_next_start_closes() {
    let (mut host, docker, call) = under_way().await;
    host.end(Signal::KILL);
    assert!(call.await.is_ok(), "the caller sees the connection break");
    let intents = host.records_of("intent");
    assert_eq!(intents.len(), 1);
    assert_eq!(host.records_of("outcome").len(), 0);
    docker.answer();
    host.start_daemon();
    let outcomes = host.records_of("outcome");
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["outcome"], "interrupted");
    assert_eq!(outcomes[0]["intent"], intents[0]["seq"]);
    assert_eq!(outcomes[0]["uid"], A);
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_caller_who_goes_away_does_not_stop_the_operation() {
    let (host, docker, call) = under_way().await;
    call.abort();
    let _ = call.await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(host.records_of("outcome").len(), 0, "it goes on");
    docker.answer();
    host.wait_for("the outcome", || host.records_of("outcome").len() == 1);
    let outcome = &host.records_of("outcome")[0];
    assert_eq!(outcome["outcome"], "failed", "it ran to its end: {outcome}");
    assert!(outcome["duration_us"].as_u64().unwrap() > 300_000);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_second_operation_of_the_same_uid_waits_and_another_uid_does_not() {
    let (host, docker, call) = under_way().await;
    let mut same = host.client(A).await;
    let grow = v1::GrowVolumeRequest {};
    let waiting = tokio::spawn(async move { same.grow_volume(grow).await.unwrap_err() });
    let other = host.client(B).await.grow_volume(grow).await.unwrap_err();
    assert_eq!(details(&other).0, "MOUNT_WORKER_UNREACHABLE");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    docker.answer();
    call.await.unwrap();
    assert_eq!(
        details(&waiting.await.unwrap()).0,
        "MOUNT_WORKER_UNREACHABLE"
    );
    let order: Vec<_> = host
        .records()
        .iter()
        .filter(|record| record["uid"] == A)
        .map(|record| (record["event"].clone(), record["operation"].clone()))
        .collect();
    let expected = [
        "network.create",
        "network.create",
        "volume.grow",
        "volume.grow",
    ];
    assert_eq!(
        order.iter().map(|(_, o)| o.clone()).collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_stop_lets_what_runs_end_and_takes_nothing_new() {
    let (mut host, docker, call) = under_way().await;
    host.signal(Signal::TERM);
    host.wait_for("the end of listening", || {
        StdStream::connect(host.socket()).is_err()
    });
    assert!(!call.is_finished());
    docker.answer();
    assert_ne!(
        call.await.unwrap().code(),
        Code::Unavailable,
        "it was answered"
    );
    let status = host.daemon.take().unwrap().wait().unwrap();
    assert!(status.success());
    let last = host.records().pop().unwrap();
    assert_eq!(last["what"], "stop");
    assert_eq!(host.records_of("outcome").len(), 1);
}
