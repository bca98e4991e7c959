//! What clients and nodes ask each other. Groups and transactions speak in the coordinators' own terms.

use ottla_cluster::group;
use ottla_cluster::transaction::{
    AddPartitions, EndTransaction, InitProducerId, Owner, Reply, TransactionError, TransactionVersion, TransactionalId,
};
use ottla_model::{PartitionId, TopicName, TopicPartition};

use crate::log::Node;
use crate::network::Order;

/// A process of a client, numbered in the order of their starts.
pub(crate) type ClientId = u64;

/// The logs of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// `__consumer_offsets-0`.
    Offsets,
    /// `__transaction_state-0`.
    Transactions,
    /// A partition of the topic that transactions write to.
    Data(usize),
}

/// A topic's name.
pub(crate) fn topic(name: &str) -> TopicName {
    match TopicName::new(name) {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}

impl Part {
    pub fn topic_partition(self) -> TopicPartition {
        match self {
            Part::Offsets => TopicPartition::new(topic("__consumer_offsets"), PartitionId(0)),
            Part::Transactions => TopicPartition::new(topic("__transaction_state"), PartitionId(0)),
            Part::Data(number) => TopicPartition::new(topic("out"), PartitionId(number as i32)),
        }
    }

    /// The part of a partition that takes part in a transaction.
    pub fn of(partition: &TopicPartition) -> Part {
        if partition.topic.as_str() == "out" { Part::Data(partition.partition.0 as usize) } else { Part::Offsets }
    }
}

/// A transaction of a client, numbered over all clients.
pub(crate) type TransactionNumber = u64;

/// What a transaction writes: never the same twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub number: u64,
    pub transaction: TransactionNumber,
    /// Made of what was read: the group, the partition, from where and up to where.
    pub source: Option<(&'static str, i32, i64, i64)>,
}

/// Produce, of one batch with one value.
#[derive(Clone, Debug)]
pub(crate) struct Produce {
    pub transactional_id: TransactionalId,
    pub owner: Owner,
    pub version: TransactionVersion,
    pub sequence: i32,
    pub value: Value,
}

/// WriteTxnMarkers, of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    pub transactional_id: TransactionalId,
    pub owner: Owner,
    pub commit: bool,
    pub version: TransactionVersion,
    pub coordinator_epoch: i32,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Group(group::Request),
    InitProducerId(InitProducerId),
    AddPartitions(AddPartitions),
    EndTransaction(EndTransaction),
    Produce(Produce),
    /// TxnOffsetCommit.
    CommitOffsets(TransactionalId, TransactionVersion, group::TxnOffsetCommit),
    /// AddPartitionsToTxn by the leader of a partition (KIP-890): to look, or, since version 2, to add it.
    Verify {
        transactional_id: TransactionalId,
        owner: Owner,
        version: TransactionVersion,
        partition: TopicPartition,
    },
    Marker(Marker),
}

impl Ask {
    /// What is asked of the coordinator of this id.
    pub fn transactional_id(&self) -> Option<&TransactionalId> {
        match self {
            Ask::InitProducerId(request) => Some(&request.transactional_id),
            Ask::AddPartitions(request) => Some(&request.transactional_id),
            Ask::EndTransaction(request) => Some(&request.transactional_id),
            Ask::Verify { transactional_id, .. } => Some(transactional_id),
            Ask::Group(_) | Ask::Produce(_) | Ask::CommitOffsets(..) | Ask::Marker(_) => None,
        }
    }

    /// Whether the protocol itself tells the late request from the current one.
    pub fn order(&self) -> Order {
        let of_version = |version: TransactionVersion| if version == TransactionVersion::Classic { Order::Kept } else { Order::Any };
        match self {
            // What a member holds it tells with nothing but its epoch, which stays the same for a while.
            Ask::Group(group::Request::ConsumerGroupHeartbeat(_)) => Order::Kept,
            Ask::Group(_) | Ask::InitProducerId(_) => Order::Any,
            // Before version 2 one transaction has the epoch of the next: a late end would end that. KIP-890 is there for that reason.
            Ask::AddPartitions(request) => of_version(request.version),
            Ask::EndTransaction(request) => of_version(request.version),
            Ask::Produce(request) => of_version(request.version),
            Ask::CommitOffsets(_, version, _) | Ask::Verify { version, .. } => of_version(*version),
            Ask::Marker(marker) => of_version(marker.version),
        }
    }
}

/// Why a partition does not take a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// INVALID_PRODUCER_EPOCH, or PRODUCER_FENCED.
    Fenced,
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    Sequence,
    /// INVALID_TXN_STATE: the partition is not in the transaction, or is not any more.
    NotInTransaction,
    /// CONCURRENT_TRANSACTIONS, and what else passes.
    Retry,
    /// TRANSACTION_COORDINATOR_FENCED.
    CoordinatorFenced,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Group(group::Response),
    Transaction(Result<Reply, TransactionError>),
    Written(Result<(), WriteError>),
    Verified(Result<bool, TransactionError>),
    /// NOT_COORDINATOR, NOT_LEADER_OR_FOLLOWER, COORDINATOR_LOAD_IN_PROGRESS: look for another, and ask again.
    Unavailable,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client(ClientId, u64),
    Node(Node, Part, u64),
}
