//! Committed offsets in `__consumer_offsets`.
//!
//! * Key: 0 is of the clients before Kafka 0.9 and alike; all that is written now is 1.
//! * Value: 1 adds when the offset expires, which 2 takes away again (KIP-211); 3 adds the leader epoch (KIP-320);
//!   4 is flexible and adds the topic's id (KIP-848).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Whose offset, and where.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=1)]
pub struct OffsetCommitKey<'a> {
    /// The group.
    pub group: Cow<'a, str>,
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The partition.
    pub partition: i32,
}

/// How far the group has read.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=4, flexible = 4..)]
pub struct OffsetCommitValue<'a> {
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read; -1: not known.
    #[wire(since = 3, default = -1, ignorable)]
    pub leader_epoch: i32,
    /// What the client keeps with it.
    pub metadata: Cow<'a, str>,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp: i64,
    /// When it expires, in milliseconds since 1970, in version 1; -1: as the broker does.
    #[wire(since = 1, until = 1, default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// The topic's id; zero: not known.
    #[wire(tag = 0, tagged = 4.., ignorable)]
    pub topic_id: Uuid,
}
