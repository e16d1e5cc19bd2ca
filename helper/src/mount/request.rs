//! The worker's own check of a request. It comes from the helper, which is trusted to choose the
//! tenant; the worker trusts it with nothing else.

use std::path::Path;

use super::Result;
use super::wire::{DiskSource, Error, ErrorReason, FileSystem, Mount, Place, Request, Source};
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
    let volume = request.volume();
    check_place(&volume.place)?;
    match &volume.source {
        Source::Loop { size } => check_size(*size, None)?,
        Source::Disk(disk) => check_disk(disk)?,
    }
    match request {
        Request::Mount(mount) => check_mount(mount),
        Request::Unmount(_) | Request::Grow(_) | Request::State(_) => Ok(()),
    }
}

fn check_mount(mount: &Mount) -> Result<()> {
    match &mount.volume.source {
        Source::Loop { size } => check_size(*size, Some(mount.fs)),
        Source::Disk(disk) if mount.may_format && disk.uuid.is_some() => Err(bad(
            "a volume whose file system is named is never formatted".to_owned(),
        )),
        Source::Disk(_) => Ok(()),
    }
}

fn check_disk(disk: &DiskSource) -> Result<()> {
    if let Some(uuid) = &disk.uuid {
        aistack_policy::parse_uuid(uuid).map_err(bad)?;
    } else if !disk.which.is_identity() {
        let message = format!("{} is a place, and no UUID says which disk", disk.which);
        return Err(bad(message));
    }
    if disk.size_min > MAX_SIZE {
        return Err(bad(format!("no disk has {} bytes", disk.size_min)));
    }
    Ok(())
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

fn check_size(size: u64, fs: Option<FileSystem>) -> Result<()> {
    let least = match fs {
        Some(FileSystem::Xfs) => MIN_XFS,
        Some(FileSystem::Ext4) | None => MIN_EXT4,
    };
    if (least..=MAX_SIZE).contains(&size) {
        return Ok(());
    }
    Err(bad(format!(
        "such volumes have {least} to {MAX_SIZE} bytes, not {size}"
    )))
}

fn bad(message: String) -> Error {
    Error::new(ErrorReason::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::wire::Volume;
    use aistack_policy::DiskMatch;

    fn volume(uid: u32, base: &str, images: &str, source: Source) -> Volume {
        let place = Place {
            uid,
            base_dir: base.into(),
            image_dir: images.into(),
        };
        Volume { place, source }
    }

    fn mount(source: Source, fs: FileSystem, may_format: bool) -> Request {
        Request::Mount(Mount {
            volume: volume(1001, "/mnt/a", "/var/b", source),
            fs,
            may_format,
            grow: false,
        })
    }

    fn disk(which: &str, uuid: Option<&str>) -> Source {
        Source::Disk(DiskSource {
            which: DiskMatch::parse(which).unwrap(),
            uuid: uuid.map(str::to_owned),
            size_min: 0,
        })
    }

    #[test]
    fn base_directories_are_plain_apart_and_not_at_the_top() {
        let place = |uid, base: &str, images: &str| {
            let source = Source::Loop { size: MIN_XFS };
            Request::State(volume(uid, base, images, source))
        };
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
                ErrorReason::BadRequest,
                "{uid} {base} {images}"
            );
        }
    }

    #[test]
    fn sizes_have_both_bounds() {
        let sized = |size, fs| check(&mount(Source::Loop { size }, fs, true)).is_ok();
        assert!(sized(MIN_EXT4, FileSystem::Ext4) && sized(MIN_XFS, FileSystem::Xfs));
        assert!(!sized(MIN_EXT4 - 1, FileSystem::Ext4) && !sized(MIN_XFS - 1, FileSystem::Xfs));
        assert!(!sized(u64::MAX, FileSystem::Ext4) && !sized(0, FileSystem::Xfs));
    }

    #[test]
    fn a_place_needs_a_uuid_and_a_uuid_forbids_formatting() {
        let uuid = Some("01234567-89ab-cdef-0123-456789abcdef");
        let may = |source, format| check(&mount(source, FileSystem::Ext4, format)).is_ok();
        assert!(may(disk("ebs:vol-12345678", None), true));
        assert!(may(disk("ebs:vol-12345678", uuid), false));
        assert!(may(disk("xvd:xvdf", uuid), false));
        assert!(!may(disk("ebs:vol-12345678", uuid), true));
        assert!(!may(disk("xvd:xvdf", None), false));
        assert!(!may(disk("by-id:a", None), false));
        assert!(!may(disk("ebs:vol-12345678", Some("no uuid")), false));
    }
}
