//! The coordinators' records in Kafka's formats, so that Kafka's tools read our offsets topic and we read Kafka's.
//!
//! Written in the versions that Kafka 4.3 writes, read in all that it ever wrote.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::group::{
    Assignment, ClassicMemberMetadata, ClassicProtocols, CommittedOffset, ConsumerMemberMetadata, CurrentAssignment, GroupMetadata,
    GroupRecord, Held, MemberState, ResolvedRegex,
};
use ottla_model::{
    Generation, GroupEpoch, GroupId, InstanceId, LeaderEpoch, MemberEpoch, MemberId, Offset, PartitionId, TimestampMs, TopicId, TopicName,
};
use ottla_wire::data::consumer_group::{
    self, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, TopicPartition, TopicPartitions,
};
use ottla_wire::data::group_metadata::{GroupMetadataKey, GroupMetadataValue, MemberMetadata};
use ottla_wire::data::offset_commit::{OffsetCommitKey, OffsetCommitValue};
use ottla_wire::{EncodeError, Reader};

use crate::coordinator::data::{Encoded, RecordError, bytes_of, read, read_if_there};

/// Version of an offset's value that says when it expires.
const OFFSET_THAT_EXPIRES: i16 = 1;
/// Version of the value of other offsets, with leader epochs.
const OFFSET: i16 = 3;
/// Version of an offset's value with its topic's id.
const OFFSET_WITH_TOPIC_ID: i16 = 4;
/// Version of a classic group's value.
const GROUP: i16 = 3;

