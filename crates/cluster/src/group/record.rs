//! The records of `__consumer_offsets`, with the content of Kafka's (`OffsetCommitValue.json` and its like). `None` is a tombstone.
//!
//! They are values: the broker writes them in Kafka's formats, and what is not kept there is not kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_model::{
    Generation, GroupEpoch, GroupId, InstanceId, LeaderEpoch, MemberEpoch, MemberId, Offset, PartitionId, TimestampMs, TopicId, TopicName,
};

/// Bytes that a client gave and gets back. Cheap to clone.
pub type Blob = Arc<[u8]>;

/// Partitions of topics, without their epochs. Sorted, and no topic without partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment(BTreeMap<TopicId, Vec<PartitionId>>);

impl Assignment {
    /// Adds a partition, if it is not there.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionId) {
        let partitions = self.0.entry(topic).or_default();
        if let Err(at) = partitions.binary_search(&partition) {
            partitions.insert(at, partition);
        }
    }

    /// Whether it has this partition.
    pub fn contains(&self, topic: TopicId, partition: PartitionId) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.binary_search(&partition).is_ok())
    }

    /// The partitions of a topic.
    pub fn of_topic(&self, topic: TopicId) -> &[PartitionId] {
        self.0.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// Each topic with its partitions.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &[PartitionId])> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions.as_slice()))
    }

    /// Each partition.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionId)> + '_ {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
    }

    /// How many partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(TopicId, PartitionId)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionId)>>(partitions: I) -> Assignment {
        let mut sorted: BTreeMap<TopicId, Vec<PartitionId>> = BTreeMap::new();
        for (topic, partition) in partitions {
            sorted.entry(topic).or_default().push(partition);
        }
        for partitions in sorted.values_mut() {
            partitions.sort_unstable();
            partitions.dedup();
        }
        Assignment(sorted)
    }
}

/// Partitions that a member holds, each with the epoch at which it got them (KIP-1251). No topic without partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<TopicId, BTreeMap<PartitionId, MemberEpoch>>);

impl Held {
    /// Adds a partition.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionId, since: MemberEpoch) {
        self.0.entry(topic).or_default().insert(partition, since);
    }

    /// Since which epoch it has this partition.
    pub fn since(&self, topic: TopicId, partition: PartitionId) -> Option<MemberEpoch> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    /// Whether it has this partition.
    pub fn contains(&self, topic: TopicId, partition: PartitionId) -> bool {
        self.since(topic, partition).is_some()
    }

    /// Each partition with its epoch.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionId, MemberEpoch)> + '_ {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(|(partition, since)| (*topic, *partition, *since)))
    }

    /// Each topic with its partitions and their epochs.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeMap<PartitionId, MemberEpoch>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// The same partitions without their epochs.
    pub fn to_assignment(&self) -> Assignment {
        self.iter().map(|(topic, partition, _)| (topic, partition)).collect()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

impl FromIterator<(TopicId, PartitionId, MemberEpoch)> for Held {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionId, MemberEpoch)>>(partitions: I) -> Held {
        let mut held = Held::default();
        for (topic, partition, since) in partitions {
            held.insert(topic, partition, since);
        }
        held
    }
}

/// A committed offset (`OffsetCommitValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read; [`LeaderEpoch::NONE`] if the client did not say.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps with it.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_timestamp: TimestampMs,
    /// When it expires, if the client said (OffsetCommit 2 to 4); [`TimestampMs::NONE`] if not.
    pub expire_timestamp: TimestampMs,
    /// Id of the topic, if the client named it by that; [`TopicId::ZERO`] if not.
    pub topic_id: TopicId,
}

/// A classic group (`GroupMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `consumer` for consumers; empty before anybody joined.
    pub protocol_type: Arc<str>,
    /// Its generation.
    pub generation: Generation,
    /// The protocol that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The member that assigned.
    pub leader: Option<MemberId>,
    /// Since when it is in its state.
    pub state_timestamp: TimestampMs,
    /// Its members.
    pub members: Vec<ClassicMemberMetadata>,
}

/// One member of a classic group (`MemberMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    /// Its id.
    pub member: MemberId,
    /// Its instance id (KIP-345).
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// From where it connects.
    pub client_host: Arc<str>,
    /// How long it may take to join anew.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen protocol.
    pub subscription: Blob,
    /// What the leader assigned to it.
    pub assignment: Blob,
}

/// A member of a consumer group, as it described itself (`ConsumerGroupMemberMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberMetadata {
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// From where it connects.
    pub client_host: Arc<str>,
    /// The topics it names.
    pub topic_names: BTreeSet<Arc<str>>,
    /// The expression its topics match; empty or `None` for none. (Kafka's two ways to say so are told apart in its records.)
    pub topic_regex: Option<Arc<str>>,
    /// How long it may take to give partitions up; -1: not said.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub assignor: Option<Arc<str>>,
    /// What a member of the classic protocol brings, while both protocols are in the group.
    pub classic: Option<ClassicProtocols>,
}

