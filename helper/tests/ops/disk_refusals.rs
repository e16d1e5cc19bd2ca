//! Disks that the worker must not touch: each check has a test, in the order of the checks.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aistack_helper::mount::wire::{DiskSource, FileSystem, Mount, Reply, Request, Source};
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::disks::{Disk, EBS_MODEL, Kernel, NAME, SERIAL, SIZE, ebs_disk, run, xfs_disk};
use crate::test_host::{A, MIB, TestHost, mounted, refused};

const EBS: (&str, &str) = (EBS_MODEL, SERIAL);

/// Requests a mount of the tenant's volume, which must be refused, with not one byte of the disk changed.
fn refused_untouched(host: &TestHost, disk: &Disk) -> &'static str {
    let before = disk.digest();
    let reason = refused(host.ask(&host.ebs_mount()));
    assert_eq!(
        disk.digest(),
        before,
        "{reason}, and the disk was written to"
    );
    reason
}

#[test]
#[ignore = "needs root"]
fn check_03_a_disk_of_another_tenant_stays_its_own() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    mounted(host.ask(&host.ebs_mount()));
    host.ask(&Request::Unmount(host.ebs_volume()));
    let mut anothers = host.ebs_wanted(FileSystem::Ext4);
    anothers.volume.place.uid = A + 1;
    let before = disk.digest();
    assert_eq!(
        refused(host.ask(&Request::Mount(anothers))),
        "OTHER_TENANTS"
    );
    assert_eq!(disk.digest(), before);
}

#[test]
#[ignore = "needs root"]
fn check_04_and_14_a_disk_that_udev_or_another_request_holds_is_busy() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let holder = File::open(host.disks().dev(NAME)).unwrap();
    flock(&holder, FlockOperation::LockExclusive).unwrap();
    assert_eq!(refused_untouched(&host, &disk), "BUSY");
    flock(&holder, FlockOperation::Unlock).unwrap();
    assert!(mounted(host.ask(&host.ebs_mount())).formatted);
}

#[test]
#[ignore = "needs root"]
fn check_05_a_disk_is_found_once_or_not_at_all() {
    let host = TestHost::with_disks();
    let request = host.ebs_mount();
    let reply = host.ask(&request);
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "NOT_ATTACHED");
    let disk = Disk::blank(&host, "disk.img", SIZE);
    // Almost right is wrong: another model, another serial, one that only starts alike.
    for (model, serial) in [
        ("QEMU NVMe Ctrl", SERIAL),
        (EBS_MODEL, "vol0123456789abcdef1"),
        (EBS_MODEL, "vol-0123456789abcdef0"),
        (EBS_MODEL, "vol0123456789abcdef"),
    ] {
        host.disks().show(NAME, (model, serial), disk.rdev());
        assert_eq!(refused_untouched(&host, &disk), "NOT_ATTACHED");
    }
    host.disks().show(NAME, EBS, disk.rdev());
    let twin = Disk::blank(&host, "twin.img", SIZE);
    host.disks().show("nvme4n1", EBS, twin.rdev());
    assert_eq!(refused_untouched(&host, &disk), "AMBIGUOUS_DISK");
    host.disks().hide("nvme4n1");
    assert!(mounted(host.ask(&request)).formatted);
}

#[test]
#[ignore = "needs root"]
fn check_05_a_link_that_points_elsewhere_finds_nothing() {
    let host = TestHost::with_disks();
    let _disk = ebs_disk(&host);
    let link = host.disks().dev("disk/by-id/a");
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let request = Request::Mount(Mount {
        volume: host.disk_volume("by-id:a", Some(uuid)),
        may_format: false,
        ..host.ebs_wanted(FileSystem::Ext4)
    });
    for target in ["../../nvme7n1", "../../../etc/passwd", "/dev/sda", NAME] {
        symlink(target, &link).unwrap();
        assert_eq!(refused(host.ask(&request)), "NOT_ATTACHED", "{target}");
        std::fs::remove_file(&link).unwrap();
    }
    symlink(format!("../../{NAME}"), &link).unwrap();
    assert_eq!(refused(host.ask(&request)), "LOST_FILESYSTEM");
}

