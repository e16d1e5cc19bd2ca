//! A real log in a real directory: the chain, the group commit, and what goes wrong.

mod rotation;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use super::denials::{Counted, Denials, LISTED_IN_ALL, LISTED_PER_UID, MAX_UIDS, WINDOW};
use super::read::{VerifyError, logs};
use super::*;

fn intent(uid: u32) -> Intent {
    Intent {
        caller: Caller {
            uid,
            gid: uid,
            pid: Some(7),
        },
        operation: "volume.mount",
        arguments: json!({"note": "a\nb\u{0}\u{1b}[31m\"}"}),
        rule: "tenants.volume (policy.toml:12)".to_owned(),
        policy: "digest".to_owned(),
    }
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("helper.jsonl")
}

/// Judges the only log of the directory that holds this file.
fn verify(file: &Path) -> Result<Head, VerifyError> {
    let logs = logs(file.parent().unwrap())?;
    let log = logs.iter().find(|log| log.daemon == "helper").unwrap();
    Ok(read::verify(log)?.head)
}

fn records(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log_of(dir)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until nobody holds the log: its writer's thread ends a moment after the last `Audit`.
fn reopen(dir: &Path) -> Audit {
    for _ in 0..500 {
        match Audit::open(dir, "helper") {
            Ok(audit) => return audit,
            Err(AuditError(error)) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the writer never ended");
}

#[tokio::test]
async fn an_operation_is_two_records_in_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    let open = audit.intent(intent(1001)).await.unwrap();
    assert_eq!(records(dir.path()).len(), 2, "on disk before the act");
    open.finish(Outcome::Done).await.unwrap();
    let open = audit.intent(intent(1002)).await.unwrap();
    let failed = Outcome::Failed("no\nspace".to_owned());
    open.finish(failed).await.unwrap();
    audit.denied(intent(1003), "not allowed").await.unwrap();
    let records = records(dir.path());
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| record["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "daemon", "intent", "outcome", "intent", "outcome", "refused"
        ]
    );
    assert_eq!(records[2]["intent"], records[1]["seq"]);
    assert_eq!(records[4]["outcome"], "failed");
    assert_eq!(records[4]["error"], "no\nspace");
    assert_eq!(records[1]["arguments"]["note"], "a\nb\u{0}\u{1b}[31m\"}");
    assert_eq!(records[1]["pid_verified"], false);
    let head = verify(&log_of(dir.path())).unwrap();
    assert_eq!(head.seq, 6);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart_and_open_intents_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    let left_open = audit.intent(intent(1001)).await.unwrap();
    let seq = left_open.intent;
    std::mem::forget(left_open.queue.clone());
    // As a kill does it: no destructor runs. The lock goes with a copy of the file instead.
    std::mem::forget(left_open);
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(log_of(dir.path()), log_of(copy.path())).unwrap();
    let audit = Audit::open(copy.path(), "helper").unwrap();
    audit.stop().await.unwrap();
    let records = records(copy.path());
    let closing: Vec<&Value> = records
        .iter()
        .filter(|record| record["outcome"] == "interrupted")
        .collect();
    assert_eq!(closing.len(), 1);
    assert_eq!(closing[0]["intent"].as_u64(), seq);
    assert_eq!(closing[0]["uid"], 1001);
    verify(&log_of(copy.path())).unwrap();
    drop(audit);
    drop(reopen(copy.path()));
    let again = self::records(copy.path());
    let closed = again.iter().filter(|r| r["outcome"] == "interrupted");
    assert_eq!(closed.count(), 1, "closed once only");
}

#[tokio::test]
async fn a_dropped_record_closes_itself() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    drop(audit.intent(intent(1001)).await.unwrap());
    // Nobody waits for the answer of this one.
    let given_up = audit.intent(intent(1002)).now_or_never();
    assert!(given_up.is_none(), "it is not on disk at the first poll");
    let interrupted = || -> Vec<u64> {
        let records = records(dir.path());
        let ended = records.iter().filter(|r| r["outcome"] == "interrupted");
        ended.map(|r| r["uid"].as_u64().unwrap()).collect()
    };
    for _ in 0..500 {
        if interrupted().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(interrupted(), [1001, 1002]);
    verify(&log_of(dir.path())).unwrap();
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_said() {
    let dir = tempfile::tempdir().unwrap();
    drop(Audit::open(dir.path(), "helper").unwrap());
    drop(reopen(dir.path()));
    let mut bytes = std::fs::read(log_of(dir.path())).unwrap();
    bytes.extend_from_slice(b"{\"seq\":3,\"pre");
    let copy = tempfile::tempdir().unwrap();
    write_log(copy.path(), &bytes);
    let torn = verify(&log_of(copy.path())).unwrap_err();
    assert!(matches!(torn, VerifyError::Torn { line: 3, .. }), "{torn}");
    let audit = Audit::open(copy.path(), "helper").unwrap();
    audit.stop().await.unwrap();
    let records = records(copy.path());
    assert_eq!(records[2]["what"], "torn-line-cut-off");
    assert_eq!(records[2]["detail"]["bytes"], 13);
    verify(&log_of(copy.path())).unwrap();
}

#[tokio::test]
async fn a_log_that_was_cut_off_anywhere_goes_on_with_a_whole_chain() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    let open = audit.intent(intent(1001)).await.unwrap();
    open.finish(Outcome::Done).await.unwrap();
    let whole = std::fs::read(log_of(dir.path())).unwrap();
    for length in (0..=whole.len()).step_by(11) {
        let copy = tempfile::tempdir().unwrap();
        write_log(copy.path(), &whole[..length]);
        let audit = Audit::open(copy.path(), "helper").unwrap();
        audit.stop().await.unwrap();
        verify(&log_of(copy.path())).unwrap();
        let records = records(copy.path());
        let count = |event: &str| records.iter().filter(|r| r["event"] == event).count();
        assert_eq!(count("intent"), count("outcome"), "cut off at {length}");
    }
}

#[tokio::test]
async fn one_changed_byte_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    for uid in 0..3 {
        let open = audit.intent(intent(uid)).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
    let good = std::fs::read(log_of(dir.path())).unwrap();
    let last_line = good[..good.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    let copy = tempfile::tempdir().unwrap();
    for at in 0..last_line {
        let mut bytes = good.clone();
        bytes[at] ^= 0x01;
        write_log(copy.path(), &bytes);
        let line = good[..at].split(|byte| *byte == b'\n').count() as u64;
        match verify(&log_of(copy.path())) {
            Err(VerifyError::Broken { line: found, .. }) => {
                assert!(found == line || found == line + 1, "byte {at}: {found}");
            }
            other => panic!("byte {at} of line {line}: {other:?}"),
        }
    }
    let first_line = good.iter().position(|byte| *byte == b'\n').unwrap();
    write_log(copy.path(), &good[first_line + 1..]);
    assert!(verify(&log_of(copy.path())).is_err(), "a removed line");
}

fn write_log(dir: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let path = log_of(dir);
    options.write(true).create(true).truncate(true).mode(0o600);
    io::Write::write_all(&mut options.open(path).unwrap(), bytes).unwrap();
}

#[tokio::test]
async fn a_broken_chain_is_said_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    drop(Audit::open(dir.path(), "helper").unwrap());
    drop(reopen(dir.path()));
    let mut text = std::fs::read_to_string(log_of(dir.path())).unwrap();
    text = text.replacen("\"helper\"", "\"helpex\"", 1);
    let copy = tempfile::tempdir().unwrap();
    write_log(copy.path(), text.as_bytes());
    let audit = Audit::open(copy.path(), "helper").unwrap();
    audit.stop().await.unwrap();
    let records = records(copy.path());
    assert_eq!(records[2]["what"], "chain-broken");
    assert_eq!(records[2]["detail"]["line"], 2);
    let broken = verify(&log_of(copy.path())).unwrap_err();
    assert!(matches!(broken, VerifyError::Broken { line: 2, .. }));
}

#[test]
fn the_log_must_be_the_daemons_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = Audit::open(dir.path(), "helper").unwrap();
    let second = Audit::open(dir.path(), "helper").unwrap_err();
    assert_eq!(second.0.kind(), io::ErrorKind::AddrInUse);
    drop(open);
    let refused = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        Audit::open(dir.path(), "helper").is_err()
    };
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert!(refused(&|dir| chmod(dir, 0o777)));
    assert!(refused(&|dir| symlink("/dev/null", log_of(dir)).unwrap()));
    assert!(refused(&|dir| std::fs::create_dir(log_of(dir)).unwrap()));
    assert!(refused(&|dir| {
        std::fs::write(log_of(dir), "").unwrap();
        chmod(&log_of(dir), 0o640);
    }));
    assert!(refused(&|dir| {
        write_log(dir, b"");
        std::fs::hard_link(log_of(dir), dir.join("other")).unwrap();
    }));
}

