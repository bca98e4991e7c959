//! The deadlines of one coordinator, in order. They are data: whoever owns the clock asks for the next and tells when it has come.
//!
//! A heartbeat moves a deadline on and nothing else happens, some million times before one comes. So a deadline that moves on stays where
//! it is in the order until it would come, and is put back in its new place then.

use std::collections::{BTreeMap, HashMap};

use ottla_model::{GroupId, MemberId, MonotonicMs};

/// What a deadline is for. Each is there once at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// Offsets that nobody wants any more are looked for.
    Retention,
    /// A member was silent for its whole session.
    Session(GroupId, MemberId),
    /// Classic: members have had their time to join.
    Join(GroupId),
    /// Classic: members have had their time to ask for their assignment.
    Sync(GroupId),
    /// Consumer: a member has had its time to give partitions up.
    Revocation(GroupId, MemberId),
    /// Consumer: a member of the classic protocol has had its time to join again.
    MemberJoin(GroupId, MemberId),
    /// Consumer: a member of the classic protocol has had its time to ask for its assignment.
    MemberSync(GroupId, MemberId),
}

#[derive(Clone, Copy, Debug)]
struct Place {
    deadline: MonotonicMs,
    queued: (MonotonicMs, u64),
}

/// All deadlines.
#[derive(Debug, Default)]
pub(super) struct Timers {
    places: HashMap<Timer, Place>,
    queue: BTreeMap<(MonotonicMs, u64), Timer>,
    next_number: u64,
}

impl Timers {
    /// Sets a deadline, in place of the one that was there.
    pub fn set(&mut self, timer: Timer, deadline: MonotonicMs) {
        if let Some(place) = self.places.get_mut(&timer) {
            if place.queued.0 <= deadline {
                place.deadline = deadline;
                return;
            }
            self.queue.remove(&place.queued);
        }
        self.enqueue(timer, deadline);
    }

    /// Sets a deadline unless there is one.
    pub fn set_if_absent(&mut self, timer: Timer, deadline: MonotonicMs) {
        if !self.places.contains_key(&timer) {
            self.enqueue(timer, deadline);
        }
    }

    /// Takes a deadline away.
    pub fn cancel(&mut self, timer: &Timer) {
        if let Some(place) = self.places.remove(timer) {
            self.queue.remove(&place.queued);
        }
    }

    /// When to ask [`Timers::pop_due`] next. No deadline comes before it, but it may find none.
    pub fn next_deadline(&self) -> Option<MonotonicMs> {
        self.queue.keys().next().map(|(deadline, _)| *deadline)
    }

    /// A deadline that has come; it is gone then.
    pub fn pop_due(&mut self, now: MonotonicMs) -> Option<Timer> {
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > now {
                return None;
            }
            let timer = first.remove();
            let place = self.places.remove(&timer)?;
            if place.deadline <= now {
                return Some(timer);
            }
            self.enqueue(timer, place.deadline);
        }
        None
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn enqueue(&mut self, timer: Timer, deadline: MonotonicMs) {
        let queued = (deadline, self.next_number);
        self.next_number += 1;
        self.queue.insert(queued, timer.clone());
        self.places.insert(timer, Place { deadline, queued });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(member: &str) -> Timer {
        Timer::Session("g".into(), member.into())
    }

    fn due(timers: &mut Timers, now: u64) -> Vec<Timer> {
        std::iter::from_fn(|| timers.pop_due(MonotonicMs(now))).collect()
    }

    #[test]
    fn deadlines_come_in_their_order_and_once() {
        let mut timers = Timers::default();
        timers.set(session("b"), MonotonicMs(20));
        timers.set(session("a"), MonotonicMs(10));
        timers.set(session("c"), MonotonicMs(30));
        assert_eq!(timers.next_deadline(), Some(MonotonicMs(10)));
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(due(&mut timers, 20), [session("a"), session("b")]);
        assert_eq!(due(&mut timers, 20), []);
        assert_eq!(due(&mut timers, 30), [session("c")]);
        assert_eq!((timers.next_deadline(), timers.len()), (None, 0));
    }

    #[test]
    fn a_deadline_moves_on_and_back() {
        let mut timers = Timers::default();
        timers.set(session("a"), MonotonicMs(10));
        timers.set(session("a"), MonotonicMs(50));
        assert_eq!(due(&mut timers, 49), []);
        timers.set(session("a"), MonotonicMs(60));
        timers.set(session("a"), MonotonicMs(40));
        assert_eq!(due(&mut timers, 39), []);
        assert_eq!(due(&mut timers, 40), [session("a")]);
        assert_eq!(due(&mut timers, 100), []);
    }

    #[test]
    fn a_cancelled_deadline_does_not_come_and_leaves_nothing() {
        let mut timers = Timers::default();
        timers.set(session("a"), MonotonicMs(10));
        timers.set(session("a"), MonotonicMs(50));
        timers.cancel(&session("a"));
        timers.set_if_absent(session("b"), MonotonicMs(10));
        timers.set_if_absent(session("b"), MonotonicMs(5));
        assert_eq!(due(&mut timers, 5), []);
        assert_eq!(due(&mut timers, 100), [session("b")]);
        assert!(timers.queue.is_empty());
    }
}
