//! Groups of the new protocol in `__consumer_offsets` (KIP-848).
//!
//! * Keys: 3 to 8 and 16. Values: 0, flexible already.
//! * A group is in several records: its epoch, its members, what each member is to have and what it has.

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 3..=3)]
pub struct ConsumerGroupMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// The group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupMetadataValue {
    /// Its epoch: one more with each change of members or topics.
    pub epoch: i32,
    /// Hash over all topics that it reads, by which a change of them is seen (KIP-1101); 0: not known.
    #[wire(tag = 0, tagged = 0..)]
    pub metadata_hash: i64,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 4..=4)]
pub struct ConsumerGroupPartitionMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// The topics that the group reads. Kafka 4.1 and above only delete it: the hash has its place.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupPartitionMetadataValue<'a> {
    /// The topics.
    pub topics: Vec<TopicMetadata<'a>>,
}

/// A topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicMetadata<'a> {
    /// Its id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: Cow<'a, str>,
    /// How many partitions it has.
    pub num_partitions: i32,
    /// The racks of each; not used since Kafka 4.0.
    pub partition_metadata: Vec<PartitionMetadata<'a>>,
}

/// A partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionMetadata<'a> {
    /// Its number.
    pub partition: i32,
    /// Racks of its replicas.
    pub racks: Vec<Cow<'a, str>>,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 5..=5)]
pub struct ConsumerGroupMemberMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has said of itself.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupMemberMetadataValue<'a> {
    /// What it is known by, if it is static.
    pub instance_id: Option<Cow<'a, str>>,
    /// Its rack.
    pub rack_id: Option<Cow<'a, str>>,
    /// Its `client.id`.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// The topics that it wants to read.
    pub subscribed_topic_names: Vec<Cow<'a, str>>,
    /// The pattern of the topics that it wants to read.
    pub subscribed_topic_regex: Option<Cow<'a, str>>,
    /// How many milliseconds it may take to give up partitions; -1: not known.
    #[wire(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The assignor that it wants.
    pub server_assignor: Option<Cow<'a, str>>,
    /// What is known only of a member by the classic protocol; null: it is one by the new protocol. Where a record
    /// lacks it it is empty, and not null: by Kafka's schema that is the default.
    #[wire(tag = 0, tagged = 0..)]
    pub classic_member_metadata: Option<ClassicMemberMetadata<'a>>,
}

/// What is known of a member by the classic protocol.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ClassicMemberMetadata<'a> {
    /// After how many milliseconds without a heartbeat it is taken for dead.
    pub session_timeout_ms: i32,
    /// The protocols that it can work by, the one it likes best first.
    pub supported_protocols: Vec<ClassicProtocol<'a>>,
}

/// A protocol that a member can work by.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ClassicProtocol<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its [`ConsumerProtocolSubscription`](super::consumer_protocol::ConsumerProtocolSubscription).
    pub metadata: Cow<'a, [u8]>,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 6..=6)]
pub struct ConsumerGroupTargetAssignmentMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// Of when the target assignment is.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The group epoch that it is of.
    pub assignment_epoch: i32,
    /// When it was made, in milliseconds since 1970; 0: not known (KIP-1263).
    #[wire(tag = 0, tagged = 0.., ignorable)]
    pub assignment_timestamp: i64,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 7..=7)]
pub struct ConsumerGroupTargetAssignmentMemberKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member is to have.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions.
    pub topic_partitions: Vec<TopicPartition>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 8..=8)]
pub struct ConsumerGroupCurrentMemberAssignmentKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// The epoch that it is in.
    pub member_epoch: i32,
    /// The epoch that it was in: it may say so once more, if it has not got the answer.
    pub previous_member_epoch: i32,
    /// 0 stable, 1 gives up partitions, 2 waits for partitions that others have, 127 unknown.
    pub state: i8,
    /// What it has.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What it is to give up.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// Partitions of one topic, and since when a member has them.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
    /// The epoch that each was assigned in, to fence late commits by (KIP-1251); empty or null: not known.
    #[wire(tag = 0, tagged = 0..)]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// Which pattern.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 16..=16)]
pub struct ConsumerGroupRegularExpressionKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The pattern (RE2).
    pub regular_expression: Cow<'a, str>,
}

/// What a pattern matches.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupRegularExpressionValue<'a> {
    /// The topics.
    pub topics: Vec<Cow<'a, str>>,
    /// Version of the cluster's metadata that it was held against.
    pub version: i64,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
}
