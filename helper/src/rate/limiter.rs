//! The buckets of one daemon: tenants each for themselves, everyone else together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Buckets, Rate};

/// Tenants whose buckets are in use at once; more do not call at one moment.
const MAX_TENANTS: usize = 4096;

/// How often each kind of request may come.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Requests of one tenant that only read.
    pub reads: Rate,
    /// Requests of one tenant that write to the audit log.
    pub changes: Rate,
    /// Requests of everyone who is not a tenant, together.
    pub strangers: Rate,
}

/// Whose token a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A tenant's that only reads.
    Read(u32),
    /// A tenant's that writes to the audit log.
    Change(u32),
    /// Anybody else's.
    Stranger,
}

/// Counts the requests of one daemon.
#[derive(Debug)]
pub struct Limiter {
    started: Instant,
    buckets: Mutex<[Buckets; 3]>,
}

impl Limiter {
    /// Full buckets for everyone.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self {
            started: Instant::now(),
            buckets: Mutex::new([
                Buckets::new(rates.reads, MAX_TENANTS),
                Buckets::new(rates.changes, MAX_TENANTS),
                Buckets::new(rates.strangers, 1),
            ]),
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long to wait when there is none.
    pub fn take(&self, kind: RequestKind) -> Result<(), Duration> {
        let now = self.started.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let [reads, changes, strangers] = &mut *buckets;
        match kind {
            RequestKind::Read(uid) => reads.take(uid, now),
            RequestKind::Change(uid) => changes.take(uid, now),
            RequestKind::Stranger => strangers.take(0, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_changes_and_strangers_have_buckets_of_their_own() {
        let once = Rate {
            burst: 1,
            interval: Duration::from_hours(1),
        };
        let limiter = Limiter::new(Rates {
            reads: once,
            changes: once,
            strangers: once,
        });
        let kinds = [
            RequestKind::Read(1),
            RequestKind::Change(1),
            RequestKind::Read(2),
            RequestKind::Change(2),
            RequestKind::Stranger,
        ];
        for kind in kinds {
            assert_eq!(limiter.take(kind), Ok(()), "{kind:?}");
        }
        for kind in kinds {
            assert!(limiter.take(kind).is_err(), "{kind:?}");
        }
    }
}
