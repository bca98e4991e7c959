//! A partition's leader epochs (KIP-101): which leader wrote from which offset on.
//!
//! Owns the list and the rules by which it changes; its file is written by the log, before the durable end passes what the
//! list speaks of.

use ottla_model::{LeaderEpoch, Offset};

/// The list, oldest first; epochs and start offsets rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// From what a file holds.
    pub(crate) fn new(entries: Vec<(LeaderEpoch, Offset)>) -> EpochCache {
        EpochCache { entries }
    }

    /// Epochs and their start offsets, oldest first.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// From `start` on, this is the epoch. Entries that contradict (a later epoch, or one that starts no earlier) go: the new
    /// leader is right. Gives whether anything changed.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch < LeaderEpoch(0) || self.entries.last().is_some_and(|(last, at)| *last == epoch && *at <= start) {
            return false;
        }
        let keep = self.entries.iter().take_while(|(e, s)| *e < epoch && *s < start).count();
        self.entries.truncate(keep);
        self.entries.push((epoch, start));
        true
    }

    /// Where an epoch ended, for a follower that asks where it parts from the leader (KIP-101, KIP-279): the largest epoch
    /// not above `requested` that is known here, and the offset at which the next one starts, or the log end.
    /// `(NONE, -1)`: nothing can be said.
    pub fn end_offset_of(&self, requested: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        const UNDEFINED: (LeaderEpoch, Offset) = (LeaderEpoch::NONE, Offset(-1));
        if requested == LeaderEpoch::NONE {
            return UNDEFINED;
        }
        if self.latest() == Some(requested) {
            return (requested, log_end);
        }
        let higher = self.entries.partition_point(|(e, _)| *e <= requested);
        match (self.entries.get(higher), higher.checked_sub(1).and_then(|at| self.entries.get(at))) {
            (None, _) => UNDEFINED,
            // Older than anything here: what the requester has up to our first epoch is common.
            (Some((_, start)), None) => (requested, *start),
            (Some((_, start)), Some((floor, _))) => (*floor, *start),
        }
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).map(|at| self.entries[at].0)
    }

    /// The log was cut to `end`.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.entries.partition_point(|(_, start)| *start < end);
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// The log now starts at `start`: the epoch that wrote there starts there.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let covered = self.entries.partition_point(|(_, at)| *at <= start);
        let Some(last) = covered.checked_sub(1) else { return false };
        if last == 0 && self.entries[0].1 == start {
            return false;
        }
        self.entries.drain(..last);
        self.entries[0].1 = start;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::new(entries.iter().map(|(e, s)| (LeaderEpoch(*e), Offset(*s))).collect())
    }

    fn ends(c: &EpochCache, epoch: i32) -> (i32, i64) {
        let (e, o) = c.end_offset_of(LeaderEpoch(epoch), Offset(100));
        (e.0, o.0)
    }

    #[test]
    fn end_offsets_follow_kip_101_and_279() {
        let c = cache(&[(2, 10), (4, 30), (7, 60)]);
        assert_eq!(ends(&c, 7), (7, 100), "the latest ends at the log end");
        assert_eq!(ends(&c, 4), (4, 60));
        assert_eq!(ends(&c, 5), (4, 60), "an unknown epoch answers with the one below");
        assert_eq!(ends(&c, 1), (1, 10), "older than all");
        assert_eq!(ends(&c, 8), (-1, -1), "newer than all");
        assert_eq!(ends(&c, -1), (-1, -1));
        assert_eq!(ends(&cache(&[]), 0), (-1, -1));
    }

    #[test]
    fn a_new_leader_overrules_entries_that_contradict_it() {
        let mut c = cache(&[(2, 10), (4, 30)]);
        assert!(!c.assign(LeaderEpoch(4), Offset(50)), "an epoch starts once");
        assert!(c.assign(LeaderEpoch(5), Offset(30)));
        assert_eq!(c, cache(&[(2, 10), (5, 30)]), "an epoch that wrote nothing leaves no entry");
        assert!(c.assign(LeaderEpoch(3), Offset(40)));
        assert_eq!(c, cache(&[(2, 10), (3, 40)]));
        assert!(!c.assign(LeaderEpoch(-1), Offset(50)));
    }

    #[test]
    fn truncation_at_both_ends_keeps_the_epoch_of_what_remains() {
        let mut c = cache(&[(2, 10), (4, 30), (7, 60)]);
        assert!(c.truncate_from_end(Offset(60)));
        assert_eq!(c, cache(&[(2, 10), (4, 30)]));
        assert!(!c.truncate_from_end(Offset(60)));
        assert!(c.truncate_from_start(Offset(35)));
        assert_eq!(c, cache(&[(4, 35)]));
        assert!(!c.truncate_from_start(Offset(35)));
        assert!(!c.truncate_from_start(Offset(5)), "the start never moves back");
        assert_eq!(c.epoch_of(Offset(34)), None);
        assert_eq!(c.epoch_of(Offset(36)), Some(LeaderEpoch(4)));
    }
}
