//! One transactional id: what the log says of it, and which states may follow which.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ottla_model::{ProducerEpoch, ProducerId, TimestampMs, TopicPartition};

/// `transactional.id`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionalId(Arc<str>);

impl TransactionalId {
    /// From its text.
    pub fn new(text: &str) -> TransactionalId {
        TransactionalId(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TransactionalId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TransactionalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// How a client takes part (the feature `transaction.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionVersion {
    /// The epoch stays the same from one transaction to the next (0 and 1).
    Classic,
    /// Each end raises the epoch (2, KIP-890).
    EpochBump,
}

impl TransactionVersion {
    /// As it stands in the log.
    pub const fn level(self) -> i16 {
        match self {
            TransactionVersion::Classic => 0,
            TransactionVersion::EpochBump => 2,
        }
    }

    /// From the log, or from a request.
    pub const fn from_level(level: i16) -> TransactionVersion {
        if level >= 2 { TransactionVersion::EpochBump } else { TransactionVersion::Classic }
    }

    pub(super) const fn bumps_epoch(self) -> bool {
        matches!(self, TransactionVersion::EpochBump)
    }
}

/// Where a transaction is. (Kafka's Dead and PrepareEpochFence never stand in the log; here they are no states.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// There has been none yet.
    Empty,
    /// Partitions take part, and nothing is decided.
    Ongoing,
    /// It is decided; not all partitions have their markers.
    PrepareCommit,
    /// It is decided; not all partitions have their markers.
    PrepareAbort,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// As it stands in the log.
    pub const fn id(self) -> i8 {
        match self {
            TransactionState::Empty => 0,
            TransactionState::Ongoing => 1,
            TransactionState::PrepareCommit => 2,
            TransactionState::PrepareAbort => 3,
            TransactionState::CompleteCommit => 4,
            TransactionState::CompleteAbort => 5,
        }
    }

    /// From the log; `None`: no state that a log may hold.
    pub const fn from_id(id: i8) -> Option<TransactionState> {
        Some(match id {
            0 => TransactionState::Empty,
            1 => TransactionState::Ongoing,
            2 => TransactionState::PrepareCommit,
            3 => TransactionState::PrepareAbort,
            4 => TransactionState::CompleteCommit,
            5 => TransactionState::CompleteAbort,
            _ => return None,
        })
    }

    /// Kafka's name for it, as ListTransactions and DescribeTransactions give it.
    pub const fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether nothing is under way: such an id may be forgotten.
    pub const fn is_at_rest(self) -> bool {
        matches!(self, TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort)
    }

    /// What was decided, while the markers are written.
    pub const fn decided(self) -> Option<bool> {
        match self {
            TransactionState::PrepareCommit => Some(true),
            TransactionState::PrepareAbort => Some(false),
            TransactionState::Empty | TransactionState::Ongoing | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                None
            }
        }
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a record of `__transaction_state` says of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The current producer id.
    pub producer_id: ProducerId,
    /// The one before, in case its epochs ran out; `-1`: none.
    pub previous_producer_id: ProducerId,
    /// The one that takes over when the transaction that is being ended is complete; `-1`: none.
    pub next_producer_id: ProducerId,
    /// The current epoch; `-1`: none was given out yet.
    pub producer_epoch: ProducerEpoch,
    /// The epoch that the same producer had before: a retry may still show it; `-1`: none.
    pub last_producer_epoch: ProducerEpoch,
    /// How long a transaction may last, in milliseconds.
    pub timeout_ms: i32,
    /// Where it is.
    pub state: TransactionState,
    /// The partitions that take part.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the transaction began.
    pub started: Option<TimestampMs>,
    /// When the id was last heard of.
    pub updated: TimestampMs,
    /// How the client takes part.
    pub version: TransactionVersion,
}

/// The largest epoch that a producer is given. The one above it is kept for fencing it.
pub(super) const EPOCH_MAX: i16 = i16::MAX - 1;
const NO_ID: ProducerId = ProducerId(-1);

impl Transaction {
    /// Of an id that nobody has used before. Its first epoch is still to be given out.
    pub(super) fn new(producer_id: ProducerId, timeout_ms: i32, now: TimestampMs) -> Transaction {
        Transaction {
            producer_id,
            previous_producer_id: NO_ID,
            next_producer_id: NO_ID,
            producer_epoch: ProducerEpoch::NONE,
            last_producer_epoch: ProducerEpoch::NONE,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            started: None,
            updated: now,
            version: TransactionVersion::Classic,
        }
    }

