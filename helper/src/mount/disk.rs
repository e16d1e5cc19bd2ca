//! A whole disk: found by who it says it is, held by descriptor, and looked at again whenever
//! something is about to happen to it. A name under `/dev` is never believed.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aistack_policy::{DiskMatch, EBS_MODEL};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::host::Host;
use super::lock::lock;
use super::mounts::{self, device_number};
use super::wire::{DiskSource, Error, ErrorReason};
use super::{Result, cannot, ioctl};
use crate::safe_path::{Cross, Missing, ProcFd, open_at, open_root_owned};

/// How long a device may stay busy after its unmount, in steps of [`STEP`].
const STEPS: usize = 40;
const STEP: Duration = Duration::from_millis(50);

/// A disk that this request alone works on.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) fd: OwnedFd,
    /// `nvme1n1`.
    pub(super) name: String,
    pub(super) rdev: u64,
    /// The number of this attachment.
    pub(super) sequence: u64,
    which: DiskMatch,
    host: Host,
}

/// What sysfs says of a whole disk.
struct Seen {
    name: String,
    rdev: u64,
}

impl Disk {
    /// Finds, opens and locks the disk. On return the descriptor is the disk that was requested.
    pub(super) fn open(host: &Host, source: &DiskSource, base_dir: &Path) -> Result<Self> {
        let which = &source.which;
        let seen = find(host, which)?;
        refuse_system_disk(host, which, &seen, base_dir)?;
        let fd = open_node(host, &seen, OFlags::RDONLY)?;
        lock(&fd)?;
        let sequence = sequence(&fd)?;
        let disk = Self {
            fd,
            name: seen.name,
            rdev: seen.rdev,
            sequence,
            which: which.clone(),
            host: host.clone(),
        };
        disk.require_same()?;
        Ok(disk)
    }

    /// `/dev/nvme1n1`. While the disk is open no other one gets its name.
    pub(super) fn path(&self) -> PathBuf {
        self.host.dev().join(&self.name)
    }

    /// Refuses when the descriptor, the number of the attachment and what sysfs says of that device
    /// do not all mean the disk that was requested.
    pub(super) fn require_same(&self) -> Result<()> {
        let changed = |what: String| {
            let message = format!("{} changed while it was checked: {what}", self.which);
            Error::new(ErrorReason::DeviceChanged, message).with_hint("run it again")
        };
        if sequence(&self.fd)? != self.sequence {
            return Err(changed("it was attached again".to_owned()));
        }
        let dir = self.host.device(self.rdev);
        if let Some(sequence) = attribute(&dir.join("diskseq"))?
            && sequence != self.sequence.to_string()
        {
            return Err(changed("it was attached again".to_owned()));
        }
        if !is_it(&self.host, &self.which, &self.name, &dir)? {
            return Err(changed(
                "the device reports a different identity".to_owned(),
            ));
        }
        let named = attribute(&self.host.disks().join(&self.name).join("dev"))?;
        if named.as_deref().and_then(device_number) != Some(self.rdev) {
            return Err(changed(format!("{} is now another device", self.name)));
        }
        Ok(())
    }

