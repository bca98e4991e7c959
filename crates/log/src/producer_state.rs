//! What a partition remembers of idempotent and transactional producers (KIP-98): the last batches of each, to refuse gaps and
//! answer repeats, its epoch, to fence earlier incarnations, and where its open transaction began.
//!
//! Pure: it is told of batches and answers; its snapshots (Kafka's `.snapshot`, version 1) are written by the log.

use std::collections::{BTreeMap, HashMap};

use ottla_model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use ottla_wire::batch::{EndTxnMarker, TxnResult};

use crate::error::AppendError;
use crate::txn_index::AbortedTxn;
use crate::verification::{FirstBatch, VerificationGuard, Verifications};

/// Batches remembered of each producer: Java's clients keep at most five requests in flight.
const BATCHES_PER_PRODUCER: usize = 5;
/// Producers remembered in a partition. Beyond it those unheard of for longest are forgotten, as by expiry.
pub const PRODUCERS_MAX: usize = 50_000;

/// The part of a batch that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    pub last_sequence: Sequence,
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub max_timestamp: i64,
    pub transactional: bool,
}

/// What lets a batch begin a transaction here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayBegin {
    /// Nothing: a transactional batch needs one that is open.
    No,
    /// Its coordinator has said so, if the guard still holds.
    Under(VerificationGuard),
    /// Nobody asks (`transaction.partition.verification.enable`).
    Unasked,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// Written before; the answer is what it was then.
    Duplicate {
        first_offset: Offset,
        last_offset: Offset,
        timestamp: i64,
    },
}

/// What a partition knows of a producer (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Whom.
    pub producer_id: ProducerId,
    /// The newest epoch.
    pub producer_epoch: ProducerEpoch,
    /// Of the last record in that epoch; [`Sequence::NONE`]: there is none.
    pub last_sequence: Sequence,
    /// Of the last batch.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote the last marker; -1: none did.
    pub coordinator_epoch: i32,
    /// Where the open transaction begins.
    pub open_since: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenBatch {
    last_sequence: Sequence,
    last_offset: Offset,
    offset_delta: i32,
    timestamp: i64,
}

impl SeenBatch {
    fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0 - i64::from(self.offset_delta))
    }

    fn base_sequence(&self) -> Sequence {
        let base = i64::from(self.last_sequence.0) - i64::from(self.offset_delta);
        Sequence(if base < 0 { base + i64::from(i32::MAX) + 1 } else { base } as i32)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
    last_timestamp: i64,
    /// Oldest first.
    batches: Vec<SeenBatch>,
    open_since: Option<Offset>,
}

impl Producer {
    fn new(epoch: ProducerEpoch, last_timestamp: i64) -> Producer {
        Producer { epoch, coordinator_epoch: -1, last_timestamp, batches: Vec::new(), open_since: None }
    }

    /// The answer to a batch that is there already.
    fn seen(&self, batch: &ProducerBatch) -> Option<Verdict> {
        let same = |b: &&SeenBatch| b.base_sequence() == batch.base_sequence && b.last_sequence == batch.last_sequence;
        let seen = self.batches.iter().find(same).filter(|_| batch.producer_epoch == self.epoch)?;
        Some(Verdict::Duplicate { first_offset: seen.first_offset(), last_offset: seen.last_offset, timestamp: seen.timestamp })
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// The state of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    producers: HashMap<ProducerId, Producer>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker is not below the high watermark yet: first offset, and the marker's.
    unreplicated: BTreeMap<Offset, Offset>,
    /// Transactions that may be about to begin here.
    verifications: Verifications,
}

impl ProducerState {
    /// Holds a client's batch against what is known of its producer.
    pub fn check(&self, batch: &ProducerBatch, may_begin: MayBegin) -> Result<Verdict, AppendError> {
        let known = self.producers.get(&batch.producer_id);
        if let Some(seen) = known.and_then(|known| known.seen(batch)) {
            return Ok(seen);
        }
        if batch.transactional {
            self.check_transaction(batch.producer_id, batch.producer_epoch, may_begin)?;
        }
        self.check_lowest_sequence(batch, known.is_none())?;
        let Some(known) = known else {
            // New, or forgotten: any sequence is taken, since the records that came before may have been deleted.
            return Ok(Verdict::Append);
        };
        self.check_epoch(batch.producer_id, batch.producer_epoch)?;
        let expected = match known.batches.last() {
            Some(last) if known.epoch == batch.producer_epoch => last.last_sequence.plus(1),
            _ => Sequence(0),
        };
        if batch.base_sequence != expected {
            return Err(AppendError::OutOfOrderSequence {
                producer_id: batch.producer_id,
                producer_epoch: batch.producer_epoch,
                expected,
                found: batch.base_sequence,
            });
        }
        if let (Some(first_offset), false) = (known.open_since, batch.transactional) {
            return Err(AppendError::InvalidTxnState { producer_id: batch.producer_id, first_offset });
        }
        Ok(Verdict::Append)
    }

