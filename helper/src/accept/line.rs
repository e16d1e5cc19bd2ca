//! Who is next: connections wait in a line for each UID, and the UIDs take turns; pure.

use std::collections::{HashMap, VecDeque};

/// What waits. How much that is, the caller bounds.
#[derive(Debug)]
pub(super) struct Line<T> {
    of_uid: HashMap<u32, VecDeque<T>>,
    /// Each UID that waits, once.
    turns: VecDeque<u32>,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self {
            of_uid: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, uid: u32, item: T) {
        let own = self.of_uid.entry(uid).or_default();
        if own.is_empty() {
            self.turns.push_back(uid);
        }
        own.push_back(item);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let uid = self.turns.pop_front()?;
        let own = self.of_uid.get_mut(&uid)?;
        let item = own.pop_front();
        if own.is_empty() {
            self.of_uid.remove(&uid);
        } else {
            self.turns.push_back(uid);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_after_a_crowd_of_one_uid_is_second() {
        let mut line = Line::new();
        for number in 0..60 {
            line.push(1, (1, number));
        }
        line.push(2, (2, 0));
        line.push(3, (3, 0));
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(order[..4], [(1, 0), (2, 0), (3, 0), (1, 1)]);
        assert_eq!(order.len(), 62);
        assert!(order[3..].iter().map(|(_, number)| *number).eq(1..60));
        assert!(
            line.of_uid.is_empty() && line.turns.is_empty(),
            "nothing is kept"
        );
    }
}
