//! A base directory with a file system of its own, AppArmor's files in a scratch directory, and a
//! parser that is real up to the kernel.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aistack_helper::apparmor::Paths;
use aistack_helper::docker::Docker;
use aistack_helper::ops::{self, Ops};
use aistack_policy::{AppArmorMode, Grant, Policy};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tenant of the test policy; nobody of this machine has this number.
pub(crate) const A: u32 = 62401;
pub(crate) const BASE: &str = "ai-base-62401";
pub(crate) const PLATFORM: &str = "ai-platform-62401";
pub(crate) const OPENCLAW: &str = "ai-platform-openclaw-63401";
pub(crate) const ALL: [&str; 3] = [BASE, PLATFORM, OPENCLAW];
pub(crate) const REAL: &str = "/usr/sbin/apparmor_parser";

pub(crate) struct TestHost {
    run: tempfile::TempDir,
    mnt: tempfile::TempDir,
}

impl TestHost {
    pub(crate) fn start() -> Self {
        assert!(rustix::process::geteuid().is_root(), "mounting needs root");
        assert!(Path::new(REAL).is_file(), "{REAL} is not installed");
        let dir = |parent| {
            let dir = tempfile::Builder::new()
                .prefix("aistack-dev-apparmor-")
                .tempdir_in(parent)
                .unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            dir
        };
        let host = Self {
            run: dir("/run"),
            mnt: dir("/mnt"),
        };
        fs::create_dir(host.base()).unwrap();
        let options = c"mode=0711,size=16m";
        mount("tmpfs", host.base(), "tmpfs", MountFlags::NOSUID, options).unwrap();
        fs::create_dir(host.sources()).unwrap();
        std::os::unix::fs::chown(host.sources(), Some(A), Some(A)).unwrap();
        for dir in ["kept/abi", "cache/features.0", "proc/1/task/1/attr"] {
            fs::create_dir_all(host.run.path().join(dir)).unwrap();
        }
        host.write("enabled", "Y\n");
        host.write("loaded", "docker-default (enforce)\n");
        host.write("proc/1/task/1/attr/current", "unconfined\n");
        host.write("calls", "");
        host.install_parser(&host.stand_in(""));
        host
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.mnt.path().join(A.to_string())
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.base().join("apparmor")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.run.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn stored(&self, profile: &str) -> String {
        self.read(&format!("kept/{profile}"))
    }

    pub(crate) fn published(&self, profile: &str) -> String {
        self.read(&format!("published/{profile}"))
    }

    /// Loads of the kernel that the stand-in has seen, by profile name.
    pub(crate) fn loads(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    pub(crate) fn forget_loads(&self) {
        self.write("calls", "");
    }

    /// Writes the tenant's source.
    pub(crate) fn tenant_writes(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.sources().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        std::os::unix::fs::chown(path, Some(A), Some(A)).unwrap();
    }

    /// The parser up to the kernel, which is a list in a file; `first` runs before a load.
    pub(crate) fn stand_in(&self, first: &str) -> String {
        let dir = self.run.path().display();
        format!(
            r#"#!/bin/sh
for how in "$@"; do :; done
case $how in
-r|-R) ;;
*) exec {REAL} "$@" ;;
esac
text=$(cat)
name=$(printf '%s\n' "$text" | {REAL} -j0 -K -N 2>{dir}/stderr) || exit 1
{first}
grep -v "^$name (" {dir}/loaded > {dir}/new
if [ $how = -r ]; then
    echo "$name (enforce)" >> {dir}/new
    printf '%s\n' "$text" > "{dir}/in-kernel-$name"
fi
mv {dir}/new {dir}/loaded
echo "$how $name" >> {dir}/calls
"#
        )
    }

    /// Puts a parser in place. Written by a process of its own: a writing descriptor that a child of
    /// another test inherits for a moment would keep the script from being run.
    pub(crate) fn install_parser(&self, script: &str) {
        let mut install = Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(self.path("parser"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = install.stdin.take().unwrap();
        stdin.write_all(script.as_bytes()).unwrap();
        drop(stdin);
        assert!(install.wait().unwrap().success());
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths {
            parser: self.path("parser"),
            kept: self.path("kept"),
            cache: self.path("cache"),
            enabled: self.path("enabled"),
            loaded: self.path("loaded"),
            published: self.path("published"),
            proc: self.path("proc"),
        }
    }

    pub(crate) fn ops(&self) -> Ops {
        let docker = Docker::new(Path::new("/run/docker.sock"));
        Ops::new(docker, self.path("mount.sock"), &self.path("state"))
            .unwrap()
            .with_apparmor(self.paths())
    }

    pub(crate) fn policy(&self, mode: &str) -> Policy {
        let text = format!(
            r#"version = 1
[tenants]
uids         = ["{A}"]
base_dir     = "{}/{{uid}}"
domain       = "tenant-{{uid}}.example.test"
network      = {{ name = "aistack-dev-apparmor-{{uid}}", pool = "10.212.0.0/16", prefix = 26 }}
ports        = {{ first = 21100, per_tenant = 100 }}
service_uids = {{ offset = 1000, count = 1 }}
volume       = {{ kind = "loop", fs = "ext4", size = "320M", format = "if-blank" }}
apparmor     = "{mode}"
images       = ["docker.io/library/*"]
limits       = {{ memory = "1G", cpus = 1, pids = 100, containers = 4 }}
"#,
            self.mnt.path().display()
        );
        Policy::parse(&text).unwrap()
    }

    pub(crate) fn grant(&self) -> Grant {
        let grant = self.policy("required").grant(A).unwrap();
        assert_eq!(grant.apparmor, AppArmorMode::Required);
        grant
    }

    /// Loads with operations that have loaded nothing before: no waiting for the rate.
    pub(crate) async fn load(&self) -> Result<bool, ops::Error> {
        let (answer, without) = self.ops().load_apparmor(&self.grant()).await?;
        assert_eq!(answer.profiles, ALL);
        assert_eq!(without, None);
        Ok(answer.changed)
    }

    /// The reason of a load that must fail, and what the tenant sees.
    pub(crate) async fn refused(&self) -> (&'static str, String) {
        let error = self.load().await.unwrap_err();
        let shown = aistack_helper::daemon::error_chain(&error);
        (error.reason(), shown)
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        while unmount(self.base(), UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).is_ok() {}
    }
}

/// A source that holds nothing special.
pub(crate) fn plain(name: &str) -> String {
    format!("profile {name} {{\n  /opt/** r,\n  network inet stream,\n}}\n")
}
