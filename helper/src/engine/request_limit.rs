//! How many requests of one UID are worked on at once: each may hold an answer of Docker's of many
//! mebibytes, and the memory is everybody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one UID at once, open streams not counted; more wait.
const AT_ONCE: usize = 16;
/// Starts of one UID at once; more wait without a place, so that the half of all is left for what ends
/// containers.
const STARTS: usize = AT_ONCE / 2;

/// The places that are held or waited for, by UID.
#[derive(Debug)]
pub(super) struct RequestLimit {
    at_once: usize,
    held: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

impl RequestLimit {
    /// The limit of all requests.
    pub(super) fn of_requests() -> Self {
        Self::new(AT_ONCE)
    }

    /// The limit of starts, beside that.
    pub(super) fn of_starts() -> Self {
        Self::new(STARTS)
    }

    fn new(at_once: usize) -> Self {
        Self {
            at_once,
            held: Mutex::default(),
        }
    }

    /// A place of this UID's; waits until one is free.
    pub(super) async fn of(&self, uid: u32) -> Option<OwnedSemaphorePermit> {
        // Never closed, so this is never `None`.
        self.semaphore_of(uid).acquire_owned().await.ok()
    }

    fn semaphore_of(&self, uid: u32) -> Arc<Semaphore> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, request_limit| Arc::strong_count(request_limit) > 1);
        let request_limit = held
            .entry(uid)
            .or_insert_with(|| Arc::new(Semaphore::new(self.at_once)));
        Arc::clone(request_limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_uid_waits_for_its_own_requests_only() {
        let request_limit = RequestLimit::of_requests();
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(request_limit.of(1).await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(20), request_limit.of(1));
        assert!(more.await.is_err());
        let other = request_limit.of(2).await.unwrap();
        held.pop();
        assert!(request_limit.of(1).await.is_some());
        drop((held, other));
        let last = request_limit.of(3).await.unwrap();
        assert_eq!(
            request_limit.held.lock().unwrap().len(),
            1,
            "nothing is kept"
        );
        drop(last);
    }
}
