//! What one file of the catalog says.

mod checks;
mod container;
mod outside;
mod values;

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use schemars::JsonSchema;
use serde::Deserialize;

pub use checks::{CheckEntry, S3Keys, StepEntry};
pub use container::{Filesystem, Health, LimitsEntry, Mounts, Port, Stop};
pub use outside::{Docs, Route, Scrape, Site, Upgrade};
pub use values::{Database, Rotation, Secret, SecretFormat, SettingEntry};

use super::template::{List, Name, Template};
use super::units::Span;
use crate::preset::Preset;

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
    /// How often it may exit before it has been healthy once, within `start_timeout`, until the start
    /// counts as failed: 1 when it is not said. More only for software that gives up for no reason of
    /// its own and comes up when Docker starts it again.
    #[serde(default = "once")]
    pub start_exits: NonZeroU8,
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

fn once() -> NonZeroU8 {
    NonZeroU8::MIN
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
        self.templates()
            .flat_map(Template::names)
            .any(|name| *name == Name::Key(key.to_owned()))
    }

    /// What its container is made with.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let variants = self.variants.iter();
        self.environment
            .values()
            .chain(self.config.values())
            .chain(&self.command)
            .chain(&self.entrypoint)
            .chain(variants.flat_map(|variant| variant.environment.values()))
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

impl Each {
    /// The template of a list.
    #[must_use]
    pub fn template(&self, list: List) -> Option<&Template> {
        match list {
            List::Site => &self.site,
            List::Scrape => &self.scrape,
            List::Route => &self.route,
            List::FrontDoor => &self.front_door,
            List::PublicName => &self.public_name,
        }
        .as_ref()
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

/// Headings of a deploy; edges decide the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Stores and databases.
    Infrastructure,
    /// What the tenant came for.
    Services,
    /// OpenClaw, and what connects it.
    Agent,
    /// The proxy in front; starts last.
    Ingress,
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
    /// Where the host has a front door. Its visitors are sent to this service, which gets the address for
    /// them on the tenant's network; it listens on port 9080 for HTTP and 9443 for TLS, each after a
    /// PROXY header.
    pub front_door: Option<Template>,
    /// For each name of the site at the front door, inside `site`.
    pub public_name: Option<Template>,
}
