//! Who has how many connections; pure.
//!
//! How many one tenant may have falls with the places that are free ("dynamic thresholds", Choudhury
//! and Hahne, 1998): at most an eighth of them. So however many tenants take what they can, some
//! places stay free for whoever has none.

use std::collections::HashMap;

use super::Bounds;

/// One tenant has at most this part of the free places.
const SHARE_OF_FREE: usize = 8;

/// What becomes of one more connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has a place.
    Placed,
    /// It has none, and the answer says so: its caller has this many connections already.
    TurnedAway(usize),
    /// It is closed.
    Closed,
}

/// How a connection was counted, and so how it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Tenant,
    Stranger,
    TurnedAway,
}

#[derive(Debug, Clone, Copy, Default)]
struct Own {
    placed: usize,
    turned_away: usize,
}

#[derive(Debug)]
pub(super) struct Counter {
    per_uid: usize,
    max_tenants: usize,
    max_strangers: usize,
    max_turned_away_per_uid: usize,
    max_turned_away: usize,
    uids: HashMap<u32, Own>,
    tenants: usize,
    strangers: usize,
    turned_away: usize,
}

impl Counter {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            per_uid: bounds.per_uid.min(bounds.total / 2),
            max_tenants: bounds.total,
            max_strangers: bounds.strangers,
            max_turned_away_per_uid: bounds.turned_away_per_uid,
            max_turned_away: bounds.turned_away,
            uids: HashMap::new(),
            tenants: 0,
            strangers: 0,
            turned_away: 0,
        }
    }

    /// Counts one more connection, unless it is to be closed.
    pub(super) fn admit(&mut self, uid: u32, tenant: bool) -> Admission {
        let own = self.uids.get(&uid).copied().unwrap_or_default();
        if !tenant {
            if self.strangers >= self.max_strangers || own.placed >= self.per_uid {
                return Admission::Closed;
            }
            self.strangers += 1;
            self.own(uid).placed += 1;
            return Admission::Placed;
        }
        let free = self.max_tenants.saturating_sub(self.tenants);
        let share = (free / SHARE_OF_FREE).clamp(1, self.per_uid.max(1));
        if free > 0 && own.placed < share {
            self.tenants += 1;
            self.own(uid).placed += 1;
            return Admission::Placed;
        }
        if own.turned_away < self.max_turned_away_per_uid && self.turned_away < self.max_turned_away
        {
            self.turned_away += 1;
            self.own(uid).turned_away += 1;
            return Admission::TurnedAway(own.placed);
        }
        Admission::Closed
    }

    /// Counts one connection less.
    pub(super) fn release(&mut self, uid: u32, counted: Counted) {
        let group = match counted {
            Counted::Tenant => &mut self.tenants,
            Counted::Stranger => &mut self.strangers,
            Counted::TurnedAway => &mut self.turned_away,
        };
        *group = group.saturating_sub(1);
        let own = self.own(uid);
        let count = match counted {
            Counted::TurnedAway => &mut own.turned_away,
            _ => &mut own.placed,
        };
        *count = count.saturating_sub(1);
        if own.placed == 0 && own.turned_away == 0 {
            self.uids.remove(&uid);
        }
    }

    fn own(&mut self, uid: u32) -> &mut Own {
        self.uids.entry(uid).or_default()
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
            turned_away_per_uid: 2,
            turned_away: 4,
            ..Bounds::GRPC
        })
    }

    fn connect(counter: &mut Counter, uid: u32, tries: usize) -> usize {
        (0..tries)
            .filter(|_| counter.admit(uid, true) == Admission::Placed)
            .count()
    }

    #[test]
    fn one_uid_gets_its_share_and_another_one_still_gets_in() {
        let mut counter = counter(8, 256, 16);
        assert_eq!(connect(&mut counter, 1001, 300), 8);
        assert_eq!(counter.admit(1002, true), Admission::Placed);
        counter.release(1001, Counted::Tenant);
        assert_eq!(connect(&mut counter, 1001, 9), 1);
    }

    #[test]
    fn one_uid_never_gets_more_than_half_whatever_the_bounds_say() {
        let mut counter = counter(1000, 10, 4);
        assert!(connect(&mut counter, 1, 100) <= 5);
        assert_eq!(counter.admit(2, true), Admission::Placed);
    }

    #[test]
    fn strangers_share_a_few_and_take_nothing_from_tenants() {
        let mut counter = counter(8, 256, 16);
        let strangers = (0..999).filter(|uid| counter.admit(*uid, false) == Admission::Placed);
        assert_eq!(strangers.count(), 16);
        let tenants = (1000..1256).filter(|uid| counter.admit(*uid, true) == Admission::Placed);
        assert_eq!(tenants.count(), 256);
        assert_ne!(counter.admit(5000, true), Admission::Placed);
    }

    #[test]
    fn however_many_take_all_they_can_whoever_has_none_gets_in() {
        for (bounds, hogs) in [
            (Bounds::ENGINE, 16),
            (Bounds::ENGINE, 200),
            (Bounds::GRPC, 32),
            (Bounds::GRPC, 64),
        ] {
            let mut counter = Counter::new(bounds);
            // Round after round, so that each has what it can get.
            for _ in 0..bounds.per_uid {
                for hog in 0..hogs {
                    counter.admit(hog, true);
                }
            }
            let most = connect(&mut counter, 5000, bounds.per_uid);
            println!("{hogs} hogs: {} places, {most} more", counter.tenants);
            assert!(most >= 1, "{bounds:?} {hogs}");
            // And not the first of them alone.
            for late in 6000..6000 + 8 {
                assert_eq!(
                    connect(&mut counter, late, 1),
                    1,
                    "{bounds:?} {hogs} {late}"
                );
            }
        }
    }

    #[test]
    fn a_few_learn_their_number_and_the_rest_is_closed() {
        let mut counter = counter(8, 256, 16);
        connect(&mut counter, 1, 8);
        assert_eq!(counter.admit(1, true), Admission::TurnedAway(8));
        assert_eq!(counter.admit(1, true), Admission::TurnedAway(8));
        assert_eq!(counter.admit(1, true), Admission::Closed);
        counter.release(1, Counted::TurnedAway);
        assert_eq!(counter.admit(1, true), Admission::TurnedAway(8));
        // Others have these places too, but not without end.
        for uid in 2..6 {
            assert_eq!(connect(&mut counter, uid, 8), 8);
        }
        let turned_away =
            (2..6).filter(|uid| counter.admit(*uid, true) == Admission::TurnedAway(8));
        assert_eq!(turned_away.count(), 2);
    }

    proptest! {
        #[test]
        fn every_bound_holds_at_every_step_and_all_comes_back(
            steps in proptest::collection::vec((any::<bool>(), 0u32..12), 1..400),
        ) {
            let mut counter = counter(3, 40, 4);
            let mut open: Vec<(u32, Counted)> = Vec::new();
            let tenant = |uid: u32| uid < 8;
            for (arrives, uid) in steps {
                if arrives {
                    match counter.admit(uid, tenant(uid)) {
                        Admission::Placed if tenant(uid) => open.push((uid, Counted::Tenant)),
                        Admission::Placed => open.push((uid, Counted::Stranger)),
                        Admission::TurnedAway(_) => open.push((uid, Counted::TurnedAway)),
                        Admission::Closed => {}
                    }
                } else if let Some(at) = open.iter().position(|(other, _)| *other == uid) {
                    let (uid, counted) = open.swap_remove(at);
                    counter.release(uid, counted);
                }
                let of = |kind| open.iter().filter(|(_, counted)| *counted == kind).count();
                prop_assert!(of(Counted::Tenant) <= 40);
                prop_assert!(of(Counted::Stranger) <= 4);
                prop_assert!(of(Counted::TurnedAway) <= 4);
                for uid in 0..12 {
                    let own = |turned_away: bool| open.iter()
                        .filter(|(other, kind)| *other == uid && (*kind == Counted::TurnedAway) == turned_away)
                        .count();
                    prop_assert!(own(false) <= 3 && own(true) <= 2);
                }
            }
            for (uid, counted) in open {
                counter.release(uid, counted);
            }
            prop_assert!(counter.uids.is_empty());
            prop_assert_eq!((counter.tenants, counter.strangers, counter.turned_away), (0, 0, 0));
        }
    }
}
