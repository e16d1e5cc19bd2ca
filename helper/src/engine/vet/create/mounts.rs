//! What a container has of the host's files: the tenant's own directories, and bounded tmpfs.
//! Never a volume: an anonymous volume is host disk without a bound.

use std::collections::BTreeMap;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;
use super::body::{Body, Mount};
use super::paths::{is_at_or_below, is_clean, may_mount_on, resolved};
use super::tmpfs::Tmpfs;
use super::user::User;
use super::{Bind, CreateContext};
use crate::service_name::ServiceName;

/// Mounts of one container, at most.
const MAX_MOUNTS: usize = 32;

/// Everything that is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    pub(super) binds: Vec<Bind>,
    /// By path in the container.
    pub(super) tmpfs: BTreeMap<String, Tmpfs>,
}

impl Mounts {
    pub(super) fn decide(
        context: &CreateContext<'_>,
        user: User,
        body: &Body,
    ) -> Result<Self, Refusal> {
        let host = &body.host;
        let requested = host.binds.len() + host.mounts.len() + host.tmpfs.len();
        if requested + context.image_volumes.len() > MAX_MOUNTS {
            return Err(refused(
                "MOUNTS_REFUSED",
                "mount-count",
                format!("HostConfig.Mounts and the image's volumes are more than {MAX_MOUNTS}"),
            ));
        }
        let mut mounts = Self::default();
        for (index, text) in host.binds.iter().enumerate() {
            let place = format!("HostConfig.Binds[{index}]");
            mounts.add_bind(&place, bind_from_text(context.grant, &place, text)?)?;
        }
        for (index, mount) in host.mounts.iter().enumerate() {
            mounts.add_mount(context.grant, user, index, mount)?;
        }
        for (target, options) in &host.tmpfs {
            let place = format!("HostConfig.Tmpfs[\"{}\"]", shown(target));
            mounts.add_tmpfs(
                &place,
                target,
                Tmpfs::parse(context.grant, user, &place, options)?,
            )?;
        }
        mounts.refuse_nested()?;
        for volume in context.image_volumes {
            mounts.cover(user, volume)?;
        }
        mounts.check_volumes(body)?;
        Ok(mounts)
    }

    fn add_mount(
        &mut self,
        grant: &Grant,
        user: User,
        index: usize,
        mount: &Mount,
    ) -> Result<(), Refusal> {
        let place = format!("HostConfig.Mounts[{index}]");
        match mount.kind.as_str() {
            "bind" => self.add_bind(&place, bind_from_mount(grant, &place, mount)?),
            "tmpfs" => {
                let tmpfs = Tmpfs::from_mount(user, &place, mount)?;
                self.add_tmpfs(&place, &mount.target, tmpfs)
            }
            other => Err(refused(
                "MOUNTS_REFUSED",
                "no-volumes",
                format!(
                    "{place}.Type is \"{}\"; only bind and tmpfs are allowed",
                    shown(other)
                ),
            )),
        }
    }

    fn add_bind(&mut self, place: &str, bind: Bind) -> Result<(), Refusal> {
        self.check_target(place, &bind.target)?;
        self.binds.push(bind);
        Ok(())
    }

    fn add_tmpfs(&mut self, place: &str, target: &str, tmpfs: Tmpfs) -> Result<(), Refusal> {
        self.check_target(place, target)?;
        self.tmpfs.insert(target.to_owned(), tmpfs);
        Ok(())
    }

    fn check_target(&self, place: &str, target: &str) -> Result<(), Refusal> {
        let why = if !is_clean(target) {
            "is not a clean absolute path"
        } else if !may_mount_on(target) {
            "is not allowed as a mount target"
        } else if self
            .targets()
            .any(|other| resolved(other) == resolved(target))
        {
            "is mounted twice"
        } else {
            return Ok(());
        };
        let message = format!("{place}: the target \"{}\" {why}", shown(target));
        Err(refused("MOUNT_TARGET_REFUSED", "mount-target", message))
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        let binds = self.binds.iter().map(|bind| bind.target.as_str());
        binds.chain(self.tmpfs.keys().map(String::as_str))
    }

    /// A mount whose place is inside another mount can be led astray by who writes there
    /// (CVE-2021-30465).
    fn refuse_nested(&self) -> Result<(), Refusal> {
        for outer in self.targets() {
            let inside = |path: &&str| *path != outer && is_inside(path, outer);
            if let Some(inner) = self.targets().find(inside) {
                let message = format!(
                    "HostConfig.Mounts: the target \"{}\" is inside another mount, \"{}\"",
                    shown(inner),
                    shown(outer)
                );
                return Err(refused("MOUNT_TARGET_REFUSED", "no-nested-mounts", message));
            }
        }
        Ok(())
    }

