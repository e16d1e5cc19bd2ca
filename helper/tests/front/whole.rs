//! Every operation through the real daemon, with the few capabilities that it keeps, the real mount
//! worker, a real loop device and a real Docker Engine.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use aistack_proto::v1;
use rustix::mount::UnmountFlags;
use tonic::Code;

use super::test_host::{TestHost, details};

/// A tenant that no other test mounts anything for.
const C: u32 = 61005;
const DOCKER: &str = "/run/docker.sock";

/// The mount worker, and what must be gone afterwards whatever happens.
struct Volume {
    worker: Child,
    base: PathBuf,
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
        while rustix::mount::unmount(&self.base, UnmountFlags::empty()).is_ok() {}
        let _ = std::fs::remove_dir(&self.base);
    }
}

fn directory(kind: v1::DirectoryKind, owner: v1::DirectoryOwner) -> v1::ServiceDirectory {
    v1::ServiceDirectory {
        service: "n8n".to_owned(),
        kind: kind.into(),
        owner: owner.into(),
    }
}

/// Owner, group and mode.
fn shape(path: &Path) -> (u32, u32, u32) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

fn start() -> Option<(TestHost, Volume)> {
    let mut host = TestHost::prepare()?;
    if !Path::new(DOCKER).exists() || !Path::new("/dev/loop-control").exists() {
        let skipped = b"SKIPPED: this needs a Docker Engine and loop devices\n";
        std::io::stderr().write_all(skipped).unwrap();
        return None;
    }
    std::os::unix::fs::symlink(DOCKER, host.path("docker.sock")).unwrap();
    let worker = Command::new(env!("CARGO_BIN_EXE_aistack-mount"))
        .args(["serve", "--socket"])
        .arg(host.path("mount.sock"))
        .spawn()
        .unwrap();
    let base = PathBuf::from(format!("/mnt/aistack-dev-core-{C}"));
    let volume = Volume { worker, base };
    host.wait_for("the worker", || host.path("mount.sock").exists());
    host.start_daemon();
    Some((host, volume))
}

#[tokio::test]
async fn every_operation_works_with_the_few_capabilities_that_are_left() {
    let Some((host, volume)) = start() else {
        return;
    };
    let mut client = host.client(C).await;
    let mounted = client
        .mount_volume(v1::MountVolumeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(mounted.changed && mounted.formatted, "{mounted:?}");
    let again = client
        .mount_volume(v1::MountVolumeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(!again.changed && !again.formatted, "{again:?}");

    let data = directory(v1::DirectoryKind::Data, v1::DirectoryOwner::Service);
    let directories = vec![
        directory(v1::DirectoryKind::Etc, v1::DirectoryOwner::Tenant),
        data.clone(),
        directory(v1::DirectoryKind::Logs, v1::DirectoryOwner::Tenant),
    ];
    let prepare = v1::PrepareDirectoriesRequest { directories };
    let prepared = client
        .prepare_directories(prepare.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(prepared.created > 3, "{prepared:?}");
    let prepared = client
        .prepare_directories(prepare)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(prepared.created, 0, "{prepared:?}");
    let service = C + 1000;
    assert_eq!(shape(&volume.base), (0, 0, 0o711));
    assert_eq!(shape(&volume.base.join("config")), (C, C, 0o700));
    assert_eq!(shape(&volume.base.join("etc/n8n")), (C, C, 0o750));
    assert_eq!(
        shape(&volume.base.join("data/n8n")),
        (service, service, 0o700)
    );
    assert_eq!(shape(&volume.base.join("logs/n8n")), (C, C, 0o700));

    let stray = volume.base.join("data/n8n/deep/er");
    std::fs::create_dir_all(&stray).unwrap();
    let chown = v1::ChownRequest {
        directory: Some(data),
    };
    let mut progress = client.chown(chown).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = progress.message().await.unwrap() {
        last = Some(message);
    }
    assert!(
        last.is_some_and(|last| last.done && last.changed == 2),
        "{last:?}"
    );
    let (uid, gid, _) = shape(&stray);
    assert_eq!((uid, gid), (service, service));

    let made = client
        .create_network(v1::CreateNetworkRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(made.changed);
    let me = client
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.network.unwrap().id, made.id);
    assert!(me.volume.unwrap().mounted);
    let removed = client
        .remove_network(v1::RemoveNetworkRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(removed.changed);

    let unmounted = client
        .unmount_volume(v1::UnmountVolumeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(unmounted.changed);
    let nothing = v1::PrepareDirectoriesRequest {
        directories: Vec::new(),
    };
    let status = client.prepare_directories(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(details(&status).0, "VOLUME_NOT_MOUNTED");

    let outcomes = host.records_of("outcome");
    assert_eq!(outcomes.len(), 9);
    assert_eq!(
        outcomes.iter().filter(|r| r["outcome"] == "done").count(),
        8
    );
    let (intact, said) = host.audit(&["verify"]);
    assert!(intact, "{said}");
}
