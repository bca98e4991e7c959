//! Share groups in `__consumer_offsets` (KIP-932).
//!
//! * Keys: 10 to 15. Values: 0, flexible already.
//! * How far a share group has read is not here, but in `__share_group_state`.

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 11..=11)]
pub struct ShareGroupMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// The group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupMetadataValue {
    /// Its epoch: one more with each change of members or topics.
    pub epoch: i32,
    /// Hash over all topics that it reads, by which a change of them is seen (KIP-1101).
    pub metadata_hash: i64,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 10..=10)]
pub struct ShareGroupMemberMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has said of itself.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupMemberMetadataValue<'a> {
    /// Its rack.
    pub rack_id: Option<Cow<'a, str>>,
    /// Its `client.id`.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// The topics that it wants to read.
    pub subscribed_topic_names: Vec<Cow<'a, str>>,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 12..=12)]
pub struct ShareGroupTargetAssignmentMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// Of when the target assignment is.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupTargetAssignmentMetadataValue {
    /// The group epoch that it is of.
    pub assignment_epoch: i32,
    /// When it was made, in milliseconds since 1970; 0: not known (KIP-1263).
    #[wire(tag = 0, tagged = 0.., ignorable)]
    pub assignment_timestamp: i64,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 13..=13)]
pub struct ShareGroupTargetAssignmentMemberKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member is to have.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupTargetAssignmentMemberValue {
    /// The partitions.
    pub topic_partitions: Vec<TopicPartition>,
}

/// Partitions of one topic that a member is to have.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 14..=14)]
pub struct ShareGroupCurrentMemberAssignmentKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupCurrentMemberAssignmentValue {
    /// The epoch that it is in.
    pub member_epoch: i32,
    /// The epoch that it was in: it may say so once more, if it has not got the answer.
    pub previous_member_epoch: i32,
    /// As in a group of the new protocol: 0 stable.
    pub state: i8,
    /// What it has.
    pub assigned_partitions: Vec<TopicPartitions>,
}

/// Partitions of one topic that a member has.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 15..=15)]
pub struct ShareGroupStatePartitionMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// Where the state of the group's partitions is kept.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ShareGroupStatePartitionMetadataValue<'a> {
    /// Partitions whose state is about to be made.
    pub initializing_topics: Vec<TopicPartitionsInfo<'a>>,
    /// Partitions that have one.
    pub initialized_topics: Vec<TopicPartitionsInfo<'a>>,
    /// Topics whose state is about to be deleted.
    pub deleting_topics: Vec<TopicInfo<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartitionsInfo<'a> {
    /// The topic's id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: Cow<'a, str>,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// A topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicInfo<'a> {
    /// Its id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: Cow<'a, str>,
}
