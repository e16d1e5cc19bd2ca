//! The directories that containers write to outside of their mounts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::own::text;

/// How long Docker's word for its directory holds: an engine that was restarted or upgraded may have another one.
const HOLDS: Duration = Duration::from_secs(30);
/// Where a containerd that is not Docker's own keeps layers, with containerd's image store; Docker says only
/// that it is used. Docker's packages are set up so.
const CONTAINERD: &str = "/var/lib/containerd";

/// What is known of them.
#[derive(Debug)]
pub(super) enum Dirs {
    /// The command line says it.
    Given(Vec<PathBuf>),
    /// Docker said it.
    Told(Vec<PathBuf>, Instant),
    /// Not asked yet.
    Unknown,
}

impl Dirs {
    pub(super) fn new(given: Option<PathBuf>) -> Self {
        given.map_or(Self::Unknown, |dir| Self::Given(vec![dir]))
    }

    /// What Docker says of itself; `None` when it does not say where its directory is.
    pub(super) fn told(info: &Value) -> Option<Self> {
        let dirs = of(info, Path::new(CONTAINERD).is_dir())?;
        Some(Self::Told(dirs, Instant::now()))
    }

    /// The directories, and whether that still holds.
    pub(super) fn known(&self) -> Option<(Vec<PathBuf>, bool)> {
        match self {
            Self::Given(dirs) => Some((dirs.clone(), true)),
            Self::Told(dirs, when) => Some((dirs.clone(), when.elapsed() < HOLDS)),
            Self::Unknown => None,
        }
    }
}

fn of(info: &Value, containerd_is_there: bool) -> Option<Vec<PathBuf>> {
    let root = text(info, "/DockerRootDir");
    let mut dirs = vec![PathBuf::from(root)];
    let status = info.get("DriverStatus").and_then(Value::as_array);
    let in_containerd = status.into_iter().flatten().any(|pair| {
        text(pair, "/0") == "driver-type"
            && text(pair, "/1").starts_with("io.containerd.snapshotter")
    });
    if in_containerd && containerd_is_there {
        dirs.push(PathBuf::from(CONTAINERD));
    }
    root.starts_with('/').then_some(dirs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_of_containerds_image_store_may_lie_beside_dockers_directory() {
        let told = |info: Value, there| {
            let dirs = of(&info, there)?;
            let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            Some(dirs.join(" "))
        };
        let overlay2 = json!({"DockerRootDir": "/srv/docker", "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]]});
        let containerd = json!({"DockerRootDir": "/srv/docker", "Driver": "overlayfs",
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]});
        let of = |info: &Value, there| told(info.clone(), there);
        assert_eq!(of(&overlay2, true).as_deref(), Some("/srv/docker"));
        assert_eq!(of(&containerd, false).as_deref(), Some("/srv/docker"));
        let both = of(&containerd, true);
        assert_eq!(both.as_deref(), Some("/srv/docker /var/lib/containerd"));
        assert_eq!(of(&json!({}), true), None);
        assert_eq!(
            of(
                &json!({"DockerRootDir": "docker", "DriverStatus": null}),
                true
            ),
            None
        );
    }

    #[test]
    fn what_docker_said_holds_for_a_while_only() {
        let info = json!({"DockerRootDir": "/srv/docker"});
        let told = Dirs::told(&info).unwrap();
        assert_eq!(told.known(), Some((vec!["/srv/docker".into()], true)));
        let Dirs::Told(dirs, when) = told else {
            panic!("{told:?}");
        };
        // A machine that has just started counts from zero.
        if let Some(before) = when.checked_sub(HOLDS) {
            let old = Dirs::Told(dirs, before);
            assert_eq!(old.known(), Some((vec!["/srv/docker".into()], false)));
        }
        let given = Dirs::new(Some("/srv/other".into()));
        assert_eq!(given.known(), Some((vec!["/srv/other".into()], true)));
        assert_eq!(Dirs::new(None).known(), None);
    }
}
