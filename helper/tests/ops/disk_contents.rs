//! Disks that hold something: nothing that could be anybody's data is ever formatted, and a refused
//! disk is the same to the last byte afterwards.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use aistack_helper::mount::wire::{FileSystem, Mount, Reply, Request};

use crate::disks::{Disk, EBS_MODEL, NAME, SERIAL, SIZE, ebs_disk, run, xfs_disk};
use crate::test_host::{MIB, TestHost, mounted, refused};

fn write(disk: &Disk, offset: u64, bytes: &[u8]) {
    let device = OpenOptions::new().write(true).open(&disk.node).unwrap();
    device.write_all_at(bytes, offset).unwrap();
    device.sync_all().unwrap();
}

/// The reason for which a disk with these contents is refused as ext4 and as XFS.
fn refusals(host: &TestHost, disk: &Disk, what: &str) -> [String; 2] {
    let before = disk.digest();
    let reasons = [FileSystem::Ext4, FileSystem::Xfs].map(|fs| {
        let reply = host.ask(&Request::Mount(host.ebs_wanted(fs)));
        assert!(
            !host.base().join("lost+found").exists(),
            "{what} is mounted"
        );
        match reply {
            Reply::Failed(failure) => {
                assert!(!failure.message.contains(&host.run().display().to_string()));
                failure.reason.word().to_owned()
            }
            other => panic!("{what}: {other:?}"),
        }
    });
    assert_eq!(disk.digest(), before, "{what} was written to");
    assert!(!host.ebs_record().exists(), "{what} is remembered");
    reasons
}

#[test]
#[ignore = "needs root"]
fn check_16_whatever_a_disk_holds_is_refused_and_not_touched() {
    const MD: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
    let host = TestHost::with_disks();
    let cases: [(&str, u64, &[u8]); 14] = [
        ("a LUKS2 header", 0, b"LUKS\xba\xbe\x00\x02"),
        ("the second LUKS2 header", 0x4000, b"SKUL\xba\xbe\x00\x02"),
        ("an LVM label", 512, b"LABELONE\x01\0\0\0\0\0\0\0"),
        ("md RAID 1.2", 4096, MD),
        ("md RAID 1.0", SIZE - 8192, MD),
        ("md RAID 0.90", SIZE - 65536, MD),
        ("swap", 4086, b"SWAPSPACE2"),
        ("btrfs", 0x1_0040, b"_BHRfS_M"),
        ("an MBR", 510, &[0x55, 0xAA]),
        ("a GPT", 512, b"EFI PART"),
        ("only the backup of a GPT", SIZE - 512, b"EFI PART"),
        ("text at the start", 0, b"somebody's data"),
        ("a byte in the middle", 30 * MIB + 7, &[1]),
        ("the last byte", SIZE - 1, &[1]),
    ];
    for (what, offset, bytes) in cases {
        let disk = ebs_disk(&host);
        write(&disk, offset, bytes);
        let reasons = refusals(&host, &disk, what);
        assert_eq!(reasons, ["NOT_EMPTY", "NOT_EMPTY"], "{what}");
    }
    let disk = ebs_disk(&host);
    let mut random = vec![0; 8 << 20];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut random).unwrap();
    write(&disk, 20 * MIB, &random);
    assert_eq!(
        refusals(&host, &disk, "random data"),
        ["NOT_EMPTY", "NOT_EMPTY"]
    );
}

