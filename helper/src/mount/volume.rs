//! Mounting, unmounting and growing a volume, step by step, whatever it is made of.

use super::decide;
use super::device::BlockDevice;
use super::filesystem::{self, Ready};
use super::grow::grow;
use super::host::Host;
use super::image::Image;
use super::medium::Medium;
use super::record::{Record, State, Store};
use super::target::{Sharing, Target, mount_detached, occupied};
use super::wire::{Error, ErrorReason, FileSystem, Mount, Mounted, Place, Reply, Request, Volume};
use super::{Result, cannot, request, users};
use crate::safe_path::Missing;

/// Does what the request says.
pub(super) fn perform(host: &Host, request: &Request) -> Reply {
    let reply = request::check(request).and_then(|()| match request {
        Request::Mount(wanted) => mount(host, wanted).map(Reply::Mounted),
        Request::Unmount(volume) => unmount(host, volume),
        Request::Grow(volume) => grow_mounted(host, volume).map(Reply::Mounted),
        Request::State(volume) => state(host, volume),
    });
    reply.unwrap_or_else(Reply::Failed)
}

fn mount(host: &Host, wanted: &Mount) -> Result<Mounted> {
    let place = &wanted.volume.place;
    let store = Store::open(&wanted.volume)?;
    let medium = match Medium::open(host, &store, &wanted.volume)? {
        Some(medium) => medium,
        None => first_image(&store, wanted)?,
    };
    // From here on this request is alone with the volume.
    let target = open_target(place)?;
    if let Some(device) = target.mounted()? {
        return already_mounted(&store, &medium, &target, device, wanted);
    }
    target.require_empty()?;
    medium.require_usable(&wanted.volume.source)?;
    let ready = filesystem::ensure(&store, &medium, wanted)?;
    if wanted.grow {
        medium.enlarge(&wanted.volume.source)?;
    }
    let device = medium.attach()?;
    let mount = mount_detached(host, &device, wanted.fs, Sharing::Nobody)?;
    target.attach(&mount)?;
    let target = verify(place, device.rdev)?;
    let mut mounted = describe(&device, wanted.fs, &ready);
    if wanted.grow {
        try_to_grow(&mut mounted, &device, &target, place);
    }
    remember_size(&store, &medium)?;
    Ok(mounted)
}

/// Creates the image of a tenant that has none yet and never had one.
fn first_image(store: &Store, wanted: &Mount) -> Result<Medium> {
    let place = &wanted.volume.place;
    if let Some(record) = store.read()?
        && record.state == State::Formatted
    {
        return Err(decide::lost(&record.uuid, "the image is gone"));
    }
    if !wanted.may_format {
        return Err(decide::no_formatting());
    }
    let target = open_target(place)?;
    if target.mounted()?.is_some() {
        return Err(occupied());
    }
    target.require_empty()?;
    Image::create(store, place.uid).map(Medium::Image)
}

fn open_target(place: &Place) -> Result<Target> {
    Target::open(&place.base_dir, Missing::Create)?
        .ok_or_else(|| cannot("create the base directory")(rustix::io::Errno::NOENT))
}

fn describe(device: &BlockDevice, fs: FileSystem, ready: &Ready) -> Mounted {
    Mounted {
        changed: true,
        formatted: ready.formatted,
        grown: false,
        fs,
        uuid: ready.superblock.uuid.clone(),
        device: device.rdev,
        node: device.name(),
        warnings: ready.warnings.clone(),
    }
}

fn already_mounted(
    store: &Store,
    medium: &Medium,
    target: &Target,
    device: u64,
    wanted: &Mount,
) -> Result<Mounted> {
    if !medium.is_behind(device)? || !target.is_confined()? {
        return Err(occupied());
    }
    let record = known(store)?;
    let place = &wanted.volume.place;
    let device = medium.device_of(device)?;
    let mut mounted = unchanged(&record, &device);
    if wanted.grow {
        let enlarged = medium.enlarge(&wanted.volume.source);
        enlarged.and_then(|()| follow(medium, &device))?;
        try_to_grow(&mut mounted, &device, target, place);
        remember_size(store, medium)?;
    }
    Ok(mounted)
}

/// What is mounted was remembered before it was mounted.
fn known(store: &Store) -> Result<Record> {
    let record = store.read()?;
    record.ok_or_else(|| decide::lost("of an unknown UUID", "its record is gone"))
}

fn unchanged(record: &Record, device: &BlockDevice) -> Mounted {
    Mounted {
        changed: false,
        formatted: false,
        grown: false,
        fs: record.fs,
        uuid: record.uuid.clone(),
        device: device.rdev,
        node: device.name(),
        warnings: Vec::new(),
    }
}

/// Looks at the mount point again, by its path.
fn verify(place: &Place, device: u64) -> Result<Target> {
    let target = open_target(place)?;
    if target.mounted()? == Some(device) && target.is_confined()? {
        return Ok(target);
    }
    let message = "the volume was mounted but does not appear at the base directory";
    Err(Error::new(ErrorReason::MountFailed, message))
}

/// A mounted volume of the old size is better than none: what fails is a warning.
fn try_to_grow(mounted: &mut Mounted, device: &BlockDevice, target: &Target, place: &Place) {
    match grow(device, target, &place.base_dir, mounted.fs) {
        Ok(grown) => mounted.grown = grown,
        Err(failure) => {
            let warning = format!("mounted, but {}", failure.message);
            mounted.warnings.push(warning);
        }
    }
}