    /// Whether the next epoch needs another producer id.
    pub fn is_epoch_exhausted(&self) -> bool {
        self.producer_epoch.0 >= EPOCH_MAX
    }

    /// When it takes too long; `None`: it is not under way, or has all the time (a two-phase commit decides elsewhere, KIP-939).
    pub(super) fn deadline(&self) -> Option<TimestampMs> {
        let started = self.started.filter(|_| self.state == TransactionState::Ongoing && self.timeout_ms != i32::MAX)?;
        Some(TimestampMs(started.0.saturating_add(i64::from(self.timeout_ms))))
    }

    /// A producer starts (over): nothing takes part, under this id and epoch.
    pub(super) fn initialized(
        &self,
        producer: (ProducerId, ProducerEpoch),
        last: ProducerEpoch,
        timeout_ms: i32,
        now: TimestampMs,
    ) -> Transaction {
        Transaction {
            producer_id: producer.0,
            previous_producer_id: self.producer_id,
            next_producer_id: NO_ID,
            producer_epoch: producer.1,
            last_producer_epoch: last,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            started: None,
            updated: now,
            version: self.version,
        }
    }

    /// Partitions join; with the first of them the transaction begins.
    pub(super) fn with_partitions(&self, more: BTreeSet<TopicPartition>, version: TransactionVersion, now: TimestampMs) -> Transaction {
        let started = if self.state == TransactionState::Ongoing { self.started } else { Some(now) };
        let mut partitions = self.partitions.clone();
        partitions.extend(more);
        Transaction {
            previous_producer_id: self.producer_id,
            state: TransactionState::Ongoing,
            partitions,
            started,
            updated: now,
            version,
            ..self.clone()
        }
    }

    /// It is decided. With an epoch for each transaction the markers already carry the next one, which shuts out whatever the
    /// producer still has under way. `next_producer_id`: the epochs have run out.
    pub(super) fn ended(
        &self,
        commit: bool,
        version: TransactionVersion,
        next_producer_id: Option<ProducerId>,
        now: TimestampMs,
    ) -> Transaction {
        let (producer_epoch, last_producer_epoch) = match version.bumps_epoch() {
            // An abort at the last epoch of all goes through as it is; the next producer gets another id.
            true => (ProducerEpoch(self.producer_epoch.0.saturating_add(1)), self.producer_epoch),
            false => (self.producer_epoch, self.last_producer_epoch),
        };
        Transaction {
            previous_producer_id: self.producer_id,
            next_producer_id: next_producer_id.unwrap_or(NO_ID),
            producer_epoch,
            last_producer_epoch,
            state: if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort },
            // An abort of nothing (version 2) begins and ends at once.
            started: self.started.filter(|_| self.state == TransactionState::Ongoing).or(Some(now)),
            updated: now,
            version,
            ..self.clone()
        }
    }

    /// All partitions have their markers.
    pub(super) fn completed(&self, now: TimestampMs) -> Transaction {
        let (producer_id, producer_epoch) = self.after_completion();
        Transaction {
            producer_id,
            previous_producer_id: self.producer_id,
            next_producer_id: NO_ID,
            producer_epoch,
            state: if self.state == TransactionState::PrepareCommit {
                TransactionState::CompleteCommit
            } else {
                TransactionState::CompleteAbort
            },
            partitions: BTreeSet::new(),
            updated: now,
            ..self.clone()
        }
    }

    /// Under which id and epoch the producer goes on after a transaction that is being ended.
    pub(super) fn after_completion(&self) -> (ProducerId, ProducerEpoch) {
        match self.version.bumps_epoch() && self.next_producer_id != NO_ID {
            true => (self.next_producer_id, ProducerEpoch(0)),
            false => (self.producer_id, self.producer_epoch),
        }
    }
}

/// A record of `__transaction_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Whose it is.
    pub transactional_id: TransactionalId,
    /// What it says; `None`: the id is forgotten.
    pub value: Option<Transaction>,
}
