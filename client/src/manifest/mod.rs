//! What `init` writes: the manifest that a grant, an existing file and the user's wishes lead to.
//!
//! Pure: whether a port is free and where random bytes come from are given by the caller. What the
//! file has already is never changed except by an override; what is missing is added.

mod ports;
mod secrets;
mod unknown;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aistack_proto::v1::Grant;

use crate::catalog::{Catalog, Entry, Preset};
use crate::desired::TimeScale;
use crate::env_file::{EnvFile, Settings};
use crate::keys::{self, DEFAULT_VECTOR_DB, SERVICES, TIME_SCALE, VECTOR_DB};
use crate::selection::{self, Selection, SelectionError};
pub use unknown::unknown;

/// Everything that decides what the manifest says. Overrides may be secrets, so it has no `Debug`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What the policy gives.
    pub grant: &'a Grant,
    /// What the stack is made of.
    pub catalog: &'a Catalog,
    /// The file as it is, if there is one.
    pub existing: Option<&'a EnvFile>,
    /// `--set KEY=VALUE`, later ones win.
    pub overrides: &'a [(String, String)],
    /// The process environment: it is not written to the file, but its `SERVICES` and `VECTOR_DB`
    /// decide which services the file must have the keys of.
    pub environment: &'a BTreeMap<String, String>,
    /// Services whose data directory holds something.
    pub occupied: &'a BTreeSet<String>,
}

/// The manifest to write, and what is new in it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The whole file.
    pub file: EnvFile,
    /// Keys that were not there, or had no value.
    pub added: Vec<String>,
    /// Keys whose value an override has changed.
    pub changed: Vec<String>,
    /// Ports that are not where they would usually be.
    pub moved: Vec<MovedPort>,
}

/// A port whose usual place was taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MovedPort {
    /// Its key.
    pub key: String,
    /// Where it would usually be.
    pub usual: u16,
    /// Where it is now.
    pub chosen: u16,
}

impl fmt::Display for MovedPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} is {}: {} is in use",
            self.key, self.chosen, self.usual
        )
    }
}

/// Why no manifest can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A `--set` that says nothing.
    #[error("--set {key}: {message}")]
    Override {
        /// As it was given.
        key: String,
        /// One sentence.
        message: String,
    },
    /// `SERVICES` names what cannot be chosen.
    #[error("{SERVICES}: {}", each(.0))]
    Selection(Vec<SelectionError>),
    /// New secrets would lock existing data out.
    #[error(
        "the data of {} was made with secrets that the manifest does not have, and new ones would \
         not open it; restore the old .env (or give the old values with --secret-file), or change the secret \
         inside the service first and give the new value with --secret-file, or destroy the data \
         by emptying its directory",
        list(.lost)
    )]
    SecretsLost {
        /// Each secret that is missing.
        lost: Vec<LostSecret>,
    },
    /// The range is used up.
    #[error(
        "no free port for {key} in {first} to {last}; stop what listens there, or ask the administrator for more ports"
    )]
    NoFreePort {
        /// The port's key.
        key: String,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
}

/// A secret that is missing while the data that it protects is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSecret {
    /// The service with the data.
    pub service: String,
    /// Key of the secret.
    pub key: String,
}

impl fmt::Display for LostSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.service, self.key)
    }
}

fn each(errors: &[SelectionError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn list(lost: &[LostSecret]) -> String {
    let texts: Vec<String> = lost.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// The manifest for a request.
///
/// `free` says whether nothing listens on a port of loopback; `random` fills a buffer.
///
/// # Errors
/// A bad override, secrets that would be generated again over existing data, a range without a free port.
pub fn decide(
    request: &Request<'_>,
    free: &mut dyn FnMut(u16) -> bool,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Manifest, ManifestError> {
    let mut draft = Draft::start(request)?;
    for base in before_ports() {
        draft.add(base.key, &base_value(base.key, request), base.comment);
    }
    let entries = entries(request, &draft)?;
    secrets::refuse_lost(request, &entries, &draft)?;
    let ports = ports::choose(request, &entries, &draft, free)?;
    let mut heading = Some("Ports on loopback, in your range. Each is tested when it is chosen.");
    for port in ports.iter().filter(|port| is_fixed(&port.key)) {
        draft.fill(&port.key, &port.number.to_string(), heading.take());
    }
    for base in keys::BASE.iter().skip(before_ports().count()) {
        draft.add(base.key, &base_value(base.key, request), base.comment);
    }
    let mut heading = Some("More ports.");
    for port in ports.iter().filter(|port| !is_fixed(&port.key)) {
        draft.fill(&port.key, &port.number.to_string(), heading.take());
    }
    for setting in entries.iter().flat_map(|entry| &entry.settings) {
        draft.add(&setting.key, &setting.default, setting.comment.as_deref());
    }
    for secret in entries.iter().flat_map(|entry| &entry.secrets) {
        if draft.lacks_value(&secret.key) {
            let value = secrets::make(secret.format, random);
            draft.fill(&secret.key, &value, secret.comment.as_deref());
        }
    }
    draft.add_rest();
    Ok(Manifest {
        file: draft.file,
        added: draft.added,
        changed: draft.changed,
        moved: ports.into_iter().filter_map(|port| port.moved).collect(),
    })
}

/// Entries of the stack that the file and the environment describe.
fn entries<'a>(request: &Request<'a>, draft: &Draft) -> Result<Vec<&'a Entry>, ManifestError> {
    let known = |key: &str| request.catalog.is_key(key);
    // A reference may be to a key that is yet to be added; such a value is taken as it stands, and
    // reported as an error, if it is one, when the whole file is resolved.
    let settings = Settings::resolve(&draft.file, request.environment, known).ok();
    let value = |key: &str| {
        let resolved = settings.as_ref().and_then(|settings| settings.get(key));
        let environment = request.environment.get(key).map(String::as_str);
        resolved
            .or(environment)
            .or_else(|| draft.value(key))
            .map(str::to_owned)
    };
    let selection = Selection::of(request.catalog, &value).map_err(ManifestError::Selection)?;
    Ok(selection.entries())
}

/// Keys that stand before the ports in the file.
fn before_ports() -> impl Iterator<Item = &'static keys::BaseKey> {
    keys::BASE
        .iter()
        .take_while(|base| !base.key.starts_with("TAILSCALE_"))
}

fn is_fixed(key: &str) -> bool {
    keys::PORTS.iter().any(|(fixed, _)| *fixed == key)
}

/// The vector database of a file that names none. One that is older than the choice of services had pgvector.
#[must_use]
pub fn default_vector_db(existing: Option<&EnvFile>) -> &'static str {
    match existing {
        Some(file) if file.get(SERVICES).is_none() && file.keys().next().is_some() => "pgvector",
        _ => DEFAULT_VECTOR_DB,
    }
}

