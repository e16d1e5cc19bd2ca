//! Mounting, unmounting, and everything that must be refused instead.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use aistack_helper::mount::wire::{FileSystem, MAX_MESSAGE, MountLoop, Place, Reply, Request};
use rustix::process::{Gid, Uid};

use crate::world::{A, MIB, World, digest, mounted, refused, runtime};

#[test]
fn a_volume_is_made_once_mounted_idempotently_and_survives_a_remount() {
    let Some(world) = World::start() else { return };
    let first = world.mount();
    assert!(first.changed && first.formatted);
    let root = std::fs::metadata(world.base()).unwrap();
    assert_eq!(
        (root.uid(), root.gid(), root.mode() & 0o7777),
        (0, 0, 0o711)
    );
    assert_eq!(root.dev(), first.device);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let base = format!(" {} ", world.base().display());
    let line = mounts.lines().find(|line| line.contains(&base)).unwrap();
    assert!(line.contains("nosuid,nodev,noatime"), "{line}");
    let image = std::fs::metadata(world.image()).unwrap();
    assert_eq!(
        (image.uid(), image.mode() & 0o7777, image.len()),
        (0, 0o600, 320 * MIB)
    );
    assert!(image.blocks() * 512 < 64 * MIB, "the image is not sparse");

    std::fs::write(world.base().join("kept"), "data").unwrap();
    let again = world.mount();
    assert_eq!(
        (again.changed, again.formatted, again.device),
        (false, false, first.device)
    );
    assert!(matches!(
        world.ask(&Request::State(world.place())),
        Reply::Mounted(_)
    ));
    assert!(world.unmount());
    assert!(!world.unmount());
    assert!(matches!(
        world.ask(&Request::State(world.place())),
        Reply::Unmounted { .. }
    ));
    assert_eq!(world.loop_devices(), Vec::<String>::new());

    let remounted = world.mount();
    assert!(remounted.changed && !remounted.formatted);
    assert_eq!(
        std::fs::read_to_string(world.base().join("kept")).unwrap(),
        "data"
    );
}

#[test]
fn xfs_works_as_well() {
    let Some(world) = World::start() else { return };
    let request = world.mount_request(FileSystem::Xfs);
    assert!(mounted(world.ask(&request)).formatted);
    std::fs::write(world.base().join("kept"), "data").unwrap();
    assert!(world.unmount());
    let again = mounted(world.ask(&request));
    assert_eq!(
        (again.changed, again.formatted, again.fs),
        (true, false, FileSystem::Xfs)
    );
    assert_eq!(
        std::fs::read_to_string(world.base().join("kept")).unwrap(),
        "data"
    );
    assert!(world.unmount());
    assert_eq!(
        refused(world.ask(&world.mount_request(FileSystem::Ext4))),
        "WRONG_FILESYSTEM"
    );
}

#[test]
fn eight_at_once_make_one_volume() {
    let Some(world) = World::start() else { return };
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| world.mount())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(replies.iter().filter(|reply| reply.changed).count(), 1);
    assert_eq!(replies.iter().filter(|reply| reply.formatted).count(), 1);
    assert_eq!(world.loop_devices().len(), 1);
}

#[test]
fn a_used_volume_is_not_unmounted() {
    let Some(world) = World::start() else { return };
    world.mount();
    let open = std::fs::File::create(world.base().join("open")).unwrap();
    let place = world.place();
    assert_eq!(refused(world.ask(&Request::Unmount(place))), "IN_USE");
    drop(open);
    assert!(world.unmount());
}

#[test]
fn a_volume_that_was_formatted_once_is_never_formatted_again() {
    let Some(world) = World::start() else { return };
    world.mount();
    world.unmount();
    let request = world.mount_request(FileSystem::Ext4);
    let kept = std::fs::read(world.record()).unwrap();

    let image = std::fs::OpenOptions::new()
        .write(true)
        .open(world.image())
        .unwrap();
    image.set_len(0).unwrap();
    assert_eq!(refused(world.ask(&request)), "SIZE_DIFFERS");
    image.set_len(320 * MIB).unwrap();
    assert_eq!(refused(world.ask(&request)), "LOST_FILESYSTEM");
    std::fs::remove_file(world.image()).unwrap();
    assert_eq!(refused(world.ask(&request)), "LOST_FILESYSTEM");
    assert!(!world.image().exists());
    assert_eq!(std::fs::read(world.record()).unwrap(), kept);
}

#[test]
fn the_policy_can_forbid_formatting() {
    let Some(world) = World::start() else { return };
    let request = Request::MountLoop(MountLoop {
        place: world.place(),
        size: 64 * MIB,
        fs: FileSystem::Ext4,
        may_format: false,
    });
    assert_eq!(refused(world.ask(&request)), "BAD_IMAGE");
    assert!(!world.image().exists());
}

