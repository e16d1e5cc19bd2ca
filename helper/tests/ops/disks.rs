//! Disks for tests: real block devices (loop devices over files of the test) under names, models and
//! serial numbers of their own, in a small sysfs that only the test's worker looks at.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aistack_helper::daemon;
use aistack_helper::mount::host::Host;
use aistack_helper::mount::server;
use aistack_helper::mount::wire::{DiskSource, FileSystem, Mount, Request, Source, Volume};
use aistack_policy::DiskMatch;
use rustix::fs::{CWD, FileType, Mode, major, minor, mknodat};

use crate::test_host::{MIB, TestHost};

pub(crate) const EBS_MODEL: &str = "Amazon Elastic Block Store";
/// The volume of the tenant.
pub(crate) const ID: &str = "vol-0123456789abcdef0";
pub(crate) const SERIAL: &str = "vol0123456789abcdef0";
pub(crate) const NAME: &str = "nvme9n1";
pub(crate) const SIZE: u64 = 64 * MIB;
/// The least that mkfs.xfs takes is 300 MiB.
pub(crate) const XFS_SIZE: u64 = 320 * MIB;

/// What the worker is made to believe of the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// What is true.
    Own,
    /// That it cannot create a mount exclusively (before 6.6).
    Old,
    /// That it lets nobody grow an ext4 that is mounted: a worker without CAP_SYS_RESOURCE.
    NoGrowing,
}

/// The small sysfs, and the worker that looks at it.
pub(crate) struct Disks {
    root: PathBuf,
    kernel: Kernel,
}

impl Disks {
    pub(crate) fn new(run: &Path, kernel: Kernel) -> Self {
        let root = run.to_owned();
        for dir in ["sys/block", "sys/dev/block", "dev/disk/by-id"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        Self { root, kernel }
    }

    /// The directory of a disk in the small sysfs.
    pub(crate) fn sys(&self, name: &str) -> PathBuf {
        self.root.join("sys/block").join(name)
    }

    pub(crate) fn dev(&self, name: &str) -> PathBuf {
        self.root.join("dev").join(name)
    }

    /// Writes what sysfs would show of a disk with this device number.
    pub(crate) fn show(&self, name: &str, (model, serial): (&str, &str), rdev: u64) {
        let sys = self.sys(name);
        std::fs::create_dir_all(sys.join("device")).unwrap();
        std::fs::create_dir_all(sys.join("holders")).unwrap();
        let dev = format!("{}:{}", major(rdev), minor(rdev));
        std::fs::write(sys.join("dev"), format!("{dev}\n")).unwrap();
        // As the kernel pads them (nvme_subsys_show_str_function).
        std::fs::write(sys.join("device/model"), format!("{model:<40}\n")).unwrap();
        std::fs::write(sys.join("device/serial"), format!("{serial:<20}\n")).unwrap();
        let link = self.root.join("sys/dev/block").join(&dev);
        let _ = std::fs::remove_file(&link);
        symlink(format!("../../block/{name}"), link).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        let node = self.dev(name);
        let _ = std::fs::remove_file(&node);
        mknodat(CWD, &node, FileType::BlockDevice, mode, rdev).unwrap();
    }

    /// Takes a disk out of the small sysfs, as a detach does.
    pub(crate) fn hide(&self, name: &str) {
        let dev = std::fs::read_to_string(self.sys(name).join("dev")).unwrap();
        std::fs::remove_file(self.root.join("sys/dev/block").join(dev.trim())).unwrap();
        std::fs::remove_dir_all(self.sys(name)).unwrap();
        std::fs::remove_file(self.dev(name)).unwrap();
    }

    /// The tests' own program, as a worker of this test host's disks and nothing else.
    pub(crate) fn spawn_worker(&self, socket: &Path, log: File) -> Child {
        let old = if self.kernel == Kernel::Old { "1" } else { "" };
        let mut command = Command::new("setpriv");
        if self.kernel == Kernel::NoGrowing {
            command.args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]);
        }
        command
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "disks::the_worker_of_other_tests"])
            .env("AISTACK_TEST_SOCKET", socket)
            .env("AISTACK_TEST_ROOT", &self.root)
            .env("AISTACK_TEST_OLD_KERNEL", old)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

