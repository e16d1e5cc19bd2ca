//! Memory as a file system: always bounded, never with devices or set-user-id programs. What is
//! in it counts towards the container's memory.

use std::fmt;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;
use super::body::Mount;
use super::user::{User, decimal};

/// Bytes where the caller gives no size.
const DEFAULT_SIZE: u64 = 64 << 20;

/// One page.
const MIN_SIZE: u64 = 4 << 10;

/// The largest tmpfs, bytes.
const MAX_SIZE: u64 = 1 << 30;

/// One tmpfs. It belongs to the container's user unless the caller says otherwise: root's, as
/// Docker has it, nobody in the container could write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tmpfs {
    size: u64,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    exec: bool,
    read_only: bool,
}

/// The options as Docker takes them, in fixed order, each said outright.
impl fmt::Display for Tmpfs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.read_only { "ro" } else { "rw" };
        let exec = if self.exec { "exec" } else { "noexec" };
        let (size, uid, gid) = (self.size, self.uid, self.gid);
        write!(
            out,
            "{access},nosuid,nodev,{exec},size={size},uid={uid},gid={gid}"
        )?;
        self.mode
            .map_or(Ok(()), |mode| write!(out, ",mode={mode:04o}"))
    }
}

impl Tmpfs {
    fn of(user: User) -> Self {
        Self {
            size: DEFAULT_SIZE,
            mode: None,
            uid: user.uid,
            gid: user.gid,
            exec: false,
            read_only: false,
        }
    }

    /// What stands in for an anonymous volume; programs may run from a volume.
    pub(super) fn for_image_volume(user: User) -> Self {
        Self {
            exec: true,
            mode: Some(0o700),
            ..Self::of(user)
        }
    }

    /// A mount of type tmpfs.
    pub(super) fn from_mount(user: User, place: &str, mount: &Mount) -> Result<Self, Refusal> {
        if !mount.source.is_empty() || !mount.bind.propagation.is_empty() {
            return Err(refused(place, "a tmpfs has neither Source nor BindOptions"));
        }
        let mut tmpfs = Self::of(user);
        if mount.tmpfs.size != 0 {
            tmpfs.size = bounded(place, u64::try_from(mount.tmpfs.size).ok())?;
        }
        if mount.tmpfs.mode != 0 {
            tmpfs.mode = Some(permissions(place, u32::try_from(mount.tmpfs.mode).ok())?);
        }
        tmpfs.read_only = mount.read_only;
        Ok(tmpfs)
    }

    /// An entry of `Tmpfs`: options with commas between, none of them twice.
    pub(super) fn parse(
        grant: &Grant,
        user: User,
        place: &str,
        options: &str,
    ) -> Result<Self, Refusal> {
        let (mut tmpfs, mut seen) = (Self::of(user), Vec::new());
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (option, None),
            };
            if seen.contains(&key) {
                return Err(refused(place, "an option is given twice"));
            }
            seen.push(key);
            tmpfs.set(grant, place, key, value)?;
        }
        let clash = |one, other| seen.contains(&one) && seen.contains(&other);
        if clash("ro", "rw") || clash("exec", "noexec") {
            return Err(refused(place, "two options contradict each other"));
        }
        Ok(tmpfs)
    }

    fn set(
        &mut self,
        grant: &Grant,
        place: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), Refusal> {
        match (key, value) {
            ("rw" | "nosuid" | "nodev" | "noexec", None) => {}
            ("ro", None) => self.read_only = true,
            ("exec", None) => self.exec = true,
            ("size", Some(size)) => self.size = bounded(place, bytes(size))?,
            ("mode", Some(mode)) => self.mode = Some(permissions(place, octal(mode))?),
            ("uid", Some(uid)) => self.uid = own(place, grant, uid, Grant::owns_uid)?,
            ("gid", Some(gid)) => self.gid = own(place, grant, gid, owns_gid)?,
            _ => {
                let why = format!("the option \"{}\" is not allowed", shown(key));
                return Err(refused(place, &why));
            }
        }
        Ok(())
    }
}

fn owns_gid(grant: &Grant, gid: u32) -> bool {
    gid == grant.gid || grant.service_uids.contains(&gid)
}

fn own(
    place: &str,
    grant: &Grant,
    text: &str,
    owns: fn(&Grant, u32) -> bool,
) -> Result<u32, Refusal> {
    decimal(text)
        .filter(|id| owns(grant, *id))
        .ok_or_else(|| refused(place, "its uid or gid is not one of this tenant's"))
}

fn bounded(place: &str, size: Option<u64>) -> Result<u64, Refusal> {
    size.filter(|size| (MIN_SIZE..=MAX_SIZE).contains(size))
        .ok_or_else(|| {
            let why = format!("its size must be {MIN_SIZE} to {MAX_SIZE} bytes");
            refused(place, &why)
        })
}

fn permissions(place: &str, mode: Option<u32>) -> Result<u32, Refusal> {
    mode.filter(|mode| *mode <= 0o1777)
        .ok_or_else(|| refused(place, "its mode must be octal, up to 1777"))
}

fn octal(text: &str) -> Option<u32> {
    let digits = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| u32::from_str_radix(text, 8).ok()).flatten()
}

/// A number of bytes, with an optional `k`, `m` or `g`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, shift) = match text.chars().next_back()?.to_ascii_lowercase() {
        'k' => (text.get(..text.len() - 1)?, 10),
        'm' => (text.get(..text.len() - 1)?, 20),
        'g' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    u64::from(decimal(number)?).checked_shl(shift)
}

fn refused(place: &str, why: &str) -> Refusal {
    Refusal::new(
        "TMPFS_REFUSED",
        format!("{place}: {why}"),
        Rule::builtin("tmpfs-options"),
    )
    .with_hint("use size, mode, uid, gid, ro, exec; nosuid and nodev are always set")
}
