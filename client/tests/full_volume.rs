//! A volume without a free byte: real file systems of a few MiB, which only root can mount.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aistack::error::{CliError, is_full};
use aistack::fs::atomic;
use aistack::run::lock::Lock;
use aistack::run::reserve;

/// A mounted file system that goes with it.
struct Volume {
    dir: tempfile::TempDir,
    mounted: bool,
}

impl Volume {
    fn new(kind: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "mounting needs root");
        let dir = tempfile::tempdir().unwrap();
        let mut volume = Self {
            dir,
            mounted: false,
        };
        let (base, image) = (volume.base(), volume.dir.path().join("image"));
        std::fs::create_dir(&base).unwrap();
        let mount = if kind == "ext4" {
            let file = std::fs::File::create(&image).unwrap();
            file.set_len(8 << 20).unwrap();
            // No blocks for root alone, which a tenant is not.
            run(Command::new("mkfs.ext4")
                .args(["-q", "-m", "0"])
                .arg(&image));
            vec!["-o", "loop", image.to_str().unwrap()]
        } else {
            vec!["-t", "tmpfs", "-o", "size=8m", "tmpfs"]
        };
        run(Command::new("mount").args(mount).arg(&base));
        volume.mounted = true;
        std::fs::create_dir(base.join("config")).unwrap();
        volume
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// Until not one byte more fits, in no size of a write.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.base().join("filler")).unwrap();
        for size in [1 << 16, 4096, 512, 1] {
            let chunk = vec![b'x'; size];
            while file
                .write_all(&chunk)
                .and_then(|()| file.sync_data())
                .is_ok()
            {}
        }
        let more = std::fs::write(self.base().join("more"), "x");
        assert!(is_full(&more.unwrap_err()));
        drop(std::fs::remove_file(self.base().join("more")));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg(self.base()).status());
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn each_volume(test: impl Fn(&Volume)) {
    for kind in ["ext4", "tmpfs"] {
        test(&Volume::new(kind));
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
#[ignore = "needs root"]
fn a_file_on_a_full_volume_stays_whole_and_nothing_is_left_beside_it() {
    each_volume(|volume| {
        let config = volume.base().join("config");
        let path = config.join(".env");
        atomic::write(&path, b"OLD=1\n", 0o600).unwrap();
        volume.fill();
        let error = atomic::write(&path, &[b'x'; 5000], 0o600).unwrap_err();
        assert!(is_full(&error), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"OLD=1\n");
        assert_eq!(names(&config), [".env"]);
        let failure = CliError::io("write", &path, &error);
        assert!(failure.full && failure.causes.is_empty());
        assert!(failure.what.starts_with("no space left to write "));
        assert!(failure.next.unwrap().contains("remove --purge"));
    });
}

#[test]
#[ignore = "needs root"]
fn the_reserve_is_room_for_the_env_and_the_one_of_before_on_a_full_volume() {
    each_volume(|volume| {
        let base = volume.base();
        reserve::make(&base);
        let path = base.join("config/.env");
        atomic::write(&path, b"OLD=1\n", 0o600).unwrap();
        volume.fill();
        assert!(atomic::write(&path, b"NEW=1\n", 0o600).is_err());
        assert!(reserve::release(&base).unwrap());
        let large = vec![b'x'; 64 * 1024];
        atomic::write(&base.join("config/kept"), &large, 0o600).unwrap();
        atomic::write(&path, &large, 0o600).unwrap();
        assert!(!reserve::release(&base).unwrap());
    });
}

#[test]
#[ignore = "needs root"]
fn the_lock_is_taken_on_a_full_volume() {
    each_volume(|volume| {
        let base = volume.base();
        volume.fill();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let take = |command| runtime.block_on(Lock::take(&base, command, Duration::ZERO));
        let held = take("aistack remove").unwrap();
        assert!(take("aistack deploy").is_err());
        drop(held);
        take("aistack deploy").unwrap();
    });
}
