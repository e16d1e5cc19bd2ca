//! What one file of the catalog says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::template::Template;
use super::units::{Bytes, Cpus, Span};
use crate::desired::Phase;

/// One service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, from the file's; also its host name on the tenant's network.
    #[serde(skip)]
    pub name: String,
    /// True for a file of the tenant's own.
    #[serde(skip)]
    pub own: bool,
    /// For people.
    pub title: String,
    /// Image reference with registry and a pinned tag or digest.
    pub image: String,
    /// Heading it is shown under.
    pub phase: Phase,
    /// Which of the tenant's UIDs it runs as.
    pub user: Owner,
    /// Presets of `init` that have it.
    #[serde(default)]
    pub presets: Vec<Preset>,
    /// What it is a part of, e.g. `dify`: the parts are chosen, added and removed together by this
    /// name.
    pub group: Option<String>,
    /// The service is part of the stack exactly then, and is not chosen by name.
    pub when: Option<When>,
    /// A value that only the user can give; without it the service, and what needs it, is left out.
    pub requires: Option<Requires>,
    /// Services that must be healthy first; choosing this one chooses them too.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Services that it starts after where the stack has them, healthy or not.
    #[serde(default)]
    pub after: Vec<String>,
    /// The service whose network namespace it shares, e.g. `tailscale`. Its ports are published
    /// there, it is reached by that name, and the two are restarted together.
    pub network_of: Option<String>,
    /// It gets `VECTORDB_HOST`, `VECTORDB_PORT` and `VECTORDB_URL`, and starts after the vector
    /// database, whichever was chosen.
    #[serde(default)]
    pub uses_vector_db: bool,
    /// It can be chosen as the vector database: how its users reach it.
    pub vector_db: Option<VectorDb>,
    /// Program and first arguments instead of the image's own.
    #[serde(default)]
    pub entrypoint: Vec<Template>,
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
    /// What else it gets under a condition, e.g. with one vector database.
    #[serde(default, rename = "variant")]
    pub variants: Vec<Variant>,
    /// Files in `etc/<service>`, by name; a name may have folders, e.g. `provisioning/a.yaml`.
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
    /// What `docs/services.md` and `aistack catalog NAME` tell.
    #[serde(default)]
    pub docs: Docs,
}

impl Entry {
    /// Key of the manifest that replaces the image, e.g. `REDIS_IMAGE`.
    #[must_use]
    pub fn image_key(&self) -> String {
        format!("{}_IMAGE", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// True when a template of the entry names `key`.
    #[must_use]
    pub fn mentions(&self, key: &str) -> bool {
        let variants = self.variants.iter();
        self.environment
            .values()
            .chain(self.config.values())
            .chain(&self.command)
            .chain(&self.entrypoint)
            .chain(variants.flat_map(|variant| variant.environment.values()))
            .flat_map(Template::names)
            .any(|name| *name == super::template::Name::Key(key.to_owned()))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The tenant's own.
    Tenant,
    /// The first service UID of the grant.
    Service,
}

/// A condition on the manifest.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Key of the manifest.
    pub key: String,
    /// The value it must have; any that is not empty when this is not said.
    pub is: Option<String>,
}

/// As it is written for people, e.g. `VECTOR_DB=qdrant`.
impl std::fmt::Display for When {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.is {
            Some(value) => write!(out, "{}={value}", self.key),
            None => write!(out, "{} set", self.key),
        }
    }
}

/// What `init --preset` offers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The least that is of use.
    Minimal,
    /// What most want.
    Standard,
    /// Every service that needs no decision of its own.
    Full,
}

impl Preset {
    /// As the command line and the entries write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }
}

/// A value that only the user can give.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Key of the manifest.
    pub key: String,
    /// What it is and where it comes from: one sentence.
    pub why: String,
}

/// How users of a vector database reach it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorDb {
    /// Port in the container.
    pub port: u16,
    /// `VECTORDB_URL`, e.g. `http://qdrant:6333`.
    pub url: Template,
}

/// What a service gets in addition while a condition holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The condition.
    pub when: When,
    /// Services that must be healthy first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Environment variables; they win over the entry's own.
    #[serde(default)]
    pub environment: BTreeMap<String, Template>,
    /// Databases that it needs.
    #[serde(default, rename = "database")]
    pub databases: Vec<Database>,
}

