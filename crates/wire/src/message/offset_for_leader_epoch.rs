//! OffsetForLeaderEpoch (key 23): where an epoch ends in the leader's log, by which a follower or consumer finds out
//! what of its own is not the leader's (KIP-101, KIP-279, KIP-320).
//!
//! * 0 answers the end offset alone, 1 adds the epoch that it belongs to. Kafka 4 dropped both.
//! * 2 adds the throttle time and the epoch that fences, 3 the replica id. 4 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// Asks where epochs end.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 23, versions = 0..=4, flexible = 4.., response = OffsetForLeaderEpochResponse<'r>)]
pub struct OffsetForLeaderEpochRequest<'a> {
    /// The follower that asks; -1: a consumer, -2: a tool that may see beyond the high watermark.
    #[wire(since = 3, default = -2, ignorable)]
    pub replica_id: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopic<'a>>,
}

/// What is asked of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopic<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its partitions.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// What is asked of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch the sender knows, to be fenced by; -1: not known.
    #[wire(since = 2, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is wanted.
    pub leader_epoch: i32,
}

/// Where the epochs end.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 23, versions = 0..=4, flexible = 4..)]
pub struct OffsetForLeaderEpochResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopicResult<'a>>,
}

/// Ends of epochs in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopicResult<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// Its partitions.
    pub partitions: Vec<EpochEndOffset>,
}

/// The end of an epoch in one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// Error of this partition.
    pub error_code: i16,
    /// The partition.
    pub partition: i32,
    /// The largest epoch the leader has that is not above the one asked about; -1: none.
    #[wire(since = 1, default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Its end, exclusive; -1: not known.
    #[wire(default = -1)]
    pub end_offset: i64,
}
