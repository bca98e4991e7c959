//! DescribeTransactions (key 65): state and partitions of transactions (KIP-664).
//!
//! * 0 is the only version, and flexible.

use std::borrow::Cow;

use crate::Wire;

/// Asks for transactions.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 65, versions = 0..=0, flexible = 0.., response = DescribeTransactionsResponse<'r>)]
pub struct DescribeTransactionsRequest<'a> {
    /// Whose.
    pub transactional_ids: Vec<&'a str>,
}

/// The transactions.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 65, versions = 0..=0, flexible = 0..)]
pub struct DescribeTransactionsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By transactional id.
    pub transaction_states: Vec<TransactionState<'a>>,
}

/// A transactional id, and its transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TransactionState<'a> {
    /// Error of this transactional id.
    pub error_code: i16,
    /// The transactional id.
    pub transactional_id: Cow<'a, str>,
    /// Its state: `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`,
    /// `PrepareEpochFence`, `Dead`.
    pub transaction_state: Cow<'a, str>,
    /// After how many milliseconds an open transaction is aborted.
    pub transaction_timeout_ms: i32,
    /// When it began, in milliseconds since 1970; -1: none did.
    pub transaction_start_time_ms: i64,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its partitions; once the end is decided, those that wait for their marker.
    pub topics: Vec<TopicData<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicData<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The partitions.
    pub partitions: Vec<i32>,
}
