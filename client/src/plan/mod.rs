//! The plan: a pure difference between the desired and the observed state, with reasons.

mod diff;
pub mod held;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Fingerprint, Stack};

pub use held::{Held, Host};

/// The tenant's containers, by service name, and what they stand on.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Containers that carry the service label.
    pub services: BTreeMap<String, ObservedService>,
    /// What this host has now of what containers hold by identity.
    pub host: Host,
}

/// One container of the tenant's.
#[derive(Debug, Clone)]
pub struct ObservedService {
    /// Full Docker id.
    pub id: String,
    /// Container name without the slash.
    pub container: String,
    /// Image reference it was made from.
    pub image: String,
    /// Docker's id of that image.
    pub image_id: String,
    /// Parsed from its label; `None` when it is missing or invalid.
    pub fingerprint: Option<Fingerprint>,
    /// What it holds by identity.
    pub held: Held,
    /// What it is doing.
    pub state: State,
}

/// State of a container as Docker lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made, never started.
    Created,
    /// Runs and has no health check, or is healthy.
    Healthy,
    /// Runs, and its health check has not decided yet.
    Starting,
    /// Runs and fails its health check.
    Unhealthy,
    /// Restarting, paused, exited, dead.
    Stopped,
}

/// What to do with each service, in catalog order, removals first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One step a service, [`Action::Keep`] included.
    pub steps: Vec<Step>,
    /// Services whose image is not on this host.
    pub without_image: BTreeSet<String>,
    /// Whether the tenant's network is known to be missing.
    pub without_network: bool,
}

/// What to do with one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Service name.
    pub service: String,
    /// What to do.
    pub action: Action,
}

/// What to do with one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It runs as desired.
    Keep,
    /// It is as desired but not healthy yet: wait for it.
    Wait,
    /// It is as desired and stopped.
    Start,
    /// There is none.
    Create,
    /// It differs in these parts of the fingerprint, or holds another network, image, volume or
    /// AppArmor profile than there is now.
    Replace {
        /// e.g. `image`, `environment.N8N_PORT`, `ports`.
        because: Vec<String>,
    },
    /// It is no longer wanted.
    Remove,
}

impl Step {
    /// Whether a container is made, which needs its image.
    #[must_use]
    pub fn makes_a_container(&self) -> bool {
        matches!(self.action, Action::Create | Action::Replace { .. })
    }
}

impl Plan {
    /// Whether this step needs an image that is to be pulled first.
    #[must_use]
    pub fn pulls(&self, step: &Step) -> bool {
        step.makes_a_container() && self.without_image.contains(&step.service)
    }

    /// True when every service runs as desired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Keep)
    }
}

/// The plan that leads from `observed` to `desired`.
#[must_use]
pub fn diff(desired: &Stack, observed: &Observed) -> Plan {
    diff::diff(desired, observed)
}
