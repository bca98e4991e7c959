//! OffsetDelete (key 47): forget how far a group has read in some partitions (KIP-496).
//!
//! * 0 is the only version, and not flexible.

use std::borrow::Cow;

use crate::Wire;

/// Names the offsets to forget.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 47, versions = 0..=0, response = OffsetDeleteResponse<'r>)]
pub struct OffsetDeleteRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// Its offsets, by topic.
    pub topics: Vec<OffsetDeleteRequestTopic<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// A partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestPartition {
    /// Its number.
    pub partition_index: i32,
}

/// Which offsets are forgotten.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 47, versions = 0..=0)]
pub struct OffsetDeleteResponse<'a> {
    /// Error of the request.
    pub error_code: i16,
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By topic, as asked.
    pub topics: Vec<OffsetDeleteResponseTopic<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponseTopic<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// Whether the offset in one partition is forgotten.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition: `GROUP_SUBSCRIBED_TO_TOPIC` while members read the topic.
    pub error_code: i16,
}
