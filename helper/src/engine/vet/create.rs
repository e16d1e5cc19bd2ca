//! Container create: every field of the API's body, each with its rule.

use aistack_policy::{Grant, Refusal, Rule};
use serde_json::Value;

use super::image::ImageRef;
use super::json::shown;

/// The longest container name, bytes.
const MAX_NAME: usize = 128;

/// A create body as the caller sent it, every field known. Nothing is decided yet.
#[derive(Debug)]
pub struct CreateRequest {
    image: ImageRef,
}

impl CreateRequest {
    /// Reads a create body strictly.
    ///
    /// # Errors
    /// `BAD_JSON`, or the name of a field that API 1.41 does not have.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        super::json::strict::<serde::de::IgnoredAny>(body)?;
        Ok(Self {
            image: ImageRef::parse("")?,
        })
    }

    /// The image that the container is made from, for looking it up before the decision.
    #[must_use]
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// The container reference of `NetworkMode: "container:<reference>"`, where there is one; the
    /// server resolves it among the caller's own containers before the decision.
    #[must_use]
    pub fn joins_network_of(&self) -> Option<&str> {
        None
    }
}

/// What the server looked up for the decision.
#[derive(Debug)]
pub struct World<'a> {
    /// The caller's grant.
    pub grant: &'a Grant,
    /// The container's name from the query, vetted by [`container_name`].
    pub name: &'a str,
    /// Docker's full id (`sha256:…`) of the image, and the paths of its VOLUMEs.
    pub image_id: &'a str,
    /// Container paths that the image declares as volumes.
    pub image_volumes: &'a [String],
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
    /// Names of the grant's profiles that the kernel has in enforce mode.
    pub loaded: Vec<String>,
}

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
#[derive(Debug)]
pub struct Canonical {
    binds: Vec<Bind>,
    usage: Usage,
}

impl Canonical {
    /// Bind mounts to be verified.
    #[must_use]
    pub fn binds(&self) -> &[Bind] {
        &self.binds
    }

    /// What this container takes of the tenant's limits.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The body for Docker, keys in fixed order, HostConfig always there, owner label last.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What the audit log keeps: names of environment variables, never their values.
    #[must_use]
    pub fn audit(&self) -> Value {
        Value::Null
    }
}

/// Decides whether `request` may be made.
///
/// # Errors
/// The first field that may not be so, with the rule that refuses it.
pub fn decide(_world: &World<'_>, _request: CreateRequest) -> Result<Canonical, Refusal> {
    Err(Refusal::new(
        "NOT_WRITTEN",
        "not written yet",
        Rule::builtin("default-deny"),
    ))
}

/// Checks a container name from a query: `tenant-<uid>-` and `[a-zA-Z0-9_.-]`, at most 128 bytes,
/// never shaped like an id.
///
/// # Errors
/// `CONTAINER_NAME_REFUSED`.
pub fn container_name<'a>(grant: &Grant, name: &'a str) -> Result<&'a str, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    // The prefix starts with `tenant-`, so that no name can be taken for an id.
    let own = name
        .strip_prefix(grant.container_prefix.as_str())
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain));
    if own && name.len() <= MAX_NAME {
        return Ok(name);
    }
    let message = if name.is_empty() {
        "the container has no name".to_owned()
    } else {
        format!(
            "the container name \"{}\" is not this tenant's",
            shown(name)
        )
    };
    Err(Refusal::new(
        "CONTAINER_NAME_REFUSED",
        message,
        Rule::builtin("container-name"),
    )
    .with_hint(format!(
        "choose a name of at most {MAX_NAME} letters, digits and _.- that starts with {}",
        grant.container_prefix
    )))
}
