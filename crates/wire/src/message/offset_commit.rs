//! OffsetCommit (key 8): keep how far a group has read.
//!
//! * 0 kept offsets in ZooKeeper and is not taken. 1 has a time for each offset; Kafka 4 dropped it, `sarama` up to
//!   1.38 sends it by default.
//! * 2 to 4 say how long to keep the offsets; from 5 that is the broker's to say (KIP-211). 3 adds the throttle time.
//! * 6 adds leader epochs (KIP-320), 7 static members (KIP-345). 8 is flexible.
//! * 9 is of groups of the new protocol as well, and may answer `STALE_MEMBER_EPOCH` and `GROUP_ID_NOT_FOUND` (KIP-848).
//! * 10 names topics by id.

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Says how far the group has read.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 8, versions = 1..=10, flexible = 8.., response = OffsetCommitResponse<'r>)]
pub struct OffsetCommitRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The member's generation, or its epoch in a group of the new protocol; -1: of no member.
    #[wire(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// The member; empty: none.
    pub member_id: &'a str,
    /// What a static member is known by; null: it is none.
    #[wire(since = 7, default = null)]
    pub group_instance_id: Option<&'a str>,
    /// How many milliseconds to keep the offsets, in versions 2 to 4; -1: as many as the broker does.
    #[wire(since = 2, until = 4, default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The offsets, by topic.
    pub topics: Vec<OffsetCommitRequestTopic<'a>>,
}

/// Offsets in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestTopic<'a> {
    /// The name, up to version 9.
    #[wire(until = 9, ignorable)]
    pub name: &'a str,
    /// The id, from version 10.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// By partition.
    pub partitions: Vec<OffsetCommitRequestPartition<'a>>,
}

/// The offset in one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestPartition<'a> {
    /// The partition.
    pub partition_index: i32,
    /// The next record to read.
    pub committed_offset: i64,
    /// Leader epoch of the last record read; -1: not known.
    #[wire(since = 6, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Milliseconds since 1970, from which on the offset is kept for a time, in version 1; -1: now.
    #[wire(until = 1, default = -1)]
    pub commit_timestamp: i64,
    /// What the client wants to keep with it.
    pub committed_metadata: Option<&'a str>,
}

/// Which offsets are kept.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 8, versions = 1..=10, flexible = 8..)]
pub struct OffsetCommitResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// By topic, as asked.
    pub topics: Vec<OffsetCommitResponseTopic<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponseTopic<'a> {
    /// The name, up to version 9.
    #[wire(until = 9, ignorable)]
    pub name: Cow<'a, str>,
    /// The id, from version 10.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// By partition.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// Whether the offset in one partition is kept.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
}
