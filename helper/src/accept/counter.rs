//! Who has how many connections; pure.

use std::collections::HashMap;

use super::Bounds;

#[derive(Debug)]
pub(super) struct Counter {
    per_uid: usize,
    max_tenants: usize,
    max_strangers: usize,
    uids: HashMap<u32, usize>,
    tenants: usize,
    strangers: usize,
}

impl Counter {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            per_uid: bounds.per_uid.min(bounds.total / 2),
            max_tenants: bounds.total,
            max_strangers: bounds.strangers,
            uids: HashMap::new(),
            tenants: 0,
            strangers: 0,
        }
    }

    /// Counts one more connection, if it may be.
    pub(super) fn admit(&mut self, uid: u32, tenant: bool) -> bool {
        let (group, most) = if tenant {
            (&mut self.tenants, self.max_tenants)
        } else {
            (&mut self.strangers, self.max_strangers)
        };
        let own = self.uids.get(&uid).copied().unwrap_or(0);
        if *group >= most || own >= self.per_uid {
            return false;
        }
        *group += 1;
        self.uids.insert(uid, own + 1);
        true
    }

    /// Counts one connection less; `tenant` as it was admitted.
    pub(super) fn release(&mut self, uid: u32, tenant: bool) {
        let group = if tenant {
            &mut self.tenants
        } else {
            &mut self.strangers
        };
        *group = group.saturating_sub(1);
        if let Some(own) = self.uids.get_mut(&uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.uids.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counter(per_uid: usize, total: usize, strangers: usize) -> Counter {
        Counter::new(Bounds {
            per_uid,
            total,
            strangers,
            ..Bounds::GRPC
        })
    }

    #[test]
    fn one_uid_gets_its_share_and_another_one_still_gets_in() {
        let mut counter = counter(8, 256, 16);
        let admitted = (0..300).filter(|_| counter.admit(1001, true)).count();
        assert_eq!(admitted, 8);
        assert!(counter.admit(1002, true));
        counter.release(1001, true);
        assert!(counter.admit(1001, true));
        assert!(!counter.admit(1001, true));
    }

    #[test]
    fn one_uid_never_gets_more_than_half_whatever_the_bounds_say() {
        let mut counter = counter(1000, 10, 4);
        assert_eq!((0..100).filter(|_| counter.admit(1, true)).count(), 5);
        assert!(counter.admit(2, true));
    }

    #[test]
    fn strangers_share_a_few_and_take_nothing_from_tenants() {
        let mut counter = counter(8, 256, 16);
        assert_eq!(
            (0..999).filter(|uid| counter.admit(*uid, false)).count(),
            16
        );
        let tenants = (1000..1256).filter(|uid| counter.admit(*uid, true)).count();
        assert_eq!(tenants, 256);
        assert!(!counter.admit(5000, true));
    }

    proptest! {
        #[test]
        fn every_bound_holds_at_every_step_and_all_comes_back(
            steps in proptest::collection::vec((any::<bool>(), 0u32..12), 1..400),
        ) {
            let mut counter = counter(3, 10, 4);
            let mut open: Vec<u32> = Vec::new();
            let tenant = |uid: u32| uid < 8;
            for (arrives, uid) in steps {
                if arrives {
                    if counter.admit(uid, tenant(uid)) {
                        open.push(uid);
                    }
                } else if let Some(at) = open.iter().position(|other| *other == uid) {
                    open.swap_remove(at);
                    counter.release(uid, tenant(uid));
                }
                prop_assert!(open.iter().filter(|uid| tenant(**uid)).count() <= 10);
                prop_assert!(open.iter().filter(|uid| !tenant(**uid)).count() <= 4);
                prop_assert!((0..12).all(|uid| open.iter().filter(|o| **o == uid).count() <= 3));
            }
            for uid in open {
                counter.release(uid, tenant(uid));
            }
            prop_assert!(counter.uids.is_empty() && counter.tenants == 0 && counter.strangers == 0);
        }
    }
}
