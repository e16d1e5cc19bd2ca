//! Which directories containers write to outside of their mounts, and how much is free there.

use std::path::{Path, PathBuf};

use aistack_policy::Refusal;
use aistack_policy::engine::EngineFacts;

use super::super::vet::layer::Space;

/// Where the containerd of its own package keeps everything, unless its configuration says otherwise
/// (containerd-config.toml(5), `root`).
const CONTAINERD_DIR: &str = "/var/lib/containerd";
/// Its socket. dockerd uses that containerd when it is there, and starts one of its own otherwise, with
/// another socket and below its own directory (moby, `cmd/dockerd`: `defaultContainerdAddr`).
const CONTAINERD_SOCKETS: [&str; 2] = [
    "/run/containerd/containerd.sock",
    "/var/run/containerd/containerd.sock",
];

/// The directories that an engine writes to, by what it says of itself: its own, and with containerd's
/// image store the one of a containerd that it has not started itself. Engines say which one that is
/// from API 1.46 on; `is_there` tells whether a file is on this host.
///
/// # Errors
/// When the engine does not say where its directory is.
pub(super) fn of(
    facts: &EngineFacts,
    is_there: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, String> {
    let own = facts.data_root.as_str();
    if !own.starts_with('/') {
        return Err("Docker does not report its data directory".to_owned());
    }
    let mut dirs = vec![PathBuf::from(own)];
    let address = facts.containerd.as_str();
    let not_its_own = if address.is_empty() {
        is_there(Path::new(CONTAINERD_SOCKETS[0]))
    } else {
        CONTAINERD_SOCKETS.contains(&address)
    };
    if facts.containerd_image_store && not_its_own {
        dirs.push(PathBuf::from(CONTAINERD_DIR));
    }
    Ok(dirs)
}

/// What was seen of the directories' file systems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Disks {
    /// In the order of the directories, as far as they could be looked at.
    pub(super) spaces: Vec<Space>,
    /// Why one could not be.
    pub(super) unseen: Option<String>,
}

impl Disks {
    /// Looks at each directory's file system.
    pub(super) fn look(dirs: &[PathBuf]) -> Self {
        let mut disks = Self::default();
        for dir in dirs {
            match rustix::fs::statvfs(dir) {
                Ok(stat) => disks.spaces.push(Space {
                    bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                    bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
                    inodes: stat.f_files,
                    inodes_free: stat.f_favail,
                }),
                Err(error) => disks.unseen = Some(format!("{}: {error}", dir.display())),
            }
        }
        disks
    }

    /// Nothing could be looked at.
    pub(super) fn unseen(why: String) -> Self {
        Self {
            spaces: Vec::new(),
            unseen: Some(why),
        }
    }

    /// Decides whether something new may write: each disk must have its reserve.
    ///
    /// # Errors
    /// `DISK_RESERVE`.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        self.spaces.iter().try_for_each(Space::admit)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What engines were seen to answer: Debian's 20.10, and the current one with either image store
    /// and with either containerd.
    #[test]
    fn layers_are_looked_for_where_the_image_store_writes_them() {
        let graph = json!([
            ["Backing Filesystem", "extfs"],
            ["Native Overlay Diff", "true"]
        ]);
        let containerd = json!([["driver-type", "io.containerd.snapshotter.v1"]]);
        let address = |text: &str| json!({"Address": text, "Namespaces": {"Containers": "moby"}});
        let systems = address("/run/containerd/containerd.sock");
        let own = address("/var/run/docker/containerd/containerd.sock");
        for (status, containerd, running, both) in [
            (&graph, json!(null), true, false),
            (&graph, systems.clone(), true, false),
            (&containerd, systems, false, true),
            (&containerd, own, true, false),
            // Before API 1.46 the engine does not say, and uses the one that runs.
            (&containerd, json!(null), true, true),
            (&containerd, json!(null), false, false),
        ] {
            let info = json!({"DockerRootDir": "/var/lib/docker", "DriverStatus": status,
                "Containerd": containerd, "SecurityOptions": []});
            let facts = EngineFacts::read(&json!({"ApiVersion": "1.41"}), &info).unwrap();
            let dirs = of(&facts, |_| running).unwrap();
            let second = both.then_some("/var/lib/containerd");
            let wanted: Vec<&Path> = std::iter::once("/var/lib/docker")
                .chain(second)
                .map(Path::new)
                .collect();
            assert_eq!(dirs, wanted, "{info}");
        }
        assert!(of(&EngineFacts::default(), |_| true).is_err());
    }

    #[test]
    fn each_disk_needs_its_reserve_and_one_that_is_not_seen_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("none"), dir.path().to_owned()];
        let disks = Disks::look(&dirs);
        assert_eq!(disks.spaces.len(), 1);
        assert!(disks.unseen.unwrap().contains("none"));
        let space = |bytes_free| Space {
            bytes: 100,
            bytes_free,
            ..Space::default()
        };
        let admit = |spaces: &[Space]| {
            let spaces = spaces.to_vec();
            Disks {
                spaces,
                unseen: None,
            }
            .admit()
        };
        assert!(admit(&[space(50), space(50)]).is_ok());
        assert!(admit(&[space(50), space(1)]).is_err());
        assert!(admit(&[space(1), space(50)]).is_err());
        assert!(Disks::unseen("x".to_owned()).admit().is_ok());
    }
}
