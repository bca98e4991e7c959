//! Virtual time: what is to happen, in the order of its moment. Knows nothing of what happens.

use std::collections::BTreeMap;

/// Events to come.
#[derive(Debug)]
pub(crate) struct Scheduler<E> {
    now_ms: u64,
    queue: BTreeMap<(u64, u64), E>,
    next_number: u64,
}

impl<E> Scheduler<E> {
    pub fn new(now_ms: u64) -> Scheduler<E> {
        Scheduler { now_ms, queue: BTreeMap::new(), next_number: 0 }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Two events of the same moment happen in the order in which they were put here.
    pub fn at(&mut self, at_ms: u64, event: E) {
        self.queue.insert((at_ms.max(self.now_ms), self.next_number), event);
        self.next_number += 1;
    }

    pub fn after(&mut self, delay_ms: u64, event: E) {
        self.at(self.now_ms + delay_ms, event);
    }

    /// The next event, and its moment is now; `None`: there is none up to then, and then is now.
    pub fn next(&mut self, until_ms: u64) -> Option<E> {
        match self.queue.first_entry().filter(|first| first.key().0 <= until_ms) {
            Some(first) => {
                self.now_ms = first.key().0;
                Some(first.remove())
            }
            None => {
                self.now_ms = self.now_ms.max(until_ms);
                None
            }
        }
    }
}