/// What a member of the classic protocol joined a consumer group with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicProtocols {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Names and metadata, in the order of its preference.
    pub protocols: Vec<(Arc<str>, Blob)>,
}

/// How far a member is with its target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has it.
    Stable,
    /// It has to give partitions up first.
    UnrevokedPartitions,
    /// It waits for partitions that others still hold.
    UnreleasedPartitions,
    /// A state of a later version.
    Unknown(i8),
}

impl MemberState {
    /// The number in Kafka's records.
    pub const fn to_wire(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown(state) => state,
        }
    }

    /// From the number in Kafka's records.
    pub const fn from_wire(state: i8) -> MemberState {
        match state {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            other => MemberState::Unknown(other),
        }
    }
}

/// What a member has (`ConsumerGroupCurrentMemberAssignmentValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The epoch that it must show.
    pub epoch: MemberEpoch,
    /// The one before, which it shows if the answer with the new one was lost.
    pub previous_epoch: MemberEpoch,
    /// How far it is.
    pub state: MemberState,
    /// What it may read.
    pub assigned: Held,
    /// What it has to give up.
    pub revoking: Held,
}

/// The topics that an expression was found to match (`ConsumerGroupRegularExpressionValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// The topics.
    pub topics: BTreeSet<Arc<str>>,
    /// Version of the metadata that it was resolved with.
    pub version: i64,
    /// When.
    pub timestamp: TimestampMs,
}

/// One record of `__consumer_offsets`: a key, and a value or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// `OffsetCommit`.
    OffsetCommit {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The offset.
        value: Option<CommittedOffset>,
    },
    /// `GroupMetadata`: a classic group.
    GroupMetadata {
        /// The group.
        group: GroupId,
        /// What it is.
        value: Option<GroupMetadata>,
    },
    /// `ConsumerGroupMetadata`.
    ConsumerGroupMetadata {
        /// The group.
        group: GroupId,
        /// Its epoch, and a hash of the topics that it is subscribed to.
        value: Option<(GroupEpoch, i64)>,
    },
    /// `ConsumerGroupPartitionMetadata`: not written since Kafka 4.1 but as a tombstone; what is in its value is not used.
    ConsumerGroupPartitionMetadata {
        /// The group.
        group: GroupId,
        /// Whether there is a value.
        present: bool,
    },
    /// `ConsumerGroupMemberMetadata`.
    ConsumerGroupMemberMetadata {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// What it said of itself.
        value: Option<ConsumerMemberMetadata>,
    },
    /// `ConsumerGroupTargetAssignmentMetadata`.
    ConsumerGroupTargetAssignmentMetadata {
        /// The group.
        group: GroupId,
        /// The group epoch that the target was computed for, and when.
        value: Option<(GroupEpoch, TimestampMs)>,
    },
    /// `ConsumerGroupTargetAssignmentMember`.
    ConsumerGroupTargetAssignmentMember {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// What it is to have.
        value: Option<Assignment>,
    },
    /// `ConsumerGroupCurrentMemberAssignment`.
    ConsumerGroupCurrentMemberAssignment {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// What it has.
        value: Option<CurrentAssignment>,
    },
    /// `ConsumerGroupRegularExpression`.
    ConsumerGroupRegularExpression {
        /// The group.
        group: GroupId,
        /// The expression.
        regex: Arc<str>,
        /// What it matches.
        value: Option<ResolvedRegex>,
    },
}

/// What a record costs beyond the texts and lists in it: its own header, both version numbers, lengths, and the fields of fixed size,
/// of whichever record has the most.
const RECORD_BYTES: usize = 96;
/// What an element of a list costs beyond the texts in it.
const ELEMENT_BYTES: usize = 32;

