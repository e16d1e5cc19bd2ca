//! Volumes on disks as they should work: made once, found again, grown, taken away.

use std::os::unix::fs::MetadataExt;

use aistack_helper::audit::{Audit, Settings};
use aistack_helper::mount::wire::{self, FileSystem, Mount, Reply, Request};
use aistack_helper::ops::BootError;
use rustix::mount::{UnmountFlags, unmount};

use crate::disks::{Disk, EBS_MODEL, ID, Kernel, NAME, SERIAL, SIZE, ebs_disk, run, xfs_disk};
use crate::test_host::{A, MIB, TestHost, mounted, refused, runtime};

/// `(changed, safe_to_detach)` of an unmount.
fn unmounted(reply: Reply) -> (bool, bool) {
    match reply {
        Reply::Unmounted {
            changed,
            safe_to_detach,
        } => (changed, safe_to_detach),
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs root"]
fn a_blank_disk_is_formatted_once_mounted_idempotently_and_found_again() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let first = mounted(host.ask(&host.ebs_mount()));
    assert!(first.changed && first.formatted && !first.grown);
    assert_eq!((first.device, first.node.as_str()), (disk.rdev(), NAME));
    assert_eq!(first.warnings, [""; 0]);
    let root = std::fs::metadata(host.base()).unwrap();
    assert_eq!(
        (root.uid(), root.mode() & 0o7777, root.dev()),
        (0, 0o711, first.device)
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let base = format!(" {} ", host.base().display());
    let line = mounts.lines().find(|line| line.contains(&base)).unwrap();
    assert!(line.contains("nosuid,nodev,noatime"), "{line}");
    assert!(line.contains("errors=remount-ro"), "{line}");
    assert!(line.contains(&format!("/dev/{NAME} ")), "{line}");
    std::fs::write(host.base().join("kept"), "data").unwrap();

    let again = mounted(host.ask(&host.ebs_mount()));
    assert!(!again.changed && !again.formatted);
    assert_eq!((again.device, &again.uuid), (first.device, &first.uuid));
    let state = host.ask(&Request::State(host.ebs_volume()));
    assert_eq!(mounted(state).uuid, first.uuid);

    let unmount = Request::Unmount(host.ebs_volume());
    assert_eq!(unmounted(host.ask(&unmount)), (true, true));
    assert_eq!(unmounted(host.ask(&unmount)), (false, true));
    let remounted = mounted(host.ask(&host.ebs_mount()));
    assert!(remounted.changed && !remounted.formatted);
    assert_eq!(remounted.uuid, first.uuid);
    assert_eq!(
        std::fs::read_to_string(host.base().join("kept")).unwrap(),
        "data"
    );
}

#[test]
#[ignore = "needs root"]
fn the_record_says_what_was_made_where_and_for_whom() {
    let host = TestHost::with_disks();
    let _disk = ebs_disk(&host);
    let reply = mounted(host.ask(&host.ebs_mount()));
    let text = std::fs::read_to_string(host.ebs_record()).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["state"], "formatted");
    assert_eq!(record["uuid"], reply.uuid);
    assert_eq!(record["uid"], A);
    assert_eq!(record["size"], SIZE);
    assert!(record["disk"]["sequence"].as_u64().unwrap() > 0);
    let mode = std::fs::metadata(host.ebs_record()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
#[ignore = "needs root"]
fn xfs_is_made_and_grown_on_a_disk() {
    let host = TestHost::with_disks();
    let disk = xfs_disk(&host);
    let wanted = host.ebs_wanted(FileSystem::Xfs);
    assert!(mounted(host.ask(&Request::Mount(wanted.clone()))).formatted);
    let grow = Request::Grow(host.ebs_volume());
    assert!(
        !mounted(host.ask(&grow)).grown,
        "there is nothing to grow into"
    );
    enlarge(&disk, 512 * MIB);
    let grown = mounted(host.ask(&grow));
    assert!(grown.grown && grown.changed);
    assert!(!mounted(host.ask(&grow)).grown);
    assert_eq!(
        unmounted(host.ask(&Request::Unmount(host.ebs_volume()))),
        (true, true)
    );
    // The next mount grows by itself where the policy says so.
    enlarge(&disk, 640 * MIB);
    let again = mounted(host.ask(&Request::Mount(Mount {
        grow: true,
        ..wanted
    })));
    assert!(again.grown && !again.formatted);
    assert_eq!(again.warnings, [""; 0]);
}

fn enlarge(disk: &Disk, size: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(&disk.image);
    file.unwrap().set_len(size).unwrap();
    run("losetup", &["-c", &disk.node]);
}

/// Mounts a disk that was enlarged since its ext4 was made.
fn mount_enlarged_ext4(host: &TestHost) -> (Disk, wire::Mounted) {
    let disk = ebs_disk(host);
    mounted(host.ask(&host.ebs_mount()));
    // Nothing to do needs no capability.
    let grow = Request::Grow(host.ebs_volume());
    assert!(!mounted(host.ask(&grow)).grown);
    host.ask(&Request::Unmount(host.ebs_volume()));
    enlarge(&disk, 128 * MIB);
    let reply = mounted(host.ask(&Request::Mount(Mount {
        grow: true,
        ..host.ebs_wanted(FileSystem::Ext4)
    })));
    (disk, reply)
}

#[test]
#[ignore = "needs root with CAP_SYS_RESOURCE"]
fn an_ext4_grows_while_it_is_mounted() {
    let host = TestHost::with_disks();
    let (_disk, reply) = mount_enlarged_ext4(&host);
    assert!(reply.changed && reply.grown, "{reply:?}");
    assert!(reply.warnings.is_empty(), "{reply:?}");
}

#[test]
#[ignore = "needs root"]
fn an_ext4_that_cannot_be_grown_is_mounted_with_a_warning() {
    let host = TestHost::with_disks_as(Kernel::NoGrowing);
    let (_disk, reply) = mount_enlarged_ext4(&host);
    assert!(
        reply.changed,
        "a volume of the old size is better than none"
    );
    assert!(!reply.grown);
    assert!(reply.warnings[0].starts_with("mounted, but the file system was not grown"));
    let grow = Request::Grow(host.ebs_volume());
    assert_eq!(refused(host.ask(&grow)), "GROW_FAILED");
}

#[test]
#[ignore = "needs root"]
fn a_loop_volume_grows_to_what_the_policy_says_and_never_shrinks() {
    let host = TestHost::start();
    mounted(host.ask(&host.mount_request(FileSystem::Xfs)));
    let sized = |size| {
        let mut volume = host.volume();
        volume.source = aistack_helper::mount::wire::Source::Loop { size };
        Request::Grow(volume)
    };
    assert!(!mounted(host.ask(&sized(320 * MIB))).grown);
    assert!(mounted(host.ask(&sized(512 * MIB))).grown);
    assert_eq!(std::fs::metadata(host.image()).unwrap().len(), 512 * MIB);
    assert!(!mounted(host.ask(&sized(320 * MIB))).grown);
    assert_eq!(std::fs::metadata(host.image()).unwrap().len(), 512 * MIB);
    assert!(host.unmount());
    assert_eq!(refused(host.ask(&sized(640 * MIB))), "NOT_MOUNTED");
    assert!(!mounted(host.ask(&host.mount_request(FileSystem::Xfs))).formatted);
}

#[test]
#[ignore = "needs root"]
fn disks_of_other_makes_are_found_by_serial_number_and_by_place() {
    let host = TestHost::with_disks();
    let disk = Disk::blank(&host, "disk.img", SIZE);
    let qemu = ("QEMU NVMe Ctrl", SERIAL);
    host.disks().show(NAME, qemu, disk.rdev());
    let by_serial = Mount {
        volume: host.disk_volume(&format!("serial:QEMU NVMe Ctrl/{SERIAL}"), None),
        ..host.ebs_wanted(FileSystem::Ext4)
    };
    let made = mounted(host.ask(&Request::Mount(by_serial.clone())));
    assert!(made.formatted);
    host.ask(&Request::Unmount(by_serial.volume));
    // By its link, and with the UUID that says which file system it must be.
    let link = host.disks().dev("disk/by-id/scsi-0DO_Volume_data");
    std::os::unix::fs::symlink(format!("../../{NAME}"), link).unwrap();
    let by_link = |uuid: &str| {
        Request::Mount(Mount {
            volume: host.disk_volume("by-id:scsi-0DO_Volume_data", Some(uuid)),
            may_format: false,
            ..host.ebs_wanted(FileSystem::Ext4)
        })
    };
    let other = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(refused(host.ask(&by_link(other))), "WRONG_CONTENTS");
    // It is remembered under its other name: to the worker it looks like a copy.
    assert_eq!(refused(host.ask(&by_link(&made.uuid))), "WRONG_CONTENTS");
    std::fs::remove_dir_all(host.images()).unwrap();
    let reply = mounted(host.ask(&by_link(&made.uuid)));
    assert!(reply.changed && !reply.formatted);
}

#[test]
#[ignore = "needs root"]
fn a_kernel_without_exclusive_mounts_is_served_as_well() {
    let host = TestHost::with_disks_as(Kernel::Old);
    let _disk = ebs_disk(&host);
    assert!(mounted(host.ask(&host.ebs_mount())).formatted);
    assert_eq!(
        unmounted(host.ask(&Request::Unmount(host.ebs_volume()))),
        (true, true)
    );
    assert!(!mounted(host.ask(&host.ebs_mount())).formatted);
}

#[test]
#[ignore = "needs root"]
fn a_used_disk_is_not_unmounted() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    mounted(host.ask(&host.ebs_mount()));
    let open = std::fs::File::create(host.base().join("open")).unwrap();
    let unmount = Request::Unmount(host.ebs_volume());
    assert_eq!(refused(host.ask(&unmount)), "IN_USE");
    drop(open);
    // A second mount would keep the disk busy after ours is gone.
    let elsewhere = host.run().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    run("mount", &[&disk.node, elsewhere.to_str().unwrap()]);
    let answer = host.ask(&unmount);
    run("umount", &[elsewhere.to_str().unwrap()]);
    assert_eq!(refused(answer), "IN_USE");
    assert_eq!(unmounted(host.ask(&unmount)), (true, true));
    assert_eq!(unmounted(host.ask(&unmount)), (false, true));
}

#[test]
#[ignore = "needs root"]
fn the_mount_of_a_disk_that_was_torn_out_can_be_taken_away() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    mounted(host.ask(&host.ebs_mount()));
    host.disks().hide(NAME);
    assert_eq!(refused(host.ask(&host.ebs_mount())), "NOT_ATTACHED");
    let unmount = Request::Unmount(host.ebs_volume());
    assert_eq!(unmounted(host.ask(&unmount)), (true, true));
    assert_eq!(unmounted(host.ask(&unmount)), (false, true));
    host.disks()
        .show("nvme3n1", (EBS_MODEL, SERIAL), disk.rdev());
    let back = mounted(host.ask(&host.ebs_mount()));
    assert_eq!((back.formatted, back.node.as_str()), (false, "nvme3n1"));
}

#[test]
#[ignore = "needs root"]
fn what_is_safe_to_detach_is_all_on_the_disk() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    mounted(host.ask(&host.ebs_mount()));
    std::fs::write(host.base().join("kept"), vec![7; 5 << 20]).unwrap();
    let unmount_it = Request::Unmount(host.ebs_volume());
    assert_eq!(unmounted(host.ask(&unmount_it)), (true, true));
    // Only what is in the file by now: a copy, as if the disk had been torn out here.
    let copy = host.run().join("copy.img");
    std::fs::copy(&disk.image, &copy).unwrap();
    let there = host.run().join("there");
    std::fs::create_dir(&there).unwrap();
    let (from, to) = (copy.to_str().unwrap(), there.to_str().unwrap());
    run("mount", &["-o", "ro,loop", from, to]);
    let kept = std::fs::read(there.join("kept"));
    unmount(&there, UnmountFlags::empty()).unwrap();
    assert_eq!(kept.unwrap(), vec![7; 5 << 20]);
    assert_eq!(ID.len(), SERIAL.len() + 1);
}