/// A record's key and value.
pub(super) fn encode(record: &GroupRecord) -> Result<Encoded, EncodeError> {
    let group = || Cow::Borrowed(record.group().as_str());
    let member = |member: &'_ MemberId| Cow::Owned::<str>(member.as_str().to_owned());
    match record {
        GroupRecord::OffsetCommit { topic, partition, value, .. } => {
            let key = OffsetCommitKey { group: group(), topic: Cow::Borrowed(topic.as_str()), partition: partition.0 };
            let value = value.as_ref().map(|offset| {
                let version = match offset {
                    CommittedOffset { expire_timestamp, .. } if *expire_timestamp != TimestampMs::NONE => OFFSET_THAT_EXPIRES,
                    CommittedOffset { topic_id, .. } if *topic_id != TopicId::ZERO => OFFSET_WITH_TOPIC_ID,
                    CommittedOffset { .. } => OFFSET,
                };
                bytes_of(&offset_value(offset), version)
            });
            Ok((bytes_of(&key, 1)?, value.transpose()?))
        }
        GroupRecord::GroupMetadata { value, .. } => {
            let value = value.as_ref().map(|group| bytes_of(&group_value(group), GROUP));
            Ok((bytes_of(&GroupMetadataKey { group: group() }, 2)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupMetadata { value, .. } => {
            let value = value.map(|(epoch, metadata_hash)| bytes_of(&ConsumerGroupMetadataValue { epoch: epoch.0, metadata_hash }, 0));
            Ok((bytes_of(&ConsumerGroupMetadataKey { group_id: group() }, 3)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupPartitionMetadata { present, .. } => {
            let value = present.then(|| bytes_of(&ConsumerGroupPartitionMetadataValue::default(), 0));
            Ok((bytes_of(&ConsumerGroupPartitionMetadataKey { group_id: group() }, 4)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupMemberMetadata { member: id, value, .. } => {
            let key = ConsumerGroupMemberMetadataKey { group_id: group(), member_id: member(id) };
            let value = value.as_ref().map(|metadata| bytes_of(&member_value(metadata), 0));
            Ok((bytes_of(&key, 5)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => {
            let value = value.map(|(epoch, timestamp)| {
                let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: epoch.0, assignment_timestamp: timestamp.0 };
                bytes_of(&value, 0)
            });
            Ok((bytes_of(&ConsumerGroupTargetAssignmentMetadataKey { group_id: group() }, 6)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupTargetAssignmentMember { member: id, value, .. } => {
            let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group(), member_id: member(id) };
            let value = value.as_ref().map(|assignment| {
                let topics = assignment.topics().map(|(topic, partitions)| TopicPartition {
                    topic_id: topic.0,
                    partitions: partitions.iter().map(|partition| partition.0).collect(),
                });
                bytes_of(&ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topics.collect() }, 0)
            });
            Ok((bytes_of(&key, 7)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupCurrentMemberAssignment { member: id, value, .. } => {
            let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: group(), member_id: member(id) };
            let value = value.as_ref().map(|current| {
                let value = ConsumerGroupCurrentMemberAssignmentValue {
                    member_epoch: current.epoch.0,
                    previous_member_epoch: current.previous_epoch.0,
                    state: current.state.to_wire(),
                    assigned_partitions: held_value(&current.assigned),
                    partitions_pending_revocation: held_value(&current.revoking),
                };
                bytes_of(&value, 0)
            });
            Ok((bytes_of(&key, 8)?, value.transpose()?))
        }
        GroupRecord::ConsumerGroupRegularExpression { regex, value, .. } => {
            let key = ConsumerGroupRegularExpressionKey { group_id: group(), regular_expression: Cow::Borrowed(regex) };
            let value = value.as_ref().map(|resolved| {
                let value = ConsumerGroupRegularExpressionValue {
                    topics: resolved.topics.iter().map(|topic| Cow::Borrowed(&**topic)).collect(),
                    version: resolved.version,
                    timestamp: resolved.timestamp.0,
                };
                bytes_of(&value, 0)
            });
            Ok((bytes_of(&key, 16)?, value.transpose()?))
        }
    }
}

fn offset_value(offset: &CommittedOffset) -> OffsetCommitValue<'_> {
    OffsetCommitValue {
        offset: offset.offset.0,
        leader_epoch: offset.leader_epoch.0,
        metadata: Cow::Borrowed(&offset.metadata),
        commit_timestamp: offset.commit_timestamp.0,
        expire_timestamp: offset.expire_timestamp.0,
        topic_id: offset.topic_id.0,
    }
}

fn group_value(group: &GroupMetadata) -> GroupMetadataValue<'_> {
    let member = |member: &'_ ClassicMemberMetadata| MemberMetadata {
        member_id: Cow::Owned(member.member.as_str().to_owned()),
        group_instance_id: member.instance.as_ref().map(|id| Cow::Owned(id.as_str().to_owned())),
        client_id: Cow::Owned(member.client_id.to_string()),
        client_host: Cow::Owned(member.client_host.to_string()),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: Cow::Owned(member.subscription.to_vec()),
        assignment: Cow::Owned(member.assignment.to_vec()),
    };
    GroupMetadataValue {
        protocol_type: Cow::Borrowed(&group.protocol_type),
        generation: group.generation.0,
        protocol: group.protocol.as_deref().map(Cow::Borrowed),
        leader: group.leader.as_ref().map(|leader| Cow::Borrowed(leader.as_str())),
        current_state_timestamp: group.state_timestamp.0,
        members: group.members.iter().map(member).collect(),
    }
}

fn member_value(member: &ConsumerMemberMetadata) -> ConsumerGroupMemberMetadataValue<'_> {
    ConsumerGroupMemberMetadataValue {
        instance_id: member.instance.as_ref().map(|id| Cow::Borrowed(id.as_str())),
        rack_id: member.rack.as_deref().map(Cow::Borrowed),
        client_id: Cow::Borrowed(&member.client_id),
        client_host: Cow::Borrowed(&member.client_host),
        subscribed_topic_names: member.topic_names.iter().map(|name| Cow::Borrowed(&**name)).collect(),
        subscribed_topic_regex: member.topic_regex.as_deref().map(Cow::Borrowed),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.assignor.as_deref().map(Cow::Borrowed),
        classic_member_metadata: member.classic.as_ref().map(|classic| consumer_group::ClassicMemberMetadata {
            session_timeout_ms: classic.session_timeout_ms,
            supported_protocols: classic
                .protocols
                .iter()
                .map(|(name, metadata)| ClassicProtocol { name: Cow::Borrowed(&**name), metadata: Cow::Borrowed(&**metadata) })
                .collect(),
        }),
    }
}

fn held_value(held: &Held) -> Vec<TopicPartitions> {
    let topic = |(topic, partitions): (TopicId, &BTreeMap<PartitionId, MemberEpoch>)| TopicPartitions {
        topic_id: topic.0,
        partitions: partitions.keys().map(|partition| partition.0).collect(),
        assignment_epochs: Some(partitions.values().map(|epoch| epoch.0).collect()),
    };
    held.topics().map(topic).collect()
}

/// What a key and a value say. `None`: of a kind that no group kept here has.
pub(super) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
    let key = key.ok_or(RecordError::NoKey)?;
    let kind = Reader::new(key).get_i16()?;
    Ok(Some(match kind {
        0 | 1 => {
            let key = read::<OffsetCommitKey<'_>>(key)?;
            GroupRecord::OffsetCommit {
                group: GroupId::new(&key.group),
                topic: TopicName::new(&key.topic)?,
                partition: PartitionId(key.partition),
                value: read_if_there::<OffsetCommitValue<'_>>(value)?.map(|value| CommittedOffset {
                    offset: Offset(value.offset),
                    leader_epoch: LeaderEpoch(value.leader_epoch),
                    metadata: Box::from(&*value.metadata),
                    commit_timestamp: TimestampMs(value.commit_timestamp),
                    expire_timestamp: TimestampMs(value.expire_timestamp),
                    topic_id: TopicId(value.topic_id),
                }),
            }
        }
        2 => GroupRecord::GroupMetadata {
            group: GroupId::new(&read::<GroupMetadataKey<'_>>(key)?.group),
            value: read_if_there::<GroupMetadataValue<'_>>(value)?.map(|value| group_of(&value)),
        },
        3 => GroupRecord::ConsumerGroupMetadata {
            group: GroupId::new(&read::<ConsumerGroupMetadataKey<'_>>(key)?.group_id),
            value: read_if_there::<ConsumerGroupMetadataValue>(value)?.map(|value| (GroupEpoch(value.epoch), value.metadata_hash)),
        },
        4 => GroupRecord::ConsumerGroupPartitionMetadata {
            group: GroupId::new(&read::<ConsumerGroupPartitionMetadataKey<'_>>(key)?.group_id),
            present: value.is_some(),
        },
        5 => {
            let key = read::<ConsumerGroupMemberMetadataKey<'_>>(key)?;
            GroupRecord::ConsumerGroupMemberMetadata {
                group: GroupId::new(&key.group_id),
                member: MemberId::new(&key.member_id),
                value: read_if_there::<ConsumerGroupMemberMetadataValue<'_>>(value)?.map(|value| member_of(&value)),
            }
        }
        6 => GroupRecord::ConsumerGroupTargetAssignmentMetadata {
            group: GroupId::new(&read::<ConsumerGroupTargetAssignmentMetadataKey<'_>>(key)?.group_id),
            value: read_if_there::<ConsumerGroupTargetAssignmentMetadataValue>(value)?
                .map(|value| (GroupEpoch(value.assignment_epoch), TimestampMs(value.assignment_timestamp))),
        },
        7 => {
            let key = read::<ConsumerGroupTargetAssignmentMemberKey<'_>>(key)?;
            GroupRecord::ConsumerGroupTargetAssignmentMember {
                group: GroupId::new(&key.group_id),
                member: MemberId::new(&key.member_id),
                value: read_if_there::<ConsumerGroupTargetAssignmentMemberValue>(value)?.map(|value| assignment_of(&value)),
            }
        }
        8 => {
            let key = read::<ConsumerGroupCurrentMemberAssignmentKey<'_>>(key)?;
            GroupRecord::ConsumerGroupCurrentMemberAssignment {
                group: GroupId::new(&key.group_id),
                member: MemberId::new(&key.member_id),
                value: read_if_there::<ConsumerGroupCurrentMemberAssignmentValue>(value)?.map(|value| CurrentAssignment {
                    epoch: MemberEpoch(value.member_epoch),
                    previous_epoch: MemberEpoch(value.previous_member_epoch),
                    state: MemberState::from_wire(value.state),
                    assigned: held_of(&value.assigned_partitions, value.member_epoch),
                    revoking: held_of(&value.partitions_pending_revocation, value.member_epoch),
                }),
            }
        }
        16 => {
            let key = read::<ConsumerGroupRegularExpressionKey<'_>>(key)?;
            GroupRecord::ConsumerGroupRegularExpression {
                group: GroupId::new(&key.group_id),
                regex: Arc::from(&*key.regular_expression),
                value: read_if_there::<ConsumerGroupRegularExpressionValue<'_>>(value)?.map(|value| ResolvedRegex {
                    topics: value.topics.iter().map(|topic| Arc::from(&**topic)).collect(),
                    version: value.version,
                    timestamp: TimestampMs(value.timestamp),
                }),
            }
        }
        _ => return Ok(None),
    }))
}

fn group_of(value: &GroupMetadataValue<'_>) -> GroupMetadata {
    let member = |member: &MemberMetadata<'_>| ClassicMemberMetadata {
        member: MemberId::new(&member.member_id),
        instance: member.group_instance_id.as_deref().map(InstanceId::new),
        client_id: Arc::from(&*member.client_id),
        client_host: Arc::from(&*member.client_host),
        rebalance_timeout_ms: if member.rebalance_timeout < 0 { member.session_timeout } else { member.rebalance_timeout },
        session_timeout_ms: member.session_timeout,
        subscription: Arc::from(&*member.subscription),
        assignment: Arc::from(&*member.assignment),
    };
    GroupMetadata {
        protocol_type: Arc::from(&*value.protocol_type),
        generation: Generation(value.generation),
        protocol: value.protocol.as_deref().map(Arc::from),
        leader: value.leader.as_deref().map(MemberId::new),
        state_timestamp: TimestampMs(value.current_state_timestamp),
        members: value.members.iter().map(member).collect(),
    }
}

fn member_of(value: &ConsumerGroupMemberMetadataValue<'_>) -> ConsumerMemberMetadata {
    ConsumerMemberMetadata {
        instance: value.instance_id.as_deref().map(InstanceId::new),
        rack: value.rack_id.as_deref().map(Arc::from),
        client_id: Arc::from(&*value.client_id),
        client_host: Arc::from(&*value.client_host),
        topic_names: value.subscribed_topic_names.iter().map(|name| Arc::from(&**name)).collect(),
        topic_regex: value.subscribed_topic_regex.as_deref().map(Arc::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        assignor: value.server_assignor.as_deref().map(Arc::from),
        classic: value.classic_member_metadata.as_ref().map(|classic| ClassicProtocols {
            session_timeout_ms: classic.session_timeout_ms,
            protocols: classic
                .supported_protocols
                .iter()
                .map(|protocol| (Arc::from(&*protocol.name), Arc::from(&*protocol.metadata)))
                .collect(),
        }),
    }
}

fn assignment_of(value: &ConsumerGroupTargetAssignmentMemberValue) -> Assignment {
    let partitions = |topic: &TopicPartition| {
        let id = TopicId(topic.topic_id);
        topic.partitions.iter().map(move |partition| (id, PartitionId(*partition))).collect::<Vec<_>>()
    };
    value.topic_partitions.iter().flat_map(partitions).collect()
}

/// Where it is not known since when a member has a partition, it has had it since the epoch that it is in.
fn held_of(topics: &[TopicPartitions], member_epoch: i32) -> Held {
    let partitions = |topic: &TopicPartitions| {
        let (id, epochs) = (TopicId(topic.topic_id), topic.assignment_epochs.clone().unwrap_or_default());
        let since = move |nth: usize| MemberEpoch(epochs.get(nth).copied().unwrap_or(member_epoch));
        topic.partitions.iter().enumerate().map(move |(nth, partition)| (id, PartitionId(*partition), since(nth))).collect::<Vec<_>>()
    };
    topics.iter().flat_map(partitions).collect()
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