/// Not a test: what [`Disks::spawn_worker`] runs. The production worker has no option that says where
/// sysfs is; the library that it is made of has.
#[test]
#[ignore = "started by other tests, as a process that can be killed"]
fn the_worker_of_other_tests() {
    let socket = std::env::var_os("AISTACK_TEST_SOCKET").expect("started by another test");
    let root = PathBuf::from(std::env::var_os("AISTACK_TEST_ROOT").unwrap());
    let mut host = Host::at(root.join("sys"), root.join("dev"), "/proc");
    if std::env::var("AISTACK_TEST_OLD_KERNEL").unwrap() == "1" {
        host = host.without_exclusive_mounts();
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listener = daemon::listen(Path::new(&socket), 0o600).unwrap().listener;
    listener.set_nonblocking(false).unwrap();
    server::serve(&listener, &host);
}

/// A real block device over a file, taken away when it is dropped.
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    /// `/dev/loop7`.
    pub(crate) node: String,
}

impl Disk {
    /// A device over a new file of `size` zeros.
    pub(crate) fn blank(tenants_host: &TestHost, file: &str, size: u64) -> Self {
        let image = tenants_host.run().join(file);
        File::create(&image).unwrap().set_len(size).unwrap();
        Self::over(&image, &[])
    }

    /// A device over an existing file.
    pub(crate) fn over(image: &Path, options: &[&str]) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .args(options)
            .arg(image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self {
            image: image.to_owned(),
            node: String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        }
    }

    pub(crate) fn rdev(&self) -> u64 {
        std::fs::metadata(&self.node).unwrap().rdev()
    }

    /// Shows it as the tenant's EBS volume.
    pub(crate) fn shown_as_ebs(self, tenants_host: &TestHost) -> Self {
        tenants_host
            .disks()
            .show(NAME, (EBS_MODEL, SERIAL), self.rdev());
        self
    }

    /// A digest of the whole device as it is behind the device, caches written out.
    pub(crate) fn digest(&self) -> String {
        self.write_out();
        crate::test_host::digest(&self.image)
    }

    /// Writes out what the kernel still has of the device and of its file.
    pub(crate) fn write_out(&self) {
        run("sync", &[&self.node, self.image.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

/// A blank disk of the usual size that is the tenant's EBS volume.
pub(crate) fn ebs_disk(tenants_host: &TestHost) -> Disk {
    Disk::blank(tenants_host, "disk.img", SIZE).shown_as_ebs(tenants_host)
}

/// The same, large enough for XFS.
pub(crate) fn xfs_disk(tenants_host: &TestHost) -> Disk {
    Disk::blank(tenants_host, "disk.img", XFS_SIZE).shown_as_ebs(tenants_host)
}

impl TestHost {
    pub(crate) fn disk_volume(&self, which: &str, uuid: Option<&str>) -> Volume {
        Volume {
            place: self.place(),
            source: Source::Disk(DiskSource {
                which: DiskMatch::parse(which).unwrap(),
                uuid: uuid.map(str::to_owned),
                size_min: 0,
            }),
        }
    }

    pub(crate) fn ebs_volume(&self) -> Volume {
        self.disk_volume(&format!("ebs:{ID}"), None)
    }

    pub(crate) fn ebs_wanted(&self, fs: FileSystem) -> Mount {
        Mount {
            volume: self.ebs_volume(),
            fs,
            may_format: true,
            grow: false,
        }
    }

    /// To mount the tenant's EBS volume as ext4, formatted if it is blank.
    pub(crate) fn ebs_mount(&self) -> Request {
        Request::Mount(self.ebs_wanted(FileSystem::Ext4))
    }

    pub(crate) fn ebs_record(&self) -> PathBuf {
        self.images().join(format!("{ID}.json"))
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}
