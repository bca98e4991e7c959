//! TxnOffsetCommit (key 28): keep how far a group has read, if the transaction commits (KIP-98).
//!
//! * 0 and 1 are alike. 2 adds leader epochs (KIP-320). 3 is flexible and adds the member, to be fenced by (KIP-447).
//! * 4 may answer `TRANSACTION_ABORTABLE`. 5 is for transactions by the rules of KIP-890, in which no AddOffsetsToTxn
//!   goes before.

use std::borrow::Cow;

use crate::Wire;

/// Says how far the group has read.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 28, versions = 0..=5, flexible = 3.., response = TxnOffsetCommitResponse<'r>)]
pub struct TxnOffsetCommitRequest<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The group.
    pub group_id: &'a str,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The member's generation, or its epoch in a group of the new protocol; -1: of no member.
    #[wire(since = 3, default = -1)]
    pub generation_id: i32,
    /// The member; empty: none.
    #[wire(since = 3)]
    pub member_id: &'a str,
    /// What a static member is known by; null: it is none.
    #[wire(since = 3, default = null)]
    pub group_instance_id: Option<&'a str>,
    /// The offsets, by topic.
    pub topics: Vec<TxnOffsetCommitRequestTopic<'a>>,
}

/// Offsets in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// By partition.
    pub partitions: Vec<TxnOffsetCommitRequestPartition<'a>>,
}

/// The offset in one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestPartition<'a> {
    /// The partition.
    pub partition_index: i32,
    /// The next record to read.
    pub committed_offset: i64,
    /// Leader epoch of the last record read; -1: not known.
    #[wire(since = 2, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client wants to keep with it.
    pub committed_metadata: Option<&'a str>,
}

/// Which offsets wait for the transaction's end.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 28, versions = 0..=5, flexible = 3..)]
pub struct TxnOffsetCommitResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By topic, as asked.
    pub topics: Vec<TxnOffsetCommitResponseTopic<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitResponseTopic<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

/// Whether the offset in one partition waits.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
}
