//! The desired state: a pure function of the settings, the catalog and the grant.

mod allowed;
mod body;
mod check;
mod error;
mod fingerprint;
mod inputs;
pub mod limits;
pub mod locks;
mod names;
mod provision;
mod reach;
mod secrets;
mod service;
mod time_scale;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use provision::psql;

use aistack_proto::v1::{Grant, ServiceDirectory};
use bollard::models::ContainerCreateBody;

pub use check::{Check, Request, Via};
pub use error::DesiredError;
pub use locks::{Locked, Locks};
pub use secrets::Secrets;
pub use time_scale::TimeScale;

use error::invalid;
use inputs::{Inputs, holds, own_root};

use crate::catalog::{Catalog, Phase};
use crate::env_file::Settings;
use crate::keys::SERVICES;
use crate::selection::{LeftOut, Selection};

/// Where caddy keeps the root of its own authority, below the tenant's volume (caddy 2.11,
/// `pki/authorities/local` of its data directory).
pub const OWN_ROOT: &str = "data/caddy/caddy/pki/authorities/local/root.crt";
/// Container label with the tenant's service name, e.g. `postgres`.
pub const LABEL_SERVICE: &str = "aistack.service";
/// Container label with the fingerprint as JSON: one hash for each part, so that a plan can say
/// what changed.
pub const LABEL_FINGERPRINT: &str = "aistack.fingerprint";

/// The whole stack of one tenant as it should be.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Absolute path of the tenant's volume.
    pub base_dir: String,
    /// Every directory the helper is to prepare.
    pub directories: Vec<ServiceDirectory>,
    /// Rendered configuration, to be written before the containers that read it.
    pub files: Vec<ConfigFile>,
    /// Services in catalog order; edges are in [`DesiredService::needs`].
    pub services: Vec<DesiredService>,
    /// Services that were requested and lack a value that only the user can give.
    pub left_out: Vec<LeftOut>,
    /// Root certificate of the proxy's own authority, where the sites' certificates come from it.
    pub own_root: Option<PathBuf>,
    /// How its sites are reached from outside, where the host has a front door and the stack a proxy.
    pub front_door: Option<FrontDoor>,
    /// How slow the machine is.
    pub time_scale: TimeScale,
    /// What no message may show.
    pub secrets: Secrets,
    /// Keys that the shell's environment gives another value than the manifest.
    pub overridden: Vec<String>,
}

impl Stack {
    /// Names of its services.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let names = self.services.iter().map(|service| service.name.clone());
        names.collect()
    }
}

/// How the sites of a stack are reached from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontDoor {
    /// Port for plain HTTP.
    pub http_port: u16,
    /// Port for TLS.
    pub https_port: u16,
    /// Every name of every site.
    pub names: Vec<PublicName>,
}

/// A name by which visitors come to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicName {
    /// The service that answers there.
    pub service: String,
    /// Host name.
    pub host: String,
    /// The proxy's published port, for a look at it from this host.
    pub published: u16,
}

/// One rendered file in `BASE_DIR/etc/<service>/`.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// The service whose directory it is in.
    pub service: String,
    /// File name, one plain component.
    pub name: String,
    /// Content; may hold secrets.
    pub content: String,
}

/// The content may hold secrets, so `Debug` leaves it out.
impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ConfigFile({}/{})", self.service, self.name)
    }
}

/// One service as it should run.
#[derive(Clone)]
pub struct DesiredService {
    /// Catalog name, e.g. `postgres`.
    pub name: String,
    /// Heading it is shown under.
    pub phase: Phase,
    /// Container name, `tenant-<uid>-<service>`.
    pub container: String,
    /// Image reference, by digest where it is locked.
    pub image: String,
    /// Image reference as the catalog or the manifest has it.
    pub reference: String,
    /// What the reference is locked to.
    pub locked: Option<Locked>,
    /// Services that must be healthy first.
    pub needs: Vec<String>,
    /// Services of the stack that it waits for until they are healthy or have failed.
    pub after: Vec<String>,
    /// The service whose network it shares. The two are replaced and restarted together.
    pub network_of: Option<String>,
    /// The create body; its labels hold the fingerprint.
    pub body: ContainerCreateBody,
    /// What the fingerprint is made of.
    pub fingerprint: Fingerprint,
    /// When its start counts as failed.
    pub start_limits: StartLimits,
    /// What must exist in other services before it starts, e.g. its database.
    pub provisions: Vec<Provision>,
    /// Where its user opens it.
    pub endpoints: Vec<Endpoint>,
    /// What `validate` asks it.
    pub checks: Vec<Check>,
    /// Until when its image lasts, where the catalog says so.
    pub renewal: Option<Renewal>,
}

