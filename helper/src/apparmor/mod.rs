//! Loading the profiles that a tenant may narrow, and saying which of them hold.
//!
//! The tenant's text is never given to AppArmor: it is parsed, and what is loaded was written by
//! the helper (`aistack_policy::apparmor`). [`Paths`] says where everything is, `source` reads
//! what the tenant wrote, `parser` runs AppArmor's compiler, `store`, `kernel`, `published` and
//! `tasks` are the four places where a profile shows, and `load` keeps them in step.

mod error;
mod kernel;
mod load;
mod parser;
mod paths;
mod published;
mod release;
mod source;
mod store;
mod tasks;

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistack_policy::apparmor::Names;
use aistack_policy::{AppArmorMode, Grant, Policy, Refusal};
use aistack_proto::v1::AppArmorState;
use tokio::sync::OwnedMutexGuard;

use self::kernel::Loaded;
use self::load::Host;
use crate::rate::{Buckets, Rate};

pub use error::ProfileError;
pub use parser::ParserError;
pub use paths::{PUBLISHED, Paths};
pub(crate) use published::published;
pub(crate) use tasks::label;

/// How often the profiles of one tenant are compiled and loaded; what is settled costs nothing.
const LOADS: Rate = Rate {
    burst: 2,
    interval: Duration::from_secs(3),
};
/// Tenants that load within one interval.
const MAX_TENANTS: usize = 4096;
/// Every tenant has a base profile; its kept copy tells whose profiles there are.
const BASE: &str = "ai-base-";

/// AppArmor of this host, for all tenants.
#[derive(Debug)]
pub struct AppArmor {
    paths: Paths,
    turn: Arc<tokio::sync::Mutex<()>>,
    started: Instant,
    loads: Mutex<Buckets>,
}

/// What a load has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Names of the profiles that the kernel enforces now.
    pub(crate) profiles: Vec<String>,
    /// True when the kernel or a kept copy was changed.
    pub(crate) changed: bool,
    /// Why there is no profile, where the policy allows that.
    pub(crate) without: Option<&'static str>,
}

