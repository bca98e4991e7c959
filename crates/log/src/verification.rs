//! Which producers' transactions are just being asked about (KIP-890). Before a partition takes the first batch of a transaction it asks the
//! transaction's coordinator, and what the coordinator says is worth nothing once a marker has come in meanwhile: the batch may be of a
//! transaction that is over. A guard, taken before the question and shown with the append, tells. Where epochs tell one transaction from the
//! next (`transaction.version` 2), only the marker that ends the very transaction asked about takes it away.
//!
//! Lives in memory alone: after a restart, or a change of leader, whoever has a guard is refused and asks again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_model::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Producers of a partition that can be asked about at a time. Beyond it, the oldest tenth has to ask again.
pub const VERIFICATIONS_MAX: usize = 10_000;

/// Says that no marker of a producer that could be of this transaction has come in since it was taken. Never the same twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    fn new() -> VerificationGuard {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        VerificationGuard(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One producer that is being asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verification {
    guard: VerificationGuard,
    since: TimestampMs,
    epoch: ProducerEpoch,
    /// The lowest that has asked, which is to be the first that is written.
    lowest_sequence: Sequence,
    raises_epoch: bool,
}

/// What a first batch shows for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBatch {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The batch's first sequence; [`Sequence::NONE`]: a coordinator's batch, which has none.
    pub base_sequence: Sequence,
    /// Each of the producer's transactions has an epoch of its own (`transaction.version` 2).
    pub raises_epoch: bool,
}

/// All that are being asked about in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verifications(HashMap<ProducerId, Verification>);

impl Verifications {
    /// The guard of a producer: the one that it has, or a new one.
    pub fn take(&mut self, batch: &FirstBatch, now: TimestampMs) -> VerificationGuard {
        let FirstBatch { producer_id, producer_epoch: epoch, base_sequence, raises_epoch } = *batch;
        if self.0.len() >= VERIFICATIONS_MAX && !self.0.contains_key(&producer_id) {
            self.make_room();
        }
        let fresh = || Verification { guard: VerificationGuard::new(), since: now, epoch, lowest_sequence: base_sequence, raises_epoch };
        let known = self.0.entry(producer_id).or_insert_with(fresh);
        if epoch > known.epoch {
            // With a new epoch the client may also have come back in another version.
            (known.epoch, known.lowest_sequence, known.raises_epoch) = (epoch, base_sequence, raises_epoch);
        } else if epoch == known.epoch {
            known.lowest_sequence = known.lowest_sequence.min(base_sequence);
        }
        known.guard
    }

    /// Whether this is the producer's guard still.
    pub fn holds(&self, producer_id: ProducerId, guard: VerificationGuard) -> bool {
        self.0.get(&producer_id).is_some_and(|known| known.guard == guard)
    }

    /// The sequence that the producer's next batch may have at most, `is_new`: where nothing else is known of it.
    pub fn highest_sequence(&self, producer_id: ProducerId, is_new: bool) -> Option<Sequence> {
        let known = self.0.get(&producer_id)?;
        Some(if known.raises_epoch && is_new { Sequence(0) } else { known.lowest_sequence })
    }

    /// A marker of that epoch has ended a transaction. Where each transaction has an epoch of its own, the marker of one has that of the
    /// next, and comes while the producer is at it already: who asks about the next may go on.
    pub fn end(&mut self, producer_id: ProducerId, epoch: ProducerEpoch) {
        let is_of_next = |known: &Verification| known.raises_epoch && known.epoch >= epoch;
        if !self.0.get(&producer_id).is_some_and(is_of_next) {
            self.drop(producer_id);
        }
    }

    /// The transaction has begun here.
    pub fn drop(&mut self, producer_id: ProducerId) {
        if !self.0.is_empty() {
            self.0.remove(&producer_id);
        }
    }