#[test]
#[ignore = "needs root"]
fn check_16_file_systems_that_are_damaged_or_hidden_are_refused_and_not_touched() {
    let host = TestHost::with_disks();
    let damaged = ["FILESYSTEM_DAMAGED", "FILESYSTEM_DAMAGED"];
    let foreign = ["NOT_EMPTY", "NOT_EMPTY"];
    // What mkfs makes, what is written over it, and what both kinds are refused for.
    let cases: [(&str, u64, &[u8], [&str; 2]); 6] = [
        // Without its superblock; with a wrong checksum in it; below an LVM label; below XFS.
        ("mkfs.ext4", 1024, &[0; 1024], foreign),
        ("mkfs.ext4", 1024 + 1020, &[1, 2, 3, 4], damaged),
        ("mkfs.ext4", 512, b"LABELONE\x01\0\0\0\0\0\0\0", foreign),
        ("mkfs.ext4", 0, b"XFSB", foreign),
        ("mkfs.xfs", 0, &[0; 512], foreign),
        ("mkfs.xfs", 224, &[1, 2, 3, 4], damaged),
    ];
    for (mkfs, offset, bytes, expected) in cases {
        let disk = xfs_disk(&host);
        run(mkfs, &["-q", &disk.node]);
        write(&disk, offset, bytes);
        let what = format!("{mkfs} with {} bytes at {offset}", bytes.len());
        assert_eq!(refusals(&host, &disk, &what), expected, "{what}");
    }
    // Only the second opinions know that it is no ext4.
    let disk = ebs_disk(&host);
    run("mkfs.ext2", &["-q", &disk.node]);
    assert_eq!(
        refusals(&host, &disk, "ext2"),
        ["NOT_EMPTY", "WRONG_FILESYSTEM"]
    );
}

#[test]
#[ignore = "needs root"]
fn check_16_the_other_known_file_system_is_refused_and_not_touched() {
    let host = TestHost::with_disks();
    for (mkfs, wanted) in [
        ("mkfs.xfs", FileSystem::Ext4),
        ("mkfs.ext4", FileSystem::Xfs),
    ] {
        let disk = xfs_disk(&host);
        run(mkfs, &["-q", &disk.node]);
        let before = disk.digest();
        let reply = host.ask(&Request::Mount(host.ebs_wanted(wanted)));
        assert_eq!(refused(reply), "WRONG_FILESYSTEM", "{mkfs}");
        assert_eq!(disk.digest(), before, "{mkfs}");
    }
}

/// Something that is unmounted when it is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk that cannot be read from 48 KiB on: its file is in an ext4 whose map of it is broken.
fn unreadable_disk(host: &TestHost) -> (Disk, Mounted) {
    let (outer, there) = (host.run().join("outer.img"), host.run().join("outer"));
    std::fs::create_dir(&there).unwrap();
    let to = there.to_str().unwrap();
    let file = std::fs::File::create(&outer).unwrap();
    file.set_len(96 * MIB).unwrap();
    let image = outer.to_str().unwrap();
    let features = "^extents,^metadata_csum,^64bit,^has_journal";
    run("mkfs.ext4", &["-q", "-b", "4096", "-O", features, image]);
    run("mount", &["-o", "loop", image, to]);
    std::fs::write(there.join("inner"), vec![0; 64 << 20]).unwrap();
    // A process that has just been given a mount namespace of its own may keep this one mounted a little longer.
    run("sync", &["-f", to]);
    run("umount", &[to]);
    let stat = Command::new("debugfs")
        .args(["-R", "stat inner", image])
        .output()
        .unwrap();
    let stat = String::from_utf8(stat.stdout).unwrap();
    // The first indirect block maps blocks 12 to 1035 of the file.
    let (_, after) = stat.split_once("(IND):").unwrap();
    let number: u64 = after.split(',').next().unwrap().trim().parse().unwrap();
    let outer_file = OpenOptions::new().write(true).open(&outer).unwrap();
    outer_file
        .write_all_at(&[0xFF; 4096], number * 4096)
        .unwrap();
    outer_file.sync_all().unwrap();
    run("mount", &["-o", "loop,errors=continue", image, to]);
    let inner = there.join("inner");
    (Disk::over(&inner, &[]), Mounted(there))
}

#[test]
#[ignore = "needs root"]
fn check_15_a_disk_that_cannot_be_read_is_not_blank() {
    let host = TestHost::with_disks();
    let (disk, mounted) = unreadable_disk(&host);
    host.disks().show(NAME, (EBS_MODEL, SERIAL), disk.rdev());
    // The tools see nothing on it, which must not count.
    let blkid = Command::new("blkid")
        .args(["-p", &disk.node])
        .status()
        .unwrap();
    assert_eq!(blkid.code(), Some(2), "blkid knows what it cannot read");
    let reply = host.ask(&host.ebs_mount());
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "UNREADABLE", "{failure:?}");
    assert!(
        failure.message.contains("nothing was written"),
        "{failure:?}"
    );
    assert!(!host.ebs_record().exists());
    drop(disk);
    drop(mounted);
}

