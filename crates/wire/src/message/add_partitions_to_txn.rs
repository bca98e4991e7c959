//! AddPartitionsToTxn (key 24): a transaction writes to more partitions (KIP-98).
//!
//! * 0 to 3 are sent by producers, with fields of their own. 1 is as 0, 2 may answer `PRODUCER_FENCED` (KIP-588),
//!   3 is flexible.
//! * 4 is sent by brokers, of several transactions, and can ask only whether the partitions are in them (KIP-890).
//! * 5 may answer `TRANSACTION_ABORTABLE` (KIP-890).

use std::borrow::Cow;

use crate::Wire;

/// Names the partitions.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 24, versions = 0..=5, flexible = 3.., response = AddPartitionsToTxnResponse<'r>)]
pub struct AddPartitionsToTxnRequest<'a> {
    /// The transactions, from version 4.
    #[wire(since = 4)]
    pub transactions: Vec<AddPartitionsToTxnTransaction<'a>>,
    /// The transactional id, up to version 3.
    #[wire(until = 3)]
    pub v3_and_below_transactional_id: &'a str,
    /// The producer, up to version 3.
    #[wire(until = 3)]
    pub v3_and_below_producer_id: i64,
    /// Its epoch, up to version 3.
    #[wire(until = 3)]
    pub v3_and_below_producer_epoch: i16,
    /// The partitions, up to version 3.
    #[wire(until = 3)]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic<'a>>,
}

/// Partitions of one transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTransaction<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Whether only to ask if the transaction has the partitions.
    pub verify_only: bool,
    /// The partitions.
    pub topics: Vec<AddPartitionsToTxnTopic<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Which partitions the transactions have.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 24, versions = 0..=5, flexible = 3..)]
pub struct AddPartitionsToTxnResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    #[wire(since = 4, ignorable)]
    pub error_code: i16,
    /// By transaction, from version 4.
    #[wire(since = 4)]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult<'a>>,
    /// By topic, up to version 3.
    #[wire(until = 3)]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult<'a>>,
}

/// Partitions of one transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnResult<'a> {
    /// The transactional id.
    pub transactional_id: Cow<'a, str>,
    /// By topic.
    pub topic_results: Vec<AddPartitionsToTxnTopicResult<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTopicResult<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

/// Whether the transaction has a partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition. One is enough for none to be added: the others have `OPERATION_NOT_ATTEMPTED`.
    pub partition_error_code: i16,
}
