//! What containers may write outside of their mounts: into their own layer, which lies on Docker's
//! disk, where the host's other things are too. Pure; `engine/disk.rs` looks.

use aistack_policy::{Grant, Refusal, Rule, WritableLayer};
use serde_json::Value;

/// Bytes that a file counts for at least: ext4 is made with one inode for each 16 KiB (mke2fs.conf(5)),
/// so that whoever uses its bytes in small files uses its share of inodes too.
const FILE: u64 = 16 << 10;

/// The part of a disk that is kept free, and the most of it, bytes.
const RESERVE: (u64, u64) = (20, 10 << 30);

/// What one container has written into its layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// Bytes of files.
    pub bytes: u64,
    /// Files, directories and links that differ from the image, where they were counted.
    pub files: Option<u64>,
}

/// A disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that whoever is not root may still write.
    pub bytes_free: u64,
    /// Inodes in all; 0 where the file system does not count them.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

impl Space {
    /// Bytes and inodes that are kept free.
    #[must_use]
    pub fn reserve(&self) -> (u64, u64) {
        let (part, most) = RESERVE;
        ((self.bytes / part).min(most), self.inodes / part)
    }

    /// True when the reserve is untouched.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let (bytes, inodes) = self.reserve();
        self.bytes_free >= bytes && self.inodes_free >= inodes
    }

    /// Decides whether something new may write to this disk.
    ///
    /// # Errors
    /// `DISK_RESERVE`.
    pub fn admit(&self) -> Result<(), Refusal> {
        if self.is_enough() {
            return Ok(());
        }
        let (bytes, inodes) = self.reserve();
        let what = if self.bytes_free < bytes {
            gibibytes(bytes)
        } else {
            format!("{inodes} inodes")
        };
        let message = format!("Docker's disk is down to its reserve of {what}");
        Err(
            Refusal::new("DISK_RESERVE", message, Rule::builtin("disk-reserve")).with_hint(
                "remove containers that you do not need, or ask the administrator to free \
                 space; containers with a read-only root file system can still be created and started",
            ),
        )
    }
}

/// True when what Docker shows of a container says that its root file system is read-only.
#[must_use]
pub fn is_read_only(container: &Value) -> bool {
    let shown = container.pointer("/HostConfig/ReadonlyRootfs");
    shown.and_then(Value::as_bool).unwrap_or(false)
}

/// Decides whether a container may have a root file system that it can write to.
///
/// # Errors
/// `WRITABLE_LAYER_REFUSED`.
pub fn check_root(grant: &Grant, read_only: bool) -> Result<(), Refusal> {
    if read_only || grant.writable_layer != WritableLayer::Never {
        return Ok(());
    }
    let message =
        "HostConfig.ReadonlyRootfs must be true: containers may only write to their mounts";
    let rule = grant.rules.writable_layer.clone();
    Err(
        Refusal::new("WRITABLE_LAYER_REFUSED", message, rule).with_hint(
            "run it with --read-only (compose: read_only: true), and mount a tmpfs where it writes",
        ),
    )
}

/// The most files that a layer may have; what is above need not be counted.
#[must_use]
pub fn most_files(grant: &Grant) -> u64 {
    match grant.writable_layer {
        WritableLayer::Never => 0,
        WritableLayer::AtMost(most) => most / FILE,
    }
}

/// Says what is wrong with a layer, in words for its owner; `None` when it is within the policy.
/// A layer that may not be at all is judged by [`check_root`].
#[must_use]
pub fn excess(grant: &Grant, layer: Layer) -> Option<String> {
    let WritableLayer::AtMost(most) = grant.writable_layer else {
        return None;
    };
    let written = if layer.bytes > most {
        mebibytes(layer.bytes)
    } else if layer.files.is_some_and(|files| files > most_files(grant)) {
        format!("more than {} files", most_files(grant))
    } else {
        return None;
    };
    Some(format!(
        "it has written {written} outside of its mounts, and writable_layer is {}",
        mebibytes(most)
    ))
}

/// Decides whether a container that has written so much may be started.
///
/// # Errors
/// `LAYER_FULL`.
pub fn check_start(grant: &Grant, layer: Layer) -> Result<(), Refusal> {
    let Some(excess) = excess(grant, layer) else {
        return Ok(());
    };
    let message = format!("the container is not started: {excess}");
    let rule = grant.rules.writable_layer.clone();
    Err(Refusal::new("LAYER_FULL", message, rule)
        .with_hint("recreate it with a mount where it writes"))
}