/// The UUID of what was made on the disk now.
fn formatted(host: &TestHost) -> String {
    let reply = mounted(host.ask(&host.ebs_mount()));
    assert!(reply.formatted);
    host.ask(&Request::Unmount(host.ebs_volume()));
    reply.uuid
}

#[test]
#[ignore = "needs root"]
fn check_16_a_swapped_or_reformatted_volume_is_refused() {
    let host = TestHost::with_disks();
    let disk = xfs_disk(&host);
    let uuid = formatted(&host);
    // Somebody formats it again.
    run("mkfs.ext4", &["-q", "-F", &disk.node]);
    let before = disk.digest();
    assert_eq!(refused(host.ask(&host.ebs_mount())), "WRONG_CONTENTS");
    run("mkfs.xfs", &["-q", "-f", &disk.node]);
    assert_eq!(refused(host.ask(&host.ebs_mount())), "WRONG_FILESYSTEM");
    write(&disk, 0, b"LUKS\xba\xbe\x00\x02");
    assert_eq!(refused(host.ask(&host.ebs_mount())), "LOST_FILESYSTEM");
    assert_ne!(disk.digest(), before);
    // The right one is taken as ever.
    run("wipefs", &["-qaf", &disk.node]);
    run(
        "mkfs.ext4",
        &["-q", "-F", "-U", &uuid, "-E", "root_owner=0:0", &disk.node],
    );
    assert!(mounted(host.ask(&host.ebs_mount())).changed);
}

#[test]
#[ignore = "needs root"]
fn check_16_a_copy_of_a_volume_is_refused_under_another_id() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    formatted(&host);
    let copy = host.run().join("copy.img");
    disk.write_out();
    std::fs::copy(&disk.image, &copy).unwrap();
    let copy = Disk::over(&copy, &[]);
    host.disks()
        .show("nvme5n1", (EBS_MODEL, "vol00000000000000000"), copy.rdev());
    let wanted = Request::Mount(Mount {
        volume: host.disk_volume("ebs:vol-00000000000000000", None),
        ..host.ebs_wanted(FileSystem::Ext4)
    });
    let before = copy.digest();
    let reply = host.ask(&wanted);
    let Reply::Failed(failure) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(failure.reason.word(), "WRONG_CONTENTS");
    assert!(failure.message.contains("is a copy"), "{failure:?}");
    assert_eq!(copy.digest(), before);
}

#[test]
#[ignore = "needs root"]
fn check_16_a_file_system_larger_than_its_disk_is_refused() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    run("mkfs.ext4", &["-q", &disk.node]);
    disk.write_out();
    let image = disk.image.clone();
    drop(disk);
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    file.set_len(SIZE / 2).unwrap();
    let shorter = Disk::over(&image, &[]).shown_as_ebs(&host);
    let before = shorter.digest();
    assert_eq!(refused(host.ask(&host.ebs_mount())), "SIZE_DIFFERS");
    assert_eq!(shorter.digest(), before);
}

#[test]
#[ignore = "needs root"]
fn a_volume_from_elsewhere_is_adopted_and_never_formatted_after() {
    let host = TestHost::with_disks();
    let disk = ebs_disk(&host);
    run("mkfs.ext4", &["-q", "-E", "root_owner=0:0", &disk.node]);
    let reply = mounted(host.ask(&host.ebs_mount()));
    assert!(reply.changed && !reply.formatted);
    host.ask(&Request::Unmount(host.ebs_volume()));
    drop(disk);
    let blank = Disk::blank(&host, "blank.img", SIZE).shown_as_ebs(&host);
    let before = blank.digest();
    assert_eq!(refused(host.ask(&host.ebs_mount())), "LOST_FILESYSTEM");
    assert_eq!(blank.digest(), before);
}