/// How old an image may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Its age.
    pub within: Duration,
    /// Key of the manifest that names another image.
    pub key: String,
}

/// When the start of a service counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLimits {
    /// It is not healthy by then.
    pub timeout: Duration,
    /// It has exited this often before that; at least 1.
    pub exits: u64,
    /// What the timeout was multiplied by.
    pub scale: TimeScale,
}

/// The body's environment holds secrets, so `Debug` leaves it out.
impl std::fmt::Debug for DesiredService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("DesiredService")
            .field("name", &self.name)
            .field("container", &self.container)
            .field("image", &self.image)
            .field("needs", &self.needs)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A hash for each part of a service's desired state: `image`, `command`, `environment.<NAME>`,
/// `config.<file>`, `ports`, `mounts`, `limits`, …
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// Something another service must hold before this one starts. Idempotent.
#[derive(Clone, PartialEq, Eq)]
pub struct Provision {
    /// The service that holds it, e.g. `postgres`.
    pub provider: String,
    /// For people, e.g. `database n8n`.
    pub title: String,
    /// Command in the provider's container.
    pub command: Vec<String>,
    /// What the command gets on standard input; may hold secrets.
    pub stdin: String,
    /// Standard input with which it prints, and changes nothing, what brings back what is there
    /// now. Empty where nothing is to be brought back.
    pub remember: String,
}

/// Standard input may hold secrets, so `Debug` leaves it out.
impl std::fmt::Debug for Provision {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Provision({}: {})", self.provider, self.title)
    }
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Endpoint {
    /// `http`, `https`, `postgresql`, `redis`.
    pub scheme: String,
    /// Host to open, e.g. `127.0.0.1` or `n8n.tenant-1001.example.com`.
    pub host: String,
    /// Port to open there: a published one, or the front door's.
    pub port: u16,
    /// Published port on this host by which it is reached too.
    #[serde(skip)]
    pub published: u16,
    /// True when it goes through the proxy.
    pub proxied: bool,
}

/// The stack that `settings` describe.
///
/// # Errors
/// Missing and malformed values, and everything that `grant` does not give.
pub fn stack(
    settings: &Settings,
    catalog: &Catalog,
    grant: &Grant,
) -> Result<Stack, Vec<DesiredError>> {
    stack_of(settings, catalog, grant, &Locks::default())
}

/// The same with images that are locked.
///
/// # Errors
/// As [`stack`].
pub fn stack_of(
    settings: &Settings,
    catalog: &Catalog,
    grant: &Grant,
    locks: &Locks,
) -> Result<Stack, Vec<DesiredError>> {
    let value = |key: &str| settings.get(key).map(str::to_owned);
    let selection = Selection::of(catalog, &value).map_err(|errors| {
        let errors = errors.into_iter();
        errors
            .map(|error| invalid(SERVICES, error.to_string()))
            .collect::<Vec<_>>()
    })?;
    let (time_scale, wrong_scale) = match TimeScale::of(settings) {
        Ok(scale) => (scale, None),
        Err(error) => (TimeScale::default(), Some(error)),
    };
    let inputs = Inputs {
        settings,
        catalog,
        grant,
        locks,
        time_scale,
        entries: selection.entries(),
    };
    let mut errors = allowed::refusals(&inputs);
    errors.extend(wrong_scale);
    let mut stack = Stack {
        base_dir: grant.base_dir.clone(),
        directories: Vec::new(),
        files: Vec::new(),
        services: Vec::new(),
        left_out: selection.left_out.clone(),
        own_root: own_root(settings, &grant.base_dir),
        front_door: None,
        time_scale,
        secrets: Secrets::of(settings, catalog),
        overridden: Vec::new(),
    };
    for entry in &inputs.entries {
        match service::render(&inputs, entry) {
            Ok(rendered) => {
                stack.directories.extend(rendered.directories);
                stack.files.extend(rendered.files);
                stack.services.push(rendered.service);
            }
            Err(more) => errors.extend(more),
        }
    }
    match inputs.front_door() {
        Ok(door) => stack.front_door = door,
        Err(error) => errors.push(error),
    }
    let mut unique: Vec<DesiredError> = Vec::new();
    for error in errors {
        if !unique.contains(&error) {
            unique.push(error);
        }
    }
    if unique.is_empty() {
        Ok(stack)
    } else {
        Err(unique)
    }
}
