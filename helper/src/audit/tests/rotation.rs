//! A log of several files is one chain.

use super::*;

const SMALL: Rotation = Rotation {
    bytes: 2000,
    keep: Keep::All,
    reserve: 4096,
};

/// As [`reopen`], with small files.
fn reopen_small(dir: &Path, rotation: Rotation) -> Audit {
    for _ in 0..500 {
        let settings = Settings {
            rotation,
            ..SETTINGS
        };
        match Audit::open(dir, "helper", settings) {
            Ok(audit) => return audit,
            Err(error) => assert_eq!(kind(&error), io::ErrorKind::AddrInUse),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the writer never ended");
}

fn the_log(dir: &Path) -> Log {
    logs(dir).unwrap().pop().unwrap()
}

async fn work(audit: &Audit, operations: usize) {
    for _ in 0..operations {
        let open = audit.intent(intent(1001)).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_file_gives_way_to_a_new_one_in_the_same_chain() {
    let dir = tempfile::tempdir().unwrap();
    let audit = reopen_small(dir.path(), SMALL);
    work(&audit, 20).await;
    let log = the_log(dir.path());
    assert!(log.files.len() > 3, "{log:?}");
    for file in &log.files {
        assert!(std::fs::metadata(file).unwrap().len() < 3000);
    }
    let verified = read::verify(&log).unwrap();
    assert_eq!(verified.first, 1);
    let begun = records(dir.path()).remove(0);
    assert_eq!(begun["what"], "file-begun");
    let before = log.files[log.files.len() - 2].file_name().unwrap();
    assert_eq!(begun["detail"]["after"].as_str(), before.to_str());
    drop(audit);
    // The next start goes on where this one ended.
    let audit = reopen_small(dir.path(), SMALL);
    work(&audit, 1).await;
    assert!(read::verify(&the_log(dir.path())).unwrap().head.seq > verified.head.seq);
}

#[tokio::test]
async fn an_operation_that_outlives_its_file_is_closed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let audit = reopen_small(dir.path(), SMALL);
    let lost = audit.intent(intent(1002)).await.unwrap();
    work(&audit, 20).await;
    // As a kill would: the outcome is never written.
    std::mem::forget(lost);
    audit.stop().await.unwrap();
    drop(audit);
    let copy = copy_of(dir.path());
    drop(reopen_small(copy.path(), SMALL));
    let closed = records(copy.path());
    let closed = closed
        .iter()
        .find(|record| record["outcome"] == "interrupted")
        .expect("the lost operation has no end");
    assert_eq!(
        (closed["intent"].as_u64(), closed["uid"].as_u64()),
        (Some(2), Some(1002))
    );
    read::verify(&the_log(copy.path())).unwrap();
}

#[tokio::test]
async fn a_kill_between_two_files_is_mended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let audit = reopen_small(dir.path(), SMALL);
    work(&audit, 20).await;
    audit.stop().await.unwrap();
    let head = read::verify(&the_log(dir.path())).unwrap().head;
    // A copy: the writer ends a moment later, and would notice.
    let dir = copy_of(dir.path());
    // The first rename happened, the second did not.
    let full = dir.path().join(files::full("helper", head.seq));
    std::fs::rename(log_of(dir.path()), full).unwrap();
    std::fs::write(dir.path().join(".helper.jsonl.new"), "left behind").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(dir.path().join(".helper.jsonl.new"), mode).unwrap();
    let audit = reopen_small(dir.path(), SMALL);
    work(&audit, 20).await;
    let verified = read::verify(&the_log(dir.path())).unwrap();
    assert_eq!(verified.first, 1);
    assert!(verified.head.seq > head.seq + 40, "{verified:?}");
}

#[tokio::test]
async fn the_files_stay_within_a_size_and_keep_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let bounded = Rotation {
        keep: Keep::Bytes(12_000),
        ..SMALL
    };
    let audit = reopen_small(dir.path(), bounded);
    work(&audit, 60).await;
    let log = the_log(dir.path());
    let sizes = log
        .files
        .iter()
        .map(|file| std::fs::metadata(file).unwrap().len());
    let all: u64 = sizes.sum();
    assert!((8_000..13_000).contains(&all), "{all} bytes in {log:?}");
    assert!(read::verify(&log).unwrap().first > 1);
}

#[tokio::test]
async fn a_file_that_is_missing_or_changed_is_found_and_the_oldest_may_go_with_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let audit = reopen_small(dir.path(), SMALL);
    work(&audit, 20).await;
    let log = the_log(dir.path());
    let mut gap = log.clone();
    gap.files.remove(1);
    assert!(matches!(
        read::verify(&gap),
        Err(VerifyError::Invalid { line: 1, .. })
    ));
    drop(audit);
    let keep_one = Rotation {
        keep: Keep::Files(1),
        ..SMALL
    };
    let audit = reopen_small(dir.path(), keep_one);
    work(&audit, 20).await;
    let log = the_log(dir.path());
    assert_eq!(log.files.len(), 2, "{log:?}");
    assert!(read::verify(&log).unwrap().first > 1);
    let recorded = log.files.iter().any(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        text.contains("file-removed")
    });
    assert!(recorded, "files went without a record");
}
