//! Mounting and unmounting, and who may ask for it.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use aistack_helper::mount::wire::{FileSystem, MAX_MESSAGE, Place, Reply, Request, Source, Volume};
use aistack_helper::ops;
use rustix::process::{Gid, Uid};

use crate::test_host::{A, MIB, TestHost, mounted, refused, runtime};

#[test]
#[ignore = "needs root"]
fn a_volume_is_made_once_mounted_idempotently_and_survives_a_remount() {
    let host = TestHost::start();
    let first = host.mount();
    assert!(first.changed && first.formatted);
    let root = std::fs::metadata(host.base()).unwrap();
    assert_eq!(
        (root.uid(), root.gid(), root.mode() & 0o7777),
        (0, 0, 0o711)
    );
    assert_eq!(root.dev(), first.device);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let base = format!(" {} ", host.base().display());
    let line = mounts.lines().find(|line| line.contains(&base)).unwrap();
    assert!(line.contains("nosuid,nodev,noatime"), "{line}");
    let image = std::fs::metadata(host.image()).unwrap();
    assert_eq!(
        (image.uid(), image.mode() & 0o7777, image.len()),
        (0, 0o600, 320 * MIB)
    );
    assert!(image.blocks() * 512 < 64 * MIB, "the image is not sparse");

    std::fs::write(host.base().join("kept"), "data").unwrap();
    let again = host.mount();
    assert_eq!(
        (again.changed, again.formatted, again.device),
        (false, false, first.device)
    );
    assert!(matches!(
        host.ask(&Request::State(host.volume())),
        Reply::Mounted(_)
    ));
    assert!(host.unmount());
    assert!(!host.unmount());
    assert!(matches!(
        host.ask(&Request::State(host.volume())),
        Reply::Unmounted { .. }
    ));
    assert_eq!(host.loop_devices(), Vec::<String>::new());

    let remounted = host.mount();
    assert!(remounted.changed && !remounted.formatted);
    assert_eq!(
        std::fs::read_to_string(host.base().join("kept")).unwrap(),
        "data"
    );
}

#[test]
#[ignore = "needs root"]
fn xfs_works_as_well() {
    let host = TestHost::start();
    let request = host.mount_request(FileSystem::Xfs);
    assert!(mounted(host.ask(&request)).formatted);
    std::fs::write(host.base().join("kept"), "data").unwrap();
    assert!(host.unmount());
    let again = mounted(host.ask(&request));
    assert_eq!(
        (again.changed, again.formatted, again.fs),
        (true, false, FileSystem::Xfs)
    );
    assert_eq!(
        std::fs::read_to_string(host.base().join("kept")).unwrap(),
        "data"
    );
    assert!(host.unmount());
    assert_eq!(
        refused(host.ask(&host.mount_request(FileSystem::Ext4))),
        "WRONG_FILESYSTEM"
    );
}

#[test]
#[ignore = "needs root"]
fn eight_at_once_make_one_volume() {
    let host = TestHost::start();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| host.mount())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(replies.iter().filter(|reply| reply.changed).count(), 1);
    assert_eq!(replies.iter().filter(|reply| reply.formatted).count(), 1);
    assert_eq!(host.loop_devices().len(), 1);
}

#[test]
#[ignore = "needs root"]
fn a_used_volume_is_not_unmounted() {
    let host = TestHost::start();
    host.mount();
    let open = std::fs::File::create(host.base().join("open")).unwrap();
    let unmount = Request::Unmount(host.volume());
    assert_eq!(refused(host.ask(&unmount)), "IN_USE");
    drop(open);
    assert!(host.unmount());
}

