//! What is mounted on this host, in every mount namespace that can be seen, and what it swaps to.

use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::makedev;

use super::Result;
use super::host::Host;
use super::wire::{Error, ErrorReason};

/// Where the system itself lives: these, and everything below them but `/`.
const SYSTEM: [&str; 7] = ["/", "/boot", "/efi", "/etc", "/home", "/usr", "/var"];

/// The most that is read of one mountinfo, bytes: tens of thousands of mounts.
const MAX_MOUNTINFO: u64 = 16 << 20;

/// One line of a mountinfo (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Of this mount alone, in whatever namespace it is.
    pub(super) id: u64,
    /// Of what it is mounted on.
    pub(super) parent: u64,
    pub(super) device: u64,
    /// True when the whole file system shows here, not a directory of it.
    pub(super) whole: bool,
    pub(super) point: PathBuf,
    /// The peer group that it is in, and the one that it follows.
    pub(super) shared: Option<u64>,
    pub(super) master: Option<u64>,
}

/// Where the device is mounted, in whatever process's view; `None` when it is nowhere.
pub(super) fn anywhere(host: &Host, device: u64) -> Result<Option<PathBuf>> {
    let mut found = None;
    each_process(host, |_, mounts| {
        found = mounts
            .into_iter()
            .find(|mount| mount.device == device)
            .map(|mount| mount.point);
        if found.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(found)
}

/// Shows `look` the mounts that each process sees, with the process's PID. Processes that end
/// meanwhile are left out.
pub(super) fn each_process(
    host: &Host,
    mut look: impl FnMut(u32, Vec<Mount>) -> ControlFlow<()>,
) -> Result<()> {
    for entry in std::fs::read_dir(host.proc()).map_err(looking)? {
        let entry = entry.map_err(looking)?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mounts = match of_process(&entry.path()) {
            Err(_) if pid != 1 => continue,
            other => other.map_err(looking)?,
        };
        if look(pid, mounts).is_break() {
            break;
        }
    }
    Ok(())
}

/// What the worker itself sees mounted.
pub(super) fn own(host: &Host) -> Result<Vec<Mount>> {
    of_process(&host.proc().join("self")).map_err(looking)
}

/// True when the system lives on one of the devices, or swaps to one. A tenant's own volume at
/// `base_dir` is not the system.
pub(super) fn hold_the_system(host: &Host, devices: &[u64], base_dir: &Path) -> Result<bool> {
    let of_init = of_process(&host.proc().join("1")).map_err(looking)?;
    let mounted = of_init.iter().any(|mount| {
        devices.contains(&mount.device) && is_system(&mount.point) && mount.point != base_dir
    });
    Ok(mounted || swaps(host)?.iter().any(|swap| devices.contains(swap)))
}

fn is_system(point: &Path) -> bool {
    SYSTEM
        .iter()
        .any(|system| point == Path::new(system) || (*system != "/" && point.starts_with(system)))
}

fn of_process(process: &Path) -> std::io::Result<Vec<Mount>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(process.join("mountinfo"))?;
    file.take(MAX_MOUNTINFO).read_to_end(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(parse).collect())
}

/// `36 35 98:0 /root /mnt/parent rw,noatime shared:7 master:3 - …`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (id, parent) = (text()?.parse().ok()?, text()?.parse().ok()?);
    let device = device_number(text()?)?;
    let whole = fields.next()? == b"/";
    let point = unescape(fields.next()?);
    let tags = || fields.clone().skip(1).take_while(|field| *field != b"-");
    let tag = |name: &[u8]| {
        let number = tags().find_map(|field| field.strip_prefix(name))?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    Some(Mount {
        id,
        parent,
        device,
        whole,
        shared: tag(b"shared:"),
        master: tag(b"master:"),
        point: PathBuf::from(std::ffi::OsStr::from_bytes(&point)),
    })
}

/// `98:0`, as mountinfo and sysfs write it.
pub(super) fn device_number(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Undoes `\040` and the like.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            plain.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

/// Device numbers of the swap devices; the devices that hold swap files are mounted anyway.
fn swaps(host: &Host) -> Result<Vec<u64>> {
    let text = match std::fs::read_to_string(host.proc().join("swaps")) {
        // A kernel without swap.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(looking)?,
    };
    let mut devices = Vec::new();
    for line in text.lines().skip(1) {
        let name = line.split_whitespace().next().unwrap_or_default();
        if !line.contains("partition") {
            continue;
        }
        let path = unescape(name.as_bytes());
        let stat = std::fs::metadata(std::ffi::OsStr::from_bytes(&path)).map_err(looking)?;
        devices.push(stat.rdev());
    }
    Ok(devices)
}

// By value, as map_err passes it.
#[expect(clippy::needless_pass_by_value)]
pub(super) fn looking(error: std::io::Error) -> Error {
    let message = format!("cannot look at what is mounted on this host: {error}");
    Error::new(ErrorReason::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(mountinfo: &str, swaps: &str) -> (tempfile::TempDir, Host) {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("1")).unwrap();
        std::fs::write(proc.path().join("1/mountinfo"), mountinfo).unwrap();
        std::fs::write(proc.path().join("swaps"), swaps).unwrap();
        let host = Host::at("/sys", "/dev", proc.path());
        (proc, host)
    }

    #[test]
    fn mounts_are_found_by_device_in_every_process() {
        let init =
            "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 7:3 / /mnt/a\\040b rw - ext4 x rw\n";
        let (proc, host) = host(init, "");
        let at = |device| anywhere(&host, device).unwrap();
        assert_eq!(at(makedev(7, 3)), Some("/mnt/a b".into()));
        assert_eq!(at(makedev(7, 4)), None);
        std::fs::create_dir(proc.path().join("77")).unwrap();
        let hidden = "90 80 7:4 / /data rw - ext4 x rw\n";
        std::fs::write(proc.path().join("77/mountinfo"), hidden).unwrap();
        assert_eq!(at(makedev(7, 4)), Some("/data".into()));
    }

    #[test]
    fn without_the_mounts_of_init_nothing_is_known() {
        let (proc, host) = host("", "");
        std::fs::remove_file(proc.path().join("1/mountinfo")).unwrap();
        assert!(anywhere(&host, 1).is_err());
        assert!(hold_the_system(&host, &[1], Path::new("/mnt/a")).is_err());
    }

    #[test]
    fn the_system_is_where_it_is_mounted_and_where_it_swaps() {
        let mounts = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /var/lib/docker rw - ext4 a rw\n\
                      3 1 8:3 / /mnt/data rw - ext4 a rw\n4 1 8:4 / /var/tenants/1 rw - ext4 a rw\n";
        let null = std::fs::metadata("/dev/null").unwrap().rdev();
        let swaps = "Filename Type Size Used Priority\n/dev/null partition 1 0 -2\n/x file 1 0 1\n";
        let (_proc, host) = host(mounts, swaps);
        let base = Path::new("/var/tenants/1");
        let holds = |device| hold_the_system(&host, &[device], base).unwrap();
        assert!(holds(makedev(8, 1)) && holds(makedev(8, 2)) && holds(null));
        assert!(!holds(makedev(8, 3)) && !holds(makedev(8, 4)) && !holds(makedev(8, 9)));
    }
}
