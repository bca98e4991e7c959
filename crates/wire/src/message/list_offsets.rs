//! ListOffsets (key 2): the offset at a timestamp, or at one end of the log.
//!
//! * 0 asks for several offsets of which one is enough: the first of each segment that began before the timestamp,
//!   newest first. Kafka 4 dropped it.
//! * From 1 the answer is one offset and its timestamp. 2 adds the isolation level, 4 leader epochs (KIP-320).
//! * 6 is flexible. 7 to 11 add timestamps with a meaning of their own: see the constants.

use std::borrow::Cow;

use crate::Wire;

/// The end of what can be read.
pub const LATEST_TIMESTAMP: i64 = -1;
/// The log start offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// The record with the highest timestamp (from version 7, KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;
/// The first offset on the leader's own disk (from version 8, KIP-405).
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// The last offset in tiered storage (from version 9, KIP-1005).
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// The first offset not in tiered storage yet (from version 11, KIP-1023).
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

/// Asks for offsets.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 2, versions = 0..=11, flexible = 6.., response = ListOffsetsResponse<'r>)]
pub struct ListOffsetsRequest<'a> {
    /// The follower that asks; -1: a consumer.
    pub replica_id: i32,
    /// 0 (read_uncommitted): up to the high watermark. 1 (read_committed): up to the last stable offset.
    #[wire(since = 2)]
    pub isolation_level: i8,
    /// The topics.
    pub topics: Vec<ListOffsetsTopic<'a>>,
    /// How long tiered storage may take, in milliseconds (KIP-1075).
    #[wire(since = 10, ignorable)]
    pub timeout_ms: i32,
}

/// What is asked of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// Its partitions.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// What is asked of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartition {
    /// The partition.
    pub partition_index: i32,
    /// The leader epoch the sender knows, to be fenced by; -1: not known.
    #[wire(since = 4, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// Milliseconds since 1970: the first record not older is wanted. Or one of this module's constants.
    pub timestamp: i64,
    /// How many offsets are wanted, in version 0.
    #[wire(until = 0, default = 1)]
    pub max_num_offsets: i32,
}

/// The offsets.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 2, versions = 0..=11, flexible = 6..)]
pub struct ListOffsetsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<ListOffsetsTopicResponse<'a>>,
}

/// Offsets in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopicResponse<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// Its partitions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// The offset in one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartitionResponse {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
    /// The offsets in version 0, highest first.
    #[wire(until = 0)]
    pub old_style_offsets: Vec<i64>,
    /// Timestamp of the record found; -1: none was, or an end of the log was asked for.
    #[wire(since = 1, default = -1)]
    pub timestamp: i64,
    /// Its offset; -1: no record is that new.
    #[wire(since = 1, default = -1)]
    pub offset: i64,
    /// Epoch of its batch; -1: not known.
    #[wire(since = 4, default = -1)]
    pub leader_epoch: i32,
}
