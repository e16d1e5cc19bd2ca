//! A mount worker of its own, base directories of its own, and their removal whatever happens.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aistack_helper::docker::Docker;
use aistack_helper::mount::wire::{
    FileSystem, Mount, Mounted, Place, Reply, Request, Source, Volume,
};
use aistack_helper::ops::Ops;
use aistack_policy::{Grant, Policy};
use rustix::mount::{UnmountFlags, unmount};

use crate::disks::{Disks, Kernel};

/// A tenant of the test policy; nobody of this machine has this number.
pub(crate) const A: u32 = 62001;
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) struct TestHost {
    run: tempfile::TempDir,
    mnt: tempfile::TempDir,
    worker: Option<Child>,
    /// Where the worker finds its disks, in tests that make them.
    disks: Option<Disks>,
}

impl TestHost {
    /// A running worker.
    pub(crate) fn start() -> Self {
        assert!(rustix::process::geteuid().is_root(), "mounting needs root");
        let dir = |parent| {
            let dir = tempfile::Builder::new()
                .prefix("aistack-dev-ops-")
                .tempdir_in(parent)
                .unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.path(), mode).unwrap();
            dir
        };
        let mut host = Self {
            run: dir("/run"),
            mnt: dir("/mnt"),
            worker: None,
            disks: None,
        };
        host.start_worker();
        host
    }

    /// As [`TestHost::start`], with a worker that finds its disks in a small sysfs of this test.
    pub(crate) fn with_disks() -> Self {
        Self::with_disks_as(Kernel::Own)
    }

    /// The same, on a kernel as given.
    pub(crate) fn with_disks_as(kernel: Kernel) -> Self {
        let mut host = Self::start();
        host.kill_worker();
        host.disks = Some(Disks::new(host.run(), kernel));
        host.start_worker();
        host
    }

    pub(crate) fn disks(&self) -> &Disks {
        self.disks.as_ref().unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("mount.sock")
    }

    pub(crate) fn run(&self) -> &Path {
        self.run.path()
    }

    pub(crate) fn mnt(&self) -> &Path {
        self.mnt.path()
    }

    /// Shell text for a mount namespace of a test's own: the copies of what other tests have mounted
    /// go, which would keep it in use; as `forget_volumes` in tests/lib/host.sh.
    pub(crate) fn letting_go_of_others(&self) -> String {
        let own = self.mnt.path().display();
        format!(
            "awk '$2 ~ \"/aistack-\" && $2 !~ \"/aistack-tests/\" && index($2, \"{own}\") != 1 \
             {{ print $2 }}' /proc/self/mounts | xargs -r umount -l; "
        )
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.run.path().join("state/volumes")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.images().join(format!("{A}.img"))
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.images().join(format!("{A}.json"))
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.mnt.path().join(A.to_string())
    }

    /// Starts the worker and waits until it answers. A child of a killed worker has the socket
    /// until its exec, for a moment; a new worker that meets it gives up and is started again.
    pub(crate) fn start_worker(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        let mut worker = self.spawn_worker();
        while self.say("null").unwrap_or_default().is_empty() {
            assert!(Instant::now() < until, "the worker does not answer");
            std::thread::sleep(Duration::from_millis(2));
            if worker.try_wait().unwrap().is_some() {
                worker = self.spawn_worker();
            }
        }
        self.worker = Some(worker);
    }

    fn spawn_worker(&self) -> Child {
        let log = std::fs::File::create(self.run.path().join("worker.log")).unwrap();
        if let Some(disks) = &self.disks {
            return disks.spawn_worker(&self.socket(), log);
        }
        Command::new(env!("CARGO_BIN_EXE_aistack-mount"))
            .args([
                "serve".as_ref(),
                "--socket".as_ref(),
                self.socket().as_os_str(),
            ])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(crate) fn worker_pid(&self) -> u32 {
        self.worker.as_ref().unwrap().id()
    }

    /// SIGKILL, at once.
    pub(crate) fn kill_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            uid: A,
            base_dir: self.base(),
            image_dir: self.images(),
        }
    }

    pub(crate) fn volume(&self) -> Volume {
        Volume {
            place: self.place(),
            source: Source::Loop { size: 320 * MIB },
        }
    }

    pub(crate) fn wanted(&self, fs: FileSystem) -> Mount {
        Mount {
            volume: self.volume(),
            fs,
            may_format: true,
            grow: false,
        }
    }

    pub(crate) fn mount_request(&self, fs: FileSystem) -> Request {
        Request::Mount(self.wanted(fs))
    }

    pub(crate) fn ask(&self, request: &Request) -> Reply {
        let text = serde_json::to_string(request).unwrap();
        serde_json::from_str(&self.say(&text).unwrap()).unwrap()
    }

    /// Sends one line; what comes back until the worker closes.
    pub(crate) fn say(&self, line: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.write_all(line.as_bytes())?;
        stream.write_all(b"\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn mount(&self) -> Mounted {
        mounted(self.ask(&self.mount_request(FileSystem::Ext4)))
    }

    pub(crate) fn unmount(&self) -> bool {
        match self.ask(&Request::Unmount(self.volume())) {
            Reply::Unmounted { changed, .. } => changed,
            other => panic!("{other:?}"),
        }
    }

    /// Loop devices over images of this test host.
    pub(crate) fn loop_devices(&self) -> Vec<String> {
        let images = self.images().display().to_string();
        std::fs::read_dir("/sys/block")
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
                let name = entry.file_name().into_string().unwrap();
                file.starts_with(&images).then_some(name)
            })
            .collect()
    }

    pub(crate) fn wait_for_no_loop_device(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.loop_devices().is_empty() {
            assert!(Instant::now() < until, "left: {:?}", self.loop_devices());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn grant(&self) -> Grant {
        self.grant_with("kind = \"loop\", fs = \"ext4\", size = \"320M\"")
    }

    pub(crate) fn grant_with(&self, volume: &str) -> Grant {
        self.policy_with(volume).grant(A).unwrap()
    }

    pub(crate) fn policy_with(&self, volume: &str) -> Policy {
        let policy = format!(
            r#"version = 1
[tenants]
uids         = ["{A}"]
base_dir     = "{}/{{uid}}"
domain       = "tenant-{{uid}}.example.test"
network      = {{ name = "aistack-dev-ops-{{uid}}", pool = "10.211.0.0/16", prefix = 26 }}
ports        = {{ first = 21100, per_tenant = 100 }}
service_uids = {{ offset = 1000, count = 1 }}
apparmor     = "if-available"
images       = ["docker.io/library/*"]
limits       = {{ memory = "1G", cpus = 1, pids = 100, containers = 4 }}
[[tenant]]
uid          = {A}
volume       = {{ {volume}, format = "if-blank" }}
"#,
            self.mnt.path().display()
        );
        Policy::parse(&policy).unwrap()
    }

    pub(crate) fn ops(&self) -> Ops {
        let docker = Docker::new(Path::new("/run/docker.sock"));
        Ops::new(docker, self.socket(), &self.run.path().join("state")).unwrap()
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        while unmount(self.base(), UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).is_ok() {}
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

pub(crate) fn mounted(reply: Reply) -> Mounted {
    match reply {
        Reply::Mounted(mounted) => mounted,
        other => panic!("{other:?}"),
    }
}

/// The reason that the worker refused for.
pub(crate) fn refused(reply: Reply) -> &'static str {
    match reply {
        Reply::Failed(failure) => failure.reason.word(),
        other => panic!("{other:?}"),
    }
}

/// A digest of a whole file.
pub(crate) fn digest(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs `act` with the capabilities that the helper keeps, as the daemon would.
pub(crate) fn as_the_helper<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    use caps::{CapSet, Capability, CapsHashSet};
    let kept: CapsHashSet = [
        Capability::CAP_CHOWN,
        Capability::CAP_FOWNER,
        Capability::CAP_DAC_READ_SEARCH,
    ]
    .into();
    std::thread::scope(|scope| {
        // A thread has capabilities of its own, and those that it starts inherit them.
        let thread = scope.spawn(|| {
            caps::set(None, CapSet::Effective, &kept).unwrap();
            caps::set(None, CapSet::Permitted, &kept).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}