/// A process with a mount namespace of its own, in which `script` has run.
fn in_a_namespace(host: &TestHost, propagation: &str, script: &str) -> Child {
    let ready = host.run().join("ready");
    let _ = std::fs::remove_file(&ready);
    let script = format!(
        "{}{script} && touch {} && exec sleep 600",
        host.letting_go_of_others(),
        ready.display()
    );
    let child = Command::new("unshare")
        .args(["--mount", "--propagation", propagation, "sh", "-c", &script])
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !ready.exists() {
        assert!(Instant::now() < until, "the namespace is not there");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_volume_that_a_container_holds_is_not_unmounted() {
    let host = TestHost::start();
    host.mount();
    let (data, base) = (host.base().join("data"), host.base());
    std::fs::create_dir(&data).unwrap();
    let there = host.run().join("there");
    std::fs::create_dir(&there).unwrap();
    let unmount = Request::Unmount(host.volume());
    // As a container has it: a directory of the volume, without the volume's own mount.
    for script in [
        format!(
            "mount --bind {} {} && umount -l {}",
            data.display(),
            there.display(),
            base.display()
        ),
        // A copy of the volume's own mount that an unmount does not reach.
        "true".to_owned(),
    ] {
        let holder = in_a_namespace(&host, "private", &script);
        let Reply::Failed(failure) = host.ask(&unmount) else {
            panic!("it was unmounted under a container: {script}");
        };
        assert_eq!(failure.reason.word(), "IN_USE");
        assert!(
            failure
                .hint
                .is_some_and(|hint| hint.contains("stop the containers"))
        );
        let state = host.ask(&Request::State(host.volume()));
        assert!(matches!(state, Reply::Mounted(_)), "{state:?}");
        end(holder);
    }
    assert!(host.unmount());
    host.wait_for_no_loop_device();
}

#[test]
#[ignore = "needs root"]
fn a_volume_that_is_held_out_of_sight_is_put_back() {
    let host = TestHost::start();
    let first = host.mount();
    std::fs::write(host.base().join("kept"), "data").unwrap();
    let holder = in_a_namespace(&host, "private", "true");
    // Its mounts stay while this is open, and no process shows them.
    let namespace = std::fs::File::open(format!("/proc/{}/ns/mnt", holder.id())).unwrap();
    end(holder);
    assert_eq!(
        refused(host.ask(&Request::Unmount(host.volume()))),
        "IN_USE"
    );
    let back = host.mount();
    assert_eq!((back.changed, back.device), (false, first.device));
    let root = std::fs::metadata(host.base()).unwrap();
    assert_eq!((root.dev(), root.mode() & 0o7777), (first.device, 0o711));
    assert_eq!(
        std::fs::read_to_string(host.base().join("kept")).unwrap(),
        "data"
    );
    drop(namespace);
    assert!(host.unmount());
    host.wait_for_no_loop_device();
}

#[test]
#[ignore = "needs root"]
fn a_container_that_starts_for_a_moment_does_not_stop_an_unmount() {
    let host = TestHost::start();
    host.mount();
    let holder = in_a_namespace(&host, "private", "true");
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        end(holder);
    });
    assert!(host.unmount());
    ending.join().unwrap();
}

#[test]
#[ignore = "needs root"]
fn only_well_formed_requests_of_root_are_answered() {
    let host = TestHost::start();
    let place = serde_json::to_value(Request::State(host.volume())).unwrap();
    let mut extra = place.clone();
    extra["options"] = "suid".into();
    let mut top = place.clone();
    top["base_dir"] = "/mnt".into();
    let mut inner = place.clone();
    inner["source"]["path"] = "/dev/sda".into();
    let mut dots = place;
    dots["place"]["base_dir"] = "/mnt/../etc/x".into();
    let long = format!("{{\"request\":\"{}\"}}", "x".repeat(MAX_MESSAGE));
    let lines = [
        String::new(),
        "null".to_owned(),
        "{\"request\":\"exec\"}".to_owned(),
        extra.to_string(),
        top.to_string(),
        inner.to_string(),
        dots.to_string(),
        long,
    ];
    for line in lines {
        // The end of a line that is too long may meet a closed connection.
        if let Ok(answer) = host.say(&line) {
            let reply: Reply = serde_json::from_str(&answer).unwrap();
            assert_eq!(refused(reply), "BAD_REQUEST", "{line}");
        }
    }
    let socket = std::fs::metadata(host.socket()).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (0, 0o600));
    // Even where the mode of the socket is lost, the peer's UID counts.
    std::fs::set_permissions(host.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let answer = std::thread::scope(|scope| {
        let as_tenant = scope.spawn(|| {
            rustix::thread::set_thread_groups(&[]).unwrap();
            let gid = Gid::from_raw(A);
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            let uid = Uid::from_raw(A);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            host.say(&serde_json::to_string(&Request::State(host.volume())).unwrap())
        });
        as_tenant.join().unwrap()
    });
    assert!(
        answer.is_err() || answer.as_deref().is_ok_and(str::is_empty),
        "{answer:?}"
    );
}