#[tokio::test]
async fn long_arguments_are_cut_and_stay_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    let mut long = intent(1001);
    long.arguments = json!({"x": "é".repeat(100_000)});
    long.rule = "r".repeat(5000);
    audit.denied(long, &"n".repeat(5000)).await.unwrap();
    let record = records(dir.path()).pop().unwrap();
    assert_eq!(record["arguments"]["bytes"], 200_008);
    assert!(record["arguments"]["sha256"].as_str().unwrap().len() == 64);
    assert!(record.to_string().len() < 6000);
}

#[tokio::test]
async fn refusals_beyond_the_bound_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    for _ in 0..500 {
        audit.denied(intent(666), "no").await.unwrap();
    }
    audit.denied(intent(1), "no").await.unwrap();
    drop(audit);
    drop(reopen(dir.path()));
    let records = records(dir.path());
    let listed = |uid: u32| {
        let of_uid = |r: &&Value| r["event"] == "refused" && r["uid"] == uid;
        records.iter().filter(of_uid).count() as u64
    };
    assert_eq!(listed(666), LISTED_PER_UID);
    assert_eq!(listed(1), 1);
    let counted: Vec<&Value> = records
        .iter()
        .filter(|record| record["event"] == "refusals-counted")
        .collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0]["count"], 500 - LISTED_PER_UID);
}

