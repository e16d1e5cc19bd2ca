//! The gRPC side of `aistack-helper`: every call goes through one admission.
//!
//! Identity comes from the connection, the grant from the policy in force at that moment, the
//! method from a closed list. Only then is the message parsed. An operation that changes something
//! runs alone for its UID, in a task of its own, between its two audit records.

mod admission;
mod calls;
mod codec;
mod method;
mod perform;
mod serve;
mod status;
mod vet;
mod whoami;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::audit::Audit;
use crate::locks::Locks;
use crate::ops::Ops;
use crate::policy_store::PolicyStore;
use crate::rate::Limiter;

pub use method::Method;
pub use serve::{ServeError, serve};

/// Operations that run at once, of all tenants.
const MAX_RUNNING: u32 = 64;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A caller is answered within this time; its operation goes on.
    pub answer: Duration,
    /// An operation is given up after this time.
    pub operation: Duration,
    /// A second operation of the same UID waits so long for the first.
    pub turn: Duration,
    /// A connection takes no new calls after this time.
    pub connection: Duration,
    /// The daemon ends after so long without a connection or an operation; `None` for never.
    pub idle: Option<Duration>,
}

impl Times {
    /// What the daemon runs with.
    pub const DEFAULT: Self = Self {
        answer: Duration::from_mins(2),
        operation: Duration::from_mins(10),
        turn: Duration::from_secs(20),
        connection: Duration::from_mins(1),
        idle: None,
    };
}

/// Everything that answering a call needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Front {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: PolicyStore,
    audit: Audit,
    ops: Arc<Ops>,
    times: Times,
    locks: Locks,
    limiter: Limiter,
    running: Arc<Semaphore>,
}

impl Front {
    /// Answers by this policy, into this log, through these operations.
    #[must_use]
    pub fn new(policy: PolicyStore, audit: Audit, ops: Ops, times: Times) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                audit,
                ops: Arc::new(ops),
                times,
                locks: Locks::default(),
                limiter: Limiter::new(admission::RATES),
                running: Arc::new(Semaphore::new(MAX_RUNNING as usize)),
            }),
        }
    }

    /// True while no operation runs.
    fn is_idle(&self) -> bool {
        self.shared.running.available_permits() == MAX_RUNNING as usize
    }

    /// Waits until no operation runs; none can begin afterwards.
    pub async fn idle(&self) {
        if self.shared.running.acquire_many(MAX_RUNNING).await.is_ok() {
            self.shared.running.close();
        }
    }
}