#[test]
#[ignore = "needs root and a root file system on one device"]
fn check_06_a_disk_that_the_host_runs_from_is_refused() {
    let host = TestHost::with_disks();
    let root = std::fs::metadata("/").unwrap().dev();
    host.disks().show(NAME, EBS, root);
    assert_eq!(refused(host.ask(&host.ebs_mount())), "SYSTEM_DISK");
    // The same through a partition.
    let disk = ebs_disk(&host);
    let partition = host.disks().sys(NAME).join(format!("{NAME}p1"));
    std::fs::create_dir(&partition).unwrap();
    std::fs::write(partition.join("partition"), "1\n").unwrap();
    let dev = format!("{}:{}\n", rustix::fs::major(root), rustix::fs::minor(root));
    std::fs::write(partition.join("dev"), dev).unwrap();
    assert_eq!(refused_untouched(&host, &disk), "SYSTEM_DISK");
}

#[test]
#[ignore = "needs root"]
fn check_07_a_name_that_is_another_device_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let other = Disk::blank(&host, "other.img", SIZE);
    let node = host.disks().dev(NAME);
    std::fs::remove_file(&node).unwrap();
    symlink(&disk.node, &node).unwrap();
    assert_eq!(refused_untouched(&host, &disk), "DEVICE_CHANGED");
    std::fs::remove_file(&node).unwrap();
    File::create(&node).unwrap();
    assert_eq!(refused_untouched(&host, &disk), "DEVICE_CHANGED");
    // The node of another disk under the name, as after a quick detach and attach.
    host.disks()
        .show("nvme1n1", (EBS_MODEL, "vol00000000000000000"), other.rdev());
    std::fs::remove_file(&node).unwrap();
    std::fs::rename(host.disks().dev("nvme1n1"), &node).unwrap();
    let before = other.digest();
    assert_eq!(refused_untouched(&host, &disk), "DEVICE_CHANGED");
    assert_eq!(other.digest(), before);
}

#[test]
#[ignore = "needs root"]
fn check_08_a_device_that_reports_another_serial_or_attachment_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let sequence = host.disks().sys(NAME).join("diskseq");
    std::fs::write(&sequence, "1\n").unwrap();
    assert_eq!(refused_untouched(&host, &disk), "DEVICE_CHANGED");
    std::fs::remove_file(&sequence).unwrap();
    // /sys/block still says the one, /sys/dev/block of the opened device says the other.
    let other = host.disks().sys("nvme1n1");
    host.disks()
        .show("nvme1n1", (EBS_MODEL, "vol00000000000000000"), disk.rdev());
    assert!(other.exists());
    assert_eq!(refused_untouched(&host, &disk), "DEVICE_CHANGED");
}

#[test]
#[ignore = "needs root"]
fn check_09_a_disk_without_size_too_small_or_read_only_is_refused() {
    let host = TestHost::with_disks();
    let none = Disk::blank(&host, "none.img", 0).shown_as_ebs(&host);
    assert_eq!(refused_untouched(&host, &none), "BAD_DEVICE");
    drop(none);
    let disk = ebs_disk(&host);
    let mut wanted = host.ebs_wanted(FileSystem::Ext4);
    if let Source::Disk(source) = &mut wanted.volume.source {
        *source = DiskSource {
            size_min: SIZE + 1,
            ..source.clone()
        };
    }
    let before = disk.digest();
    assert_eq!(refused(host.ask(&Request::Mount(wanted))), "TOO_SMALL");
    assert_eq!(disk.digest(), before);
    drop(disk);
    let image = host.run().join("disk.img");
    let read_only = Disk::over(&image, &["--read-only"]).shown_as_ebs(&host);
    assert_eq!(refused_untouched(&host, &read_only), "READ_ONLY_DEVICE");
}

#[test]
#[ignore = "needs root"]
fn check_10_and_11_partitions_and_holders_are_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let partition = host.disks().sys(NAME).join(format!("{NAME}p1"));
    std::fs::create_dir(&partition).unwrap();
    std::fs::write(partition.join("partition"), "1\n").unwrap();
    assert_eq!(refused_untouched(&host, &disk), "HAS_PARTITIONS");
    std::fs::remove_dir_all(&partition).unwrap();
    let holder = host.disks().sys(NAME).join("holders/dm-0");
    std::fs::create_dir(&holder).unwrap();
    assert_eq!(refused_untouched(&host, &disk), "IN_USE");
    std::fs::remove_dir(&holder).unwrap();
    assert!(mounted(host.ask(&host.ebs_mount())).formatted);
}

