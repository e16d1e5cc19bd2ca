//! What becomes of a tenant whose records have used up its budget, and of a log that somebody
//! touches, under a real daemon; and that no record moves the cursor of who reads it.

use std::time::{Duration, Instant};

use aistack_helper::audit::{Audit, AuditError, Budget, Intent, Outcome, Rotation, Settings};
use aistack_helper::peer::Caller;
use aistack_policy::printable::is_printable;
use aistack_proto::v1;
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use serde_json::json;
use tonic::Code;

use super::log::TinyDisk;
use super::test_host::{A, B, TestHost, details};

const GROW: v1::GrowVolumeRequest = v1::GrowVolumeRequest {};

fn intent(uid: u32, note: &str) -> Intent {
    Intent {
        caller: Caller {
            uid,
            gid: uid,
            pid: None,
        },
        operation: "volume.grow",
        arguments: json!({ "note": note }),
        rule: "tenants.volume (policy.toml:9)".to_owned(),
        policy: "0".repeat(64),
    }
}

/// A log that an earlier daemon with more patience left behind.
async fn earlier_daemon(host: &TestHost, operations: usize, note: &str) {
    let patient = Settings {
        budget: Budget {
            bytes: 1 << 40,
            per_second: 1 << 20,
        },
        ..Settings::DEFAULT
    };
    let audit = Audit::open(host.audit_dir(), "helper", patient).unwrap();
    for _ in 0..operations {
        let open = audit.intent(intent(A, note)).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
    audit.stop().await.unwrap();
    drop(audit);
    host.wait_for("the end of the writer", || {
        let log = std::fs::File::open(host.audit_dir().join("helper.jsonl")).unwrap();
        rustix::fs::flock(&log, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_tenant_that_used_up_its_budget_learns_so_and_others_continue() {
    let mut host = TestHost::prepare();
    // More than 4 MiB, a moment ago.
    earlier_daemon(&host, 1100, &"x".repeat(3900)).await;
    host.start_daemon();
    let mut a = host.client(A).await;
    let refused = a.grow_volume(GROW).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(details(&refused).0, "AUDIT_BUDGET");
    for part in [
        "4096 KiB",
        "512 bytes come back each second",
        "nothing was done",
        "again in ",
    ] {
        assert!(refused.message().contains(part), "{refused:?}");
    }
    assert!(
        a.who_am_i(v1::WhoAmIRequest {}).await.is_ok(),
        "reading takes nothing of it"
    );
    let mut b = host.client(B).await;
    let other = b.grow_volume(GROW).await.unwrap_err();
    assert_eq!(
        details(&other).0,
        "MOUNT_WORKER_UNREACHABLE",
        "B's operation was recorded and tried"
    );
    // Nothing was done for A, and that is on record once.
    for _ in 0..5 {
        assert_eq!(
            details(&a.grow_volume(GROW).await.unwrap_err()).0,
            "AUDIT_BUDGET"
        );
    }
    let refusals = host.records_of("refused");
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0]["rule"], "builtin.audit-budget");
    assert_eq!(host.records_of("intent").len(), 1101);
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
    host.end(Signal::TERM);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_full_disk_leaves_a_reserve_of_which_each_tenant_has_a_share() {
    let host = TestHost::prepare();
    let disk = TinyDisk::at(host.audit_dir(), c"size=512k");
    let settings = Settings {
        rotation: Rotation {
            reserve: 128 << 10,
            ..Rotation::DEFAULT
        },
        scarce: Budget {
            bytes: 8000,
            per_second: 1,
        },
        ..Settings::DEFAULT
    };
    let audit = Audit::open(host.audit_dir(), "helper", settings).unwrap();
    disk.fill();
    let mut done = 0;
    let over = loop {
        match audit.intent(intent(A, "x")).await {
            Ok(open) => open.finish(Outcome::Done).await.unwrap(),
            Err(AuditError::OverBudget(over)) => break over,
            Err(other) => panic!("after {done} operations: {other}: {other:?}"),
        }
        done += 1;
        assert!(done < 5000, "the reserve never ended");
    };
    assert!(done > 20, "only {done} operations on a full disk");
    assert!(
        over.scarce && over.to_string().contains("disk is full"),
        "{over}"
    );
    let others = audit.intent(intent(B, "x")).await.unwrap();
    others.finish(Outcome::Done).await.unwrap();
    std::fs::remove_file(disk.filler()).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while audit.intent(intent(A, "x")).await.is_err() {
        assert!(Instant::now() < until, "there is room again, and A waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    audit.stop().await.unwrap();
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_log_that_is_unlinked_under_its_daemon_goes_on_where_everybody_looks() {
    let mut host = TestHost::start();
    let mut client = host.client(A).await;
    let _ = client.grow_volume(GROW).await;
    std::fs::remove_file(host.audit_dir().join("helper.jsonl")).unwrap();
    let status = client.grow_volume(GROW).await.unwrap_err();
    assert_eq!(details(&status).0, "MOUNT_WORKER_UNREACHABLE");
    assert_eq!(host.records_of("intent").len(), 1, "it is in the new file");
    let said = host.said();
    assert!(
        said.contains("ERROR") && said.contains("the audit log was tampered with"),
        "{said}"
    );
    let (intact, said) = host.audit(&["verify"]);
    assert!(!intact && said.contains("renamed or removed"), "{said}");
    // What was unlinked was saved: both operations are there.
    let (_, shown) = host.audit(&["show"]);
    assert_eq!(shown.matches("volume.grow allowed").count(), 2, "{shown}");
    assert_eq!(host.end(Signal::TERM), Some(0));
    std::fs::write(host.audit_dir().join("helper.jsonl"), "").unwrap();
    let (intact, said) = host.audit(&["verify"]);
    assert!(!intact, "an emptied log: {said}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn nothing_that_is_not_printable_reaches_a_terminal_from_the_daemons_programs() {
    let mut host = TestHost::prepare();
    let hostile = "\u{9b}2J\u{1b}]0;x\u{7}\u{202e}\u{2028}\u{e0041}\n#9 uid 0 whoami";
    earlier_daemon(&host, 1, hostile).await;
    let printable = |text: &str| {
        let bad = text.chars().find(|c| *c != '\n' && !is_printable(*c));
        assert!(bad.is_none(), "{bad:?} in {text}");
        assert!(text.contains("202e"), "it is shown all the same: {text}");
    };
    printable(&host.audit(&["show"]).1);
    let (_, json) = host.audit(&["show", "--json", "--tail", "3"]);
    printable(&json);
    let record: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(record["arguments"]["note"], hostile, "its meaning stays");

    let good = std::fs::read_to_string(host.path("policy.toml")).unwrap();
    let bad = "version = 1\n\"key\u{202e}\u{9b}2J\" = 1\n";
    let file = host.path("bad.toml");
    std::fs::write(&file, bad).unwrap();
    for command in [
        vec!["policy", "check"],
        vec!["policy", "check", "--json"],
        vec!["policy", "explain", "--uid", "1", "--policy"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
            .args(command)
            .arg(&file)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        printable(&String::from_utf8(text).unwrap());
    }

    // The daemon's own log.
    host.start_daemon();
    host.write_policy(bad);
    host.signal(Signal::HUP);
    host.wait_for("the refusal", || {
        host.said().contains("policy not reloaded")
    });
    printable(&host.said());
    host.write_policy(&good);
    host.end(Signal::TERM);
}
