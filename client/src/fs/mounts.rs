//! What is mounted where, as the kernel tells it to this process.

use std::path::Path;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mount {
    /// File system, e.g. `ext4`.
    pub fs: String,
    /// What is mounted, e.g. `/dev/nvme1n1`.
    pub source: String,
    /// Options of the mount point, e.g. `rw,nosuid,nodev`.
    pub options: String,
}

/// What is mounted at `place`; `None` when nothing is.
#[must_use]
pub fn at(place: &Path) -> Option<Mount> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&table, place.to_str()?)
}

/// Device of what is mounted at `place` in a table of mounts, `major:minor`; `None` when nothing is.
#[must_use]
pub fn device(table: &str, place: &str) -> Option<String> {
    table.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let device = words.next()?;
        let mut words = words.skip(1);
        (unescaped(words.next()?) == place).then(|| device.to_owned())
    })
}

/// A line is `id parent major:minor root place options [optional…] - fs source super-options`; of
/// several mounts at one place the last covers the others (proc_pid_mountinfo(5)).
fn find(table: &str, place: &str) -> Option<Mount> {
    table.lines().rev().find_map(|line| {
        let (mount, device) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        if unescaped(mount.next()?) != place {
            return None;
        }
        let options = mount.next()?.to_owned();
        let mut device = device.split(' ');
        Some(Mount {
            fs: device.next()?.to_owned(),
            source: unescaped(device.next()?),
            options,
        })
    })
}

/// Blank, tab, newline and backslash stand there as octal numbers.
fn unescaped(text: &str) -> String {
    ["040 ", "011\t", "012\n", "134\\"]
        .iter()
        .fold(text.to_owned(), |text, code| {
            let (octal, character) = code.split_at(3);
            text.replace(&format!("\\{octal}"), character)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_at_a_place_counts() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     40 22 7:1 / /mnt/data-tenant-1001 rw,nosuid,nodev shared:5 - ext4 /dev/loop1 rw\n\
                     41 40 7:2 / /mnt/data-tenant-1001 ro,nosuid - xfs /dev/loop\\0402 rw\n";
        let mount = find(table, "/mnt/data-tenant-1001").unwrap();
        assert_eq!(mount.fs, "xfs");
        assert_eq!(mount.source, "/dev/loop 2");
        assert_eq!(mount.options, "ro,nosuid");
        assert_eq!(find(table, "/mnt/data-tenant-100"), None);
        let device = |place| device(table, place);
        assert_eq!(device("/mnt/data-tenant-1001").as_deref(), Some("7:2"));
        assert_eq!(device("/mnt/data-tenant-100"), None);
    }

    #[test]
    fn the_root_of_this_process_is_mounted() {
        assert!(at(Path::new("/")).is_some());
    }
}
