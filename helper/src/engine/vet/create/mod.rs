//! Container create: every field of the API's body, each with its rule.
//!
//! [`body`] is the table of fields; one file for each subject decides; [`render`] writes what was
//! decided. Nothing of the caller's body reaches Docker in another way.

pub(super) mod body;
mod lifetime;
mod limits;
mod mounts;
pub(in crate::engine) mod name;
mod network;
pub(super) mod paths;
pub(super) mod ports;
pub(super) mod process;
mod render;
pub(super) mod security;
mod tmpfs;
pub(super) mod user;

use std::fmt;

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Refusal, Rule};
use serde_json::{Value, json};

use super::image::ImageRef;
use super::json::fields::{At, Field};
use super::json::{shown, value};
use super::layer::check_root;
use super::working_dir::Layout;

use body::Body;
use lifetime::Lifetime;
use limits::Limits;
use mounts::Mounts;
use name::MAX_NAME;
pub use name::{container_name, is_own_name};
use network::Network;
use ports::Ports;
use process::Process;
use security::Security;
use user::User;

/// A create body as the caller sent it, every field known. Nothing is decided yet.
pub struct CreateRequest {
    image: ImageRef,
    body: Body,
    api: ApiVersion,
}

/// The environment and the command may hold secrets, so `Debug` shows the image only.
impl fmt::Debug for CreateRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CreateRequest({})", self.image)
    }
}

impl CreateRequest {
    /// Reads a create body strictly.
    ///
    /// # Errors
    /// `BAD_JSON`, `BAD_IMAGE_REFERENCE`, `UNKNOWN_FIELD` with the name of a field that the API does
    /// not have, `FIELD_OF_OTHER_VERSION` for one that `api`, the version that the caller asks for, does
    /// not have, or the refusal of a field that nobody may set.
    pub fn parse(body: &[u8], api: ApiVersion) -> Result<Self, Refusal> {
        let body = Body::read(At::body(api), value(body)?)?;
        let image = ImageRef::parse(&body.image)?;
        Ok(Self { image, body, api })
    }

    /// The image that the container is made from, for looking it up before the decision.
    #[must_use]
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// The container reference of `NetworkMode: "container:<reference>"`, where there is one that
    /// can be a name or an id; the server resolves it among the caller's own containers before the
    /// decision.
    #[must_use]
    pub fn joins_network_of(&self) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let mode = self.body.host.network_mode.as_str();
        mode.strip_prefix("container:")
            .filter(|reference| (1..=MAX_NAME).contains(&reference.len()))
            .filter(|reference| reference.bytes().all(plain))
    }
}

/// What the server looked up for the decision.
#[derive(Debug)]
pub struct CreateContext<'a> {
    /// The caller's grant.
    pub grant: &'a Grant,
    /// The container's name from the query, vetted by [`container_name`].
    pub name: &'a str,
    /// Docker's full id (`sha256:…`) of the image, and the paths of its VOLUMEs.
    pub image_id: &'a str,
    /// Container paths that the image declares as volumes.
    pub image_volumes: &'a [String],
    /// Where the image's processes start unless the request says otherwise; empty for `/`.
    pub image_working_dir: &'a str,
    /// Full id of the caller's network, when it exists.
    pub network_id: Option<&'a str>,
    /// Full id of the caller's own container whose network is joined.
    pub joined_container: Option<&'a str>,
    /// What the kernel has: whether AppArmor is on, and which of the grant's profiles are loaded.
    pub apparmor: &'a HostAppArmor,
    /// What the caller's containers hold already.
    pub in_use: Usage,
}

/// AppArmor on this host, as far as one tenant is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostAppArmor {
    /// The kernel enforces AppArmor.
    pub enabled: bool,
    /// Names of the grant's profiles that the helper has verified as loaded in enforce mode.
    pub loaded: Vec<String>,
}

/// The fields that a create must leave unset: of the body, and of its HostConfig.
pub const UNSET_FIELDS: [&[&str]; 2] = [Body::UNSET, body::HostConfig::UNSET];

/// The fields of HostConfig that are read, and that Docker gets under another name or not at all.
pub const CONVERTED_FIELDS: [&str; 5] = body::CONVERTED;

/// The fields that a create may set: of the body, and of its HostConfig.
pub const READ_FIELDS: [&[&str]; 2] = [Body::READ, body::HostConfig::READ];

/// What containers hold of a tenant's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory limits.
    pub memory: u64,
    /// Thousandths of CPUs.
    pub cpu_millis: u64,
    /// PID limits.
    pub pids: u64,
    /// Containers, running or not.
    pub containers: u64,
}

/// One bind mount that was allowed by its path; the server verifies the directory itself with
/// [`crate::safe_path::verify_bind`] before the create goes to Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Components below the base directory, e.g. `["data", "postgres"]`.
    pub components: Vec<String>,
    /// Path in the container.
    pub target: String,
    /// Mounted read-only.
    pub read_only: bool,
}

/// A container that may be made: the decision's result, and the only thing that is rendered.
#[derive(Clone, PartialEq, Eq)]
pub struct Canonical {
    name: String,
    base_dir: String,
    image: ImageRef,
    image_id: String,
    user: User,
    process: Process,
    own_labels: [(&'static str, String); 2],
    security: Security,
    network: Network,
    ports: Ports,
    mounts: Mounts,
    read_only: bool,
    limits: Limits,
    lifetime: Lifetime,
    console_size: Option<ConsoleSize>,
}

/// What the audit log keeps, which holds no secret.
impl fmt::Debug for Canonical {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Canonical({})", self.audit())
    }
}

impl Canonical {
    /// Bind mounts to be verified.
    #[must_use]
    pub fn binds(&self) -> &[Bind] {
        &self.mounts.binds
    }

