//! Which records stay: Kafka's `Cleaner.cleanInto` and `MemoryRecords.filterTo`, as decisions about one batch after another.
//!
//! * A record goes when a newer one has its key, when it is a tombstone whose time is over, or when it has no key.
//! * All of an aborted transaction goes. Its marker, as that of a committed one, stays until no record of the transaction is left,
//!   and from then on for `delete.retention.ms` (KIP-534): for readers that are somewhere in between.
//! * The last batch of each producer that is still remembered stays, if need be without its records: it tells its last sequence
//!   to whoever opens the log (or follows it) later. So does the last batch of a segment: it tells where the segment ends.
//!
//! Pure: batches come in, batches go out.

use std::collections::{HashMap, HashSet};

use ottla_model::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use ottla_wire::batch::{BatchError, BatchView, BuildError, ControlRecordType, Record, RecordSet};

use super::map::OffsetMap;
use crate::config::LogConfig;
use crate::partition::with_records;
use crate::txn_index::AbortedTxn;

/// What was last heard of a producer that is still remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastOfProducer {
    pub epoch: ProducerEpoch,
    /// Last offset of its last batch with records; `None`: its epoch has only a marker so far.
    pub data: Option<Offset>,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is left out.
    Goes,
    /// It stays as it is.
    Stays,
    /// It is replaced.
    Becomes(Vec<u8>),
}

/// The transactions that a walk over batches is in the midst of. What markers end is known of a walk from the log's start only.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// By first offset, the next one last.
    to_come: Vec<AbortedTxn>,
    /// The newest aborted one of each producer: where its marker is, and whether a batch of it was met.
    aborted: HashMap<ProducerId, (Offset, bool)>,
    /// Others of which a batch was met.
    others: HashSet<ProducerId>,
}

impl Transactions {
    /// `aborted`: all that have records in the part of the log that is walked over.
    pub fn new(aborted: &[AbortedTxn]) -> Transactions {
        let mut to_come = aborted.to_vec();
        to_come.sort_unstable_by_key(|txn| std::cmp::Reverse((txn.first_offset, txn.last_offset)));
        to_come.dedup();
        Transactions { to_come, aborted: HashMap::new(), others: HashSet::new() }
    }

    fn begin_up_to(&mut self, offset: i64) {
        while let Some(txn) = self.to_come.pop_if(|txn| txn.first_offset.0 <= offset) {
            self.aborted.insert(txn.producer_id, (txn.last_offset, false));
        }
    }

    /// Of a batch with records: whether it was aborted.
    pub fn is_aborted(&mut self, batch: &BatchView<'_>) -> bool {
        self.begin_up_to(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        let producer = ProducerId(batch.producer_id());
        match self.aborted.get_mut(&producer) {
            Some((marker, met)) if batch.base_offset() <= marker.0 => {
                *met = true;
                true
            }
            _ => {
                self.others.insert(producer);
                false
            }
        }
    }

    /// Of a control batch: whether it ends a transaction of which no batch was met.
    pub fn is_marker_of_nothing(&mut self, batch: &BatchView<'_>, kind: Option<ControlRecordType>) -> bool {
        self.begin_up_to(batch.last_offset());
        let producer = ProducerId(batch.producer_id());
        match kind {
            Some(ControlRecordType::Abort) => {
                let met = self.aborted.remove(&producer).is_some_and(|(_, met)| met);
                !self.others.remove(&producer) && !met
            }
            Some(ControlRecordType::Commit) => !self.others.remove(&producer),
            Some(_) => false,
            // Emptied by a pass before.
            None => true,
        }
    }
}

/// What a control batch is about; `None`: it was emptied.
pub(crate) fn control_kind(batch: &BatchView<'_>, config: &LogConfig) -> Result<Option<ControlRecordType>, BatchError> {
    with_records(batch, config, |records| {
        let Some(first) = records.iter().next() else { return Ok(None) };
        let kind = ControlRecordType::from_key(first?.key.unwrap_or_default());
        // One that cannot be read is left alone.
        Ok(Some(kind.unwrap_or(ControlRecordType::Unknown(-1))))
    })
}

/// What the decisions of one pass rest on.
pub(crate) struct Filter<'p> {
    pub map: &'p OffsetMap,
    pub config: &'p LogConfig,
    pub now: TimestampMs,
    pub last_of_producers: &'p HashMap<ProducerId, LastOfProducer>,
}

impl Filter<'_> {
    /// Decides about the next batch. `is_last`: of its segment-to-be.
    pub fn decide(&self, txns: &mut Transactions, batch: &BatchView<'_>, is_last: bool) -> Result<Fate, BuildError> {
        let horizon = batch.delete_horizon();
        let is_over = horizon.is_some_and(|horizon| horizon <= self.now.0);
        let (all_go, ends_nothing) = if batch.is_control() {
            let ends_nothing = txns.is_marker_of_nothing(batch, control_kind(batch, self.config)?);
            (ends_nothing && is_over, ends_nothing)
        } else {
            (txns.is_aborted(batch), false)
        };
        let leaves_header = is_last || self.is_last_of_producer(batch);
        let empty = |batch: &BatchView<'_>| -> Result<Fate, BuildError> {
            Ok(match (leaves_header, batch.record_count()) {
                (false, _) => Fate::Goes,
                (true, 0) => Fate::Stays,
                (true, _) => Fate::Becomes(batch.emptied()?),
            })
        };
        if all_go || batch.record_count() == 0 {
            return empty(batch);
        }
        with_records(batch, self.config, |records: &RecordSet<'_>| {
            let retained = records.retain(|record| batch.is_control() || self.stays(record, is_over))?;
            if retained.is_empty() {
                return empty(batch);
            }
            // A tombstone beyond this pass has not begun to wait.
            let has_tombstone = !batch.is_control() && retained.has_tombstone() && self.is_known(Offset(batch.last_offset()));
            let needs_horizon = horizon.is_none() && (ends_nothing || has_tombstone);
            let new_horizon = needs_horizon.then(|| self.now.0.saturating_add(self.config.delete_retention_ms));
            if retained.is_all() && new_horizon.is_none() {
                return Ok(Fate::Stays);
            }
            Ok(Fate::Becomes(records.rebuild(&retained, new_horizon)?))
        })
    }

    fn stays(&self, record: &Record<'_>, is_over: bool) -> bool {
        let offset = Offset(record.offset);
        if !self.is_known(offset) {
            return true;
        }
        let Some(key) = record.key else { return false };
        self.map.get(key).is_none_or(|newest| offset >= newest) && (record.value.is_some() || !is_over)
    }

    /// Whether the map has been told of all records up to here.
    fn is_known(&self, offset: Offset) -> bool {
        self.map.latest().is_some_and(|latest| offset <= latest)
    }

    fn is_last_of_producer(&self, batch: &BatchView<'_>) -> bool {
        let Some(last) = self.last_of_producers.get(&ProducerId(batch.producer_id())).filter(|_| batch.has_producer_id()) else {
            return false;
        };
        match last.data {
            Some(offset) => batch.last_offset() == offset.0,
            None => batch.is_control() && batch.producer_epoch() == last.epoch.0,
        }
    }
}
