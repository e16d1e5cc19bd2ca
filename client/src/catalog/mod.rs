//! The catalog: one TOML file a service in `client/catalog/`, embedded, strictly typed.
//!
//! Adding a service is adding a file; `docs/catalog.md` tells how. Everything that can be wrong in
//! an entry is found when the catalog is loaded, with file, line and column.

mod check;
mod entry;
pub mod own;
pub mod schema;
mod template;
mod units;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::preset::Preset;
pub use entry::{
    CheckEntry, Database, Docs, Each, Entry, Filesystem, Health, LimitsEntry, Mounts, Owner, Phase,
    Port, Requires, Rotation, Route, S3Keys, Scrape, Secret, SecretFormat, SettingEntry, Site,
    StepEntry, Stop, Upgrade, Variant, VectorDb, When,
};
pub use template::{Item, List, Name, Template};
pub use units::{Bytes, Cpus, Days, Span};

use crate::keys;

/// File name without `.toml`, and content, of every embedded entry.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// Every service that this version knows, by phase and then by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    entries: Vec<Entry>,
}

/// What is wrong with an entry, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct CatalogError {
    /// File name, e.g. `redis.toml`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// One sentence.
    pub message: String,
}

impl Catalog {
    /// The embedded catalog. An invalid entry cannot be shipped: a test loads every one.
    ///
    /// # Panics
    /// When an embedded entry is invalid.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program, and a test loads it"
    )]
    pub fn embedded() -> Self {
        Self::load(EMBEDDED).expect("the embedded catalog is sound")
    }

    /// The embedded catalog and a tenant's own files.
    ///
    /// # Errors
    /// Every error in them; an own file cannot take the name or a key of an embedded one.
    pub fn with_own(files: &[own::OwnFile]) -> Result<Self, Vec<CatalogError>> {
        let taken = |file: &&own::OwnFile| EMBEDDED.iter().any(|(name, _)| *name == file.name);
        let shadows: Vec<CatalogError> = files
            .iter()
            .filter(taken)
            .map(|file| CatalogError {
                file: format!("{}.toml", file.name),
                line: 1,
                column: 1,
                message: format!("the catalog has a service named {:?} already", file.name),
            })
            .collect();
        if !shadows.is_empty() {
            return Err(shadows);
        }
        let own = files
            .iter()
            .map(|file| (file.name.as_str(), file.text.as_str()));
        let sources: Vec<(&str, &str)> = EMBEDDED.iter().copied().chain(own).collect();
        let mut catalog = Self::load(&sources)?;
        for entry in &mut catalog.entries {
            entry.own = files.iter().any(|file| file.name == entry.name);
        }
        Ok(catalog)
    }

    /// Loads entries from pairs of service name and TOML text. Where two collide, e.g. declare the
    /// same key, the error is the later one's.
    ///
    /// # Errors
    /// Every error in every entry.
    pub fn load(sources: &[(&str, &str)]) -> Result<Self, Vec<CatalogError>> {
        let mut errors = Vec::new();
        let mut entries = Vec::new();
        for (at, (name, text)) in sources.iter().enumerate() {
            if sources.iter().take(at).any(|(other, _)| other == name) {
                errors.push(check::twice(name, text));
                continue;
            }
            match toml::from_str::<Entry>(text) {
                Ok(entry) => entries.push(Entry {
                    name: (*name).to_owned(),
                    ..entry
                }),
                Err(error) => errors.push(check::syntax_error(name, text, &error)),
            }
        }
        entries.sort_by(|a, b| (a.phase, &a.name).cmp(&(b.phase, &b.name)));
        let catalog = Self { entries };
        if errors.is_empty() {
            errors = check::errors(&catalog, sources);
        }
        if errors.is_empty() {
            Ok(catalog)
        } else {
            Err(errors)
        }
    }

    /// Names of all services, in catalog order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect()
    }

    /// All entries, in catalog order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The ports at which the host reaches an entry: its own, and those of the service whose network
    /// it is in.
    pub fn published<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Port> {
        let owner = entry.network_of.as_ref().and_then(|name| self.get(name));
        let entries = [Some(entry), owner].into_iter().flatten();
        entries.flat_map(|entry| &entry.ports)
    }

    /// The entry of a service.
    #[must_use]
    pub fn get(&self, service: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == service)
    }

    /// True when `key` is a key of the stack's manifest; only these are taken from the process
    /// environment.
    #[must_use]
    pub fn is_key(&self, key: &str) -> bool {
        keys::BASE.iter().any(|base| base.key == key)
            || keys::PORTS.iter().any(|(port, _)| *port == key)
            || self.entries.iter().any(|entry| entry.declares(key))
    }

    /// Every key of a manifest that there is.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let base = keys::BASE.iter().map(|base| base.key);
        let mut all: Vec<&str> = base
            .chain(keys::PORTS.iter().map(|(key, _)| *key))
            .collect();
        for entry in &self.entries {
            all.extend(entry.ports.iter().map(|port| port.key.as_str()));
            all.extend(entry.secrets.iter().map(|secret| secret.key.as_str()));
            all.extend(entry.settings.iter().map(|setting| setting.key.as_str()));
        }
        all
    }

    /// True when `key` holds a secret, so that its value is never shown.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        keys::is_secret_name(key)
            || self
                .entries
                .iter()
                .any(|entry| entry.secrets.iter().any(|secret| secret.key == key))
    }

    /// Keys of all ports with their offsets in the tenant's range, by offset: those of the manifest
    /// that have no service yet, and those of the entries.
    #[must_use]
    pub fn port_keys(&self) -> Vec<(&str, u16)> {
        let mut ports: Vec<(&str, u16)> = keys::PORTS.to_vec();
        for port in self.entries.iter().flat_map(|entry| &entry.ports) {
            if !ports.iter().any(|(key, _)| *key == port.key) {
                ports.push((&port.key, port.offset));
            }
        }
        ports.sort_by_key(|(_, offset)| *offset);
        ports
    }

    /// What `VECTOR_DB` can be: every vector database by name, and `none`.
    #[must_use]
    pub fn vector_dbs(&self) -> Vec<&str> {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.vector_db.is_some())
            .map(|entry| entry.name.as_str())
            .chain(["none"])
            .collect()
    }

    /// True when some service can be the proxy for a scheme, `http` or `https`.
    #[must_use]
    pub fn has_proxy(&self, scheme: &str) -> bool {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.phase == Phase::Ingress)
            .flat_map(|entry| &entry.ports)
            .any(|port| port.scheme == scheme)
    }
}