    /// Docker makes an anonymous volume for a VOLUME of the image that nothing is mounted on; a
    /// bounded tmpfs takes its place. Inside a bind that would hide part of the tenant's data.
    fn cover(&mut self, user: User, volume: &str) -> Result<(), Refusal> {
        let path = volume.trim_end_matches('/');
        if !may_mount_on(path) {
            let message = format!(
                "the image has a volume at \"{}\", which is not allowed as a mount target",
                shown(volume)
            );
            return Err(refused("IMAGE_VOLUME_REFUSED", "mount-target", message));
        }
        if self
            .targets()
            .any(|target| resolved(target) == resolved(path))
        {
            return Ok(());
        }
        let inside = |bind: &&Bind| is_inside(path, &bind.target);
        if let Some(bind) = self.binds.iter().find(inside) {
            let message = format!(
                "the image has a volume at \"{}\", inside the mount at \"{}\"",
                shown(volume),
                shown(&bind.target)
            );
            return Err(refused("IMAGE_VOLUME_REFUSED", "no-nested-mounts", message)
                .with_hint(format!("mount the directory at {} itself", shown(volume))));
        }
        self.tmpfs
            .insert(path.to_owned(), Tmpfs::for_image_volume(user));
        Ok(())
    }

    /// Clients repeat targets of binds in `Volumes`; any other key would make a volume.
    fn check_volumes(&self, body: &Body) -> Result<(), Refusal> {
        let own = |path: &&String| self.targets().any(|target| target == path.as_str());
        match body.volumes.iter().find(|path| !own(path)) {
            None => Ok(()),
            Some(path) => {
                let message = format!(
                    "Volumes[\"{}\"] would create a volume; only the tenant's directories can \
                     be mounted",
                    shown(path)
                );
                Err(refused("VOLUMES_REFUSED", "no-volumes", message))
            }
        }
    }
}

/// True when `path` is `dir` or stands below it, also by a link that images have.
fn is_inside(path: &str, dir: &str) -> bool {
    is_at_or_below(&resolved(path), &resolved(dir))
}

/// `source:target[:options]`, as `docker run -v` has it.
fn bind_from_text(grant: &Grant, place: &str, text: &str) -> Result<Bind, Refusal> {
    let mut parts = text.split(':');
    let four = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(source), Some(target), options, None) = four else {
        let message = format!("{place} is not source:target or source:target:options");
        return Err(refused("BINDS_REFUSED", "bind-options", message));
    };
    let mut read_only = None;
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        let access = match option {
            "ro" => Some(true),
            "rw" => Some(false),
            "private" | "rprivate" => None,
            _ => return Err(bad_option(place, option)),
        };
        if access.is_some() && read_only.is_some() {
            return Err(bad_option(place, option));
        }
        read_only = read_only.or(access);
    }
    bind(grant, place, source, target, read_only.unwrap_or(false))
}

fn bad_option(place: &str, option: &str) -> Refusal {
    let message = format!(
        "{place} has the option \"{}\"; allowed are ro or rw, and rprivate",
        shown(option)
    );
    refused("BINDS_REFUSED", "bind-options", message)
}

fn bind_from_mount(grant: &Grant, place: &str, mount: &Mount) -> Result<Bind, Refusal> {
    let propagation = mount.bind.propagation.as_str();
    if !matches!(propagation, "" | "private" | "rprivate") {
        let message = format!(
            "{place}.BindOptions.Propagation is \"{}\"; only rprivate is \
             allowed",
            shown(propagation)
        );
        return Err(refused("MOUNTS_REFUSED", "bind-options", message));
    }
    if mount.tmpfs.size != 0 || mount.tmpfs.mode != 0 {
        let message = format!("{place} is a bind and has TmpfsOptions");
        return Err(refused("MOUNTS_REFUSED", "bind-options", message));
    }
    bind(grant, place, &mount.source, &mount.target, mount.read_only)
}

/// The rule of sources: a directory that the helper prepared, by its exact name.
fn bind(
    grant: &Grant,
    place: &str,
    source: &str,
    target: &str,
    read_only: bool,
) -> Result<Bind, Refusal> {
    let components = components_below(grant, source).ok_or_else(|| {
        let message = format!(
            "{place}: the bind source \"{}\" is not one of this tenant's directories",
            shown(source)
        );
        Refusal::new("BIND_SOURCE_REFUSED", message, grant.rules.base_dir.clone()).with_hint(
            format!(
                "mount {base}/data/<service>, {base}/logs/<service>, {base}/etc/<service> or \
                 {base}/ssl/certs",
                base = grant.base_dir
            ),
        )
    })?;
    let tree = components.first().map(String::as_str);
    if matches!(tree, Some("etc" | "ssl")) && !read_only {
        let message = format!("{place}: \"{}\" must be mounted read-only", shown(source));
        return Err(
            refused("BIND_SOURCE_REFUSED", "read-only-configuration", message)
                .with_hint("add ReadOnly (with -v, append :ro)"),
        );
    }
    Ok(Bind {
        components,
        target: target.to_owned(),
        read_only,
    })
}

fn components_below(grant: &Grant, source: &str) -> Option<Vec<String>> {
    let rest = source.strip_prefix(grant.base_dir.as_str())?;
    let (tree, name) = rest.strip_prefix('/')?.split_once('/')?;
    let known = match tree {
        "etc" | "data" | "logs" => ServiceName::try_from(name.to_owned()).is_ok(),
        "ssl" => name == "certs",
        _ => false,
    };
    known.then(|| vec![tree.to_owned(), name.to_owned()])
}

fn refused(reason: &'static str, rule: &str, message: String) -> Refusal {
    Refusal::new(reason, message, Rule::builtin(rule))
}
