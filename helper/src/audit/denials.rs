//! Which refusals are listed and which are only counted, so that nobody fills the disk by being
//! refused. Pure: time is passed in.

use std::collections::HashMap;
use std::time::Duration;

/// The length of a window.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
/// Refusals of one UID that are listed in a window.
pub(super) const LISTED_PER_UID: u64 = 20;
/// Refusals of all UIDs together that are listed in a window: a user with subordinate UIDs
/// (subuid(5)) can come as many.
pub(super) const LISTED_IN_ALL: u64 = 240;
/// UIDs that are counted each; the rest is counted together.
pub(super) const MAX_UIDS: usize = 256;

/// Refusals that were not listed in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// `None` for all UIDs that had no counter of their own.
    pub(super) uid: Option<u32>,
    pub(super) count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Denials {
    window_ends: Option<Duration>,
    listed: u64,
    uids: HashMap<u32, Tally>,
    others: u64,
}

#[derive(Debug, Default)]
struct Tally {
    listed: u64,
    counted: u64,
}

impl Denials {
    /// True when this refusal is to be listed; it is counted otherwise.
    pub(super) fn list(&mut self, uid: u32, now: Duration) -> bool {
        self.window_ends.get_or_insert(now + WINDOW);
        if self.uids.len() >= MAX_UIDS && !self.uids.contains_key(&uid) {
            self.others += 1;
            return false;
        }
        let tally = self.uids.entry(uid).or_default();
        if tally.listed < LISTED_PER_UID && self.listed < LISTED_IN_ALL {
            tally.listed += 1;
            self.listed += 1;
            return true;
        }
        tally.counted += 1;
        false
    }

    /// How long until the window ends; `None` when none is open.
    pub(super) fn ends_in(&self, now: Duration) -> Option<Duration> {
        self.window_ends.map(|end| end.saturating_sub(now))
    }

    /// What was counted, when the window has ended; a new one begins with the next refusal.
    pub(super) fn ended(&mut self, now: Duration) -> Vec<Counted> {
        match self.window_ends {
            Some(end) if end <= now => self.flush(),
            _ => Vec::new(),
        }
    }

    /// What was counted so far.
    pub(super) fn flush(&mut self) -> Vec<Counted> {
        let Self { uids, others, .. } = std::mem::take(self);
        let mut counted: Vec<Counted> = uids
            .into_iter()
            .filter(|(_, tally)| tally.counted > 0)
            .map(|(uid, tally)| Counted {
                uid: Some(uid),
                count: tally.counted,
            })
            .collect();
        counted.sort_by_key(|counted| counted.uid);
        if others > 0 {
            counted.push(Counted {
                uid: None,
                count: others,
            });
        }
        counted
    }
}