/// Templates that are rendered once for each service of a list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// For each service with a `[site]`.
    pub site: Option<Template>,
    /// For each service with a `[scrape]`.
    pub scrape: Option<Template>,
    /// For each `[[site.route]]` of the site, inside `site`.
    pub route: Option<Template>,
}

/// Container paths of the service's directories.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mounts {
    /// `etc/<service>`, read-only.
    pub etc: Option<String>,
    /// `data/<service>`.
    pub data: Option<String>,
    /// `data` is that of this other service of the group, which runs as the same user.
    pub data_of: Option<String>,
    /// `logs/<service>`.
    pub logs: Option<String>,
}

/// The container's root file system.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Mounted read-only.
    pub read_only: bool,
    /// Directories in memory with their largest size: noexec, nosuid, nodev, mode 1777.
    #[serde(default)]
    pub tmpfs: BTreeMap<String, Bytes>,
}

/// What the container may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Signal; the image's own when it is not said.
    pub signal: Option<String>,
    /// Time until it is killed.
    pub grace: Span,
}

/// A value that `init` makes from randomness.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
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
    /// 24 letters and digits (142 bits), for what takes no more than 30.
    #[serde(rename = "alnum24")]
    Alnum24,
    /// 32 letters and digits, and `-Aa1`: for a service that wants every kind of character.
    #[serde(rename = "password")]
    Password,
}

/// What a new value of a secret would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// First label; the tenant's domain follows.
    pub host: String,
    /// Port in the container.
    pub port: u16,
    /// Path that answers 200 to anyone, for `validate`.
    pub check: String,
    /// Paths that other services answer before the site's own port; the longest that matches wins.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
}

/// Paths of a site that another service answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path as Caddy matches it: exact, or a prefix that ends in `*`.
    pub path: String,
    /// The service.
    pub service: String,
    /// Port in its container.
    pub port: u16,
}

/// Where metrics are read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Port in the container.
    pub port: u16,
    /// Path.
    pub path: String,
}

/// One thing that `validate` asks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CheckEntry {
    /// Requests to the service, one after the other, as one user would make them: cookies are kept.
    Http {
        /// For people.
        title: String,
        /// Asked only then.
        when: Option<When>,
        /// Key of the published port on loopback; through the proxy, by its site and over TLS,
        /// when it is not said.
        port: Option<String>,
        /// The requests.
        #[serde(rename = "step")]
        steps: Vec<StepEntry>,
    },
    /// Run a command in the container.
    Exec {
        /// For people.
        title: String,
        /// Asked only then.
        when: Option<When>,
        /// Program and arguments.
        command: Vec<Template>,
        /// Standard input.
        stdin: Option<Template>,
        /// What the output must hold.
        expect: Option<String>,
    },
}

impl CheckEntry {
    /// The condition under which it is asked.
    #[must_use]
    pub fn when(&self) -> Option<&When> {
        match self {
            Self::Http { when, .. } | Self::Exec { when, .. } => when.as_ref(),
        }
    }
}

/// One request of a check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepEntry {
    /// `GET` when it is not said.
    pub method: Option<String>,
    /// Path and query; `${step:NAME}` is what an earlier step captured.
    pub path: Template,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Body.
    pub body: Option<Template>,
    /// Signs the request for an S3 store, with these keys.
    pub s3: Option<S3Keys>,
    /// Statuses that pass; 200 when it is not said.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// What the answer must hold.
    pub contains: Option<Template>,
    /// Values to keep from a JSON answer: name, and JSON pointer (RFC 6901).
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// Done although an earlier step failed: it removes what the check made. Its own failure counts
    /// only when every step before it passed.
    #[serde(default)]
    pub always: bool,
    /// Repeated until it passes, for at most this long.
    pub within: Option<Span>,
}

/// Keys of an S3 store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Keys {
    /// Access key.
    pub access_key: Template,
    /// Secret key.
    pub secret_key: Template,
}

/// What is told about a service, one paragraph each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Docs {
    /// What it is and what for.
    pub about: String,
    /// How one signs in for the first time, and where the password is.
    pub login: String,
    /// What it is connected to without the user's doing.
    pub wiring: String,
    /// What is in its data directory, and how to restore it.
    pub restore: String,
    /// Upstream's page.
    pub homepage: String,
    /// SPDX expression, or what upstream calls it.
    pub licence: String,
    /// What was run for real in the tests, against what version, and what was not.
    pub tested: String,
}

/// What to know before another version.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// One sentence each.
    #[serde(default)]
    pub hazards: Vec<String>,
}