#[test]
fn counting_is_bounded_whoever_comes_and_adds_up() {
    let mut denials = Denials::default();
    let uids = u32::try_from(MAX_UIDS).unwrap() + 50;
    let mut listed = 0;
    for uid in 0..uids {
        for _ in 0..3 {
            listed += u64::from(denials.list(uid, Duration::ZERO));
        }
    }
    assert_eq!(listed, LISTED_IN_ALL);
    assert_eq!(denials.ends_in(Duration::ZERO), Some(WINDOW));
    assert_eq!(denials.ended(Duration::from_secs(59)), []);
    let counted = denials.ended(WINDOW);
    assert!(counted.len() <= MAX_UIDS + 1);
    assert_eq!(
        counted.last(),
        Some(&Counted {
            uid: None,
            count: 150
        })
    );
    let total: u64 = counted.iter().map(|counted| counted.count).sum();
    assert_eq!(total + listed, u64::from(uids) * 3);
    assert!(denials.list(1, WINDOW), "a new window lists again");
}

#[tokio::test]
async fn concurrent_operations_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper").unwrap();
    let mut figures = Vec::new();
    for callers in [1u32, 8, 64] {
        let started = Instant::now();
        let rounds = 256 / callers;
        let tasks: Vec<_> = (0..callers)
            .map(|uid| {
                let audit = audit.clone();
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        let open = audit.intent(intent(uid)).await.unwrap();
                        open.finish(Outcome::Done).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = 512.0 / started.elapsed().as_secs_f64();
        println!("{callers:>3} concurrent callers: {rate:.0} durable records/s");
        figures.push(rate);
    }
    verify(&log_of(dir.path())).unwrap();
    assert_eq!(records(dir.path()).len(), 1 + 3 * 512);
}
