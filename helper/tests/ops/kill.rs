//! SIGKILL for the worker at many moments of the first mount; afterwards the same request finishes.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aistack_helper::mount::wire::{FileSystem, Request};
use rustix::mount::{UnmountFlags, unmount};

use crate::disks::{Disk, XFS_SIZE};
use crate::test_host::{TestHost, mounted};

/// Requests a mount and kills the worker `delay` later.
fn kill_after(host: &mut TestHost, fs: FileSystem, delay: Duration) {
    let line = serde_json::to_string(&host.mount_request(fs)).unwrap();
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    std::thread::sleep(delay);
    host.kill_worker();
}

fn is_mounted(host: &TestHost) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|data| data.dev()).ok();
    device(&host.base()).is_some_and(|base| Some(base) != device(host.mnt()))
}

fn at_every_moment(fs: FileSystem, steps: u32) {
    let mut host = TestHost::start();
    let begun = Instant::now();
    assert!(mounted(host.ask(&host.mount_request(fs))).formatted);
    let whole = begun.elapsed();
    let mut half_done = 0;
    for step in 0..=steps {
        host.unmount();
        host.wait_for_no_loop_device();
        std::fs::remove_file(host.image()).unwrap();
        std::fs::remove_file(host.record()).unwrap();
        kill_after(&mut host, fs, whole * step / steps);
        half_done += u32::from(host.image().exists() && !is_mounted(&host));
        host.start_worker();
        let reply = mounted(host.ask(&host.mount_request(fs)));
        assert_eq!(reply.fs, fs, "step {step}");
        std::fs::write(host.base().join("kept"), "data").unwrap();
        assert_eq!(host.loop_devices().len(), 1, "step {step}");
        // A kill between two mounts keeps the data.
        host.kill_worker();
        host.start_worker();
        assert!(!mounted(host.ask(&host.mount_request(fs))).changed);
        assert_eq!(
            std::fs::read_to_string(host.base().join("kept")).unwrap(),
            "data"
        );
    }
    assert!(half_done > 0, "no kill met a half-made volume");
    eprintln!(
        "{half_done} of {} kills met a half-made {} volume",
        steps + 1,
        fs.name()
    );
}

#[test]
#[ignore = "needs root"]
fn a_killed_first_mount_is_finished_by_the_next_ext4() {
    at_every_moment(FileSystem::Ext4, 24);
}

#[test]
#[ignore = "needs root"]
fn a_killed_first_mount_is_finished_by_the_next_xfs() {
    at_every_moment(FileSystem::Xfs, 12);
}

/// A worker that is killed while it works on a disk: the next one finishes, and what was formatted
/// before it is never formatted again.
fn on_a_disk_at_every_moment(fs: FileSystem, steps: u32) {
    let mut host = TestHost::with_disks();
    let request = Request::Mount(host.ebs_wanted(fs));
    let first = Disk::blank(&host, "disk.img", XFS_SIZE).shown_as_ebs(&host);
    let begun = Instant::now();
    assert!(mounted(host.ask(&request)).formatted);
    let whole = begun.elapsed();
    host.ask(&Request::Unmount(host.ebs_volume()));
    drop(first);
    let mut half_done = 0;
    for step in 0..=steps {
        std::fs::remove_file(host.ebs_record()).unwrap();
        let _disk = Disk::blank(&host, "disk.img", XFS_SIZE).shown_as_ebs(&host);
        let line = serde_json::to_string(&request).unwrap();
        let mut stream = UnixStream::connect(host.socket()).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        if step % 2 == 0 {
            std::thread::sleep(whole * step / steps);
        } else {
            // In the middle of mkfs: the intent is on the disk, and little else.
            while !host.ebs_record().exists() {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_millis(step.into()));
        }
        host.kill_worker();
        half_done += u32::from(host.ebs_record().exists() && !is_mounted(&host));
        host.start_worker();
        let reply = mounted(host.ask(&request));
        assert_eq!(reply.fs, fs, "step {step}");
        std::fs::write(host.base().join("kept"), "data").unwrap();
        host.kill_worker();
        host.start_worker();
        let again = mounted(host.ask(&request));
        assert!(!again.changed && again.uuid == reply.uuid, "step {step}");
        let kept = std::fs::read_to_string(host.base().join("kept"));
        assert_eq!(kept.unwrap(), "data");
        host.ask(&Request::Unmount(host.ebs_volume()));
    }
    assert!(half_done > 0, "no kill met a half-made volume");
    eprintln!(
        "{half_done} of {} kills met a half-made {} disk",
        steps + 1,
        fs.name()
    );
}

#[test]
#[ignore = "needs root"]
fn a_killed_first_mount_of_a_disk_is_finished_by_the_next_ext4() {
    on_a_disk_at_every_moment(FileSystem::Ext4, 16);
}

#[test]
#[ignore = "needs root"]
fn a_killed_first_mount_of_a_disk_is_finished_by_the_next_xfs() {
    on_a_disk_at_every_moment(FileSystem::Xfs, 8);
}

#[test]
#[ignore = "needs root"]
fn a_volume_comes_back_after_a_restart_of_the_host() {
    let mut host = TestHost::start();
    host.mount();
    std::fs::write(host.base().join("kept"), "data").unwrap();
    // As after a power cut: nothing is mounted, nothing is attached, no worker remembers.
    host.kill_worker();
    unmount(host.base(), UnmountFlags::NOFOLLOW).unwrap();
    host.wait_for_no_loop_device();
    std::fs::remove_dir(host.base()).unwrap();
    host.start_worker();
    let reply = host.mount();
    assert!(reply.changed && !reply.formatted);
    assert_eq!(
        std::fs::read_to_string(host.base().join("kept")).unwrap(),
        "data"
    );
}
