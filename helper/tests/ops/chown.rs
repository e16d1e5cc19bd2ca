//! Chown on a real volume: everything below, nothing outside.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aistack_helper::ops::{self, DirKind, DirOwner, ServiceDir};
use aistack_proto::v1::ChownProgress;

use crate::directories::{dir, exchanging};
use crate::test_host::{A, TestHost, as_the_helper, runtime};

const SERVICE: u32 = A + 1000;

fn target() -> ServiceDir {
    dir("openclaw", DirKind::Data, DirOwner::Service)
}

/// A mounted volume with `data/openclaw`.
fn prepared() -> (TestHost, PathBuf) {
    let host = TestHost::start();
    host.mount();
    let (grant, dirs) = (host.grant(), [target()]);
    runtime()
        .block_on(ops::prepare_directories(&grant, &dirs))
        .unwrap();
    let top = host.base().join("data/openclaw");
    (host, top)
}

fn walk(host: &TestHost) -> (Result<ChownProgress, ops::Error>, usize) {
    let grant = host.grant();
    let walk = async {
        let mut messages = ops::chown(&grant, &target());
        let mut reported = 0;
        loop {
            match messages.recv().await.expect("a last message") {
                Ok(progress) if !progress.done => reported += 1,
                last => return (last, reported),
            }
        }
    };
    as_the_helper(|| runtime().block_on(walk))
}

fn owner(path: &Path) -> (u32, u32) {
    let data = std::fs::symlink_metadata(path).unwrap();
    (data.uid(), data.gid())
}

#[test]
#[ignore = "needs root"]
fn everything_below_changes_hands_and_links_are_not_followed() {
    let (host, top) = prepared();
    let outside = host.run().join("outside");
    std::fs::write(&outside, "").unwrap();
    std::fs::create_dir_all(top.join("a/b/c")).unwrap();
    std::fs::write(top.join("a/b/file"), "").unwrap();
    symlink(&outside, top.join("a/link")).unwrap();
    symlink("/etc", top.join("a/etc")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("a/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let set = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(top.join(name), mode).unwrap();
    };
    set("a/b", 0o6755);
    set("a/b/file", 0o6755);
    let etc = owner(Path::new("/etc"));
    let (last, _) = walk(&host);
    let last = last.unwrap();
    assert_eq!((last.visited, last.changed), (7, 7));
    for name in [
        "", "a", "a/b", "a/b/c", "a/b/file", "a/link", "a/etc", "a/pipe",
    ] {
        assert_eq!(owner(&top.join(name)), (SERVICE, SERVICE), "{name}");
    }
    for name in ["a/b", "a/b/file"] {
        assert_eq!(
            std::fs::metadata(top.join(name)).unwrap().mode() & 0o7777,
            0o755,
            "{name}"
        );
    }
    assert_eq!(owner(&outside), (0, 0));
    assert_eq!(owner(Path::new("/etc")), etc);
    assert_eq!(walk(&host).0.unwrap().changed, 0);
}

#[test]
#[ignore = "needs root"]
fn the_directory_itself_gets_its_owner_and_mode() {
    let (host, top) = prepared();
    chown(&top, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&top, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(top.join("made-by-docker"), "").unwrap();
    assert_eq!(walk(&host).0.unwrap().changed, 2);
    assert_eq!(owner(&top), (SERVICE, SERVICE));
    assert_eq!(std::fs::metadata(&top).unwrap().mode() & 0o7777, 0o700);
}

#[test]
#[ignore = "needs root"]
fn missing_directories_links_and_mounts_are_refused() {
    let (host, top) = prepared();
    let inner = top.join("inner");
    std::fs::create_dir(&inner).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&inner)
        .status();
    assert!(mount.unwrap().success());
    let reason = walk(&host).0.unwrap_err().reason();
    let untouched = owner(&inner);
    let umount = std::process::Command::new("umount").arg(&inner).status();
    assert!(umount.unwrap().success());
    assert_eq!((reason, untouched), ("UNSAFE_PATH", (0, 0)));
    std::fs::remove_dir(&inner).unwrap();
    std::fs::remove_dir(&top).unwrap();
    assert_eq!(walk(&host).0.unwrap_err().reason(), "DIRECTORY_MISSING");
    symlink("/etc", &top).unwrap();
    assert_eq!(walk(&host).0.unwrap_err().reason(), "UNSAFE_PATH");
}

#[test]
#[ignore = "needs root"]
fn depth_is_bounded_progress_is_reported_and_a_walk_without_reader_ends() {
    let (host, top) = prepared();
    for number in 0..3500 {
        std::fs::write(top.join(number.to_string()), "").unwrap();
    }
    let (last, reported) = walk(&host);
    assert_eq!(last.unwrap().visited, 3500);
    assert!(reported >= 3, "progress was reported {reported} times");

    for number in 0..3500 {
        chown(top.join(number.to_string()), Some(0), Some(0)).unwrap();
    }
    let grant = host.grant();
    let runtime = runtime();
    runtime.block_on(async {
        drop(ops::chown(&grant, &target()));
        tokio::time::sleep(Duration::from_millis(500)).await;
    });
    // The runtime waits for the walk when it is dropped.
    drop(runtime);
    let left = (0..3500)
        .filter(|number| owner(&top.join(number.to_string())) == (0, 0))
        .count();
    assert!(left > 0, "nobody listened and the walk went on to the end");

    let deep = vec!["d"; 140].join("/");
    std::fs::create_dir_all(top.join(deep)).unwrap();
    assert_eq!(walk(&host).0.unwrap_err().reason(), "TOO_LARGE");
}

#[test]
#[ignore = "needs root"]
fn exchanged_names_never_lead_outside() {
    let (host, top) = prepared();
    let outside = host.run().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "").unwrap();
    let (victim, link) = (top.join("victim"), top.join("link"));
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("file"), "").unwrap();
    symlink(&outside, &link).unwrap();
    exchanging(&victim, &link, || {
        for _ in 0..300 {
            let _ = walk(&host);
        }
    });
    assert_eq!(owner(&outside), (0, 0));
    assert_eq!(owner(&outside.join("file")), (0, 0));
    assert_eq!(walk(&host).0.unwrap().visited, 3);
}