/// What is wrong with a layer that Docker cannot measure, in words for its owner.
pub const UNMEASURED: &str = "what it has written outside of its mounts could not be measured";

/// The refusal of a container whose layer cannot be measured, or takes too long to be.
#[must_use]
pub fn unmeasured(grant: &Grant) -> Refusal {
    let message = format!("the container is not started: {UNMEASURED}");
    let rule = grant.rules.writable_layer.clone();
    Refusal::new("LAYER_FULL", message, rule).with_hint("try again, or recreate it")
}

fn gibibytes(bytes: u64) -> String {
    let tenths = bytes / ((1 << 30) / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use aistack_policy::Policy;
    use serde_json::json;

    use super::*;

    fn grant(layer: &str) -> Grant {
        let text = format!(
            "{}writable_layer = {layer}\n",
            include_str!("../../../tests/corpus/policy.toml")
        );
        Policy::parse(&text).unwrap().grant(1001).unwrap()
    }

    fn disk(bytes: u64, bytes_free: u64, inodes: u64, inodes_free: u64) -> Space {
        Space {
            bytes,
            bytes_free,
            inodes,
            inodes_free,
        }
    }

    #[test]
    fn the_reserve_is_a_part_of_the_disk_and_has_an_upper_bound() {
        const GIB: u64 = 1 << 30;
        for (space, enough) in [
            (disk(100 * GIB, 5 * GIB, 1000, 1000), true),
            (disk(100 * GIB, 5 * GIB - 1, 1000, 1000), false),
            (disk(1000 * GIB, 10 * GIB, 1000, 1000), true),
            (disk(1000 * GIB, 10 * GIB - 1, 1000, 1000), false),
            (disk(100 * GIB, 50 * GIB, 1000, 50), true),
            (disk(100 * GIB, 50 * GIB, 1000, 49), false),
            // A file system that makes inodes as they are needed says 0, or very many.
            (disk(100 * GIB, 50 * GIB, 0, 0), true),
            (disk(0, 0, 0, 0), true),
        ] {
            assert_eq!(space.is_enough(), enough, "{space:?}");
            let refusal = space.admit().err();
            assert_eq!(refusal.is_none(), enough);
            if let Some(refusal) = refusal {
                assert_eq!(refusal.reason, "DISK_RESERVE");
                assert!(refusal.message.contains("reserve"), "{refusal}");
            }
        }
        let text = disk(1000 * GIB, 0, 0, 0).admit().unwrap_err().message;
        assert!(text.contains("10.0 GiB"), "{text}");
    }

    #[test]
    fn never_means_a_read_only_root_file_system() {
        let never = grant("\"never\"");
        assert!(check_root(&never, true).is_ok());
        let refusal = check_root(&never, false).unwrap_err();
        assert_eq!(refusal.reason, "WRITABLE_LAYER_REFUSED");
        assert_eq!(refusal.rule.key, "tenants.writable_layer");
        for read_only in [true, false] {
            assert!(check_root(&grant("\"64M\""), read_only).is_ok());
        }
        let container = |value| json!({"HostConfig": {"ReadonlyRootfs": value}});
        assert!(is_read_only(&container(json!(true))));
        for other in [json!(false), json!(null), json!("true")] {
            assert!(!is_read_only(&container(other)));
        }
    }

    #[test]
    fn a_layer_is_bounded_in_bytes_and_in_files() {
        let grant = grant("\"64M\"");
        let layer = |bytes, files| Layer {
            bytes,
            files: Some(files),
        };
        for within in [layer(0, 0), layer(64 << 20, 4096)] {
            assert_eq!(excess(&grant, within), None);
            assert!(check_start(&grant, within).is_ok());
        }
        for (above, words) in [
            (layer((64 << 20) + 1, 0), "written 64 MiB"),
            (layer(3 << 30, 0), "written 3072 MiB"),
            (layer(0, 4097), "more than 4096 files"),
        ] {
            let refusal = check_start(&grant, above).unwrap_err();
            assert_eq!(refusal.reason, "LAYER_FULL");
            assert!(refusal.message.contains(words), "{refusal}");
            assert!(
                refusal.message.contains("writable_layer is 64 MiB"),
                "{refusal}"
            );
        }
        assert_eq!(excess(&self::grant("\"never\""), layer(1 << 40, 1)), None);
        let uncounted = |bytes| Layer { bytes, files: None };
        assert_eq!(excess(&grant, uncounted(64 << 20)), None);
        assert!(excess(&grant, uncounted((64 << 20) + 1)).is_some());
    }
}
