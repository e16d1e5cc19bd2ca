//! A real log in a real directory: the chain, the group commit, and what goes wrong.

mod budgets;
mod rotation;
mod tampering;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use super::denials::{LISTED_PER_STRANGER, LISTED_PER_TENANT};
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

/// As the daemons open it, holding less of the disk.
const SETTINGS: Settings = Settings {
    rotation: Rotation {
        keep: Keep::All,
        reserve: 1 << 20,
        ..Rotation::DEFAULT
    },
    ..Settings::DEFAULT
};

fn begin(dir: &Path) -> Result<Audit, AuditError> {
    Audit::open(dir, "helper", SETTINGS)
}

fn kind(error: &AuditError) -> io::ErrorKind {
    match error {
        AuditError::Unwritable(error) => error.kind(),
        AuditError::OverBudget(over) => panic!("{over}"),
    }
}

/// What a stopped daemon leaves behind, elsewhere: no process holds its lock.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
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
        match begin(dir) {
            Ok(audit) => return audit,
            Err(error) => assert_eq!(kind(&error), io::ErrorKind::AddrInUse),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the writer never ended");
}

#[tokio::test]
async fn an_operation_is_two_records_in_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    let open = audit.intent(intent(1001)).await.unwrap();
    assert_eq!(records(dir.path()).len(), 2, "on disk before the act");
    open.finish(Outcome::Done).await.unwrap();
    let open = audit.intent(intent(1002)).await.unwrap();
    let failed = Outcome::Failed("no\nspace".to_owned());
    open.finish(failed).await.unwrap();
    audit
        .denied(intent(1003), Denied::Tenant, "not allowed")
        .await
        .unwrap();
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
    let audit = begin(dir.path()).unwrap();
    let left_open = audit.intent(intent(1001)).await.unwrap();
    let seq = left_open.intent;
    std::mem::forget(left_open.queue.clone());
    // As a kill does it: no destructor runs. The lock goes with a copy of the file instead.
    std::mem::forget(left_open);
    let copy = copy_of(dir.path());
    let audit = begin(copy.path()).unwrap();
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
    let audit = begin(dir.path()).unwrap();
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
    drop(begin(dir.path()).unwrap());
    drop(reopen(dir.path()));
    let mut bytes = std::fs::read(log_of(dir.path())).unwrap();
    bytes.extend_from_slice(b"{\"seq\":3,\"pre");
    let copy = copy_of(dir.path());
    write_log(copy.path(), &bytes);
    let torn = verify(&log_of(copy.path())).unwrap_err();
    assert!(matches!(torn, VerifyError::Torn { line: 3, .. }), "{torn}");
    let audit = begin(copy.path()).unwrap();
    audit.stop().await.unwrap();
    let records = records(copy.path());
    assert_eq!(records[2]["what"], "torn-line-cut-off");
    assert_eq!(records[2]["detail"]["bytes"], 13);
    verify(&log_of(copy.path())).unwrap();
}

#[tokio::test]
async fn a_log_that_was_cut_off_anywhere_goes_on_with_a_whole_chain() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    let open = audit.intent(intent(1001)).await.unwrap();
    open.finish(Outcome::Done).await.unwrap();
    let whole = std::fs::read(log_of(dir.path())).unwrap();
    for length in (0..=whole.len()).step_by(11) {
        let copy = tempfile::tempdir().unwrap();
        write_log(copy.path(), &whole[..length]);
        write_head(copy.path(), &Head::default());
        let audit = begin(copy.path()).unwrap();
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
    let audit = begin(dir.path()).unwrap();
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
            Err(VerifyError::Invalid { line: found, .. }) => {
                assert!(found == line || found == line + 1, "byte {at}: {found}");
            }
            other => panic!("byte {at} of line {line}: {other:?}"),
        }
    }
    let first_line = good.iter().position(|byte| *byte == b'\n').unwrap();
    write_log(copy.path(), &good[first_line + 1..]);
    assert!(verify(&log_of(copy.path())).is_err(), "a removed line");
}

fn write_head(dir: &Path, head: &Head) {
    let dir = crate::own_dir::open_own_dir(dir).unwrap();
    head::write(&dir, "helper", head).unwrap();
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
    drop(begin(dir.path()).unwrap());
    drop(reopen(dir.path()));
    let mut text = std::fs::read_to_string(log_of(dir.path())).unwrap();
    text = text.replacen("\"helper\"", "\"helpex\"", 1);
    let copy = copy_of(dir.path());
    write_log(copy.path(), text.as_bytes());
    let audit = begin(copy.path()).unwrap();
    audit.stop().await.unwrap();
    let records = records(copy.path());
    assert_eq!(records[2]["what"], "chain-broken");
    assert_eq!(records[2]["detail"]["line"], 2);
    let broken = verify(&log_of(copy.path())).unwrap_err();
    assert!(matches!(broken, VerifyError::Invalid { line: 2, .. }));
}

#[test]
fn the_log_must_be_the_daemons_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = begin(dir.path()).unwrap();
    let second = begin(dir.path()).unwrap_err();
    assert_eq!(kind(&second), io::ErrorKind::AddrInUse);
    drop(open);
    let refused = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        begin(dir.path()).is_err()
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
    let audit = begin(dir.path()).unwrap();
    let mut long = intent(1001);
    long.arguments = json!({"x": "é".repeat(100_000)});
    long.rule = "r".repeat(5000);
    audit
        .denied(long, Denied::Tenant, &"n".repeat(5000))
        .await
        .unwrap();
    let record = records(dir.path()).pop().unwrap();
    assert_eq!(record["arguments"]["bytes"], 200_008);
    assert!(record["arguments"]["sha256"].as_str().unwrap().len() == 64);
    assert!(record.to_string().len() < 6000);
}

#[tokio::test]
async fn refusals_beyond_the_bound_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    for _ in 0..500 {
        audit
            .denied(intent(666), Denied::Tenant, "no")
            .await
            .unwrap();
    }
    audit.denied(intent(1), Denied::Tenant, "no").await.unwrap();
    drop(audit);
    drop(reopen(dir.path()));
    let records = records(dir.path());
    let listed = |uid: u32| {
        let of_uid = |r: &&Value| r["event"] == "refused" && r["uid"] == uid;
        records.iter().filter(of_uid).count() as u64
    };
    assert_eq!(listed(666), LISTED_PER_TENANT);
    assert_eq!(listed(1), 1);
    let counted: Vec<&Value> = records
        .iter()
        .filter(|record| record["event"] == "refusals-counted")
        .collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0]["count"], 500 - LISTED_PER_TENANT);
}

#[tokio::test]
async fn concurrent_operations_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
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
