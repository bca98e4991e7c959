//! DeleteRecords (key 21): moves the start of logs (KIP-107).
//!
//! * 1 is as 0: from it on, answers come before a throttled connection is held back. 2 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// `offset` that stands for the high watermark: delete all there is.
pub const HIGH_WATERMARK: i64 = -1;
/// `low_watermark` of a partition of which nothing was deleted.
pub const INVALID_LOW_WATERMARK: i64 = -1;

/// Deletes the first records of partitions, each on its own: some may succeed while others fail.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 21, versions = 0..=2, flexible = 2.., response = DeleteRecordsResponse<'r>)]
pub struct DeleteRecordsRequest<'a> {
    /// The topics.
    pub topics: Vec<DeleteRecordsTopic<'a>>,
    /// How long to wait for it, in milliseconds.
    pub timeout_ms: i32,
}

/// What to delete of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// Its partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// What to delete of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartition {
    /// The partition.
    pub partition_index: i32,
    /// The first offset to keep; [`HIGH_WATERMARK`] keeps none.
    pub offset: i64,
}

/// What became of each partition.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 21, versions = 0..=2, flexible = 2..)]
pub struct DeleteRecordsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DeleteRecordsTopicResult<'a>>,
}

/// What became of one topic's partitions.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopicResult<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// Its partitions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// What became of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// The least log start offset of its replicas; [`INVALID_LOW_WATERMARK`] with an error.
    pub low_watermark: i64,
    /// Error of this partition.
    pub error_code: i16,
}
