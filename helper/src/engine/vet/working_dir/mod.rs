//! Where a process may start in a container: never where somebody in the container could have put a
//! link to a descriptor that the runtime left open (CVE-2024-21626). The kernel follows links when
//! runc changes there, so each component of the path must be one that nobody in the container can
//! replace. Whoever can write a directory can replace what is in it: the decision is about the
//! parents, not of the directory itself. Pure.
//!
//! What lies below a mount is the tenant's: a bind is written from other containers and, read-only
//! ones included, from the host; a tmpfs from the container. A mount's own place is a directory, and
//! the kernel lets nobody rename a place that something is mounted on (`EBUSY`, rename(2)). Outside of
//! mounts nothing can be replaced in a read-only root file system; in a writable one, only where every
//! parent is root's in every image, as no container runs as root. The image's own working directory
//! is the image's word, like its program.

use aistack_policy::{Refusal, Rule};
use serde_json::Value;

use super::create::paths::{is_at_or_below, may_work_in, resolved};
use super::json::shown;

/// Directories that images leave to root and closed to others (FHS 3.0): what is in them stays what
/// the image has put there.
const ROOTS_OWN: [&str; 31] = [
    "/",
    "/boot",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/usr",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/local/src",
    "/usr/sbin",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/opt",
    "/var/www",
];

/// What a container has of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<'a> {
    /// Paths that something is mounted on.
    pub mounts: Vec<&'a str>,
    /// Nobody can change the root file system.
    pub read_only: bool,
    /// Where its processes start unless somebody says otherwise; empty for `/`.
    pub own: &'a str,
}

impl<'a> Layout<'a> {
    /// The layout of a container as Docker's inspect answer shows it.
    #[must_use]
    pub fn of_container(container: &'a Value) -> Self {
        let list = |pointer: &str, key: &'static str| {
            let items = container.pointer(pointer).and_then(Value::as_array);
            let items = items.into_iter().flatten();
            items.filter_map(move |item| item.get(key)?.as_str())
        };
        let tmpfs = container.pointer("/HostConfig/Tmpfs");
        let tmpfs = tmpfs.and_then(Value::as_object).into_iter().flatten();
        // One mount may be shown in two places.
        let mounts = list("/Mounts", "Destination")
            .chain(list("/HostConfig/Mounts", "Target"))
            .chain(tmpfs.map(|(target, _)| target.as_str()));
        let read_only = container.pointer("/HostConfig/ReadonlyRootfs");
        let own = container.pointer("/Config/WorkingDir");
        Self {
            mounts: mounts.collect(),
            read_only: read_only.and_then(Value::as_bool).unwrap_or(false),
            own: own.and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// Decides whether a process may start in `requested`; empty for the container's own directory.
    ///
    /// # Errors
    /// `WORKING_DIR_REFUSED`.
    pub fn check(&self, requested: &str) -> Result<(), Refusal> {
        let named = if requested.is_empty() {
            self.own
        } else {
            requested
        };
        let path = match named.trim_end_matches('/') {
            "" => return Ok(()),
            // An image may say "/app/"; a caller must be exact elsewhere.
            path => path,
        };
        if !may_work_in(path) {
            return Err(refused(
                named,
                "is not a clean absolute path outside /proc, /sys and /dev",
            ));
        }
        let path = resolved(path);
        let mut mounts = self.mounts.iter().map(|mount| resolved(mount));
        if let Some(outer) = mounts.find(|mount| *mount != path && is_at_or_below(&path, mount)) {
            let why = format!(
                "is inside the mount at \"{}\", where the tenant can put a link",
                shown(&outer)
            );
            return Err(refused(named, &why));
        }
        if self.read_only || path == resolved(self.own.trim_end_matches('/')) {
            return Ok(());
        }
        let is_mount = self.mounts.iter().any(|mount| resolved(mount) == path);
        // The place of a mount is held by the mount, whoever can write its parent.
        let skipped = usize::from(is_mount);
        match parents(&path).skip(skipped).find(|dir| !is_roots(dir)) {
            None => Ok(()),
            Some(parent) => {
                let why = format!(
                    "is in \"{}\", which the container may be able to write to",
                    shown(parent)
                );
                Err(refused(named, &why))
            }
        }
    }
}

fn is_roots(path: &str) -> bool {
    ROOTS_OWN.contains(&path)
}

/// The directories above a clean path, nearest first, `/` last.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

fn refused(path: &str, why: &str) -> Refusal {
    let message = format!("WorkingDir \"{}\" {why}", shown(path));
    let rule = Rule::builtin("working-directory");
    Refusal::new("WORKING_DIR_REFUSED", message, rule).with_hint(
        "start in / or in a mounted directory, and change directory in a shell: \
         sh -c 'cd DIR && exec PROGRAM'; with a read-only root file system any directory \
         outside of mounts is allowed",
    )
}

#[cfg(test)]
mod tests;