    /// Refuses a disk that cannot be a volume, or that anything else on this host uses.
    pub(super) fn require_usable(&self, size_min: u64) -> Result<()> {
        let (name, which) = (&self.name, &self.which);
        let length = self.length()?;
        if length == 0 {
            let message = format!("{which} ({name}) has no size");
            return Err(Error::new(ErrorReason::BadDevice, message));
        }
        if length < size_min {
            let message =
                format!("{which} has {length} bytes, the policy's size_min is {size_min}");
            return Err(Error::new(ErrorReason::TooSmall, message).with_hint(
                "ask the administrator to enlarge the disk, or to attach the right one",
            ));
        }
        let failed = |error| looking(&self.name, error);
        if ioctl::is_read_only(&self.fd).map_err(failed)? {
            let message = format!("{which} ({name}) is read-only");
            return Err(Error::new(ErrorReason::ReadOnlyDevice, message));
        }
        let dir = self.host.disks().join(name);
        if let Some(partition) = partitions(&dir)?.first() {
            let partition = file_name(partition);
            let message = format!("{which} ({name}) has the partition {partition}");
            return Err(Error::new(ErrorReason::HasPartitions, message)
                .with_hint("aistack uses whole disks: ask the administrator for an empty one"));
        }
        if let Some(holder) = entries(&dir.join("holders"))?.first() {
            let holder = file_name(holder);
            let message = format!("{which} ({name}) is in use by {holder}");
            return Err(Error::new(ErrorReason::InUse, message));
        }
        if let Some(point) = mounts::anywhere(&self.host, self.rdev)? {
            // Where it is mounted may be another tenant's business.
            tracing::warn!(disk = %self.which, point = %point.display(), "mounted elsewhere");
            let message = format!("{which} is already mounted elsewhere on this host");
            return Err(
                Error::new(ErrorReason::InUse, message).with_hint("see the log of aistack-mount")
            );
        }
        if self.is_free()? {
            return Ok(());
        }
        let message =
            format!("the kernel says that {which} is in use, perhaps mounted inside a container");
        Err(Error::new(ErrorReason::InUse, message).with_hint("stop what uses it, then try again"))
    }

    /// True when nobody has the device exclusively: nothing is mounted from it in any mount
    /// namespace, and neither LVM, dm nor md holds it.
    pub(super) fn is_free(&self) -> Result<bool> {
        is_free(&self.fd)
    }

    /// Waits a little until nothing uses the device any more, and writes out what is left to write;
    /// true when it may be detached.
    pub(super) fn sync_when_idle(&self) -> Result<bool> {
        for _ in 0..STEPS {
            if self.is_free()? {
                rustix::fs::fsync(&self.fd).map_err(cannot("write out the disk"))?;
                return Ok(true);
            }
            std::thread::sleep(STEP);
        }
        Ok(false)
    }

    /// Bytes.
    pub(super) fn length(&self) -> Result<u64> {
        rustix::fs::seek(&self.fd, SeekFrom::End(0)).map_err(cannot("ask the disk for its size"))
    }
}

/// As open(2) has it, O_EXCL without O_CREAT on a block device fails while it is in use.
pub(super) fn is_free(fd: &OwnedFd) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(ProcFd::of(fd).to_string(), flags, Mode::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::BUSY) => Ok(false),
        Err(errno) => Err(cannot("see whether the device is in use")(errno)),
    }
}

/// The one disk that `which` means.
fn find(host: &Host, which: &DiskMatch) -> Result<Seen> {
    let mut found = Vec::new();
    for dir in entries(&host.disks())? {
        let name = file_name(&dir);
        let hidden = attribute(&dir.join("hidden"))?.is_some_and(|flag| flag == "1");
        if !hidden && is_it(host, which, &name, &dir)? {
            let dev = attribute(&dir.join("dev"))?;
            let rdev = dev.as_deref().and_then(device_number);
            found.extend(rdev.map(|rdev| Seen { name, rdev }));
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let message = format!("{which} is not attached to this host");
            Err(Error::new(ErrorReason::NotAttached, message)
                .with_hint("ask the administrator to attach it"))
        }
        (Some(one), Some(two)) => {
            let (one, two) = (one.name, two.name);
            let message = format!("{which} appears as both {one} and {two}; nothing was done");
            Err(Error::new(ErrorReason::AmbiguousDisk, message).with_hint(
                "ask the administrator: the attachment is stale, or the disk is attached twice",
            ))
        }
    }
}