/// A process that has the disk mounted in a mount namespace of its own.
fn mounted_in_a_namespace(host: &TestHost, disk: &Disk) -> Child {
    let there = host.run().join("namespace");
    std::fs::create_dir(&there).unwrap();
    let ready = host.run().join("ready");
    let script = format!(
        "{}mount {} {} && touch {} && exec sleep 600",
        host.letting_go_of_others(),
        disk.node,
        there.display(),
        ready.display()
    );
    let child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !ready.exists() {
        assert!(Instant::now() < until, "the namespace did not mount");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
#[ignore = "needs root"]
fn check_12_a_disk_that_is_mounted_anywhere_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    run("mkfs.ext4", &["-q", &disk.node]);
    let there = host.run().join("there");
    std::fs::create_dir(&there).unwrap();
    run("mount", &[&disk.node, there.to_str().unwrap()]);
    let reply = host.ask(&host.ebs_mount());
    run("umount", &[there.to_str().unwrap()]);
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "IN_USE");
    assert!(failure.message.contains("mounted elsewhere"), "{failure:?}");

    let mut other = mounted_in_a_namespace(&host, &disk);
    let reason = refused(host.ask(&host.ebs_mount()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(reason, "IN_USE");
    assert!(mounted(host.ask(&host.ebs_mount())).changed);
}

#[test]
#[ignore = "needs root"]
fn check_13_the_kernels_word_counts_where_no_mount_is_to_be_seen() {
    for kernel in [Kernel::Own, Kernel::Old] {
        let host = TestHost::with_disks_as(kernel);
        let disk = ebs_disk(&host);
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        let holder = rustix::fs::open(&disk.node, flags, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(refused_untouched(&host, &disk), "IN_USE");
        drop(holder);
        assert!(mounted(host.ask(&host.ebs_mount())).formatted);
    }
}

#[test]
#[ignore = "needs root"]
fn check_17_what_may_not_be_formatted_and_what_was_formatted_stays_blank() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let before = disk.digest();
    let never = Request::Mount(Mount {
        may_format: false,
        ..host.ebs_wanted(FileSystem::Ext4)
    });
    assert_eq!(refused(host.ask(&never)), "BLANK_VOLUME");
    assert_eq!(disk.digest(), before);
    assert!(!host.ebs_record().exists());

    mounted(host.ask(&host.ebs_mount()));
    host.ask(&Request::Unmount(host.ebs_volume()));
    drop(disk);
    // The same volume id with nothing on it: a disk that reads as empty after a restart.
    let blank = Disk::blank(&host, "blank.img", SIZE).shown_as_ebs(&host);
    assert_eq!(refused_untouched(&host, &blank), "LOST_FILESYSTEM");
    drop(blank);
    // A backing file that was cut off: the device keeps its size and reads as zeros.
    let image = host.run().join("disk.img");
    let cut = Disk::over(&image, &[]).shown_as_ebs(&host);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap();
    file.set_len(0).unwrap();
    std::fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
    // Linux answers with zeros or with an error, by version.
    let reason = refused(host.ask(&host.ebs_mount()));
    assert!(
        ["LOST_FILESYSTEM", "UNREADABLE"].contains(&reason),
        "{reason}"
    );
    drop(cut);
    file.set_len(SIZE / 2).unwrap();
    let shorter = Disk::over(&image, &[]).shown_as_ebs(&host);
    assert_eq!(refused_untouched(&host, &shorter), "SIZE_DIFFERS");
}

#[test]
#[ignore = "needs root"]
fn check_18_a_disk_that_changes_under_the_check_is_not_written_to() {
    let host = TestHost::with_disks();
    let size = 1024 * MIB;
    let disk = Disk::blank(&host, "large.img", size).shown_as_ebs(&host);
    let sequence = host.disks().sys(NAME).join("diskseq");
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(|| host.ask(&host.ebs_mount()));
        // While the worker reads the disk, it is attached again.
        let io = format!("/proc/{}/io", host.worker_pid());
        let read = || {
            let text = std::fs::read_to_string(&io).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
            line.unwrap().parse::<u64>().unwrap()
        };
        while read() < 64 * MIB {
            assert!(!asking.is_finished(), "the disk was not read");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::write(&sequence, "1\n").unwrap();
        asking.join().unwrap()
    });
    assert_eq!(refused(reply), "DEVICE_CHANGED");
    let record = std::fs::read_to_string(host.ebs_record()).unwrap();
    assert!(record.contains("\"intended\""), "{record}");
    std::fs::remove_file(&sequence).unwrap();
    disk.write_out();
    let blocks = std::fs::metadata(&disk.image).unwrap().blocks();
    assert_eq!(blocks, 0, "something was written");
}

#[test]
#[ignore = "needs root"]
fn check_19_what_mkfs_refuses_is_reported() {
    let host = TestHost::with_disks();
    let _small = Disk::blank(&host, "small.img", 64 * MIB).shown_as_ebs(&host);
    let reply = host.ask(&Request::Mount(host.ebs_wanted(FileSystem::Xfs)));
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "MKFS_FAILED");
    assert!(failure.message.contains("mkfs.xfs failed"), "{failure:?}");
    // It is still blank, so another file system may be made.
    assert!(mounted(host.ask(&host.ebs_mount())).formatted);
}