    /// Whether a transactional batch is of a transaction that is open here, or may begin one. What the coordinator has said is of a
    /// transaction that may be over by now: no record of one transaction may ever come to stand in the next (KIP-890).
    pub fn check_transaction(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        may_begin: MayBegin,
    ) -> Result<(), AppendError> {
        let may = self.is_open(producer_id, producer_epoch)
            || match may_begin {
                MayBegin::No => false,
                MayBegin::Under(guard) => self.verifications.holds(producer_id, guard),
                MayBegin::Unasked => true,
            };
        if may { Ok(()) } else { Err(AppendError::NotInTransaction { producer_id, producer_epoch }) }
    }

    /// Requests that wait for the coordinator may overtake each other: the first that is written is the first that came.
    fn check_lowest_sequence(&self, batch: &ProducerBatch, is_new: bool) -> Result<(), AppendError> {
        match self.verifications.highest_sequence(batch.producer_id, is_new) {
            Some(expected) if batch.base_sequence > expected => Err(AppendError::OutOfOrderSequence {
                producer_id: batch.producer_id,
                producer_epoch: batch.producer_epoch,
                expected,
                found: batch.base_sequence,
            }),
            _ => Ok(()),
        }
    }

    fn is_open(&self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> bool {
        self.producers.get(&producer_id).is_some_and(|known| known.open_since.is_some() && known.epoch == producer_epoch)
    }

    /// To be called before a transaction's coordinator is asked whether it takes part here. `None`: it is open already.
    pub fn begin_verification(&mut self, batch: &FirstBatch, now: TimestampMs) -> Option<VerificationGuard> {
        (!self.is_open(batch.producer_id, batch.producer_epoch)).then(|| self.verifications.take(batch, now))
    }

    /// Whether a coordinator's own batch may be written.
    pub fn check_epoch(&self, producer_id: ProducerId, found: ProducerEpoch) -> Result<(), AppendError> {
        match self.producers.get(&producer_id) {
            Some(known) if found < known.epoch => Err(AppendError::ProducerFenced { producer_id, current: known.epoch, found }),
            _ => Ok(()),
        }
    }

    /// Whether a marker comes from the newest transaction coordinator, and in time. `raises_epoch`: each transaction has an epoch of its own
    /// (`transaction.version` 2), and the marker that of the next one. One with the epoch of the records is then of an earlier
    /// transaction, unless the transaction is over and the marker is sent again (KIP-1228).
    pub fn check_marker(
        &self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        marker: &EndTxnMarker,
        raises_epoch: bool,
    ) -> Result<(), AppendError> {
        self.check_epoch(producer_id, epoch)?;
        if raises_epoch && self.is_open(producer_id, epoch) {
            return Err(AppendError::LateMarker { producer_id, current: epoch });
        }
        match self.producers.get(&producer_id) {
            Some(known) if marker.coordinator_epoch < known.coordinator_epoch => {
                Err(AppendError::CoordinatorFenced { producer_id, current: known.coordinator_epoch, found: marker.coordinator_epoch })
            }
            _ => Ok(()),
        }
    }

    /// A batch was written.
    pub fn apply(&mut self, batch: &ProducerBatch) {
        if !self.producers.contains_key(&batch.producer_id) {
            self.make_room();
        }
        let known = self.producers.entry(batch.producer_id).or_insert_with(|| Producer::new(batch.producer_epoch, batch.max_timestamp));
        known.enter_epoch(batch.producer_epoch);
        known.last_timestamp = batch.max_timestamp;
        if known.batches.len() >= BATCHES_PER_PRODUCER {
            known.batches.remove(0);
        }
        known.batches.push(SeenBatch {
            last_sequence: batch.last_sequence,
            last_offset: batch.last_offset,
            offset_delta: i32::try_from(batch.last_offset.0 - batch.first_offset.0).unwrap_or(i32::MAX),
            timestamp: batch.max_timestamp,
        });
        if batch.transactional {
            if known.open_since.is_none() {
                known.open_since = Some(batch.first_offset);
                self.open.insert(batch.first_offset, batch.producer_id);
            }
            self.verifications.drop(batch.producer_id);
        }
    }

    /// A marker was written at `at`. Gives the entry for the index of aborted transactions, if it aborted one.
    pub fn apply_marker(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        marker: &EndTxnMarker,
        at: Offset,
        timestamp: i64,
    ) -> Option<AbortedTxn> {
        self.verifications.end(producer_id, epoch);
        if !self.producers.contains_key(&producer_id) {
            self.make_room();
        }
        let known = self.producers.entry(producer_id).or_insert_with(|| Producer::new(epoch, timestamp));
        known.enter_epoch(epoch);
        known.coordinator_epoch = known.coordinator_epoch.max(marker.coordinator_epoch);
        known.last_timestamp = timestamp;
        // A marker without a transaction (its records are on other partitions, or it is sent again) ends nothing.
        let first_offset = known.open_since.take()?;
        self.open.remove(&first_offset);
        self.unreplicated.insert(first_offset, at);
        // Stable is what lies before the first transaction that is still open; this one is not, though not yet replicated.
        let last_stable_offset = self.open.keys().next().copied().unwrap_or(at.plus(1));
        (marker.result == TxnResult::Abort).then_some(AbortedTxn { producer_id, first_offset, last_offset: at, last_stable_offset })
    }

    /// The first offset that is not decided, or not decided for good: no committed read goes beyond it.
    pub fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let open = self.open.keys().next().copied();
        let unreplicated = self.unreplicated.iter().find(|(_, marker)| **marker >= high_watermark).map(|(first, _)| *first);
        open.into_iter().chain(unreplicated).min()
    }

