//! What the leader of a partition knows of transactional producers: a model of `ottla-log`'s producer state, which stands in for it because
//! that does I/O, and of the verification guard of KIP-890. Rebuilt from the log; knows nothing of coordinators.

use std::collections::{BTreeMap, VecDeque};

use ottla_cluster::transaction::{Owner, TransactionVersion};
use ottla_model::{ProducerEpoch, ProducerId};

use crate::message::{Marker, WriteError};

/// Kafka remembers so many batches of a producer.
const BATCHES_PER_PRODUCER: usize = 5;

#[derive(Debug)]
struct Producer {
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
    sequences: VecDeque<i32>,
    open_since: Option<usize>,
}

#[derive(Debug)]
struct Guard {
    number: u64,
    epoch: ProducerEpoch,
    version: TransactionVersion,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// Ended transactions: the first offset, and the marker's.
    ended: BTreeMap<usize, usize>,
    /// Who is being verified. Gone with the transaction that the question was about, and never in the log.
    guards: BTreeMap<ProducerId, Guard>,
    next_guard: u64,
}

impl Producers {
    pub fn check_epoch(&self, owner: Owner) -> Result<(), WriteError> {
        match self.known.get(&owner.producer_id) {
            Some(known) if owner.producer_epoch < known.epoch => Err(WriteError::Fenced),
            _ => Ok(()),
        }
    }

    /// Gives whether the batch is a repeat.
    pub fn check_sequence(&self, owner: Owner, sequence: i32) -> Result<bool, WriteError> {
        let Some(known) = self.known.get(&owner.producer_id) else { return Ok(false) };
        if known.epoch == owner.producer_epoch && known.sequences.contains(&sequence) {
            return Ok(true);
        }
        self.check_epoch(owner)?;
        let expected = known.sequences.back().filter(|_| known.epoch == owner.producer_epoch).map_or(0, |last| last + 1);
        if sequence == expected { Ok(false) } else { Err(WriteError::Sequence) }
    }

    pub fn is_open(&self, owner: Owner) -> bool {
        let known = self.known.get(&owner.producer_id);
        known.is_some_and(|known| known.epoch == owner.producer_epoch && known.open_since.is_some())
    }

    /// A question about this producer is on its way to the coordinator.
    pub fn guard(&mut self, owner: Owner, version: TransactionVersion) -> u64 {
        let (next_guard, epoch) = (&mut self.next_guard, owner.producer_epoch);
        let guard = self.guards.entry(owner.producer_id).or_insert_with(|| {
            *next_guard += 1;
            Guard { number: *next_guard, epoch, version }
        });
        guard.epoch = guard.epoch.max(epoch);
        guard.number
    }

    /// Whether the answer is still about the transaction that was asked about: no marker came in between that could be its own.
    pub fn check_guard(&self, owner: Owner, guard: u64) -> Result<(), WriteError> {
        let holds = self.is_open(owner) || self.guards.get(&owner.producer_id).is_some_and(|known| known.number == guard);
        if holds { Ok(()) } else { Err(WriteError::NotInTransaction) }
    }

    pub fn check_marker(&self, marker: &Marker) -> Result<(), WriteError> {
        self.check_epoch(marker.owner)?;
        let Some(known) = self.known.get(&marker.owner.producer_id) else { return Ok(()) };
        if marker.coordinator_epoch < known.coordinator_epoch {
            return Err(WriteError::CoordinatorFenced);
        }
        // In version 2 a marker's epoch is above that of its transaction: at that very epoch the next one is open already (KIP-1228).
        let is_late = marker.version == TransactionVersion::EpochBump && self.is_open(marker.owner);
        if is_late { Err(WriteError::Fenced) } else { Ok(()) }
    }

    fn enter(&mut self, owner: Owner) -> &mut Producer {
        let epoch = owner.producer_epoch;
        let new = || Producer { epoch, coordinator_epoch: -1, sequences: VecDeque::new(), open_since: None };
        let known = self.known.entry(owner.producer_id).or_insert_with(new);
        if known.epoch != epoch {
            known.epoch = epoch;
            known.sequences.clear();
        }
        known
    }

    /// A batch was written. A coordinator's own have no sequence.
    pub fn apply(&mut self, owner: Owner, sequence: Option<i32>, offset: usize) {
        self.guards.remove(&owner.producer_id);
        let known = self.enter(owner);
        if let Some(sequence) = sequence {
            known.sequences.push_back(sequence);
            if known.sequences.len() > BATCHES_PER_PRODUCER {
                known.sequences.pop_front();
            }
        }
        known.open_since.get_or_insert(offset);
    }

    pub fn apply_marker(&mut self, owner: Owner, coordinator_epoch: i32, offset: usize) {
        // In version 2 it is the marker of the transaction before that has the epoch of this one.
        let is_of_next = |guard: &Guard| guard.version == TransactionVersion::EpochBump && guard.epoch >= owner.producer_epoch;
        if !self.guards.get(&owner.producer_id).is_some_and(is_of_next) {
            self.guards.remove(&owner.producer_id);
        }
        let known = self.enter(owner);
        known.coordinator_epoch = known.coordinator_epoch.max(coordinator_epoch);
        if let Some(first) = known.open_since.take() {
            self.ended.insert(first, offset);
        }
    }

    /// Up to where read_committed reads.
    pub fn last_stable_offset(&self, high_watermark: usize) -> usize {
        let open = self.known.values().filter_map(|known| known.open_since);
        let unreplicated = self.ended.iter().filter(|(_, marker)| **marker >= high_watermark).map(|(first, _)| *first);
        open.chain(unreplicated).min().unwrap_or(high_watermark).min(high_watermark)
    }

    pub fn open_count(&self) -> usize {
        self.known.values().filter(|known| known.open_since.is_some()).count()
    }
}
