//! OffsetFetch (key 9): how far groups have read.
//!
//! * 0 had offsets in ZooKeeper and is not taken. 1 must name the partitions; `sarama` up to 1.38 sends it by default.
//! * From 2 null asks for all partitions, and the group can have an error of its own. 3 adds the throttle time,
//!   5 leader epochs (KIP-320). 6 is flexible.
//! * 7 can wait for what a transaction has yet to decide (KIP-447).
//! * 8 asks for several groups at once (KIP-709), with fields of its own for that.
//! * 9 is of groups of the new protocol as well, 10 names topics by id (KIP-848).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Asks for offsets.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 9, versions = 1..=10, flexible = 6.., response = OffsetFetchResponse<'r>)]
pub struct OffsetFetchRequest<'a> {
    /// The group, up to version 7.
    #[wire(until = 7)]
    pub group_id: &'a str,
    /// Of which partitions, up to version 7; null: all that the group has offsets in.
    #[wire(until = 7, nullable = 2..)]
    pub topics: Option<Vec<OffsetFetchRequestTopic<'a>>>,
    /// The groups, from version 8.
    #[wire(since = 8)]
    pub groups: Vec<OffsetFetchRequestGroup<'a>>,
    /// Whether an offset that a transaction has yet to decide is answered with `UNSTABLE_OFFSET_COMMIT`.
    #[wire(since = 7)]
    pub require_stable: bool,
}

/// Partitions of one topic, up to version 7.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// What is asked of one group.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestGroup<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The member that asks; null: it does not say.
    #[wire(since = 9, default = null, ignorable)]
    pub member_id: Option<&'a str>,
    /// Its epoch in a group of the new protocol; -1: it does not say.
    #[wire(since = 9, default = -1, ignorable)]
    pub member_epoch: i32,
    /// Of which partitions; null: all that the group has offsets in.
    pub topics: Option<Vec<OffsetFetchRequestTopics<'a>>>,
}

/// Partitions of one topic, from version 8.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopics<'a> {
    /// The name, up to version 9.
    #[wire(until = 9, ignorable)]
    pub name: &'a str,
    /// The id, from version 10.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// The offsets.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 9, versions = 1..=10, flexible = 6..)]
pub struct OffsetFetchResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// By topic, up to version 7.
    #[wire(until = 7)]
    pub topics: Vec<OffsetFetchResponseTopic<'a>>,
    /// Error of the group, up to version 7.
    #[wire(since = 2, until = 7, ignorable)]
    pub error_code: i16,
    /// By group, from version 8.
    #[wire(since = 8)]
    pub groups: Vec<OffsetFetchResponseGroup<'a>>,
}

/// Offsets in one topic, up to version 7.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopic<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub partitions: Vec<OffsetFetchResponsePartition<'a>>,
}

/// The offset in one partition, up to version 7.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartition<'a> {
    /// The partition.
    pub partition_index: i32,
    /// The next record to read; -1: the group has none there.
    pub committed_offset: i64,
    /// Leader epoch of the last record read; -1: not known.
    #[wire(since = 5, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps with it.
    pub metadata: Option<Cow<'a, str>>,
    /// Error of this partition.
    pub error_code: i16,
}

/// Offsets of one group.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseGroup<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// By topic.
    pub topics: Vec<OffsetFetchResponseTopics<'a>>,
    /// Error of the group.
    pub error_code: i16,
}

/// Offsets in one topic, from version 8.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopics<'a> {
    /// The name, up to version 9.
    #[wire(until = 9, ignorable)]
    pub name: Cow<'a, str>,
    /// The id, from version 10.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// By partition.
    pub partitions: Vec<OffsetFetchResponsePartitions<'a>>,
}

/// The offset in one partition, from version 8.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartitions<'a> {
    /// The partition.
    pub partition_index: i32,
    /// The next record to read; -1: the group has none there.
    pub committed_offset: i64,
    /// Leader epoch of the last record read; -1: not known.
    #[wire(default = -1)]
    pub committed_leader_epoch: i32,
    /// What the client keeps with it.
    pub metadata: Option<Cow<'a, str>>,
    /// Error of this partition.
    pub error_code: i16,
}
