//! What happens to a coordinator, and what it wants done.

use ottla_model::{MonotonicMs, ProducerEpoch, ProducerId, TimestampMs};

use super::message::{Request, Response};
use super::record::GroupRecord;
use super::topics::TopicsView;

/// The time, by both clocks: what is kept carries the wall's, what is waited for is measured by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: TimestampMs,
    /// The clock that only goes forward.
    pub monotonic: MonotonicMs,
}

/// Stands for who waits for an answer. Given by the broker with a request; each is answered exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Numbers the batches that one coordinator has asked to be appended, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal(pub u64);

impl Proposal {
    /// Nothing to wait for.
    pub const NONE: Proposal = Proposal(0);
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    /// What it committed counts.
    Commit,
    /// It never was.
    Abort,
}

/// The end of a transaction (WriteTxnMarkers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// Whose.
    pub producer: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that ends it.
    pub coordinator_epoch: i32,
    /// How.
    pub result: TransactionResult,
}

/// What happens to a coordinator.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client asks for something.
    Request {
        /// Whom to answer.
        token: Token,
        /// What.
        request: Request,
    },
    /// A transaction coordinator ends a transaction that committed offsets here.
    EndTransaction {
        /// Whom to answer.
        token: Token,
        /// Which.
        end: EndTransaction,
    },
    /// The metadata changed.
    TopicsChanged(TopicsView),
    /// It is time: the moment of [`next_deadline`](super::GroupCoordinator::next_deadline) has come.
    Time,
}

/// What a coordinator wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append this to the partition of the offsets topic, within one batch, after all before it. Several that follow each other may share a
    /// batch: either all of them reach the log or none, and after none this coordinator is over.
    Append(Batch),
    /// Answer, but not before this proposal and all before it are committed: until then the answer may not come true.
    Reply {
        /// Whom.
        token: Token,
        /// What has to be committed first.
        after: Proposal,
        /// What.
        response: Response,
    },
}

/// What is appended together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub proposal: Proposal,
    /// What is in it.
    pub content: BatchContent,
}

/// What is in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchContent {
    /// Records.
    Records(Vec<GroupRecord>),
    /// Records that count if and when the producer's transaction is committed.
    Transactional {
        /// The producer.
        producer: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
        /// The records.
        records: Vec<GroupRecord>,
    },
    /// A control batch.
    Marker(EndTransaction),
}
