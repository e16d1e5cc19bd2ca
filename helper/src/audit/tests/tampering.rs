//! Whoever is root can do this to a log; what is noticed, and what goes on.

use super::*;

async fn work(audit: &Audit, operations: usize) {
    for _ in 0..operations {
        let open = audit.intent(intent(1001)).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
}

/// A log of a daemon that has stopped.
async fn stopped_log(operations: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    work(&audit, operations).await;
    audit.stop().await.unwrap();
    copy_of(dir.path())
}

/// What the log says of tampering.
fn tampered(dir: &Path) -> Vec<String> {
    let records = records(dir);
    let tampered = records
        .iter()
        .filter(|record| record["what"] == "log-tampered");
    tampered
        .map(|record| record["detail"]["problem"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_emptied_log_and_one_cut_to_a_prefix_are_noticed_by_verify_and_by_the_next_start() {
    let original = stopped_log(5).await;
    let whole = std::fs::read(log_of(original.path())).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 0..lines.len() {
        let dir = copy_of(original.path());
        write_log(dir.path(), &lines[..kept].concat());
        let cut = verify(&log_of(dir.path())).unwrap_err();
        assert!(matches!(cut, VerifyError::Cut { .. }), "{kept}: {cut}");
        assert!(cut.to_string().contains("were cut off"), "{cut}");
        drop(begin(dir.path()).unwrap());
        assert_eq!(tampered(dir.path()).len(), 1, "{kept} lines");
        let still = verify(&log_of(dir.path())).unwrap_err();
        assert!(
            matches!(still, VerifyError::Tampered { .. }),
            "{kept}: {still}"
        );
    }
    verify(&log_of(original.path())).unwrap();
}

#[tokio::test]
async fn a_log_that_is_gone_or_written_anew_and_a_head_that_is_gone_are_noticed() {
    let gone = stopped_log(3).await;
    std::fs::remove_file(log_of(gone.path())).unwrap();
    assert!(matches!(
        verify(&log_of(gone.path())),
        Err(VerifyError::Cut { .. })
    ));

    // As long as the one before, and a chain in itself.
    let (again, other) = (stopped_log(3).await, stopped_log(3).await);
    std::fs::copy(log_of(other.path()), log_of(again.path())).unwrap();
    let error = verify(&log_of(again.path())).unwrap_err();
    assert!(error.to_string().contains("was rewritten"), "{error}");
    drop(begin(again.path()).unwrap());
    assert_eq!(tampered(again.path()).len(), 1);

    let headless = stopped_log(3).await;
    std::fs::remove_file(headless.path().join("helper.head")).unwrap();
    let error = verify(&log_of(headless.path())).unwrap_err();
    assert!(
        error.to_string().contains("helper.head is missing"),
        "{error}"
    );
    drop(begin(headless.path()).unwrap());
    assert_eq!(tampered(headless.path()).len(), 1);
}

#[tokio::test]
async fn a_log_from_before_there_were_heads_is_taken_up_without_an_alarm() {
    let dir = stopped_log(2).await;
    std::fs::remove_file(dir.path().join("helper.head")).unwrap();
    let old = std::fs::read_to_string(log_of(dir.path())).unwrap();
    // The one field that makes a start ask for its head; the digests go by with it.
    let old = old.replace("\"head\":true,", "");
    let first = old.lines().next().unwrap();
    write_log(dir.path(), format!("{first}\n").as_bytes());
    drop(begin(dir.path()).unwrap());
    assert_eq!(tampered(dir.path()), Vec::<String>::new());
    verify(&log_of(dir.path())).unwrap();
}

#[tokio::test]
async fn a_kill_at_any_moment_is_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    for _ in 0..20 {
        work(&audit, 1).await;
        // The head file is behind for a second; a kill now leaves this.
        let killed = copy_of(dir.path());
        verify(&log_of(killed.path())).unwrap();
        drop(begin(killed.path()).unwrap());
        assert_eq!(tampered(killed.path()), Vec::<String>::new());
    }
}

/// What somebody does to a log that is written.
type Deed = fn(&Path);

#[tokio::test]
async fn a_log_that_is_renamed_removed_replaced_cut_or_written_to_is_noticed_at_once() {
    let deeds: [(&str, Deed, bool); 5] = [
        (
            "renamed or removed",
            |log| std::fs::rename(log, log.with_extension("jsonl.1")).unwrap(),
            true,
        ),
        (
            "renamed or removed",
            |log| std::fs::remove_file(log).unwrap(),
            true,
        ),
        (
            "it was replaced",
            |log| {
                std::fs::remove_file(log).unwrap();
                std::fs::write(log, "{}\n").unwrap();
            },
            true,
        ),
        (
            "it was truncated",
            |log| {
                let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
                file.set_len(100).unwrap();
            },
            false,
        ),
        (
            "another process wrote to it",
            |log| {
                let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
                io::Write::write_all(&mut file, b"{\"seq\":8}\n").unwrap();
            },
            true,
        ),
    ];
    for (problem, deed, saved) in deeds {
        let dir = tempfile::tempdir().unwrap();
        let audit = begin(dir.path()).unwrap();
        work(&audit, 3).await;
        deed(&log_of(dir.path()));
        // The next operation is recorded where everybody looks, after the alarm.
        work(&audit, 3).await;
        let tampered = tampered(dir.path());
        assert_eq!(tampered.len(), 1, "{problem}");
        assert!(tampered[0].contains(problem), "{tampered:?}");
        let intents = records(dir.path());
        let intents = intents.iter().filter(|r| r["event"] == "intent").count();
        assert_eq!(intents, 3, "{problem}");
        let log = logs(dir.path()).unwrap().pop().unwrap();
        assert_eq!(log.files.len(), if saved { 2 } else { 1 }, "{log:?}");
        let error = read::verify(&log).unwrap_err();
        // With the records saved the chain is whole, and only the alarm stands in it.
        assert!(matches!(error, VerifyError::Tampered { .. }), "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        audit.stop().await.unwrap();
    }
}