#[test]
#[ignore = "needs root"]
fn the_worker_keeps_six_capabilities_and_no_way_to_more() {
    let host = TestHost::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.worker_pid())).unwrap();
    // CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, SYS_ADMIN 21, SYS_RESOURCE 24; the last
    // one is not root's on every host.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let has = |bits: &str| status.contains(&format!("{set}:\t00000000{bits}"));
        assert!(has("0020000f") || has("0120000f"), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
#[ignore = "needs root"]
fn the_helper_mounts_through_the_worker_and_checks_what_it_says() {
    let mut host = TestHost::start();
    let (ops, grant) = (host.ops(), host.grant());
    runtime().block_on(async {
        assert!(!ops::volume_state(&grant).await.mounted);
        let mounted = ops.mount_volume(&grant).await.unwrap();
        assert!(mounted.changed && mounted.formatted && mounted.total_bytes > 200 * MIB);
        let state = ops::volume_state(&grant).await;
        assert!(state.mounted && state.total_bytes == mounted.total_bytes);
        assert!(!ops.mount_volume(&grant).await.unwrap().changed);
        assert!(ops.unmount_volume(&grant).await.unwrap().changed);
        assert!(!ops.unmount_volume(&grant).await.unwrap().changed);
        let ebs = host.grant_with("kind = \"ebs\", fs = \"ext4\"");
        let error = ops.mount_volume(&ebs).await.unwrap_err();
        assert_eq!(error.reason(), "NO_DISK_PINNED");
    });
    host.kill_worker();
    let error = runtime().block_on(ops.mount_volume(&grant)).unwrap_err();
    assert_eq!(error.reason(), "MOUNT_WORKER_UNREACHABLE");
}

#[test]
#[ignore = "needs root"]
fn a_worker_that_lies_is_found_out() {
    let mut host = TestHost::start();
    host.kill_worker();
    std::fs::remove_file(host.socket()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(host.socket()).unwrap();
    let lie = r#"{"reply":"mounted","changed":true,"formatted":true,"fs":"ext4","device":1,
        "grown":false,"uuid":"","node":"loop0","warnings":[]}"#
        .replace('\n', "");
    let liar = std::thread::spawn(move || {
        use std::io::BufRead;
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(&stream)
            .read_line(&mut line)
            .unwrap();
        stream.write_all(format!("{lie}\n").as_bytes()).unwrap();
    });
    let error = runtime()
        .block_on(host.ops().mount_volume(&host.grant()))
        .unwrap_err();
    liar.join().unwrap();
    assert_eq!(error.reason(), "MOUNT_NOT_VERIFIED");
}

#[test]
fn the_wire_says_whose_where_and_what_of() {
    let place = Place {
        uid: 1,
        base_dir: "/a/b".into(),
        image_dir: "/c".into(),
    };
    let source = Source::Loop { size: 7 };
    let text = serde_json::to_string(&Request::Unmount(Volume { place, source })).unwrap();
    let expected = r#"{"request":"unmount","place":{"uid":1,"base_dir":"/a/b","image_dir":"/c"},"#;
    assert_eq!(
        text,
        format!("{expected}\"source\":{{\"kind\":\"loop\",\"size\":7}}}}")
    );
    let disk = text.replace(
        r#""kind":"loop","size":7"#,
        r#""kind":"disk","match":"/dev/sda","uuid":null,"size_min":0"#,
    );
    assert!(serde_json::from_str::<Request>(&disk).is_err());
    let disk = disk.replace("/dev/sda", "ebs:vol-12345678");
    assert!(serde_json::from_str::<Request>(&disk).is_ok());
}
