//! How many bytes of the log each UID may fill, so that one tenant takes neither the disk nor the
//! log's history from the others. Pure: time is passed in.

use std::collections::HashMap;
use std::time::Duration;

/// UIDs whose budgets are in use at once; with more, the one that has most left is forgotten.
const MAX_UIDS: usize = 4096;
/// After so many operations that failed one after the other, a UID's records are small.
const FAILURES: u32 = 8;

/// How many bytes of records one UID may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At once.
    pub bytes: u64,
    /// What comes back in a second, at least 1.
    pub per_second: u64,
}

impl Budget {
    /// Ten deployments of the largest preset in a row; 44 MB a day.
    pub const TENANT: Self = Self {
        bytes: 4 << 20,
        per_second: 512,
    };
    /// While the disk has no room for more than the log's reserve.
    pub const SCARCE: Self = Self {
        bytes: 64 << 10,
        per_second: 16,
    };

    fn time_of(self, bytes: u64) -> Duration {
        // In nanoseconds, so that small sums are not rounded away.
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A UID has used up its budget: what it asks for cannot be recorded, and so is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "you have used up your budget in the audit log ({} KiB, {} bytes come back each second{}), so \
     nothing was done; try again in {} s",
    budget.bytes >> 10,
    budget.per_second,
    if *scarce { "; it is small because the log's disk is full" } else { "" },
    wait.as_secs().max(1)
)]
pub struct OverBudget {
    /// What the UID has.
    pub budget: Budget,
    /// The disk has no room for more than the log's reserve.
    pub scarce: bool,
    /// Until this operation can be recorded.
    pub wait: Duration,
}

/// How a UID's next operation is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Whole,
    /// The budget runs low, or nothing of what it does succeeds.
    Small,
}

/// The accounts of all UIDs. Each is kept as the time at which it is full again, as in
/// [`crate::rate::Buckets`]; more than its budget is a debt.
#[derive(Debug)]
pub(super) struct Budgets {
    budget: Budget,
    scarce: bool,
    accounts: HashMap<u32, Account>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    full_at: Duration,
    failures: u32,
}