/// Puts a file of somebody else's where the image would be.
fn foreign_image(world: &World, write: impl FnOnce(&mut std::fs::File)) {
    std::fs::create_dir_all(world.images()).unwrap();
    let mut file = std::fs::File::create(world.image()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .unwrap();
    file.set_len(320 * MIB).unwrap();
    write(&mut file);
    file.sync_all().unwrap();
}

/// The reason for the refusal, and what makes the image.
type Case<'a> = (&'static str, Box<dyn Fn() + 'a>);

#[test]
fn foreign_images_are_refused_and_not_touched() {
    let Some(world) = World::start() else { return };
    let tool = |program: &str| {
        let done = Command::new(program).arg("-q").arg(world.image()).status();
        assert!(done.unwrap().success(), "{program}");
    };
    let at = |offset: u64| {
        foreign_image(&world, |file| {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(b"somebody's data").unwrap();
        });
    };
    let cases: [Case<'_>; 3] = [
        ("BAD_IMAGE", Box::new(|| at(0))),
        ("BAD_IMAGE", Box::new(|| at(200 * MIB))),
        (
            "WRONG_FILESYSTEM",
            Box::new(|| {
                foreign_image(&world, |_| ());
                tool("mkfs.xfs");
            }),
        ),
    ];
    for (reason, make) in cases {
        make();
        let before = digest(&world.image());
        assert_eq!(
            refused(world.ask(&world.mount_request(FileSystem::Ext4))),
            reason
        );
        assert_eq!(digest(&world.image()), before);
        assert!(!world.record().exists());
        std::fs::remove_file(world.image()).unwrap();
    }
    assert_eq!(world.loop_devices(), Vec::<String>::new());
}

#[test]
fn an_image_from_a_backup_is_adopted_and_never_formatted_after() {
    let Some(world) = World::start() else { return };
    foreign_image(&world, |_| ());
    let made = Command::new("mkfs.ext4")
        .arg("-q")
        .arg(world.image())
        .status();
    assert!(made.unwrap().success());
    let reply = world.mount();
    assert!(reply.changed && !reply.formatted);
    world.unmount();
    foreign_image(&world, |_| ());
    let request = world.mount_request(FileSystem::Ext4);
    assert_eq!(refused(world.ask(&request)), "LOST_FILESYSTEM");
}

#[test]
fn images_that_are_links_shared_or_open_to_others_are_refused() {
    let Some(world) = World::start() else { return };
    let request = world.mount_request(FileSystem::Ext4);
    std::fs::create_dir_all(world.images()).unwrap();
    let outside = world.run().join("outside");
    std::fs::write(&outside, "outside").unwrap();
    symlink(&outside, world.image()).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_IMAGE");
    std::fs::remove_file(world.image()).unwrap();
    std::fs::hard_link(&outside, world.image()).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_IMAGE");
    std::fs::remove_file(world.image()).unwrap();
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
    foreign_image(&world, |_| ());
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(world.image(), open).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_IMAGE");
}

#[test]
fn targets_that_others_lead_or_that_hold_something_are_refused() {
    let Some(world) = World::start() else { return };
    let request = world.mount_request(FileSystem::Ext4);
    let base = world.base();
    let outside = world.run().join("outside");
    std::fs::create_dir(&outside).unwrap();

    symlink(&outside, &base).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(&base).unwrap();
    std::fs::write(&base, "a file").unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(&base).unwrap();

    std::fs::create_dir(&base).unwrap();
    std::os::unix::fs::chown(&base, Some(A), Some(A)).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    std::os::unix::fs::chown(&base, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o775)).unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(base.join("hidden"), "").unwrap();
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(base.join("hidden")).unwrap();

    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&base)
        .status();
    assert!(mounted.unwrap().success());
    assert_eq!(refused(world.ask(&request)), "BAD_TARGET");
    assert_eq!(
        refused(world.ask(&Request::Unmount(world.place()))),
        "BAD_TARGET"
    );
    assert!(!world.image().exists(), "a refused target made an image");
    assert_eq!(world.loop_devices(), Vec::<String>::new());
}

#[test]
fn a_damaged_file_system_is_not_mounted() {
    let Some(world) = World::start() else { return };
    world.mount();
    for number in 0..200 {
        std::fs::write(world.base().join(number.to_string()), "x").unwrap();
    }
    world.unmount();
    let commands = "clri <2>\nset_super_value state 2\n";
    let script = world.run().join("damage");
    std::fs::write(&script, commands).unwrap();
    let done = Command::new("debugfs")
        .arg("-w")
        .arg("-f")
        .arg(&script)
        .arg(world.image())
        .output();
    assert!(done.unwrap().status.success());
    let reply = world.ask(&world.mount_request(FileSystem::Ext4));
    assert_eq!(refused(reply), "FILESYSTEM_DAMAGED");
    assert_eq!(world.loop_devices(), Vec::<String>::new());
}