    /// The high watermark has risen: transactions that ended below it are done with.
    pub fn forget_replicated(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= high_watermark);
    }

    /// Where a producer's open transaction began.
    pub fn open_transaction(&self, producer_id: ProducerId) -> Option<Offset> {
        self.producers.get(&producer_id)?.open_since
    }

    /// Forgets producers that were not heard of for `expiration_ms` and have no transaction open.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        self.verifications.expire(now, expiration_ms);
        let before = self.producers.len();
        self.producers.retain(|_, p| p.open_since.is_some() || now.0.saturating_sub(p.last_timestamp) < expiration_ms);
        if self.producers.is_empty() {
            self.producers = HashMap::new();
        }
        before - self.producers.len()
    }

    /// Each producer with its epoch, and the last offset of its last batch in that epoch.
    pub fn last_batches(&self) -> impl Iterator<Item = (ProducerId, ProducerEpoch, Option<Offset>)> {
        self.producers.iter().map(|(id, p)| (*id, p.epoch, p.batches.last().map(|last| last.last_offset)))
    }

    /// What is known of each producer.
    pub fn describe(&self) -> Vec<ProducerDescription> {
        let describe = |(id, p): (&ProducerId, &Producer)| ProducerDescription {
            producer_id: *id,
            producer_epoch: p.epoch,
            last_sequence: p.batches.last().map_or(Sequence::NONE, |last| last.last_sequence),
            last_timestamp: TimestampMs(p.last_timestamp),
            coordinator_epoch: p.coordinator_epoch,
            open_since: p.open_since,
        };
        let mut all: Vec<_> = self.producers.iter().map(describe).collect();
        all.sort_unstable_by_key(|producer| producer.producer_id);
        all
    }

    /// Number of producers.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// When full, forgets the tenth that was not heard of for longest.
    fn make_room(&mut self) {
        if self.producers.len() < PRODUCERS_MAX {
            return;
        }
        let mut ages: Vec<(i64, ProducerId)> =
            self.producers.iter().filter(|(_, p)| p.open_since.is_none()).map(|(id, p)| (p.last_timestamp, *id)).collect();
        ages.sort_unstable();
        for (_, id) in ages.into_iter().take(PRODUCERS_MAX / 10) {
            self.producers.remove(&id);
        }
    }

    /// The bytes of a `.snapshot` file. Only the last batch of each producer is in it, as with Kafka.
    pub fn encode(&self) -> Vec<u8> {
        let mut ids: Vec<&ProducerId> = self.producers.keys().collect();
        ids.sort_unstable();
        let mut out = Vec::with_capacity(snapshot::HEADER_LEN + ids.len() * snapshot::ENTRY_LEN);
        out.extend_from_slice(&snapshot::VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(ids.len() as i32).to_be_bytes());
        for id in ids {
            let p = &self.producers[id];
            let none = SeenBatch { last_sequence: Sequence::NONE, last_offset: Offset(-1), offset_delta: 0, timestamp: -1 };
            let last = p.batches.last().copied().unwrap_or(none);
            out.extend_from_slice(&id.0.to_be_bytes());
            out.extend_from_slice(&p.epoch.0.to_be_bytes());
            out.extend_from_slice(&last.last_sequence.0.to_be_bytes());
            out.extend_from_slice(&last.last_offset.0.to_be_bytes());
            out.extend_from_slice(&last.offset_delta.to_be_bytes());
            out.extend_from_slice(&p.last_timestamp.to_be_bytes());
            out.extend_from_slice(&p.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&p.open_since.map_or(-1, |o| o.0).to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[snapshot::COVERED_FROM..]);
        out[2..snapshot::COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a `.snapshot` file; `Err` says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<ProducerState, String> {
        let header = bytes.get(..snapshot::HEADER_LEN).ok_or("shorter than its header")?;
        if header[..2] != snapshot::VERSION.to_be_bytes() {
            return Err(format!("version {:?}, expected {}", &header[..2], snapshot::VERSION));
        }
        if header[2..snapshot::COVERED_FROM] != crc32c::crc32c(&bytes[snapshot::COVERED_FROM..]).to_be_bytes() {
            return Err("the CRC does not hold".to_owned());
        }
        let count = header[snapshot::COVERED_FROM..].iter().fold(0usize, |v, b| (v << 8) | usize::from(*b));
        let entries = &bytes[snapshot::HEADER_LEN..];
        if !entries.len().is_multiple_of(snapshot::ENTRY_LEN) || entries.len() / snapshot::ENTRY_LEN != count {
            return Err(format!("{} bytes for {count} producers", entries.len()));
        }
        let mut state = ProducerState::default();
        for entry in entries.chunks_exact(snapshot::ENTRY_LEN) {
            let int = |from: usize, to: usize| {
                // Sign-extended from the first byte.
                entry[from..to].iter().fold(i64::from(entry[from] as i8 >> 7), |v, b| (v << 8) | i64::from(*b))
            };
            let id = ProducerId(int(0, 8));
            let mut producer = Producer::new(ProducerEpoch(int(8, 10) as i16), int(26, 34));
            producer.coordinator_epoch = int(34, 38) as i32;
            let last = SeenBatch {
                last_sequence: Sequence(int(10, 14) as i32),
                last_offset: Offset(int(14, 22)),
                offset_delta: int(22, 26) as i32,
                timestamp: producer.last_timestamp,
            };
            if last.last_offset >= Offset::ZERO && last.offset_delta >= 0 && last.last_sequence >= Sequence(0) {
                producer.batches.push(last);
            }
            let open_since = Offset(int(38, 46));
            if open_since >= Offset::ZERO {
                producer.open_since = Some(open_since);
                state.open.insert(open_since, id);
            }
            state.producers.insert(id, producer);
        }
        Ok(state)
    }
}

/// The layout of a snapshot file.
mod snapshot {
    pub const VERSION: i16 = 1;
    /// Version and CRC come before what the CRC covers.
    pub const COVERED_FROM: usize = 6;
    /// Up to and with the count.
    pub const HEADER_LEN: usize = 10;
    /// Producer id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch, first offset of the open transaction.
    pub const ENTRY_LEN: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerId = ProducerId(7);

    fn batch(epoch: i16, base_sequence: i32, count: i32, first_offset: i64) -> ProducerBatch {
        ProducerBatch {
            producer_id: ID,
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base_sequence),
            last_sequence: Sequence(base_sequence).plus(count - 1),
            first_offset: Offset(first_offset),
            last_offset: Offset(first_offset + i64::from(count) - 1),
            max_timestamp: 100,
            transactional: false,
        }
    }

    fn marker(result: TxnResult, coordinator_epoch: i32) -> EndTxnMarker {
        EndTxnMarker { result, coordinator_epoch }
    }

    #[test]
    fn the_last_five_batches_are_answered_again_and_older_ones_are_out_of_order() {
        let mut state = ProducerState::default();
        for i in 0..7 {
            let b = batch(0, i * 10, 10, 1000 + i64::from(i) * 10);
            assert_eq!(state.check(&b, MayBegin::Unasked).unwrap(), Verdict::Append);
            state.apply(&b);
        }
        for i in 2..7 {
            let first_offset = Offset(1000 + i64::from(i) * 10);
            let expected = Verdict::Duplicate { first_offset, last_offset: first_offset.plus(9), timestamp: 100 };
            assert_eq!(state.check(&batch(0, i * 10, 10, 5000), MayBegin::Unasked).unwrap(), expected);
        }
        for (base, count) in [(10, 10), (20, 9), (71, 1), (69, 1)] {
            match state.check(&batch(0, base, count, 5000), MayBegin::Unasked) {
                Err(AppendError::OutOfOrderSequence { expected, found, .. }) => {
                    assert_eq!((expected, found), (Sequence(70), Sequence(base)));
                }
                other => panic!("{base}+{count}: {other:?}"),
            }
        }
    }

    #[test]
    fn sequences_wrap_around() {
        let mut state = ProducerState::default();
        let b = batch(0, i32::MAX - 1, 4, 0);
        assert_eq!(b.last_sequence, Sequence(1));
        state.apply(&b);
        assert!(matches!(
            state.check(&b, MayBegin::Unasked).unwrap(),
            Verdict::Duplicate { first_offset: Offset(0), last_offset: Offset(3), .. }
        ));
        assert_eq!(state.check(&batch(0, 2, 1, 4), MayBegin::Unasked).unwrap(), Verdict::Append);
    }

    #[test]
    fn a_newer_epoch_starts_at_zero_and_fences_the_older() {
        let mut state = ProducerState::default();
        state.apply(&batch(3, 0, 5, 0));
        assert!(matches!(
            state.check(&batch(4, 5, 1, 5), MayBegin::Unasked),
            Err(AppendError::OutOfOrderSequence { expected: Sequence(0), .. })
        ));
        state.apply(&batch(4, 0, 1, 5));
        assert!(matches!(
            state.check(&batch(3, 5, 1, 6), MayBegin::Unasked),
            Err(AppendError::ProducerFenced { current: ProducerEpoch(4), .. })
        ));
    }

    #[test]
    fn transactions_hold_back_the_stable_offset_until_their_marker_is_replicated() {
        let mut state = ProducerState::default();
        let txn = ProducerBatch { transactional: true, ..batch(0, 0, 10, 20) };
        state.apply(&txn);
        let other = ProducerBatch { producer_id: ProducerId(8), ..ProducerBatch { transactional: true, ..batch(0, 0, 1, 30) } };
        state.apply(&other);
        assert_eq!(state.first_unstable(Offset(31)), Some(Offset(20)));
        assert!(matches!(
            state.check(&batch(0, 10, 1, 31), MayBegin::Unasked),
            Err(AppendError::InvalidTxnState { first_offset: Offset(20), .. })
        ));
        let aborted = state.apply_marker(ID, ProducerEpoch(0), &marker(TxnResult::Abort, 5), Offset(31), 200);
        let expected = AbortedTxn { producer_id: ID, first_offset: Offset(20), last_offset: Offset(31), last_stable_offset: Offset(30) };
        assert_eq!(aborted, Some(expected));
        assert_eq!(state.first_unstable(Offset(31)), Some(Offset(20)), "the marker is not replicated");
        assert_eq!(state.first_unstable(Offset(32)), Some(Offset(30)));
        assert_eq!(state.apply_marker(ProducerId(8), ProducerEpoch(0), &marker(TxnResult::Commit, 5), Offset(32), 200), None);
        state.forget_replicated(Offset(33));
        assert_eq!(state.first_unstable(Offset(33)), None);
        assert_eq!(state.apply_marker(ID, ProducerEpoch(0), &marker(TxnResult::Abort, 5), Offset(33), 200), None, "sent again");
        assert!(matches!(
            state.check_marker(ID, ProducerEpoch(0), &marker(TxnResult::Abort, 4), false),
            Err(AppendError::CoordinatorFenced { current: 5, found: 4, .. })
        ));
    }

    #[test]
    fn snapshots_round_trip_with_the_last_batch_of_each() {
        let mut state = ProducerState::default();
        state.apply(&batch(0, 0, 5, 0));
        state.apply(&ProducerBatch { producer_id: ProducerId(1 << 40), transactional: true, ..batch(2, 9, 3, 5) });
        let bytes = state.encode();
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(ProducerState::decode(&bytes).unwrap(), state);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(ProducerState::decode(&bad).is_err(), "byte {at}");
        }
        assert!(ProducerState::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(ProducerState::decode(&[]).is_err());
    }

    #[test]
    fn producers_expire_unless_a_transaction_is_open() {
        let mut state = ProducerState::default();
        state.apply(&batch(0, 0, 5, 0));
        state.apply(&ProducerBatch { producer_id: ProducerId(8), transactional: true, ..batch(0, 0, 1, 5) });
        assert_eq!(state.expire(TimestampMs(1099), 1000), 0);
        assert_eq!(state.expire(TimestampMs(1100), 1000), 1);
        assert_eq!((state.len(), state.open_transaction(ProducerId(8))), (1, Some(Offset(5))));
    }

    fn txn(epoch: i16, base_sequence: i32, first_offset: i64) -> ProducerBatch {
        ProducerBatch { transactional: true, ..batch(epoch, base_sequence, 1, first_offset) }
    }

    fn first(epoch: i16, sequence: i32, raises_epoch: bool) -> FirstBatch {
        FirstBatch { producer_id: ID, producer_epoch: ProducerEpoch(epoch), base_sequence: Sequence(sequence), raises_epoch }
    }

    #[test]
    fn a_transaction_begins_only_under_a_guard_that_no_marker_has_dropped() {
        let mut state = ProducerState::default();
        let unasked =
            |state: &ProducerState, b: ProducerBatch| matches!(state.check(&b, MayBegin::No), Err(AppendError::NotInTransaction { .. }));
        assert!(unasked(&state, txn(0, 0, 0)));
        let guard = state.begin_verification(&first(0, 0, false), TimestampMs(0)).unwrap();
        assert_eq!(state.check(&txn(0, 0, 0), MayBegin::Under(guard)).unwrap(), Verdict::Append);
        // The transaction that was asked about ends: with a marker of the same epoch, and no batch here.
        state.apply_marker(ID, ProducerEpoch(0), &marker(TxnResult::Abort, 1), Offset(0), 100);
        let late = state.check(&txn(0, 0, 1), MayBegin::Under(guard));
        assert!(matches!(late, Err(AppendError::NotInTransaction { producer_id: ID, producer_epoch: ProducerEpoch(0) })));
        let again = state.begin_verification(&first(0, 0, false), TimestampMs(0)).unwrap();
        assert_eq!(state.check(&txn(0, 0, 1), MayBegin::Under(again)).unwrap(), Verdict::Append);
        state.apply(&txn(0, 0, 1));
        assert_eq!(state.begin_verification(&first(0, 1, false), TimestampMs(0)), None, "open: nobody need be asked");
        assert_eq!(state.check(&txn(0, 1, 2), MayBegin::No).unwrap(), Verdict::Append);
        assert!(unasked(&state, txn(1, 0, 2)), "a newer epoch has no transaction here");
        assert!(matches!(state.check(&txn(0, 0, 9), MayBegin::No).unwrap(), Verdict::Duplicate { first_offset: Offset(1), .. }));
    }

    #[test]
    fn the_first_batch_of_a_transaction_is_the_one_with_the_lowest_sequence() {
        let mut state = ProducerState::default();
        state.begin_verification(&first(0, 5, false), TimestampMs(0));
        let guard = state.begin_verification(&first(0, 4, false), TimestampMs(0)).unwrap();
        let out_of_order = |found, state: &ProducerState| match state.check(&txn(0, found, 0), MayBegin::Under(guard)) {
            Err(AppendError::OutOfOrderSequence { expected, .. }) => Some(expected),
            _ => None,
        };
        assert_eq!((out_of_order(5, &state), out_of_order(4, &state)), (Some(Sequence(4)), None));
        let mut state = ProducerState::default();
        let guard = state.begin_verification(&first(3, 4, true), TimestampMs(0)).unwrap();
        let refused = state.check(&txn(3, 4, 0), MayBegin::Under(guard));
        assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { expected: Sequence(0), .. })), "an epoch of its own starts at 0");
    }

    #[test]
    fn markers_with_an_epoch_of_their_own_have_to_be_newer_and_the_producer_goes_on_with_it() {
        let mut state = ProducerState::default();
        state.apply(&txn(3, 0, 0));
        state.apply(&txn(3, 1, 1));
        let commit = marker(TxnResult::Commit, 1);
        let late = state.check_marker(ID, ProducerEpoch(3), &commit, true);
        assert!(matches!(late, Err(AppendError::LateMarker { current: ProducerEpoch(3), .. })));
        assert!(matches!(state.check_marker(ID, ProducerEpoch(2), &commit, true), Err(AppendError::ProducerFenced { .. })));
        state.check_marker(ID, ProducerEpoch(3), &commit, false).unwrap();
        state.check_marker(ID, ProducerEpoch(4), &commit, true).unwrap();
        state.apply_marker(ID, ProducerEpoch(4), &commit, Offset(2), 100);
        state.check_marker(ID, ProducerEpoch(4), &commit, true).expect("sent again");
        assert!(matches!(state.check_marker(ID, ProducerEpoch(3), &commit, true), Err(AppendError::ProducerFenced { .. })));
        // What the older transaction still has under way, and what the next one sends.
        assert!(matches!(state.check(&txn(3, 2, 3), MayBegin::Unasked), Err(AppendError::ProducerFenced { .. })));
        assert!(matches!(
            state.check(&txn(4, 2, 3), MayBegin::Unasked),
            Err(AppendError::OutOfOrderSequence { expected: Sequence(0), .. })
        ));
        assert_eq!(state.check(&txn(4, 0, 3), MayBegin::Unasked).unwrap(), Verdict::Append);
    }

    #[test]
    fn descriptions_say_what_is_open() {
        let mut state = ProducerState::default();
        state.apply(&ProducerBatch { producer_id: ProducerId(9), ..txn(2, 4, 30) });
        state.apply_marker(ID, ProducerEpoch(5), &marker(TxnResult::Abort, 8), Offset(31), 70);
        let expected = [
            ProducerDescription {
                producer_id: ID,
                producer_epoch: ProducerEpoch(5),
                last_sequence: Sequence::NONE,
                last_timestamp: TimestampMs(70),
                coordinator_epoch: 8,
                open_since: None,
            },
            ProducerDescription {
                producer_id: ProducerId(9),
                producer_epoch: ProducerEpoch(2),
                last_sequence: Sequence(4),
                last_timestamp: TimestampMs(100),
                coordinator_epoch: -1,
                open_since: Some(Offset(30)),
            },
        ];
        assert_eq!(state.describe(), expected);
    }
}
