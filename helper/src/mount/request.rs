//! The worker's own check of a request. It comes from the helper, which is trusted to choose the
//! tenant; the worker trusts it with nothing else.

use std::path::Path;

use super::Result;
use super::wire::{Failure, FailureReason, FileSystem, MountLoop, Place, Request};
use crate::safe_path::plain_components;

/// The smallest volume on which the file system works, bytes.
const MIN_EXT4: u64 = 16 << 20;
/// mkfs.xfs refuses less (xfsprogs 5.19 and later).
const MIN_XFS: u64 = 300 << 20;
/// More than any volume; keeps every sum far from overflow.
const MAX_SIZE: u64 = 1 << 50;
/// The fewest components of a mount point: nothing is mounted directly below `/`.
const MIN_COMPONENTS: usize = 2;

/// Refuses a request that no correct helper makes.
pub(super) fn check(request: &Request) -> Result<()> {
    match request {
        Request::MountLoop(mount) => {
            check_place(&mount.place)?;
            check_size(mount)
        }
        Request::Unmount(place) | Request::State(place) => check_place(place),
    }
}

fn check_place(place: &Place) -> Result<()> {
    if place.uid == 0 || place.uid == u32::MAX {
        return Err(bad(format!("UID {} cannot have a volume", place.uid)));
    }
    let base = components(&place.base_dir)?;
    let images = components(&place.image_dir)?;
    if base.len() < MIN_COMPONENTS || images.is_empty() {
        return Err(bad(
            "the base directory is too high in the file tree".to_owned()
        ));
    }
    if images.starts_with(&base) || base.starts_with(&images) {
        let message = "the base directory and the directory of the images are not apart";
        return Err(bad(message.to_owned()));
    }
    Ok(())
}

fn components(path: &Path) -> Result<Vec<&std::ffi::OsStr>> {
    plain_components(path).map_err(|error| bad(error.to_string()))
}

fn check_size(mount: &MountLoop) -> Result<()> {
    let least = match mount.fs {
        FileSystem::Ext4 => MIN_EXT4,
        FileSystem::Xfs => MIN_XFS,
    };
    if (least..=MAX_SIZE).contains(&mount.size) {
        return Ok(());
    }
    let (fs, size) = (mount.fs.name(), mount.size);
    Err(bad(format!(
        "{fs} volumes have {least} to {MAX_SIZE} bytes, not {size}"
    )))
}

fn bad(message: String) -> Failure {
    Failure::new(FailureReason::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uid: u32, base: &str, images: &str) -> Request {
        Request::State(Place {
            uid,
            base_dir: base.into(),
            image_dir: images.into(),
        })
    }

    #[test]
    fn places_are_plain_apart_and_not_at_the_top() {
        let good = "/mnt/data-tenant-1001";
        let images = "/var/lib/aistack/volumes";
        assert!(check(&place(1001, good, images)).is_ok());
        let bad = [
            (0, good, images),
            (u32::MAX, good, images),
            (1001, "/", images),
            (1001, "/mnt", images),
            (1001, "mnt/a", images),
            (1001, "/mnt/../a", images),
            (1001, "/mnt/a/", images),
            (1001, "/mnt//a", images),
            (1001, good, "/"),
            (1001, good, "volumes"),
            (1001, "/var/lib", images),
            (1001, images, images),
            (1001, "/var/lib/aistack/volumes/x", images),
        ];
        for (uid, base, images) in bad {
            let failure = check(&place(uid, base, images)).unwrap_err();
            assert_eq!(
                failure.reason,
                FailureReason::BadRequest,
                "{uid} {base} {images}"
            );
        }
    }

    #[test]
    fn sizes_have_both_bounds() {
        let sized = |size, fs| {
            let place = Place {
                uid: 1001,
                base_dir: "/mnt/a".into(),
                image_dir: "/var/b".into(),
            };
            check(&Request::MountLoop(MountLoop {
                place,
                size,
                fs,
                may_format: true,
            }))
            .is_ok()
        };
        assert!(sized(MIN_EXT4, FileSystem::Ext4) && sized(MIN_XFS, FileSystem::Xfs));
        assert!(!sized(MIN_EXT4 - 1, FileSystem::Ext4) && !sized(MIN_XFS - 1, FileSystem::Xfs));
        assert!(!sized(u64::MAX, FileSystem::Ext4) && !sized(0, FileSystem::Xfs));
    }
}