#[test]
#[ignore = "needs root"]
fn check_20_small_damage_is_repaired_and_reported_and_large_damage_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    mounted(host.ask(&host.ebs_mount()));
    host.ask(&Request::Unmount(host.ebs_volume()));
    let debugfs = |commands: &[&str]| {
        let script = host.run().join("script");
        std::fs::write(&script, commands.join("\n")).unwrap();
        run(
            "debugfs",
            &["-w", "-f", script.to_str().unwrap(), &disk.node],
        );
    };
    debugfs(&[
        "set_super_value state 2",
        "set_super_value free_blocks_count 7",
    ]);
    let reply = mounted(host.ask(&host.ebs_mount()));
    assert!(
        reply.warnings[0].starts_with("e2fsck repaired"),
        "{reply:?}"
    );
    host.ask(&Request::Unmount(host.ebs_volume()));
    debugfs(&["clri <2>", "set_super_value state 2"]);
    assert_eq!(refused(host.ask(&host.ebs_mount())), "FILESYSTEM_DAMAGED");
}

#[test]
#[ignore = "needs root"]
fn check_21_targets_that_hold_something_are_refused_before_the_disk_is_read() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    std::fs::create_dir(host.base()).unwrap();
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(host.base(), mode).unwrap();
    std::fs::write(host.base().join("hidden"), "").unwrap();
    assert_eq!(refused_untouched(&host, &disk), "BAD_TARGET");
    std::fs::remove_file(host.base().join("hidden")).unwrap();
    let base = host.base();
    run("mount", &["-t", "tmpfs", "tmpfs", base.to_str().unwrap()]);
    assert_eq!(refused_untouched(&host, &disk), "BAD_TARGET");
    let unmount = Request::Unmount(host.ebs_volume());
    assert_eq!(refused(host.ask(&unmount)), "BAD_TARGET");
    assert_eq!(
        refused(host.ask(&Request::Grow(host.ebs_volume()))),
        "BAD_TARGET"
    );
}

#[test]
#[ignore = "needs root"]
fn check_22_what_the_kernel_refuses_is_reported_in_its_words() {
    let host = TestHost::with_disks();
    let disk = xfs_disk(&host);
    run("mkfs.xfs", &["-q", &disk.node]);
    // A copy of it that somebody mounted: XFS mounts no UUID twice.
    let copy = host.run().join("copy.img");
    disk.write_out();
    std::fs::copy(&disk.image, &copy).unwrap();
    let there = host.run().join("there");
    std::fs::create_dir(&there).unwrap();
    let (from, to) = (copy.to_str().unwrap(), there.to_str().unwrap());
    run("mount", &["-o", "loop", from, to]);
    let reply = host.ask(&Request::Mount(host.ebs_wanted(FileSystem::Xfs)));
    run("umount", &[to]);
    assert_eq!(refused(reply), "MOUNT_FAILED");
    assert!(!std::fs::read_dir(host.base()).unwrap().any(|_| true));
}

#[test]
#[ignore = "needs root"]
fn check_23_a_volume_whose_root_is_not_roots_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    run(
        "mkfs.ext4",
        &["-q", "-E", "root_owner=1002:1002", &disk.node],
    );
    let reply = host.ask(&host.ebs_mount());
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "WRONG_CONTENTS");
    assert!(failure.message.contains("1002:1002"), "{failure:?}");
    assert!(!std::fs::read_dir(host.base()).unwrap().any(|_| true));
}
