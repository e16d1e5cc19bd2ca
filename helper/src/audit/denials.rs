//! Which refusals are listed and which are only counted, so that nobody fills the disk by being
//! refused, and nobody hides another's refusals behind their own. Pure: time is passed in.

use std::collections::HashMap;
use std::time::Duration;

/// The length of a window.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
/// Refusals of one tenant that are listed in a window, as far as its budget reaches.
pub(super) const LISTED_PER_TENANT: u64 = 20;
/// Attempts at the host of one tenant that are listed in a window even beyond its budget.
pub(super) const LISTED_BEYOND_BUDGET: u64 = 4;
/// Refusals of one stranger that are listed in a window.
pub(super) const LISTED_PER_STRANGER: u64 = 5;
/// Refusals of all strangers together that are listed in a window: a user with subordinate UIDs
/// (subuid(5)) can come as many.
pub(super) const LISTED_OF_STRANGERS: u64 = 30;
/// Strangers that are counted each; the rest is counted together.
pub(super) const MAX_STRANGERS: usize = 16;
/// The same of tenants, of whom no more than the policy names can come.
pub(super) const MAX_TENANTS: usize = 4096;

/// Who was refused what: each kind has a quota of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Somebody to whom the policy gives nothing.
    Stranger,
    /// A tenant.
    Tenant,
    /// A tenant who tried what would lead out of a container or to the host: always listed,
    /// as far as the tenant's budget reaches.
    Reaching,
    /// A tenant whose budget does not reach for the record of an operation.
    OverBudget,
}

/// Refusals that were not listed in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// `None` for all UIDs that had no counter of their own.
    pub(super) uid: Option<u32>,
    pub(super) strangers: bool,
    pub(super) count: u64,
    /// How many of them were attempts at the host.
    pub(super) reaching: u64,
}

#[derive(Debug, Default)]
pub(super) struct Denials {
    window_ends: Option<Duration>,
    tenants: Group,
    strangers: Group,
}

#[derive(Debug, Default)]
struct Group {
    listed: u64,
    uids: HashMap<u32, Tally>,
    others: Tally,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    listed: u64,
    beyond: u64,
    over: u64,
    counted: u64,
    reaching: u64,
}

impl Denials {
    /// True when this refusal is to be listed; it is counted otherwise. `affordable`: the UID's
    /// budget reaches for the record.
    pub(super) fn list(&mut self, uid: u32, kind: Denied, affordable: bool, now: Duration) -> bool {
        self.window_ends.get_or_insert(now.saturating_add(WINDOW));
        let (group, most) = match kind {
            Denied::Stranger => (&mut self.strangers, MAX_STRANGERS),
            _ => (&mut self.tenants, MAX_TENANTS),
        };
        let full = group.uids.len() >= most && !group.uids.contains_key(&uid);
        let tally = if full {
            &mut group.others
        } else {
            group.uids.entry(uid).or_default()
        };
        let list = !full
            && match kind {
                Denied::Stranger => {
                    affordable
                        && tally.listed < LISTED_PER_STRANGER
                        && group.listed < LISTED_OF_STRANGERS
                }
                Denied::Tenant => affordable && tally.listed < LISTED_PER_TENANT,
                Denied::Reaching => affordable || tally.beyond < LISTED_BEYOND_BUDGET,
                Denied::OverBudget => tally.over == 0,
            };
        if !list {
            tally.counted += 1;
            tally.reaching += u64::from(kind == Denied::Reaching);
            return false;
        }
        match kind {
            Denied::Stranger | Denied::Tenant => tally.listed += 1,
            Denied::Reaching => tally.beyond += u64::from(!affordable),
            Denied::OverBudget => tally.over += 1,
        }
        group.listed += 1;
        true
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
        let Self {
            tenants, strangers, ..
        } = std::mem::take(self);
        let mut counted = tenants.counted(false);
        counted.extend(strangers.counted(true));
        counted
    }
}

impl Group {
    fn counted(self, strangers: bool) -> Vec<Counted> {
        let line = |uid, tally: Tally| Counted {
            uid,
            strangers,
            count: tally.counted,
            reaching: tally.reaching,
        };
        let mut counted: Vec<Counted> = self
            .uids
            .into_iter()
            .map(|(uid, tally)| line(Some(uid), tally))
            .collect();
        counted.sort_by_key(|counted| counted.uid);
        counted.push(line(None, self.others));
        counted.retain(|counted| counted.count > 0);
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn strangers_in_numbers_hide_no_refusal_of_a_tenant() {
        let mut denials = Denials::default();
        let mut listed = 0;
        for uid in 5000..5300 {
            for _ in 0..25 {
                listed += u64::from(denials.list(uid, Denied::Stranger, true, NOW));
            }
        }
        assert_eq!(listed, LISTED_OF_STRANGERS);
        assert!(denials.list(1001, Denied::Tenant, true, NOW));
        assert!(denials.list(1001, Denied::Reaching, true, NOW));
    }

    #[test]
    fn a_tenants_attempts_at_the_host_are_listed_whatever_else_it_is_refused() {
        let mut denials = Denials::default();
        let ordinary = (0..100).filter(|_| denials.list(1001, Denied::Tenant, true, NOW));
        assert_eq!(ordinary.count() as u64, LISTED_PER_TENANT);
        assert!((0..100).all(|_| denials.list(1001, Denied::Reaching, true, NOW)));
        // Without a budget some still are, and the rest is reported as what it is.
        let beyond = (0..100).filter(|_| denials.list(1001, Denied::Reaching, false, NOW));
        assert_eq!(beyond.count() as u64, LISTED_BEYOND_BUDGET);
        let counted = denials.flush();
        assert_eq!(
            (counted[0].count, counted[0].reaching),
            (
                100 - LISTED_PER_TENANT + 100 - LISTED_BEYOND_BUDGET,
                100 - LISTED_BEYOND_BUDGET
            )
        );
    }

    #[test]
    fn counting_is_bounded_whoever_comes_and_adds_up() {
        let mut denials = Denials::default();
        let uids = u32::try_from(MAX_STRANGERS).unwrap() + 50;
        let mut listed = 0;
        for uid in 0..uids {
            for _ in 0..3 {
                listed += u64::from(denials.list(uid, Denied::Stranger, true, NOW));
            }
        }
        assert_eq!(listed, LISTED_OF_STRANGERS);
        assert_eq!(denials.ends_in(NOW), Some(WINDOW));
        assert_eq!(denials.ended(Duration::from_secs(59)), []);
        let counted = denials.ended(WINDOW);
        assert!(counted.len() <= MAX_STRANGERS + 1);
        let others = counted.last().unwrap();
        assert_eq!((others.uid, others.count), (None, 150));
        let total: u64 = counted.iter().map(|counted| counted.count).sum();
        assert_eq!(total + listed, u64::from(uids) * 3);
        assert!(
            denials.list(1, Denied::Stranger, true, WINDOW),
            "a new window lists again"
        );
    }
}
