//! Transactional ids in `__transaction_state`.
//!
//! * Key: 0. Value: 1 is flexible; in its tagged fields are the ids of the transactions before and after (KIP-890).

use std::borrow::Cow;

use crate::Wire;

/// Which transactional id.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0)]
pub struct TransactionLogKey<'a> {
    /// The transactional id.
    pub transactional_id: Cow<'a, str>,
}

/// The transactional id, and its transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=1, flexible = 1..)]
pub struct TransactionLogValue<'a> {
    /// The producer.
    pub producer_id: i64,
    /// The id that the producer had in the transaction before; -1: none.
    #[wire(tag = 0, tagged = 1.., default = -1)]
    pub previous_producer_id: i64,
    /// The id that the producer is to have in the next transaction; -1: the same.
    #[wire(tag = 1, tagged = 1.., default = -1)]
    pub next_producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The epoch that goes with `next_producer_id`; -1: none.
    #[wire(tag = 3, tagged = 1.., default = -1)]
    pub next_producer_epoch: i16,
    /// After how many milliseconds an open transaction is aborted.
    pub transaction_timeout_ms: i32,
    /// 0 `Empty`, 1 `Ongoing`, 2 `PrepareCommit`, 3 `PrepareAbort`, 4 `CompleteCommit`, 5 `CompleteAbort`, 6 `Dead`,
    /// 7 `PrepareEpochFence`.
    pub transaction_status: i8,
    /// Its partitions; null while it is `Empty`.
    pub transaction_partitions: Option<Vec<PartitionsSchema<'a>>>,
    /// When this was written, in milliseconds since 1970.
    pub transaction_last_update_timestamp_ms: i64,
    /// When the transaction began, in milliseconds since 1970; -1: none did.
    pub transaction_start_timestamp_ms: i64,
    /// `transaction.version` that the client goes by.
    #[wire(tag = 2, tagged = 1..)]
    pub client_transaction_version: i16,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionsSchema<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The partitions.
    pub partition_ids: Vec<i32>,
}