    /// Forgets those that nobody came back to for so long.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) {
        self.0.retain(|_, known| now.0.saturating_sub(known.since.0) < expiration_ms);
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }

    fn make_room(&mut self) {
        let mut ages: Vec<(i64, ProducerId)> = self.0.iter().map(|(id, known)| (known.since.0, *id)).collect();
        ages.sort_unstable();
        for (_, id) in ages.into_iter().take(VERIFICATIONS_MAX / 10) {
            self.0.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerId = ProducerId(7);

    fn first(epoch: i16, sequence: i32) -> FirstBatch {
        FirstBatch { producer_id: ID, producer_epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence), raises_epoch: false }
    }

    #[test]
    fn a_guard_is_shared_until_it_is_dropped_and_never_comes_back() {
        let mut all = Verifications::default();
        let guard = all.take(&first(0, 5), TimestampMs(0));
        assert_eq!(all.take(&first(0, 3), TimestampMs(1)), guard);
        assert_eq!(all.highest_sequence(ID, false), Some(Sequence(3)));
        assert_eq!(all.take(&first(1, 9), TimestampMs(1)), guard, "a newer epoch counts its own");
        assert_eq!(all.highest_sequence(ID, false), Some(Sequence(9)));
        assert!(all.holds(ID, guard) && !all.holds(ProducerId(8), guard));
        all.drop(ID);
        assert!(!all.holds(ID, guard));
        let later = all.take(&first(1, 0), TimestampMs(2));
        assert!(later != guard && !all.holds(ID, guard) && all.holds(ID, later));
    }

    #[test]
    fn the_marker_of_the_last_transaction_leaves_the_guard_of_the_next_where_epochs_tell_them_apart() {
        let mut all = Verifications::default();
        let guard = all.take(&FirstBatch { raises_epoch: true, ..first(4, 0) }, TimestampMs(0));
        all.end(ID, ProducerEpoch(4));
        assert!(all.holds(ID, guard), "it ended what was of epoch 3");
        all.end(ID, ProducerEpoch(5));
        assert!(!all.holds(ID, guard), "it ended what was of epoch 4");
        let guard = all.take(&first(4, 0), TimestampMs(0));
        all.end(ID, ProducerEpoch(4));
        assert!(!all.holds(ID, guard), "of one epoch may be both");
    }

    #[test]
    fn a_guard_goes_by_what_the_epochs_of_its_newest_transaction_tell() {
        let by_version_2 = |epoch| FirstBatch { raises_epoch: true, ..first(epoch, 0) };
        let mut all = Verifications::default();
        let guard = all.take(&by_version_2(4), TimestampMs(0));
        assert_eq!(all.take(&first(5, 0), TimestampMs(0)), guard);
        all.end(ID, ProducerEpoch(5));
        assert!(!all.holds(ID, guard), "the client has gone back: of one epoch may be both");
        let guard = all.take(&first(5, 0), TimestampMs(0));
        assert_eq!(all.take(&by_version_2(6), TimestampMs(0)), guard);
        all.end(ID, ProducerEpoch(6));
        assert!(all.holds(ID, guard), "it ended what was of epoch 5");
    }

    #[test]
    fn guards_are_bounded_and_expire() {
        let mut all = Verifications::default();
        let guards: Vec<_> = (0..=VERIFICATIONS_MAX as i64)
            .map(|id| all.take(&FirstBatch { producer_id: ProducerId(id), ..first(0, 0) }, TimestampMs(id)))
            .collect();
        assert_eq!(all.0.len(), VERIFICATIONS_MAX - VERIFICATIONS_MAX / 10 + 1);
        assert!(!all.holds(ProducerId(0), guards[0]), "the oldest has to ask again");
        assert!(all.holds(ProducerId(VERIFICATIONS_MAX as i64), guards[VERIFICATIONS_MAX]));
        all.expire(TimestampMs(VERIFICATIONS_MAX as i64 + 99), 100);
        assert_eq!(all.0.len(), 1);
        all.expire(TimestampMs(VERIFICATIONS_MAX as i64 + 100), 100);
        assert!(all.0.is_empty());
    }
}