/// Whether the disk `name`, described in the sysfs directory `dir`, is the one.
fn is_it(host: &Host, which: &DiskMatch, name: &str, dir: &Path) -> Result<bool> {
    let reports = |model: &str, serial: &str| {
        Ok(model_of(dir)?.as_deref() == Some(model) && serial_of(dir)?.as_deref() == Some(serial))
    };
    match which {
        DiskMatch::Ebs { id, .. } => reports(EBS_MODEL, &id.replacen('-', "", 1)),
        DiskMatch::Serial { model, serial, .. } => reports(model, serial),
        DiskMatch::ById { link, .. } => {
            let target = match fs::read_link(host.dev().join("disk/by-id").join(link)) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound) => return Ok(false),
                other => other.map_err(|error| looking(link, error))?,
            };
            Ok(target.parent() == Some(Path::new("../..")) && file_name(&target) == name)
        }
        DiskMatch::Xvd { device, .. } => Ok(device == name),
    }
}

/// The model, as NVMe and SCSI disks report it; virtio disks report none.
fn model_of(dir: &Path) -> Result<Option<String>> {
    if let Some(model) = attribute(&dir.join("device/model"))? {
        return Ok(Some(model));
    }
    let driver = fs::read_link(dir.join("device/driver")).unwrap_or_default();
    Ok((file_name(&driver) == "virtio_blk").then(|| "virtio".to_owned()))
}

/// The serial number: of an NVMe controller, of a virtio disk, or page 0x80 of a SCSI disk (SPC-4,
/// "Unit Serial Number VPD page": four bytes of header).
fn serial_of(dir: &Path) -> Result<Option<String>> {
    for place in ["device/serial", "serial"] {
        if let Some(serial) = attribute(&dir.join(place))? {
            return Ok(Some(serial));
        }
    }
    let page = match fs::read(dir.join("device/vpd_pg80")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| looking(&file_name(dir), error))?,
    };
    let text = page.get(4..).map(String::from_utf8_lossy);
    Ok(text.map(|text| {
        text.trim_matches(|c: char| c == '\0' || c.is_whitespace())
            .to_owned()
    }))
}

fn refuse_system_disk(host: &Host, which: &DiskMatch, seen: &Seen, base_dir: &Path) -> Result<()> {
    let mut devices = vec![seen.rdev];
    for partition in partitions(&host.disks().join(&seen.name))? {
        let device = attribute(&partition.join("dev"))?;
        devices.extend(device.as_deref().and_then(device_number));
    }
    if mounts::hold_the_system(host, &devices, base_dir)? {
        let message = format!("{which} is a system disk of this host");
        return Err(Error::new(ErrorReason::SystemDisk, message)
            .with_hint("ask the administrator to fix the policy"));
    }
    Ok(())
}

fn open_node(host: &Host, seen: &Seen, flags: OFlags) -> Result<OwnedFd> {
    let changed = |what: String| {
        let message = format!("{} {what}", seen.name);
        Error::new(ErrorReason::DeviceChanged, message).with_hint("run it again")
    };
    let dev = open_root_owned(host.dev(), Missing::Refuse).map_err(|e| changed(e.to_string()))?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = open_at(dev, OsStr::new(&seen.name), flags, Cross::Nothing)
        .map_err(|problem| changed(problem.to_string()))?;
    let stat = rustix::fs::fstat(&fd).map_err(cannot("look at the disk"))?;
    let block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    if block && stat.st_rdev == seen.rdev {
        return Ok(fd);
    }
    Err(changed("is not the device that sysfs named".to_owned()))
}

fn sequence(fd: &OwnedFd) -> Result<u64> {
    ioctl::disk_sequence(fd).map_err(|error| looking("the disk", error))
}

/// The partitions of a disk: directories in its own with the attribute `partition`.
fn partitions(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(dir)?;
    found.retain(|entry| entry.join("partition").exists());
    Ok(found)
}

/// What is in a directory, in order; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| looking(&file_name(dir), error);
    let reader = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in reader {
        found.push(entry.map_err(failed)?.path());
    }
    found.sort();
    Ok(found)
}

/// A sysfs attribute without the padding around it; `None` where there is none.
fn attribute(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(looking(&file_name(path), error)),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

// By value, as map_err passes it.
#[expect(clippy::needless_pass_by_value)]
fn looking(what: &str, error: std::io::Error) -> Error {
    let message = format!("cannot look at {what}: {error}");
    Error::new(ErrorReason::Internal, message)
}