#[test]
fn a_stale_loop_device_is_freed_and_a_mount_elsewhere_is_respected() {
    let Some(world) = World::start() else { return };
    world.mount();
    world.unmount();
    let losetup = Command::new("losetup")
        .arg("-f")
        .arg(world.image())
        .status();
    assert!(losetup.unwrap().success());
    assert!(world.mount().changed);
    assert_eq!(world.loop_devices().len(), 1);
    world.unmount();

    let elsewhere = world.run().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mount = Command::new("mount")
        .args(["-o", "loop"])
        .arg(world.image())
        .arg(&elsewhere)
        .status();
    assert!(mount.unwrap().success());
    let reply = world.ask(&world.mount_request(FileSystem::Ext4));
    let umount = Command::new("umount").arg(&elsewhere).status();
    assert!(umount.unwrap().success());
    assert_eq!(refused(reply), "IN_USE");
    assert!(world.mount().changed);
}

#[test]
fn only_well_formed_requests_of_root_are_answered() {
    let Some(world) = World::start() else { return };
    let place = serde_json::to_value(Request::State(world.place())).unwrap();
    let mut extra = place.clone();
    extra["options"] = "suid".into();
    let mut top = place.clone();
    top["base_dir"] = "/mnt".into();
    let mut dots = place;
    dots["base_dir"] = "/mnt/../etc/x".into();
    let long = format!("{{\"request\":\"{}\"}}", "x".repeat(MAX_MESSAGE));
    let lines = [
        String::new(),
        "null".to_owned(),
        "{\"request\":\"exec\"}".to_owned(),
        extra.to_string(),
        top.to_string(),
        dots.to_string(),
        long,
    ];
    for line in lines {
        // The end of a line that is too long may meet a closed connection.
        if let Ok(answer) = world.say(&line) {
            let reply: Reply = serde_json::from_str(&answer).unwrap();
            assert_eq!(refused(reply), "BAD_REQUEST", "{line}");
        }
    }
    let socket = std::fs::metadata(world.socket()).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (0, 0o600));
    // Even where the mode of the socket is lost, the peer's UID counts.
    std::fs::set_permissions(world.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let answer = std::thread::scope(|scope| {
        let as_tenant = scope.spawn(|| {
            rustix::thread::set_thread_groups(&[]).unwrap();
            let gid = Gid::from_raw(A);
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            let uid = Uid::from_raw(A);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            world.say(&serde_json::to_string(&Request::State(world.place())).unwrap())
        });
        as_tenant.join().unwrap()
    });
    assert!(
        answer.is_err() || answer.as_deref().is_ok_and(str::is_empty),
        "{answer:?}"
    );
}

#[test]
fn the_worker_keeps_five_capabilities_and_no_way_to_more() {
    let Some(world) = World::start() else { return };
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.worker_pid())).unwrap();
    // CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, SYS_ADMIN 21.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(
            status.contains(&format!("{set}:\t000000000020000f")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn the_helper_mounts_through_the_worker_and_checks_what_it_says() {
    let Some(mut world) = World::start() else {
        return;
    };
    let (ops, grant) = (world.ops(), world.grant());
    runtime().block_on(async {
        assert!(!ops.volume_state(&grant).await.mounted);
        let mounted = ops.mount_volume(&grant).await.unwrap();
        assert!(mounted.changed && mounted.formatted && mounted.total_bytes > 200 * MIB);
        let state = ops.volume_state(&grant).await;
        assert!(state.mounted && state.total_bytes == mounted.total_bytes);
        assert!(!ops.mount_volume(&grant).await.unwrap().changed);
        assert!(ops.unmount_volume(&grant).await.unwrap().changed);
        assert!(!ops.unmount_volume(&grant).await.unwrap().changed);
        let ebs = world.grant_with("kind = \"ebs\", fs = \"ext4\"");
        let error = ops.mount_volume(&ebs).await.unwrap_err();
        assert_eq!(error.reason(), "NOT_IN_THIS_VERSION");
    });
    world.kill_worker();
    let error = runtime().block_on(ops.mount_volume(&grant)).unwrap_err();
    assert_eq!(error.reason(), "MOUNT_WORKER_UNREACHABLE");
}

#[test]
fn a_worker_that_lies_is_found_out() {
    let Some(mut world) = World::start() else {
        return;
    };
    world.kill_worker();
    std::fs::remove_file(world.socket()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(world.socket()).unwrap();
    let lie = r#"{"reply":"mounted","changed":true,"formatted":true,"fs":"ext4","device":1}"#;
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
        .block_on(world.ops().mount_volume(&world.grant()))
        .unwrap_err();
    liar.join().unwrap();
    assert_eq!(error.reason(), "MOUNT_NOT_VERIFIED");
}

#[test]
fn the_wire_is_one_flat_object() {
    let place = Place {
        uid: 1,
        base_dir: "/a/b".into(),
        image_dir: "/c".into(),
    };
    let text = serde_json::to_string(&Request::Unmount(place)).unwrap();
    let expected = r#"{"request":"unmount","uid":1,"base_dir":"/a/b","image_dir":"/c"}"#;
    assert_eq!(text, expected);
}
