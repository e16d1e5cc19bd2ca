//! Mounting and unmounting a loop volume, step by step.

use std::os::fd::OwnedFd;

use super::decide;
use super::device;
use super::image::{self, Image};
use super::record::{self, State};
use super::target::{Target, mount_detached, occupied};
use super::wire::{Failure, FailureReason, FileSystem, MountLoop, Mounted, Place, Reply, Request};
use super::{Result, cannot, request};
use crate::safe_path::Missing;

/// Does what the request says.
pub(super) fn perform(request: &Request) -> Reply {
    let reply = request::check(request).and_then(|()| match request {
        Request::MountLoop(wanted) => mount(wanted).map(Reply::Mounted),
        Request::Unmount(place) => unmount(place).map(|changed| Reply::Unmounted { changed }),
        Request::State(place) => state(place),
    });
    reply.unwrap_or_else(Reply::Failed)
}

fn mount(wanted: &MountLoop) -> Result<Mounted> {
    let place = &wanted.place;
    let dir = image::open_dir(place)?;
    let image = match Image::open(&dir, place.uid)? {
        Some(image) => image,
        None => first_image(&dir, wanted)?,
    };
    // From here on this request is alone with the volume.
    let target = open_target(place)?;
    if let Some(device) = target.mounted()? {
        let record = record::read(&dir, place.uid)?;
        let fs = record.map_or(wanted.fs, |record| record.fs);
        return already_mounted(&target, &image, device, fs);
    }
    target.require_empty()?;
    device::release_unused(&image.stat, &image.name)?;
    let formatted = image.ensure_filesystem(&dir, wanted)?;
    let device = device::attach(&image.reopen()?, &image.name)?;
    let mount = mount_detached(&device, wanted.fs)?;
    target.attach(&mount)?;
    verify(place, device.rdev)?;
    Ok(Mounted {
        changed: true,
        formatted,
        fs: wanted.fs,
        device: device.rdev,
    })
}

/// Creates the image of a tenant that has none yet and never had one.
fn first_image(dir: &OwnedFd, wanted: &MountLoop) -> Result<Image> {
    let place = &wanted.place;
    if let Some(record) = record::read(dir, place.uid)?
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
    Image::create(dir, place.uid)
}

fn open_target(place: &Place) -> Result<Target> {
    Target::open(&place.base_dir, Missing::Create)?
        .ok_or_else(|| cannot("create the base directory")(rustix::io::Errno::NOENT))
}

fn already_mounted(target: &Target, image: &Image, device: u64, fs: FileSystem) -> Result<Mounted> {
    if !device::is_behind(&image.stat, device)? || !target.is_confined()? {
        return Err(occupied());
    }
    Ok(Mounted {
        changed: false,
        formatted: false,
        fs,
        device,
    })
}

/// Looks at the mount point again, by its path.
fn verify(place: &Place, device: u64) -> Result<()> {
    let target = open_target(place)?;
    if target.mounted()? == Some(device) {
        return Ok(());
    }
    let message = "the volume was mounted but does not show at the base directory";
    Err(Failure::new(FailureReason::MountFailed, message))
}

/// True when it was mounted.
fn unmount(place: &Place) -> Result<bool> {
    let Some((target, image, _)) = mounted_volume(place)? else {
        return Ok(false);
    };
    target.detach()?;
    device::wait_until_free(&image.stat, &image.name);
    Ok(true)
}

fn state(place: &Place) -> Result<Reply> {
    let Some((_, image, device)) = mounted_volume(place)? else {
        return Ok(Reply::Unmounted { changed: false });
    };
    let dir = image::open_dir(place)?;
    let record = record::read(&dir, place.uid)?;
    let record = record.ok_or_else(|| decide::lost(&image.name, "its record is gone"))?;
    Ok(Reply::Mounted(Mounted {
        changed: false,
        formatted: false,
        fs: record.fs,
        device,
    }))
}

/// The tenant's volume where it is mounted; `None` when nothing is mounted there.
fn mounted_volume(place: &Place) -> Result<Option<(Target, Image, u64)>> {
    let dir = image::open_dir(place)?;
    let image = Image::open(&dir, place.uid)?;
    let Some(target) = Target::open(&place.base_dir, Missing::Refuse)? else {
        return Ok(None);
    };
    let Some(device) = target.mounted()? else {
        return Ok(None);
    };
    match image {
        Some(image) if device::is_behind(&image.stat, device)? => Ok(Some((target, image, device))),
        _ => Err(occupied()),
    }
}
