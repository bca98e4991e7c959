//! OffsetCommit (key 8): keep how far a group has read.
//!
//! Versions 1 to 10. Kafka 4 has dropped 1; `sarama` up to 1.38 sends it by default, so it is taken (KIP-896).
//!
//! * Answered when the offsets are durable. Each partition has its own error, but what is wrong with the member or the group is the error
//!   of all.
//! * Versions 2 to 4 say how long to keep the offsets. KIP-848: epochs of members (version 9). KIP-516: topic ids (version 10).
//!
//! Known gaps: the times that version 1 gives offsets are not kept; they count as committed now.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{OffsetCommit as Commit, OffsetToCommit, Request, Response};
use ottla_model::{GroupId, LeaderEpoch, MemberId, Offset, PartitionId, TopicId, TopicName};
use ottla_wire::ErrorCode;
use ottla_wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::groups::{code_of, instance_of, taken};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct OffsetCommit;

/// Versions that say how long to keep the offsets.
const RETENTION: RangeInclusive<i16> = 2..=4;
/// First version whose clients know of member epochs.
const MEMBER_EPOCHS_SINCE: i16 = 9;
/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;

impl ApiHandler for OffsetCommit {
    type Request<'a> = OffsetCommitRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: OffsetCommitRequest<'_>, reply: Reply<'_>) -> Answer {
        let by_id = cx.version >= TOPIC_IDS_SINCE;
        let image = broker.image();
        let mut offsets = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let id = TopicId(topic.topic_id);
            let name = if by_id { image.topic_by_id(id).map(|topic| topic.name.clone()) } else { TopicName::new(topic.name).ok() };
            // What cannot be asked for has its error already; the others get theirs in the order in which they are asked for.
            let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
            let error_code = if name.is_some() { ErrorCode::None } else { unknown }.as_i16();
            let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            });
            topics.push(OffsetCommitResponseTopic {
                name: Cow::Owned(topic.name.to_owned()),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
            });
            let Some(name) = name else { continue };
            offsets.extend(topic.partitions.iter().map(|partition| OffsetToCommit {
                topic: name.clone(),
                topic_id: if by_id { id } else { TopicId::ZERO },
                partition: PartitionId(partition.partition_index),
                offset: Offset(partition.committed_offset),
                leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                metadata: partition.committed_metadata.unwrap_or("").into(),
            }));
        }
        if offsets.is_empty() {
            return reply.send(&OffsetCommitResponse { topics, ..Default::default() });
        }
        let group = GroupId::new(request.group_id);
        let commit = Commit {
            group: group.clone(),
            member: MemberId::new(request.member_id),
            instance: instance_of(request.group_instance_id),
            generation_or_epoch: request.generation_id_or_member_epoch,
            retention_ms: Some(request.retention_time_ms).filter(|ms| RETENTION.contains(&cx.version) && *ms >= 0),
            knows_member_epochs: cx.version >= MEMBER_EPOCHS_SINCE,
            offsets,
        };
        let asked = broker.groups.ask(&group, Request::OffsetCommit(commit));
        let take = |response| match response {
            Response::OffsetCommit(each) => Some(each),
            _ => None,
        };
        reply.later(|later| async move {
            let results = taken(asked.await, take);
            let waiting = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|p| p.error_code == ErrorCode::None.as_i16());
            match results {
                Ok(each) => waiting.zip(&each).for_each(|(partition, result)| partition.error_code = code_of(result)),
                Err(why) => waiting.for_each(|partition| partition.error_code = why.error_code().as_i16()),
            }
            later.encode(&OffsetCommitResponse { topics, ..Default::default() })
        })
    }
}
