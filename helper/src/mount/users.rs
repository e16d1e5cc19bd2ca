//! Who uses a mounted volume besides its own mount. umount(2) does not see the mounts that containers
//! have of it in their own mount namespaces; they would keep a volume in use that is mounted nowhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Result;
use super::host::Host;
use super::mounts::{self, Mount};
use super::wire::{Error, ErrorReason};

/// How long looking at every process may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A container that is being started has copies of all mounts for a moment, so a look is repeated
/// this often, [`STEP`] apart.
const LOOKS: usize = 20;
const STEP: Duration = Duration::from_millis(100);
/// Slaves of slaves are followed so far.
const MAX_CHAIN: usize = 16;

/// A process in whose view the volume is mounted besides.
#[derive(Debug, PartialEq, Eq)]
struct User {
    pid: u32,
    point: PathBuf,
}

/// A mount of the volume in some process's view that may be another one than its own.
struct Candidate {
    user: User,
    /// The peer groups of what it is mounted on, where an unmount of the volume's own might take
    /// it along: where it is a copy of that one.
    parent: Option<Mount>,
}

/// Refuses while a mount namespace has the volume that its own unmount would not take along.
pub(super) fn require_none(host: &Host, device: u64, base_dir: &Path, tenant: u32) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    for look in 1.. {
        let Some(user) = first(host, device, base_dir, until)? else {
            return Ok(());
        };
        if look >= LOOKS {
            return Err(used(host, &user, tenant));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// The tenant learns of its own processes; whose the others are, and where, is in the log.
fn used(host: &Host, user: &User, tenant: u32) -> Error {
    let process = host.proc().join(user.pid.to_string());
    let uid = std::fs::metadata(process).map(|meta| meta.uid()).ok();
    tracing::warn!(pid = user.pid, uid, point = %user.point.display(), "the volume is in use");
    let (whose, next) = if uid == Some(tenant) {
        let whose = format!("your process {}", user.pid);
        (whose, "stop the containers that use it, then run it again")
    } else {
        let next = "stop the containers that use it, then run it again; if there are none, ask the \
                    administrator to find the process in the log of aistack-mount";
        ("a process".to_owned(), next)
    };
    let message = format!(
        "the volume is in use: {whose} has it mounted in another mount namespace, as containers do"
    );
    Error::new(ErrorReason::InUse, message).with_hint(next)
}

fn first(host: &Host, device: u64, base_dir: &Path, until: Instant) -> Result<Option<User>> {
    let own = mounts::own(host)?;
    let mut at = own.iter().rev();
    let Some(volume) = at.find(|mount| mount.device == device && mount.point == base_dir) else {
        return Ok(None);
    };
    let below = own.iter().find(|mount| mount.id == volume.parent);
    let group = below.and_then(|mount| mount.shared);
    let mut candidates = Vec::new();
    let mut masters = BTreeMap::new();
    let mut in_time = true;
    mounts::each_process(host, |pid, seen| {
        masters.extend(
            seen.iter()
                .filter_map(|mount| Some((mount.shared?, mount.master?))),
        );
        let others = seen
            .iter()
            .filter(|mount| mount.device == device && mount.id != volume.id);
        for mount in others {
            let copy = mount.whole && mount.point == base_dir;
            let parent = seen.iter().find(|other| copy && other.id == mount.parent);
            candidates.push(Candidate {
                user: User {
                    pid,
                    point: mount.point.clone(),
                },
                parent: parent.cloned(),
            });
        }
        in_time = Instant::now() < until;
        if in_time {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if !in_time {
        let message = "this host has too many mounts to check in time whether the volume is in use";
        return Err(Error::new(ErrorReason::Busy, message).with_hint("run it again"));
    }
    let user = candidates.into_iter().find(|candidate| {
        let parent = candidate.parent.as_ref();
        !parent.is_some_and(|parent| follows(parent, group, &masters))
    });
    Ok(user.map(|candidate| candidate.user))
}

/// Whether an unmount in the peer group reaches what is mounted here (mount_namespaces(7)).
fn follows(parent: &Mount, group: Option<u64>, masters: &BTreeMap<u64, u64>) -> bool {
    let Some(group) = group else {
        return false;
    };
    let mut next = parent.shared.or(parent.master);
    if parent.master == Some(group) {
        return true;
    }
    for _ in 0..MAX_CHAIN {
        match next {
            Some(at) if at == group => return true,
            Some(at) => next = masters.get(&at).copied(),
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    /// A host whose worker and init see `own`, and whose process 77 sees `other`.
    fn found(own: &str, other: &str) -> Option<PathBuf> {
        let proc = tempfile::tempdir().unwrap();
        for (pid, mountinfo) in [("self", own), ("1", own), ("77", other)] {
            std::fs::create_dir(proc.path().join(pid)).unwrap();
            std::fs::write(proc.path().join(pid).join("mountinfo"), mountinfo).unwrap();
        }
        // One that has ended.
        std::fs::create_dir(proc.path().join("78")).unwrap();
        let host = Host::at("/sys", "/dev", proc.path());
        let until = Instant::now() + PATIENCE;
        let user = first(&host, makedev(7, 3), Path::new("/mnt/1"), until).unwrap();
        user.map(|user| user.point)
    }

    #[test]
    fn a_mount_counts_unless_it_goes_along_with_the_volumes_own() {
        let shared =
            "20 1 8:1 / / rw shared:1 - ext4 a rw\n30 20 7:3 / /mnt/1 rw shared:9 - ext4 b rw\n";
        let private = "20 1 8:1 / / rw - ext4 a rw\n30 20 7:3 / /mnt/1 rw - ext4 b rw\n";
        let volume = |tags: &str| format!("50 40 7:3 / /mnt/1 rw{tags} - ext4 b rw\n");
        let root = |tags: &str| format!("40 1 8:1 / / rw{tags} - ext4 a rw\n");
        // The very same mounts, of a process without a namespace of its own.
        assert_eq!(found(shared, shared), None);
        assert_eq!(found(private, private), None);
        // Copies that follow: a peer's, a slave's, a slave of a slave's.
        let peer = root(" shared:1") + &volume(" shared:9");
        assert_eq!(found(shared, &peer), None);
        let slave = root(" master:1") + &volume(" master:9");
        assert_eq!(found(shared, &slave), None);
        let further =
            root(" master:5") + &volume("") + "60 40 8:2 / /x rw shared:5 master:1 - ext4 c rw\n";
        assert_eq!(found(shared, &further), None);
        // Copies that stay, and what containers have.
        let stays = Some("/mnt/1".into());
        assert_eq!(found(shared, &(root("") + &volume(""))), stays);
        assert_eq!(
            found(shared, &(root(" master:4") + &volume(" master:9"))),
            stays
        );
        assert_eq!(found(private, &(root("") + &volume(""))), stays);
        // A directory of the volume, wherever: a container's target may have the volume's own name.
        let part =
            "40 1 8:1 / / rw master:1 - ext4 a rw\n50 40 7:3 /data/x /mnt/1 rw - ext4 b rw\n";
        assert_eq!(found(shared, part), stays);
        let data =
            "40 1 0:5 / / rw - overlay o rw\n50 40 7:3 /data/x /data rw master:9 - ext4 b rw\n";
        assert_eq!(found(shared, data), Some("/data".into()));
        // In the worker's own namespace, at another place.
        let bound = format!("{shared}31 20 7:3 /data /srv rw - ext4 b rw\n");
        assert_eq!(found(&bound, &bound), Some("/srv".into()));
        assert_eq!(found(shared, "40 1 7:4 / / rw - ext4 a rw\n"), None);
    }
}