    /// True when it can write to its mounts only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What this container takes of the tenant's limits.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.limits.usage()
    }

    /// The body for Docker under the API version `api`: keys in fixed order, HostConfig always there,
    /// owner label last. Every wall is written under every version; what only newer engines have
    /// is left out for older ones.
    #[must_use]
    pub fn render(&self, api: ApiVersion) -> Vec<u8> {
        render::body(self, api)
    }

    /// What the audit log keeps: names of environment variables, never their values; the program,
    /// never its arguments.
    #[must_use]
    pub fn audit(&self) -> Value {
        let bind = |bind: &Bind| {
            let access = if bind.read_only { "ro" } else { "rw" };
            format!("{}:{}:{access}", self.source(bind), bind.target)
        };
        let network = match &self.network {
            Network::Own { id, .. } => id.clone(),
            Network::Nothing => "none".to_owned(),
            Network::Joined(id) => format!("container:{id}"),
        };
        let published = self.ports.published.iter();
        let ports = published.map(|(port, hosts)| (port.to_string(), json!(hosts)));
        let usage = self.usage();
        json!({
            "name": self.name,
            "image": self.image.to_string(),
            "image_id": self.image_id,
            "user": self.user.to_string(),
            "program": self.process.program(),
            "env": process::env_names(&self.process.env),
            "env_count": self.process.env.len(),
            "binds": self.binds().iter().map(bind).collect::<Vec<_>>(),
            "tmpfs": self.mounts.tmpfs.keys().collect::<Vec<_>>(),
            "network": network,
            "ports": ports.collect::<serde_json::Map<_, _>>(),
            "capabilities": self.security.capabilities,
            "apparmor": self.security.apparmor,
            "memory": usage.memory,
            "cpu_millis": usage.cpu_millis,
            "pids": usage.pids,
        })
    }

    fn source(&self, bind: &Bind) -> String {
        format!("{}/{}", self.base_dir, bind.components.join("/"))
    }
}

/// Decides whether `request` may be made.
///
/// # Errors
/// The first field that may not be so, with the rule that refuses it.
pub fn decide(context: &CreateContext<'_>, request: CreateRequest) -> Result<Canonical, Refusal> {
    let CreateRequest { image, body, api } = request;
    let (grant, host) = (context.grant, &body.host);
    check_image(grant, &image)?;
    check_umask(host.umask)?;
    let console_size = ConsoleSize::decide(&host.console_size, api)?;
    let user = User::parse(grant, &body.user)?;
    let canonical = Canonical {
        name: context.name.to_owned(),
        base_dir: grant.base_dir.clone(),
        image_id: context.image_id.to_owned(),
        user,
        process: Process::decide(&body)?,
        own_labels: process::own_labels(grant, &image.to_string()),
        security: Security::decide(context, user, host)?,
        network: Network::decide(context, host, &body.networking)?,
        ports: Ports::decide(grant, &body)?,
        mounts: Mounts::decide(context, user, &body)?,
        read_only: host.read_only,
        limits: Limits::decide(grant, host)?,
        lifetime: Lifetime::decide(&body)?,
        console_size,
        image,
    };
    check_root(grant, canonical.read_only)?;
    let layout = Layout {
        mounts: canonical.mounts.targets().collect(),
        read_only: canonical.read_only,
        own: context.image_working_dir,
    };
    layout.check(&canonical.process.working_dir)?;
    limits::check_limits(grant, context.in_use, canonical.usage())?;
    Ok(canonical)
}

fn check_image(grant: &Grant, image: &ImageRef) -> Result<(), Refusal> {
    if grant
        .images
        .iter()
        .any(|pattern| pattern.matches(&image.repository))
    {
        return Ok(());
    }
    let allowed: Vec<String> = grant.images.iter().map(ToString::to_string).collect();
    let message = format!(
        "the image {} is not allowed by policy",
        shown(&image.repository)
    );
    Err(
        Refusal::new("IMAGE_REFUSED", message, grant.rules.images.clone())
            .with_hint(format!("allowed: {}", allowed.join(", "))),
    )
}

/// The runtime's own umask holds: 0 is a setting, too.
fn check_umask(umask: Option<i64>) -> Result<(), Refusal> {
    if umask.is_none() {
        return Ok(());
    }
    let message = "HostConfig.Umask must not be set: a container has the runtime's umask";
    let rule = Rule::builtin("no-umask");
    Err(Refusal::new("UMASK_REFUSED", message, rule)
        .with_hint("set it in a shell: sh -c 'umask 027 && exec PROGRAM'"))
}

/// The API version from which on Docker on Linux sets the size of a terminal. To an older one a client
/// tells it by a resize.
pub(super) const CONSOLE_SIZE: ApiVersion = ApiVersion::v1(42);

/// The size of the caller's terminal: height and width, characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct ConsoleSize([u16; 2]);

impl ConsoleSize {
    /// Decides what is requested under `api`; under an older version than [`CONSOLE_SIZE`] it is
    /// read and dropped, as Docker does.
    pub(super) fn decide(size: &[i64], api: ApiVersion) -> Result<Option<Self>, Refusal> {
        let sides: Option<Vec<u16>> = size.iter().map(|side| u16::try_from(*side).ok()).collect();
        let decided = match sides.as_deref() {
            Some([] | [0, 0]) => None,
            Some([height, width]) => Some(Self([*height, *width])),
            _ => {
                let message = "ConsoleSize is not a height and a width";
                let rule = Rule::builtin("console-size");
                return Err(Refusal::new("CONSOLE_SIZE_REFUSED", message, rule));
            }
        };
        Ok(decided.filter(|_| api >= CONSOLE_SIZE))
    }
}

#[cfg(test)]
mod tests;