impl GroupRecord {
    /// Whose it is.
    pub fn group(&self) -> &GroupId {
        match self {
            GroupRecord::OffsetCommit { group, .. }
            | GroupRecord::GroupMetadata { group, .. }
            | GroupRecord::ConsumerGroupMetadata { group, .. }
            | GroupRecord::ConsumerGroupPartitionMetadata { group, .. }
            | GroupRecord::ConsumerGroupMemberMetadata { group, .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata { group, .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMember { group, .. }
            | GroupRecord::ConsumerGroupCurrentMemberAssignment { group, .. }
            | GroupRecord::ConsumerGroupRegularExpression { group, .. } => group,
        }
    }

    /// At least as many bytes as it takes in a record batch. What would not fit into a batch is refused before it changes anything.
    pub fn bytes_max(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let partitions = |count: usize| 4 * count;
        let content = match self {
            GroupRecord::OffsetCommit { topic, value, .. } => topic.as_str().len() + value.as_ref().map_or(0, |value| value.metadata.len()),
            GroupRecord::GroupMetadata { value: Some(value), .. } => value.bytes_max(),
            GroupRecord::ConsumerGroupMemberMetadata { member, value, .. } => {
                member.as_str().len() + value.as_ref().map_or(0, ConsumerMemberMetadata::bytes_max)
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember { member, value: Some(value), .. } => {
                member.as_str().len() + value.topics().map(|(_, ids)| ELEMENT_BYTES + partitions(ids.len())).sum::<usize>()
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: Some(value), .. } => {
                // Each partition comes with its epoch.
                let held = |held: &Held| held.topics().map(|(_, ids)| ELEMENT_BYTES + 2 * partitions(ids.len())).sum::<usize>();
                member.as_str().len() + held(&value.assigned) + held(&value.revoking)
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember { member, value: None, .. }
            | GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: None, .. } => member.as_str().len(),
            GroupRecord::ConsumerGroupRegularExpression { regex, value, .. } => {
                let topics = |value: &ResolvedRegex| value.topics.iter().map(|topic| topic.len() + ELEMENT_BYTES).sum::<usize>();
                text(&Some(Arc::clone(regex))) + value.as_ref().map_or(0, topics)
            }
            GroupRecord::GroupMetadata { value: None, .. }
            | GroupRecord::ConsumerGroupMetadata { .. }
            | GroupRecord::ConsumerGroupPartitionMetadata { .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. } => 0,
        };
        RECORD_BYTES + self.group().as_str().len() + content
    }
}

impl GroupMetadata {
    fn bytes_max(&self) -> usize {
        let member = |member: &ClassicMemberMetadata| {
            let instance = member.instance.as_ref().map_or(0, |instance| instance.as_str().len());
            let texts = member.member.as_str().len() + instance + member.client_id.len() + member.client_host.len();
            ELEMENT_BYTES + texts + member.subscription.len() + member.assignment.len()
        };
        let leader = self.leader.as_ref().map_or(0, |leader| leader.as_str().len());
        let protocol = self.protocol.as_ref().map_or(0, |protocol| protocol.len());
        self.protocol_type.len() + protocol + leader + self.members.iter().map(member).sum::<usize>()
    }
}

impl Default for ConsumerMemberMetadata {
    /// Of a member that has said nothing yet.
    fn default() -> ConsumerMemberMetadata {
        ConsumerMemberMetadata {
            instance: None,
            rack: None,
            client_id: "".into(),
            client_host: "".into(),
            topic_names: BTreeSet::new(),
            topic_regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
        }
    }
}

impl ConsumerMemberMetadata {
    /// The expression that it subscribes by, if it does.
    pub fn expression(&self) -> Option<&Arc<str>> {
        self.topic_regex.as_ref().filter(|regex| !regex.is_empty())
    }

    fn bytes_max(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let texts = self.instance.as_ref().map_or(0, |instance| instance.as_str().len())
            + text(&self.rack)
            + text(&self.topic_regex)
            + text(&self.assignor)
            + self.client_id.len()
            + self.client_host.len();
        let topics: usize = self.topic_names.iter().map(|topic| topic.len() + ELEMENT_BYTES).sum();
        let protocols = self.classic.iter().flat_map(|classic| &classic.protocols);
        texts + topics + protocols.map(|(name, metadata)| name.len() + metadata.len() + ELEMENT_BYTES).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use ottla_model::Uuid;

    use super::*;

    fn topic(number: u8) -> TopicId {
        TopicId(Uuid::from_bytes([number; 16]))
    }

    #[test]
    fn an_assignment_is_the_same_in_whatever_order_it_was_made() {
        let forth: Assignment = [(topic(2), PartitionId(1)), (topic(1), PartitionId(7)), (topic(1), PartitionId(3))].into_iter().collect();
        let mut back = Assignment::default();
        for (topic, partition) in
            [(topic(1), PartitionId(3)), (topic(1), PartitionId(7)), (topic(1), PartitionId(3)), (topic(2), PartitionId(1))]
        {
            back.insert(topic, partition);
        }
        assert_eq!(forth, back);
        assert_eq!(forth.len(), 3);
        assert_eq!(forth.of_topic(topic(1)), [PartitionId(3), PartitionId(7)]);
        assert!(forth.contains(topic(2), PartitionId(1)) && !forth.contains(topic(2), PartitionId(3)));
    }

    #[test]
    fn every_member_state_keeps_its_number() {
        for state in i8::MIN..=i8::MAX {
            assert_eq!(MemberState::from_wire(state).to_wire(), state);
        }
    }

    #[test]
    fn the_bound_of_a_record_grows_with_what_a_client_gave() {
        let record = |metadata: &str| GroupRecord::OffsetCommit {
            group: "g".into(),
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(0),
            value: Some(CommittedOffset {
                offset: Offset(1),
                leader_epoch: LeaderEpoch::NONE,
                metadata: metadata.into(),
                commit_timestamp: TimestampMs(0),
                expire_timestamp: TimestampMs::NONE,
                topic_id: TopicId::ZERO,
            }),
        };
        assert_eq!(record("0123456789").bytes_max(), record("").bytes_max() + 10);
    }
}
