//! Images and mount points that the worker must refuse, and leave as they are.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use aistack_helper::mount::wire::{FileSystem, Mount, Request};

use crate::test_host::{A, MIB, TestHost, digest, refused};

#[test]
fn a_volume_that_was_formatted_once_is_never_formatted_again() {
    let Some(host) = TestHost::start() else {
        return;
    };
    host.mount();
    host.unmount();
    let request = host.mount_request(FileSystem::Ext4);
    let kept = std::fs::read(host.record()).unwrap();

    let image = std::fs::OpenOptions::new()
        .write(true)
        .open(host.image())
        .unwrap();
    image.set_len(0).unwrap();
    assert_eq!(refused(host.ask(&request)), "SIZE_DIFFERS");
    image.set_len(320 * MIB).unwrap();
    assert_eq!(refused(host.ask(&request)), "LOST_FILESYSTEM");
    std::fs::remove_file(host.image()).unwrap();
    assert_eq!(refused(host.ask(&request)), "LOST_FILESYSTEM");
    assert!(!host.image().exists());
    assert_eq!(std::fs::read(host.record()).unwrap(), kept);
}

#[test]
fn the_policy_can_forbid_formatting() {
    let Some(host) = TestHost::start() else {
        return;
    };
    let request = Request::Mount(Mount {
        may_format: false,
        ..host.wanted(FileSystem::Ext4)
    });
    assert_eq!(refused(host.ask(&request)), "BLANK_VOLUME");
    assert!(!host.image().exists());
}

/// Puts a file of somebody else's where the image would be.
fn foreign_image(host: &TestHost, write: impl FnOnce(&mut std::fs::File)) {
    std::fs::create_dir_all(host.images()).unwrap();
    let mut file = std::fs::File::create(host.image()).unwrap();
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
    let Some(host) = TestHost::start() else {
        return;
    };
    let tool = |program: &str| {
        let done = Command::new(program).arg("-q").arg(host.image()).status();
        assert!(done.unwrap().success(), "{program}");
    };
    let at = |offset: u64| {
        foreign_image(&host, |file| {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(b"somebody's data").unwrap();
        });
    };
    let cases: [Case<'_>; 3] = [
        ("NOT_EMPTY", Box::new(|| at(0))),
        ("NOT_EMPTY", Box::new(|| at(200 * MIB))),
        (
            "WRONG_FILESYSTEM",
            Box::new(|| {
                foreign_image(&host, |_| ());
                tool("mkfs.xfs");
            }),
        ),
    ];
    for (reason, make) in cases {
        make();
        let before = digest(&host.image());
        assert_eq!(
            refused(host.ask(&host.mount_request(FileSystem::Ext4))),
            reason
        );
        assert_eq!(digest(&host.image()), before);
        assert!(!host.record().exists());
        std::fs::remove_file(host.image()).unwrap();
    }
    assert_eq!(host.loop_devices(), Vec::<String>::new());
}

#[test]
fn an_image_from_a_backup_is_adopted_and_never_formatted_after() {
    let Some(host) = TestHost::start() else {
        return;
    };
    foreign_image(&host, |_| ());
    let made = Command::new("mkfs.ext4")
        .arg("-q")
        .arg(host.image())
        .status();
    assert!(made.unwrap().success());
    let reply = host.mount();
    assert!(reply.changed && !reply.formatted);
    host.unmount();
    foreign_image(&host, |_| ());
    let request = host.mount_request(FileSystem::Ext4);
    assert_eq!(refused(host.ask(&request)), "LOST_FILESYSTEM");
}

#[test]
fn images_that_are_links_shared_or_open_to_others_are_refused() {
    let Some(host) = TestHost::start() else {
        return;
    };
    let request = host.mount_request(FileSystem::Ext4);
    std::fs::create_dir_all(host.images()).unwrap();
    let outside = host.run().join("outside");
    std::fs::write(&outside, "outside").unwrap();
    symlink(&outside, host.image()).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_IMAGE");
    std::fs::remove_file(host.image()).unwrap();
    std::fs::hard_link(&outside, host.image()).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_IMAGE");
    std::fs::remove_file(host.image()).unwrap();
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
    foreign_image(&host, |_| ());
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(host.image(), open).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_IMAGE");
}

#[test]
fn targets_that_others_lead_or_that_hold_something_are_refused() {
    let Some(host) = TestHost::start() else {
        return;
    };
    let request = host.mount_request(FileSystem::Ext4);
    let base = host.base();
    let outside = host.run().join("outside");
    std::fs::create_dir(&outside).unwrap();

    symlink(&outside, &base).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(&base).unwrap();
    std::fs::write(&base, "a file").unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(&base).unwrap();

    std::fs::create_dir(&base).unwrap();
    std::os::unix::fs::chown(&base, Some(A), Some(A)).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    std::os::unix::fs::chown(&base, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o775)).unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(base.join("hidden"), "").unwrap();
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    std::fs::remove_file(base.join("hidden")).unwrap();

    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&base)
        .status();
    assert!(mounted.unwrap().success());
    assert_eq!(refused(host.ask(&request)), "BAD_TARGET");
    assert_eq!(
        refused(host.ask(&Request::Unmount(host.volume()))),
        "BAD_TARGET"
    );
    assert!(!host.image().exists(), "a refused target made an image");
    assert_eq!(host.loop_devices(), Vec::<String>::new());
}

#[test]
fn a_damaged_file_system_is_not_mounted() {
    let Some(host) = TestHost::start() else {
        return;
    };
    host.mount();
    for number in 0..200 {
        std::fs::write(host.base().join(number.to_string()), "x").unwrap();
    }
    host.unmount();
    let commands = "clri <2>\nset_super_value state 2\n";
    let script = host.run().join("damage");
    std::fs::write(&script, commands).unwrap();
    let done = Command::new("debugfs")
        .arg("-w")
        .arg("-f")
        .arg(&script)
        .arg(host.image())
        .output();
    assert!(done.unwrap().status.success());
    let reply = host.ask(&host.mount_request(FileSystem::Ext4));
    assert_eq!(refused(reply), "FILESYSTEM_DAMAGED");
    assert_eq!(host.loop_devices(), Vec::<String>::new());
}

#[test]
fn a_stale_loop_device_is_freed_and_a_mount_elsewhere_is_respected() {
    let Some(host) = TestHost::start() else {
        return;
    };
    host.mount();
    host.unmount();
    let losetup = Command::new("losetup").arg("-f").arg(host.image()).status();
    assert!(losetup.unwrap().success());
    assert!(host.mount().changed);
    assert_eq!(host.loop_devices().len(), 1);
    host.unmount();

    let elsewhere = host.run().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mount = Command::new("mount")
        .args(["-o", "loop"])
        .arg(host.image())
        .arg(&elsewhere)
        .status();
    assert!(mount.unwrap().success());
    let reply = host.ask(&host.mount_request(FileSystem::Ext4));
    let umount = Command::new("umount").arg(&elsewhere).status();
    assert!(umount.unwrap().success());
    assert_eq!(refused(reply), "IN_USE");
    assert!(host.mount().changed);
}