/// A loop device has the size that its image had when it was attached.
fn follow(medium: &Medium, device: &BlockDevice) -> Result<()> {
    match medium {
        Medium::Image(_) => super::loop_device::follow_size(device),
        Medium::Disk(_) => Ok(()),
    }
}

/// A volume that is shorter later than it is now has lost its end.
fn remember_size(store: &Store, medium: &Medium) -> Result<()> {
    let (record, size) = (known(store)?, medium.length()?);
    if record.size >= size {
        return Ok(());
    }
    store.write(&Record { size, ..record })
}

fn grow_mounted(host: &Host, volume: &Volume) -> Result<Mounted> {
    let store = Store::open(volume)?;
    let Some(found) = mounted_volume(host, &store, volume)? else {
        let message = "the volume is not mounted, so it cannot be grown";
        return Err(Error::new(ErrorReason::NotMounted, message));
    };
    let record = known(&store)?;
    found.medium.enlarge(&volume.source)?;
    let device = found.medium.device_of(found.device)?;
    follow(&found.medium, &device)?;
    let grown = grow(&device, &found.target, &volume.place.base_dir, record.fs)?;
    remember_size(&store, &found.medium)?;
    let mut mounted = unchanged(&record, &device);
    (mounted.changed, mounted.grown) = (grown, grown);
    Ok(mounted)
}

fn unmount(host: &Host, volume: &Volume) -> Result<Reply> {
    let store = Store::open(volume)?;
    let found = match mounted_volume(host, &store, volume) {
        Err(failure) if failure.reason == ErrorReason::NotAttached => {
            return unmount_the_vanished(host, &store, volume, failure);
        }
        other => other?,
    };
    let Some(found) = found else {
        let medium = Medium::open(host, &store, volume)?;
        let safe_to_detach = medium.is_none_or(|medium| medium.sync_when_idle().unwrap_or(false));
        return Ok(Reply::Unmounted {
            changed: false,
            safe_to_detach,
        });
    };
    let place = &volume.place;
    users::require_none(host, found.device, &place.base_dir, place.uid)?;
    found.target.detach()?;
    // A container that started between the look and the unmount, or that cannot be seen in /proc,
    // keeps the device: then the volume goes back where it was.
    let safe_to_detach = match found.medium.sync_when_idle() {
        Ok(false) => match put_back(host, &store, &found.medium, place, found.device) {
            Ok(()) => return Err(in_use()),
            Err(failure) => {
                tracing::error!(
                    ?failure,
                    uid = place.uid,
                    "a used volume is not mounted again"
                );
                false
            }
        },
        idle => idle.unwrap_or(false),
    };
    Ok(Reply::Unmounted {
        changed: true,
        safe_to_detach,
    })
}

fn put_back(host: &Host, store: &Store, medium: &Medium, place: &Place, device: u64) -> Result<()> {
    let device = medium.device_of(device)?;
    let mount = mount_detached(host, &device, known(store)?.fs, Sharing::WithUsers)?;
    open_target(place)?.attach(&mount)?;
    verify(place, device.rdev).map(drop)
}

fn in_use() -> Error {
    let message = "the volume is in use on this host, perhaps by a container that is starting; it stays mounted";
    Error::new(ErrorReason::InUse, message)
        .with_hint("stop the containers that use it, then run it again")
}

/// The disk is gone: either nothing is mounted, or it was torn out and its mount is left.
fn unmount_the_vanished(
    host: &Host,
    store: &Store,
    volume: &Volume,
    not_attached: Error,
) -> Result<Reply> {
    let target = Target::open(&volume.place.base_dir, Missing::Refuse)?;
    let mounted = target.as_ref().map(Target::mounted).transpose()?.flatten();
    let (Some(target), Some(device)) = (target, mounted) else {
        return Ok(Reply::Unmounted {
            changed: false,
            safe_to_detach: true,
        });
    };
    let own = store.read()?.and_then(|record| record.uid) == Some(volume.place.uid);
    if !own || !target.is_confined()? || host.device(device).exists() {
        return Err(not_attached);
    }
    let place = &volume.place;
    users::require_none(host, device, &place.base_dir, place.uid)?;
    target.detach()?;
    Ok(Reply::Unmounted {
        changed: true,
        safe_to_detach: true,
    })
}

fn state(host: &Host, volume: &Volume) -> Result<Reply> {
    let store = Store::open(volume)?;
    let Some(found) = mounted_volume(host, &store, volume)? else {
        return Ok(Reply::Unmounted {
            changed: false,
            safe_to_detach: false,
        });
    };
    let record = known(&store)?;
    let device = found.medium.device_of(found.device)?;
    Ok(Reply::Mounted(unchanged(&record, &device)))
}

/// The tenant's volume where it is mounted.
struct Found {
    target: Target,
    medium: Medium,
    device: u64,
}

/// `None` when nothing is mounted at the base directory.
fn mounted_volume(host: &Host, store: &Store, volume: &Volume) -> Result<Option<Found>> {
    let medium = Medium::open(host, store, volume)?;
    let Some(target) = Target::open(&volume.place.base_dir, Missing::Refuse)? else {
        return Ok(None);
    };
    let Some(device) = target.mounted()? else {
        return Ok(None);
    };
    match medium {
        Some(medium) if medium.is_behind(device)? => Ok(Some(Found {
            target,
            medium,
            device,
        })),
        _ => Err(occupied()),
    }
}