/// What a key of the tenant is in a new file.
fn base_value(key: &str, request: &Request<'_>) -> String {
    let grant = request.grant;
    let service_uid = || grant.service_uids.first().copied().unwrap_or(grant.uid);
    match key {
        "BASE_DIR" => grant.base_dir.clone(),
        "DOCKER_NETWORK" => grant.network.clone().unwrap_or_default().name,
        "DOMAIN_NAME" => grant.domain.clone(),
        "LOCALHOST" => "127.0.0.1".to_owned(),
        "TENANT_NAME" | "TAILSCALE_HOSTNAME" => grant.name.clone(),
        "STACK_USER_UID" => grant.uid.to_string(),
        "STACK_USER_GID" => grant.gid.to_string(),
        "OPENCLAW_UID" | "OPENCLAW_GID" => service_uid().to_string(),
        "APPARMOR_PROFILE_DIR" => format!("{}/apparmor", grant.base_dir),
        VECTOR_DB => default_vector_db(request.existing).to_owned(),
        // What a file that is older than this key stands for.
        SERVICES if request.existing.is_some() => {
            selection::preset(request.catalog, Preset::Minimal)
        }
        SERVICES => selection::preset(request.catalog, Preset::Standard),
        TIME_SCALE => TimeScale::default().to_string(),
        "PORT_RANGE_START" => grant.ports.unwrap_or_default().first.to_string(),
        _ => String::new(),
    }
}

/// A file that is being completed.
struct Draft {
    file: EnvFile,
    /// Overrides that the file does not hold yet.
    wishes: BTreeMap<String, String>,
    added: Vec<String>,
    changed: Vec<String>,
}

impl Draft {
    /// The existing file with the overrides of keys that it has, or the head of a new one.
    fn start(request: &Request<'_>) -> Result<Self, ManifestError> {
        let mut draft = Self {
            file: request.existing.cloned().unwrap_or_else(new_file),
            wishes: BTreeMap::new(),
            added: Vec::new(),
            changed: Vec::new(),
        };
        for (key, value) in request.overrides {
            if !request.catalog.is_key(key) {
                return Err(ManifestError::Override {
                    key: key.clone(),
                    message: "no such key of the manifest".to_owned(),
                });
            }
            draft.wishes.insert(key.clone(), value.clone());
        }
        let there: Vec<String> = draft.file.keys().map(str::to_owned).collect();
        for key in there {
            if let Some(value) = draft.wishes.remove(&key) {
                if draft.file.get(&key) != Some(&value) {
                    draft.changed.push(key.clone());
                }
                draft.file.set(&key, &value, None);
            }
        }
        Ok(draft)
    }

    /// What the key has or will have; `None` when that is nothing.
    fn value(&self, key: &str) -> Option<&str> {
        self.wishes
            .get(key)
            .map(String::as_str)
            .or_else(|| self.file.get(key))
            .filter(|value| !value.is_empty())
    }

    fn lacks_value(&self, key: &str) -> bool {
        self.value(key).is_none()
    }

    /// Adds a key that is not there; an override of it wins.
    fn add(&mut self, key: &str, value: &str, comment: Option<&str>) {
        if self.file.get(key).is_some() {
            return;
        }
        let wish = self.wishes.remove(key);
        self.file
            .set(key, wish.as_deref().unwrap_or(value), comment);
        self.added.push(key.to_owned());
    }

    /// The same, for keys that cannot be empty.
    fn fill(&mut self, key: &str, value: &str, comment: Option<&str>) {
        if self.file.get(key).is_some_and(str::is_empty) {
            self.file.set(key, value, None);
            self.added.push(key.to_owned());
        } else {
            self.add(key, value, comment);
        }
    }

    /// Adds the overrides that no list names, e.g. another image.
    fn add_rest(&mut self) {
        let mut heading = Some("Given with --set.");
        for (key, value) in std::mem::take(&mut self.wishes) {
            self.add(&key, &value, heading.take());
        }
    }
}

fn new_file() -> EnvFile {
    let mut file = EnvFile::default();
    file.push_comment(
        "Everything that this stack is made of. Change a value, run `aistack deploy`, and what\n\
         depends on it is recreated. ${KEY} is substituted; the shell's environment wins.\n\
         Keep a copy in a safe place: it holds every secret.",
    );
    file
}
