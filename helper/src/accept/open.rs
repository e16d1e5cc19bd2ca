//! The connections that are open, and those that wait to be taken.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::counter::{Admission, Counted, Counter};
use super::line::Line;
use super::{Bounds, READ_COSTS};
use crate::peer::Caller;
use crate::rate::Debts;

/// UIDs whose debts are known at once; more do not send at one moment.
const MAX_DEBTORS: usize = 4096;
/// Whose debts all strangers share: -1 is not a UID.
const STRANGERS: u32 = u32::MAX;
/// How long a door that closes waits for those that came through it to be taken.
const LAST_ONES: Duration = Duration::from_secs(1);

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) bounds: Bounds,
    counter: Mutex<Counter>,
    number: watch::Sender<usize>,
    debts: Option<Mutex<Debts>>,
    started: Instant,
    /// True from the moment when no more are accepted; held while some are.
    closed: Mutex<bool>,
}

impl Open {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            counter: Mutex::new(Counter::new(bounds)),
            number: watch::Sender::new(0),
            debts: bounds
                .sends
                .map(|flow| Mutex::new(Debts::new(flow, MAX_DEBTORS))),
            started: Instant::now(),
            closed: Mutex::new(false),
        }
    }

    /// Held while connections are accepted; true when none may be any more.
    pub(super) fn closed(&self) -> MutexGuard<'_, bool> {
        locked(&self.closed)
    }
}

/// A connection that has a place and waits to be taken.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: UnixStream,
    pub(super) caller: Caller,
    pub(super) permit: Permit,
}

/// Those that wait. There are as many as there are permits at most.
#[derive(Debug)]
pub(super) struct Waiting {
    line: Mutex<Line<Arrived>>,
    more: Notify,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            line: Mutex::new(Line::new()),
            more: Notify::new(),
        }
    }
}

impl Waiting {
    pub(super) fn push(&self, arrived: Arrived) {
        let uid = arrived.caller.uid;
        locked(&self.line).push(uid, arrived);
        self.more.notify_one();
    }

    pub(super) async fn next(&self) -> Arrived {
        loop {
            let next = locked(&self.line).pop();
            if let Some(arrived) = next {
                return arrived;
            }
            // One that comes in between leaves a permit in it.
            self.more.notified().await;
        }
    }

    pub(super) fn clear(&self) {
        let rest = std::mem::replace(&mut *locked(&self.line), Line::new());
        drop(rest);
    }

    fn is_empty(&self) -> bool {
        locked(&self.line).is_empty()
    }
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    open: Arc<Open>,
    uid: u32,
    counted: Counted,
    /// Where it has no place: how many its caller has.
    over: Option<usize>,
}

impl Permit {
    /// `None` when the connection is to be closed.
    pub(super) fn take(open: &Arc<Open>, uid: u32, tenant: bool) -> Option<Self> {
        let admission = locked(&open.counter).admit(uid, tenant);
        let (counted, over) = match admission {
            Admission::Closed => return None,
            Admission::TurnedAway(number) => (Counted::TurnedAway, Some(number)),
            Admission::Placed if tenant => (Counted::Tenant, None),
            Admission::Placed => (Counted::Stranger, None),
        };
        open.number.send_modify(|number| *number += 1);
        Some(Self {
            open: Arc::clone(open),
            uid,
            counted,
            over,
        })
    }

    pub(super) fn over(&self) -> Option<usize> {
        self.over
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.open.bounds
    }

    /// Charges one read to whose it is; returns how long the next one must wait.
    pub(super) fn charge(&self, bytes: usize) -> Duration {
        let Some(debts) = &self.open.debts else {
            return Duration::ZERO;
        };
        let whose = match self.counted {
            Counted::Stranger => STRANGERS,
            _ => self.uid,
        };
        let now = self.open.started.elapsed();
        locked(debts).charge(whose, bytes.saturating_add(READ_COSTS), now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        locked(&self.open.counter).release(self.uid, self.counted);
        self.open.number.send_modify(|number| *number -= 1);
    }
}

/// Closes the door, and tells when nobody is connected.
#[derive(Debug)]
pub struct Keeper {
    open: Arc<Open>,
    waiting: Arc<Waiting>,
    number: watch::Receiver<usize>,
}

impl Keeper {
    pub(super) fn new(open: Arc<Open>, waiting: Arc<Waiting>) -> Self {
        let number = open.number.subscribe();
        Self {
            open,
            waiting,
            number,
        }
    }

    /// Returns when nobody is connected.
    pub async fn quiet(&mut self) {
        // An error: the acceptor and all its connections are gone.
        let _ = self.number.wait_for(|open| *open == 0).await;
    }

    /// Returns when nobody was connected for so long without a break.
    pub async fn quiet_for(&mut self, time: Duration) {
        loop {
            // An error: the acceptor and all its connections are gone.
            if self.number.wait_for(|open| *open == 0).await.is_err() {
                return;
            }
            if tokio::time::timeout(time, self.number.changed())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Accepts no more connections, unless somebody is connected. Who comes later waits in the
    /// kernel's queue.
    #[must_use]
    pub fn close_if_quiet(&self) -> bool {
        let mut closed = self.open.closed();
        *closed = *self.open.number.borrow() == 0;
        *closed
    }

    /// Accepts no more connections, and waits for those that were accepted to be taken.
    pub async fn close(&self) {
        *self.open.closed() = true;
        let until = tokio::time::Instant::now() + LAST_ONES;
        while !self.waiting.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
