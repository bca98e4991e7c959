//! Streams groups in `__consumer_offsets` (KIP-1071).
//!
//! * Keys: 17 and 19 to 23. Values: 0, flexible already.

use std::borrow::Cow;

use crate::Wire;

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 17..=17)]
pub struct StreamsGroupMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// The group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupMetadataValue<'a> {
    /// Its epoch: one more with each change of members, topics or topology.
    pub epoch: i32,
    /// Hash over all topics that it reads, by which a change of them is seen (KIP-1101).
    pub metadata_hash: i64,
    /// Epoch of the topology whose topics were found to be as it needs them; -1: none.
    #[wire(tag = 0, tagged = 0.., default = -1)]
    pub validated_topology_epoch: i32,
    /// Configs of the last assignment; empty or null: not known.
    #[wire(tag = 1, tagged = 0..)]
    pub last_assignment_configs: Option<Vec<LastAssignmentConfig<'a>>>,
}

/// A config of an assignment.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct LastAssignmentConfig<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 19..=19)]
pub struct StreamsGroupMemberMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has said of itself.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupMemberMetadataValue<'a> {
    /// What it is known by, if it is static.
    pub instance_id: Option<Cow<'a, str>>,
    /// Its rack.
    pub rack_id: Option<Cow<'a, str>>,
    /// Its `client.id`.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// How many milliseconds it may take to give up tasks; -1: not known.
    #[wire(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Epoch of the topology that it has.
    pub topology_epoch: i32,
    /// Its process, which may be several members.
    pub process_id: Cow<'a, str>,
    /// Where its state can be asked for.
    #[wire(default = null)]
    pub user_endpoint: Option<Endpoint<'a>>,
    /// Tags, to spread standby tasks by.
    pub client_tags: Vec<KeyValue<'a>>,
}

/// Where a member's state can be asked for.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Endpoint<'a> {
    /// The host.
    pub host: Cow<'a, str>,
    /// The port.
    pub port: u16,
}

/// A tag.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct KeyValue<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 20..=20)]
pub struct StreamsGroupTargetAssignmentMetadataKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// Of when the target assignment is.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupTargetAssignmentMetadataValue {
    /// The group epoch that it is of.
    pub assignment_epoch: i32,
    /// When it was made, in milliseconds since 1970; 0: not known (KIP-1263).
    #[wire(tag = 0, tagged = 0.., ignorable)]
    pub assignment_timestamp: i64,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 21..=21)]
pub struct StreamsGroupTargetAssignmentMemberKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member is to have.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupTargetAssignmentMemberValue<'a> {
    /// Tasks to run.
    pub active_tasks: Vec<TargetTaskIds<'a>>,
    /// Tasks to keep a copy of the state of.
    pub standby_tasks: Vec<TargetTaskIds<'a>>,
    /// Tasks to fetch the state of, to run them later.
    pub warmup_tasks: Vec<TargetTaskIds<'a>>,
}

/// Tasks of one subtopology that a member is to have. Kafka calls it `TaskIds` as well.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TargetTaskIds<'a> {
    /// The subtopology.
    pub subtopology_id: Cow<'a, str>,
    /// The partitions of its topics.
    pub partitions: Vec<i32>,
}

/// Which member.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 22..=22)]
pub struct StreamsGroupCurrentMemberAssignmentKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The member.
    pub member_id: Cow<'a, str>,
}

/// What a member has.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupCurrentMemberAssignmentValue<'a> {
    /// The epoch that it is in.
    pub member_epoch: i32,
    /// The epoch that it was in: it may say so once more, if it has not got the answer.
    pub previous_member_epoch: i32,
    /// 0 stable, 1 gives up tasks, 2 waits for tasks that others have, 127 unknown.
    pub state: i8,
    /// Tasks that it runs.
    pub active_tasks: Vec<TaskIds<'a>>,
    /// Tasks that it keeps a copy of the state of.
    pub standby_tasks: Vec<TaskIds<'a>>,
    /// Tasks that it fetches the state of.
    pub warmup_tasks: Vec<TaskIds<'a>>,
    /// Tasks that it is to stop.
    pub active_tasks_pending_revocation: Vec<TaskIds<'a>>,
    /// Copies that it is to give up.
    pub standby_tasks_pending_revocation: Vec<TaskIds<'a>>,
    /// Tasks whose state it is not to fetch any more.
    pub warmup_tasks_pending_revocation: Vec<TaskIds<'a>>,
}

/// Tasks of one subtopology that a member has.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TaskIds<'a> {
    /// The subtopology.
    pub subtopology_id: Cow<'a, str>,
    /// The partitions of its topics.
    pub partitions: Vec<i32>,
    /// The epoch that each was assigned in, to fence late commits by (KIP-1251); empty or null: not known. Of active
    /// tasks only.
    #[wire(tag = 0, tagged = 0..)]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 23..=23)]
pub struct StreamsGroupTopologyKey<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
}

/// What the group runs.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=0, flexible = 0..)]
pub struct StreamsGroupTopologyValue<'a> {
    /// Epoch of the topology.
    pub epoch: i32,
    /// Its subtopologies.
    pub subtopologies: Vec<Subtopology<'a>>,
}

/// A part of the topology that shares no state with others.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Subtopology<'a> {
    /// Its id.
    pub subtopology_id: Cow<'a, str>,
    /// The topics that it reads.
    pub source_topics: Vec<Cow<'a, str>>,
    /// The patterns of the topics that it reads.
    pub source_topic_regex: Vec<Cow<'a, str>>,
    /// The topics that its state is kept in.
    pub state_changelog_topics: Vec<TopicInfo<'a>>,
    /// The topics that it writes for others to read.
    pub repartition_sink_topics: Vec<Cow<'a, str>>,
    /// The topics that others write for it to read.
    pub repartition_source_topics: Vec<TopicInfo<'a>>,
    /// Topics that need the same number of partitions.
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// An internal topic of the application.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicInfo<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// How many partitions it needs; 0: as many as follows from others.
    pub partitions: i32,
    /// How many replicas it needs; 0: the broker's default.
    pub replication_factor: i16,
    /// The configs that it needs.
    pub topic_configs: Vec<TopicConfig<'a>>,
}

/// A config of a topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicConfig<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// Topics that need the same number of partitions, by their places in the lists of their subtopology.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CopartitionGroup {
    /// Among the topics that it reads.
    pub source_topics: Vec<i16>,
    /// Among the patterns.
    pub source_topic_regex: Vec<i16>,
    /// Among the topics that others write for it.
    pub repartition_source_topics: Vec<i16>,
}
