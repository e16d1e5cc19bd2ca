//! The audit log under a real daemon: full disks, kills, changed bytes, and the commands that read
//! it.

use std::ffi::CStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aistack_proto::v1;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;
use tonic::Code;

use super::test_host::{A, B, STRANGER, TestHost, chmod, details};

/// A small file system at a directory; unmounted when dropped.
pub(super) struct TinyDisk(PathBuf);

impl TinyDisk {
    /// `size` is an option of tmpfs(5).
    pub(super) fn at(dir: &Path, size: &CStr) -> Self {
        std::fs::create_dir(dir).unwrap();
        rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::empty(), Some(size)).unwrap();
        chmod(dir, 0o700);
        Self(dir.to_owned())
    }

    pub(super) fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until there is no room for another byte.
    pub(super) fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        while filler.write(&[0; 4096]).is_ok() {}
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_full_disk_refuses_operations_until_there_is_room() {
    let mut host = TestHost::prepare();
    let disk = TinyDisk::at(host.audit_dir(), c"size=64k");
    host.start_daemon();
    let mut client = host.client(A).await;
    let grow = v1::GrowVolumeRequest {};
    // Without a mount worker this is how it ends, and it is recorded.
    let unreachable = "MOUNT_WORKER_UNREACHABLE";
    let status = client.grow_volume(grow).await.unwrap_err();
    assert_eq!(details(&status).0, unreachable);
    disk.fill();
    // The last page of the log has some room left; then nothing has.
    let mut recorded = 1;
    let refused = loop {
        assert!(recorded < 40, "the disk never was full");
        let status = client.grow_volume(grow).await.unwrap_err();
        if details(&status).0 != unreachable {
            break status;
        }
        recorded += 1;
    };
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(details(&refused).0, "AUDIT_UNAVAILABLE");
    let intents = host.records_of("intent").len();
    for _ in 0..5 {
        let again = client.grow_volume(grow).await.unwrap_err();
        assert_eq!(details(&again).0, "AUDIT_UNAVAILABLE");
    }
    assert_eq!(
        host.records_of("intent").len(),
        intents,
        "nothing half written"
    );
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
    assert!(
        client.who_am_i(v1::WhoAmIRequest {}).await.is_ok(),
        "reading is not an operation"
    );
    std::fs::remove_file(disk.filler()).unwrap();
    let status = client.grow_volume(grow).await.unwrap_err();
    assert_eq!(details(&status).0, unreachable);
    let (intents, outcomes) = (host.records_of("intent"), host.records_of("outcome"));
    assert_eq!(
        intents.len(),
        outcomes.len(),
        "every outcome came after all"
    );
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
    host.end(Signal::TERM);
}

#[tokio::test]
#[ignore = "needs root"]
async fn one_changed_byte_is_found_and_named() {
    let host = TestHost::start();
    let mut client = host.client(A).await;
    for _ in 0..3 {
        let _ = client.grow_volume(v1::GrowVolumeRequest {}).await;
    }
    let (intact, said) = host.audit(&["verify"]);
    assert!(
        intact && said.contains("records 1 to 7 in 1 file(s), chain intact"),
        "{said}"
    );
    let log = host.audit_dir().join("helper.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("61001", "61002", 1)).unwrap();
    let (intact, said) = host.audit(&["verify"]);
    assert!(!intact);
    assert!(
        said.contains("helper.jsonl:3: does not hold the digest"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn the_log_can_be_shown_by_uid_by_tail_and_as_json() {
    let host = TestHost::start();
    let _ = host
        .client(A)
        .await
        .grow_volume(v1::GrowVolumeRequest {})
        .await;
    let _ = host
        .client(STRANGER)
        .await
        .who_am_i(v1::WhoAmIRequest {})
        .await;
    let (_, all) = host.audit(&["show"]);
    assert_eq!(all.lines().count(), 4, "{all}");
    assert!(
        all.contains("uid 61001 volume.grow allowed by tenants.volume (policy.toml:"),
        "{all}"
    );
    assert!(
        all.contains("uid 61999 whoami REFUSED by tenants.uids \"NO_GRANT: "),
        "{all}"
    );
    let (_, own) = host.audit(&["show", "--uid", "61001"]);
    assert_eq!(own.lines().count(), 2, "{own}");
    let (_, last) = host.audit(&["show", "--tail", "1", "--json"]);
    let record: serde_json::Value = serde_json::from_str(last.trim()).unwrap();
    assert_eq!(record["uid"], STRANGER);
    assert!(host.audit(&["show", "--tail", "0"]).1.is_empty());
}

#[tokio::test]
#[ignore = "needs root"]
async fn follow_shows_what_comes() {
    let host = TestHost::start();
    let mut follow = Command::new(env!("CARGO_BIN_EXE_aistack-helper"))
        .args(["audit", "follow", "--audit-dir"])
        .arg(host.audit_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("daemon start"));
    let _ = host
        .client(B)
        .await
        .grow_volume(v1::GrowVolumeRequest {})
        .await;
    let next = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    let next = tokio::time::timeout(Duration::from_secs(5), next).await;
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(
        next.unwrap()
            .unwrap()
            .contains("uid 61002 volume.grow allowed")
    );
}
