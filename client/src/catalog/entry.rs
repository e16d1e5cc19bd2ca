//! What one file of the catalog says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::template::Template;
use super::units::{Bytes, Cpus, Span};
use crate::desired::Phase;

/// One service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, from the file's; also its host name on the tenant's network.
    #[serde(skip)]
    pub name: String,
    /// For people.
    pub title: String,
    /// Image reference with registry and a pinned tag or digest.
    pub image: String,
    /// Heading it is shown under.
    pub phase: Phase,
    /// Which of the tenant's UIDs it runs as.
    pub user: Owner,
    /// The service is part of the stack only then.
    pub when: Option<When>,
    /// Services that must be healthy first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Arguments instead of the image's own.
    #[serde(default)]
    pub command: Vec<Template>,
    /// Capabilities that the image's own binary needs to start, without `CAP_`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// How long it may take to become healthy after a start.
    pub start_timeout: Span,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, Template>,
    /// Files in `etc/<service>`, by name.
    #[serde(default)]
    pub config: BTreeMap<String, Template>,
    /// Templates for lists in `config`.
    #[serde(default)]
    pub each: Each,
    /// Where its directories appear in the container.
    #[serde(default)]
    pub mounts: Mounts,
    /// The container's root file system.
    pub filesystem: Filesystem,
    /// What it may use.
    pub limits: LimitsEntry,
    /// Published ports.
    #[serde(default, rename = "port")]
    pub ports: Vec<Port>,
    /// How Docker knows that it is well.
    pub health: Health,
    /// How it is stopped.
    pub stop: Stop,
    /// Values that `init` makes from randomness.
    #[serde(default, rename = "secret")]
    pub secrets: Vec<Secret>,
    /// Values with a default.
    #[serde(default, rename = "setting")]
    pub settings: Vec<SettingEntry>,
    /// Databases that it needs.
    #[serde(default, rename = "database")]
    pub databases: Vec<Database>,
    /// Its host name behind the proxy.
    pub site: Option<Site>,
    /// Where its metrics are read.
    pub scrape: Option<Scrape>,
    /// What `validate` asks.
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckEntry>,
    /// What to know before another version.
    #[serde(default)]
    pub upgrade: Upgrade,
}

impl Entry {
    /// Key of the manifest that replaces the image, e.g. `REDIS_IMAGE`.
    #[must_use]
    pub fn image_key(&self) -> String {
        format!("{}_IMAGE", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// True when `key` is a key of the manifest by this entry.
    #[must_use]
    pub fn declares(&self, key: &str) -> bool {
        self.ports.iter().any(|port| port.key == key)
            || self.secrets.iter().any(|secret| secret.key == key)
            || self.settings.iter().any(|setting| setting.key == key)
            || self.image_key() == key
    }
}

/// Which UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The tenant's own.
    Tenant,
    /// The first service UID of the grant.
    Service,
}

/// A condition on the manifest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Key of the manifest.
    pub key: String,
    /// The value it must have.
    pub is: String,
}

/// Templates that are rendered once for each service of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// For each service with a `[site]`.
    pub site: Option<Template>,
    /// For each service with a `[scrape]`.
    pub scrape: Option<Template>,
}

/// Container paths of the service's directories.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounts {
    /// `etc/<service>`, read-only.
    pub etc: Option<String>,
    /// `data/<service>`.
    pub data: Option<String>,
    /// `logs/<service>`.
    pub logs: Option<String>,
}

/// The container's root file system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Mounted read-only.
    pub read_only: bool,
    /// Directories in memory with their largest size: noexec, nosuid, nodev, mode 1777.
    #[serde(default)]
    pub tmpfs: BTreeMap<String, Bytes>,
}

/// What the container may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsEntry {
    /// Memory, what is in its tmpfs included.
    pub memory: Bytes,
    /// Processes and threads.
    pub pids: u32,
    /// CPUs.
    pub cpus: Cpus,
    /// Size of `/dev/shm`; Docker's 64 MiB when it is not said.
    pub shm: Option<Bytes>,
}

/// A published port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP port in the container.
    pub container: u16,
    /// Key of the manifest that holds the port on the host.
    pub key: String,
    /// Place in the tenant's range that `init` tries first.
    pub offset: u16,
    /// What is spoken there, for its address.
    pub scheme: String,
}

/// Docker's health check. The command is run as it is, without a shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Program and arguments.
    pub command: Vec<Template>,
    /// Between two probes.
    pub interval: Span,
    /// For one probe.
    pub timeout: Span,
    /// Failures in a row until it is unhealthy.
    pub retries: u32,
    /// Failures do not count for this long after a start.
    pub start_period: Span,
}

/// How it is stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Signal; the image's own when it is not said.
    pub signal: Option<String>,
    /// Time until it is killed.
    pub grace: Span,
}

/// A value that `init` makes from randomness.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Key of the manifest.
    pub key: String,
    /// What it looks like.
    pub format: SecretFormat,
    /// What a new value would mean.
    pub change: Rotation,
    /// For people, above the key in the manifest.
    pub comment: Option<String>,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SecretFormat {
    /// 32 letters and digits (190 bits).
    #[serde(rename = "alnum32")]
    Alnum32,
    /// 64 hexadecimal digits (256 bits).
    #[serde(rename = "hex64")]
    Hex64,
    /// `sk-` and 32 letters and digits.
    #[serde(rename = "sk-alnum32")]
    SkAlnum32,
}

/// What a new value of a secret would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Data becomes unreadable.
    Never,
    /// The service keeps the old one in its data; it must be changed there too.
    InService,
    /// The next deploy puts it into force everywhere.
    Deploy,
}

impl Rotation {
    /// True when the data of the service is of no use without the old value.
    #[must_use]
    pub fn bound_to_data(self) -> bool {
        matches!(self, Self::Never | Self::InService)
    }
}

/// A value with a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingEntry {
    /// Key of the manifest.
    pub key: String,
    /// What `init` writes.
    pub default: String,
    /// For people, above the key in the manifest.
    pub comment: Option<String>,
}

/// A database with a role of the same name that owns it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The service that holds it.
    pub provider: String,
    /// Name of database and role: lower-case letters, digits and `_`.
    pub name: String,
    /// Key of the manifest that holds the role's password.
    pub password: String,
    /// Extensions that the superuser creates in it.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// A host name behind the proxy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// First label; the tenant's domain follows.
    pub host: String,
    /// Port in the container.
    pub port: u16,
    /// Path that answers 200 to anyone, for `validate`.
    pub check: String,
}

/// Where metrics are read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Port in the container.
    pub port: u16,
    /// Path.
    pub path: String,
}

/// One thing that `validate` asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CheckEntry {
    /// GET a published port on loopback.
    Http {
        /// For people.
        title: String,
        /// Key of the port.
        port: String,
        /// Path and query.
        path: String,
        /// Name and value of one header.
        header: Option<(String, Template)>,
        /// Statuses that pass.
        expect: Vec<u16>,
    },
    /// Run a command in the container.
    Exec {
        /// For people.
        title: String,
        /// Program and arguments.
        command: Vec<Template>,
        /// Standard input.
        stdin: Option<Template>,
        /// What the output must hold.
        expect: Option<String>,
    },
}

/// What to know before another version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// One sentence each.
    #[serde(default)]
    pub hazards: Vec<String>,
}