impl AppArmor {
    /// AppArmor as it is at `paths`.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self {
            paths,
            turn: Arc::default(),
            started: Instant::now(),
            loads: Mutex::new(Buckets::new(LOADS, MAX_TENANTS)),
        }
    }

    /// The right to change profiles: one at a time on this host.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Why this host has no profiles at all, `None` when it can have them.
    pub(crate) fn why_not(&self) -> Option<&'static str> {
        if !self.paths.kernel_enforces() {
            return Some("the kernel of this host does not enforce AppArmor");
        }
        if !self.paths.parser.is_file() {
            return Some("apparmor_parser is not installed on this host");
        }
        None
    }

    /// What a load comes to where this host has no profiles at all.
    pub(crate) fn without(grant: &Grant, why: &'static str) -> Result<Outcome, ProfileError> {
        if grant.apparmor == AppArmorMode::IfAvailable {
            return Ok(Outcome {
                profiles: Vec::new(),
                changed: false,
                without: Some(why),
            });
        }
        let message = format!("{why}, and the policy requires it");
        let refusal = Refusal::new("APPARMOR_OFF", message, grant.rules.apparmor.clone());
        let hint =
            "ask the administrator to enable AppArmor, or to set apparmor = \"if-available\"";
        Err(ProfileError::Off(refusal.with_hint(hint)))
    }

    /// Vets, compiles and loads the three profiles of a tenant. `base` is the pinned root of its
    /// volume. Blocks; hold the turn.
    pub(crate) fn load(&self, base: impl AsFd, grant: &Grant) -> Result<Outcome, ProfileError> {
        let profiles = load::rendered(&self.paths, base, grant)?;
        let host = Host::open(&self.paths)?;
        let mut wanted = Vec::new();
        for profile in &profiles {
            if !host.is_settled(profile)? {
                wanted.push(profile);
            }
        }
        if !wanted.is_empty() {
            self.take(grant.uid)?;
        }
        // All of them compile before the first one is loaded.
        for profile in &wanted {
            parser::check(&self.paths.parser, &profile.name, &profile.text)
                .map_err(load::parser_error(&profile.name))?;
        }
        for profile in &wanted {
            host.install(profile)?;
        }
        let changed = !wanted.is_empty();
        Ok(Outcome {
            profiles: profiles.into_iter().map(|profile| profile.name).collect(),
            changed,
            without: None,
        })
    }

    /// Takes the three profiles of a tenant out of the kernel and off the disk; false when there
    /// were none. Blocks; hold the turn.
    pub(crate) fn unload(&self, grant: &Grant) -> Result<bool, ProfileError> {
        let names = Names::of(grant);
        Host::open(&self.paths)?.remove(&all(&names))
    }

    /// Verifies that every kept profile of the policy's tenants is loaded, loads those that are not,
    /// and publishes them. Returns what went wrong, by profile. Blocks; hold the turn.
    pub(crate) fn boot(&self, policy: &Policy) -> Vec<(String, ProfileError)> {
        if self.why_not().is_some() {
            return Vec::new();
        }
        let error_at = |error| vec![(self.paths.kept.display().to_string(), error)];
        let host = match Host::open(&self.paths) {
            Ok(host) => host,
            Err(error) => return error_at(error),
        };
        let bases = match host.store().names(|name| name.starts_with(BASE)) {
            Ok(bases) => bases,
            Err(error) => return error_at(error),
        };
        let tenants = bases.iter().filter_map(|base| tenant_of(base, policy));
        let mut failed = Vec::new();
        for names in tenants {
            for name in all(&names) {
                if let Err(error) = host.revive(name) {
                    failed.push((name.to_owned(), error));
                }
            }
        }
        failed
    }

    /// The state of this host for this tenant.
    pub fn state(&self, grant: &Grant) -> AppArmorState {
        let names = Names::of(grant);
        let kernel_enabled = self.paths.kernel_enforces();
        let loaded = Loaded::read(&self.paths.loaded).ok();
        let holds = |name: &&str| {
            let enforced = loaded.as_ref().is_some_and(|list| list.enforces(name));
            enforced && published(&self.paths.published, name).is_some()
        };
        let profiles_loaded = kernel_enabled && all(&names).iter().all(holds);
        let summary = match (self.why_not(), profiles_loaded) {
            (_, true) => "the kernel enforces AppArmor with your profiles",
            (Some(why), _) => why,
            (None, false) => "the kernel enforces AppArmor; your profiles are not loaded",
        };
        AppArmorState {
            kernel_enabled,
            profiles_loaded,
            summary: summary.to_owned(),
            kernel_warning: kernel_warning().unwrap_or_default(),
        }
    }

    /// Says in the daemon's log what an administrator should know before the first load.
    pub fn warn(&self) {
        if let Some(why) = self.why_not() {
            tracing::warn!("{why}: tenants whose policy requires AppArmor can run no container");
            return;
        }
        if let Some(warning) = kernel_warning() {
            tracing::warn!("{warning}");
        }
    }

    fn take(&self, uid: u32) -> Result<(), ProfileError> {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads
            .take(uid, self.started.elapsed())
            .map_err(ProfileError::TooOften)
    }
}

/// True when the running kernel enforces AppArmor.
pub(crate) fn kernel_enforces() -> bool {
    Paths::default().kernel_enforces()
}

/// The profiles of a tenant, as far as `dir` says that they are verified.
pub(crate) fn published_of(dir: &Path, grant: &Grant) -> Vec<String> {
    let names = Names::of(grant);
    all(&names)
        .into_iter()
        .filter(|name| published(dir, name).is_some())
        .map(str::to_owned)
        .collect()
}

/// The base first: what the others stand on.
fn all(names: &Names) -> [&str; 3] {
    use aistack_policy::apparmor::Kind;
    [
        names.base(),
        names.name(Kind::Platform),
        names.name(Kind::Openclaw),
    ]
}

/// The tenant whose base profile has this name, when the policy knows one.
fn tenant_of(base: &str, policy: &Policy) -> Option<Names> {
    let uid = base.strip_prefix(BASE)?.parse().ok()?;
    let names = Names::of(&policy.grant(uid)?);
    (names.base() == base).then_some(names)
}

fn kernel_warning() -> Option<String> {
    let uname = rustix::system::uname();
    release::warning(&uname.version().to_string_lossy())
}
