//! One changing operation at a time for each UID.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

/// The locks that are held or waited for, by UID.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

impl Locks {
    /// The UID's turn; `None` when it did not come within `wait`.
    pub(crate) async fn turn_of(&self, uid: u32, wait: Duration) -> Option<OwnedMutexGuard<()>> {
        let lock = self.lock_of(uid);
        tokio::time::timeout(wait, lock.lock_owned()).await.ok()
    }

    fn lock_of(&self, uid: u32) -> Arc<tokio::sync::Mutex<()>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(held.entry(uid).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_uid_waits_for_itself_only() {
        let locks = Locks::default();
        let first = locks.turn_of(1, NO_TIME).await.unwrap();
        assert!(locks.turn_of(1, NO_TIME).await.is_none());
        let other = locks.turn_of(2, NO_TIME).await.unwrap();
        drop(first);
        assert!(locks.turn_of(1, NO_TIME).await.is_some());
        drop(other);
        let last = locks.turn_of(3, NO_TIME).await.unwrap();
        assert_eq!(locks.held.lock().unwrap().len(), 1, "nothing is kept");
        drop(last);
    }
}