/// A policy file's text, loaded.
fn policy(host: &TestHost, volume: &str) -> aistack_helper::policy_store::LoadedPolicy {
    aistack_helper::policy_store::LoadedPolicy {
        canary: None,
        policy: host.policy_with(volume),
        digest: "digest".to_owned(),
    }
}

#[test]
#[ignore = "needs root"]
fn what_was_mounted_is_mounted_again_at_boot_and_audited() {
    let mut host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    let pinned = format!("kind = \"disk\", match = \"ebs:{ID}\"");
    let policy = policy(&host, &pinned);
    let grant = policy.policy.grant(A).unwrap();
    let ops = host.ops();
    let log = host.run().join("log");
    std::fs::create_dir(&log).unwrap();
    let marker = host.run().join("state/mounted").join(A.to_string());
    runtime().block_on(async {
        let audit = Audit::open(&log, "boot", Settings::BRIEF).unwrap();
        assert!(ops.boot_volumes(&policy, &audit).await.unwrap().is_empty());
        let made = ops.mount_volume(&grant).await.unwrap();
        assert!(made.formatted && marker.exists() && made.device == NAME);
        std::fs::write(host.base().join("kept"), "data").unwrap();

        // The host goes down and comes up again; the disk is attached a little later.
        host.kill_worker();
        unmount(host.base(), UnmountFlags::NOFOLLOW).unwrap();
        host.disks().hide(NAME);
        host.start_worker();
        let late = async {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            host.disks()
                .show("nvme2n1", (EBS_MODEL, SERIAL), disk.rdev());
        };
        let stranger = marker.with_file_name("61999");
        std::fs::write(&stranger, "").unwrap();
        let (booted, ()) = tokio::join!(ops.boot_volumes(&policy, &audit), late);
        let booted = booted.unwrap();
        assert_eq!(
            booted.iter().map(|volume| volume.uid).collect::<Vec<_>>(),
            [61999, A]
        );
        assert!(matches!(booted[0].outcome, Err(BootError::NoGrant(61999))));
        let again = booted[1].outcome.as_ref().unwrap();
        assert!(again.changed && !again.formatted && again.uuid == made.uuid);
        assert_eq!(
            std::fs::read_to_string(host.base().join("kept")).unwrap(),
            "data"
        );

        let answer = ops.unmount_volume(&grant).await.unwrap();
        assert!(answer.changed && answer.safe_to_detach && !marker.exists());
        std::fs::remove_file(stranger).unwrap();
        assert!(ops.boot_volumes(&policy, &audit).await.unwrap().is_empty());
        audit.stop().await.unwrap();
    });
    let text = std::fs::read_to_string(log.join("boot.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &serde_json::Value| record["operation"] == "volume.mount")
        .collect();
    let events: Vec<_> = records.iter().map(|record| &record["event"]).collect();
    assert_eq!(events, ["intent", "outcome"], "{text}");
    assert_eq!(records[0]["arguments"]["uid"], A);
    assert_eq!(records[1]["outcome"], "done");
}