impl Budgets {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            scarce: false,
            accounts: HashMap::new(),
        }
    }

    /// Full accounts for a disk that has no room.
    pub(super) fn scarce(budget: Budget) -> Self {
        Self {
            scarce: true,
            ..Self::new(budget)
        }
    }

    pub(super) fn detail(&self, uid: u32, now: Duration) -> Detail {
        let Some(account) = self.accounts.get(&uid) else {
            return Detail::Whole;
        };
        let used = account.full_at.saturating_sub(now);
        let low = used > self.budget.time_of(self.budget.bytes) / 4 * 3;
        if low || account.failures >= FAILURES {
            Detail::Small
        } else {
            Detail::Whole
        }
    }

    /// Takes `bytes`, if the account has them.
    pub(super) fn take(&mut self, uid: u32, bytes: u64, now: Duration) -> Result<(), OverBudget> {
        let (budget, scarce) = (self.budget, self.scarce);
        let account = self.account(uid, now);
        let after = account
            .full_at
            .max(now)
            .saturating_add(budget.time_of(bytes));
        let empty_at = now.saturating_add(budget.time_of(budget.bytes));
        if after > empty_at {
            let wait = after.saturating_sub(empty_at);
            return Err(OverBudget {
                budget,
                scarce,
                wait,
            });
        }
        account.full_at = after;
        Ok(())
    }

    /// Whether the account has `bytes`.
    pub(super) fn can_take(&self, uid: u32, bytes: u64, now: Duration) -> bool {
        let full_at = self
            .accounts
            .get(&uid)
            .map_or(now, |account| account.full_at);
        let after = full_at.max(now).saturating_add(self.budget.time_of(bytes));
        after <= now.saturating_add(self.budget.time_of(self.budget.bytes))
    }

    /// Takes `bytes` for what is written in any case.
    pub(super) fn charge(&mut self, uid: u32, bytes: u64, now: Duration) {
        let time = self.budget.time_of(bytes);
        let account = self.account(uid, now);
        account.full_at = account.full_at.max(now).saturating_add(time);
    }

    /// Gives `bytes` back that were not written after all.
    pub(super) fn give_back(&mut self, uid: u32, bytes: u64) {
        let time = self.budget.time_of(bytes);
        if let Some(account) = self.accounts.get_mut(&uid) {
            account.full_at = account.full_at.saturating_sub(time);
        }
    }

    /// Counts failures that follow each other.
    pub(super) fn ended(&mut self, uid: u32, failed: bool, now: Duration) {
        let account = self.account(uid, now);
        account.failures = if failed {
            account.failures.saturating_add(1)
        } else {
            0
        };
    }

    fn account(&mut self, uid: u32, now: Duration) -> &mut Account {
        if self.accounts.len() >= MAX_UIDS && !self.accounts.contains_key(&uid) {
            self.make_room(now);
        }
        self.accounts.entry(uid).or_default()
    }

    fn make_room(&mut self, now: Duration) {
        self.accounts.retain(|_, account| account.full_at > now);
        let fullest = self.accounts.iter().min_by_key(|(_, a)| a.full_at);
        if let (Some(uid), true) = (
            fullest.map(|(uid, _)| *uid),
            self.accounts.len() >= MAX_UIDS,
        ) {
            self.accounts.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Budget = Budget {
        bytes: 1000,
        per_second: 10,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let mut budgets = Budgets::new(BUDGET);
        assert_eq!(budgets.take(1, 900, at(5)), Ok(()));
        assert_eq!(budgets.detail(1, at(5)), Detail::Small);
        let over = budgets.take(1, 200, at(5)).unwrap_err();
        assert_eq!(over.wait, at(10));
        let text = over.to_string();
        assert!(
            text.contains("10 bytes come back each second") && text.contains("again in 10 s"),
            "{text}"
        );
        assert_eq!(budgets.take(2, 1000, at(5)), Ok(()), "another UID's");
        assert_eq!(budgets.take(1, 200, at(15)), Ok(()));
        budgets.charge(1, 500, at(15));
        assert_eq!(
            budgets.take(1, 1, at(15)).unwrap_err().wait,
            at(50) + Duration::from_millis(100),
            "what was written in any case is a debt"
        );
        budgets.give_back(1, 500);
        assert_eq!(budgets.detail(1, at(200)), Detail::Whole);
    }

    #[test]
    fn who_only_fails_gets_small_records_until_something_succeeds() {
        let mut budgets = Budgets::new(BUDGET);
        for _ in 0..FAILURES {
            assert_eq!(budgets.detail(1, at(0)), Detail::Whole);
            budgets.ended(1, true, at(0));
        }
        assert_eq!(budgets.detail(1, at(0)), Detail::Small);
        budgets.ended(1, false, at(0));
        assert_eq!(budgets.detail(1, at(0)), Detail::Whole);
    }

    #[test]
    fn accounts_are_bounded_and_those_in_debt_are_not_forgotten() {
        let mut budgets = Budgets::new(BUDGET);
        budgets.charge(7, 5000, at(0));
        for uid in 1000..1000 + 2 * u32::try_from(MAX_UIDS).unwrap() {
            assert_eq!(budgets.take(uid, 10, at(0)), Ok(()));
        }
        assert!(budgets.accounts.len() <= MAX_UIDS);
        assert!(budgets.take(7, 1, at(0)).is_err());
    }

    proptest! {
        #[test]
        fn nobody_takes_more_than_the_budget_and_what_comes_back(
            steps in proptest::collection::vec((1u64..400, 0u64..3000), 1..200),
        ) {
            let mut budgets = Budgets::new(BUDGET);
            let (mut now, mut taken) = (Duration::ZERO, 0u64);
            for (bytes, step) in steps {
                now += Duration::from_millis(step);
                if budgets.take(1, bytes, now).is_ok() {
                    taken += bytes;
                }
                let most = u128::from(BUDGET.bytes) + now.as_millis() * u128::from(BUDGET.per_second) / 1000;
                prop_assert!(u128::from(taken) <= most + 1, "{taken} of {most}");
            }
        }
    }
}
