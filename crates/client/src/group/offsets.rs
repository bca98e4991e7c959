//! Committed offsets: read and written by members and administrators alike.
//!
//! Topics go by name: versions that name them by id only would need every topic's id, also of topics that are gone.

use std::collections::BTreeMap;

use ottla_model::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ottla_wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};

use super::check;
use crate::ClientError;
use crate::connection::Connection;

/// Last version that names topics, of both requests.
const BY_NAME: i16 = 9;
/// First version of OffsetFetch that asks for several groups.
const SEVERAL_GROUPS: i16 = 8;
/// First version of OffsetFetch in which null means all partitions.
const ALL_PARTITIONS: i16 = 2;

/// How far a group has read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1: not known.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps with it.
    pub metadata: String,
}

/// Who commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) member_id: String,
    /// Generation or member epoch.
    pub(crate) generation: i32,
    pub(crate) instance_id: Option<String>,
}

impl Committer {
    /// No member: an administrator, or a consumer that assigns itself.
    pub(crate) fn nobody() -> Committer {
        Committer { member_id: String::new(), generation: -1, instance_id: None }
    }
}

/// Who commits offsets of a group in a [`Transaction`](crate::Transaction): one of its members, or somebody who assigns to
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    group_id: String,
    committer: Committer,
}

impl GroupMetadata {
    /// Nobody in particular: the group's offsets are kept without it having members.
    pub fn of_group(group_id: &str) -> GroupMetadata {
        GroupMetadata { group_id: group_id.to_owned(), committer: Committer::nobody() }
    }

    pub(crate) fn new(group_id: &str, committer: Committer) -> GroupMetadata {
        GroupMetadata { group_id: group_id.to_owned(), committer }
    }

    /// The group.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// The member's id; empty: none.
    pub fn member_id(&self) -> &str {
        &self.committer.member_id
    }

    /// The member's generation, or its epoch in a group of the new protocol; -1: of no member.
    pub fn generation(&self) -> i32 {
        self.committer.generation
    }

    pub(crate) fn committer(&self) -> &Committer {
        &self.committer
    }
}

/// By topic, as requests have it.
pub(crate) fn by_topic<'p, T>(partitions: impl IntoIterator<Item = (&'p TopicPartition, T)>) -> BTreeMap<&'p str, Vec<(i32, T)>> {
    let mut topics: BTreeMap<&str, Vec<(i32, T)>> = BTreeMap::new();
    for (partition, value) in partitions {
        topics.entry(partition.topic.as_str()).or_default().push((partition.partition.0, value));
    }
    topics
}

/// Asks once how far a group has read; `wanted` of `None`: all partitions it has offsets in.
pub(crate) async fn fetch_once(
    connection: &Connection,
    group: &str,
    wanted: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let version = connection.version::<OffsetFetchRequest<'_>>(BY_NAME)?;
    if wanted.is_none() && version < ALL_PARTITIONS {
        return Err(ClientError::Unsendable { api: "OffsetFetch", cause: "this broker can only be asked for named partitions".to_owned() });
    }
    let topics = wanted.map(|wanted| by_topic(wanted.iter().map(|partition| (partition, ()))));
    let indexes = |partitions: &Vec<(i32, ())>| partitions.iter().map(|(index, ())| *index).collect::<Vec<_>>();
    let request = if version >= SEVERAL_GROUPS {
        let topics = topics.as_ref().map(|topics| {
            let named = topics.iter().map(|(name, partitions)| OffsetFetchRequestTopics {
                name,
                partition_indexes: indexes(partitions),
                ..Default::default()
            });
            named.collect()
        });
        let groups = vec![OffsetFetchRequestGroup { group_id: group, topics, ..Default::default() }];
        OffsetFetchRequest { groups, require_stable: true, ..Default::default() }
    } else {
        let topics = topics.as_ref().map(|topics| {
            topics.iter().map(|(name, partitions)| OffsetFetchRequestTopic { name, partition_indexes: indexes(partitions) }).collect()
        });
        // What a transaction has yet to decide can be asked for from version 7 only.
        OffsetFetchRequest { group_id: group, topics, require_stable: version >= 7, ..Default::default() }
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    let mut found = BTreeMap::new();
    let mut take = |topic: &str, index: i32, offset: i64, epoch: i32, metadata: Option<&str>, code: i16| {
        let topic = TopicName::new(topic).map_err(|cause| answer.malformed(cause))?;
        let partition = TopicPartition::new(topic, PartitionId(index));
        match crate::error::code(code) {
            ErrorCode::None => {}
            // A topic that is gone has no offsets.
            ErrorCode::UnknownTopicOrPartition => return Ok(()),
            code => return Err(ClientError::Refused { subject: partition.to_string(), code, message: None }),
        }
        if offset >= 0 {
            let metadata = metadata.unwrap_or_default().to_owned();
            found.insert(partition, CommittedOffset { offset: Offset(offset), leader_epoch: LeaderEpoch(epoch), metadata });
        }
        Ok(())
    };
    if version >= SEVERAL_GROUPS {
        let of_group = response.groups.first().ok_or_else(|| answer.malformed("no group in it"))?;
        check(group, of_group.error_code, None)?;
        for topic in &of_group.topics {
            for p in &topic.partitions {
                let metadata = p.metadata.as_deref();
                take(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, metadata, p.error_code)?;
            }
        }
    } else {
        check(group, response.error_code, None)?;
        for topic in &response.topics {
            for p in &topic.partitions {
                let metadata = p.metadata.as_deref();
                take(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, metadata, p.error_code)?;
            }
        }
    }
    Ok(found)
}

/// Says once how far the group has read. All or an error: of some partitions it may have been kept.
pub(crate) async fn commit_once(
    connection: &Connection,
    group: &str,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), ClientError> {
    let version = connection.version::<OffsetCommitRequest<'_>>(BY_NAME)?;
    let topics = by_topic(offsets)
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name,
            partitions: partitions
                .into_iter()
                .map(|(partition_index, offset)| OffsetCommitRequestPartition {
                    partition_index,
                    committed_offset: offset.0,
                    committed_metadata: Some(""),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })
        .collect();
    let request = OffsetCommitRequest {
        group_id: group,
        generation_id_or_member_epoch: committer.generation,
        member_id: &committer.member_id,
        group_instance_id: committer.instance_id.as_deref(),
        topics,
        ..Default::default()
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: OffsetCommitResponse<'_> = answer.decode()?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            match crate::error::code(partition.error_code) {
                ErrorCode::None => {}
                // Of the group, though it is said of each partition.
                code @ (ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::RebalanceInProgress
                | ErrorCode::FencedInstanceId
                | ErrorCode::GroupIdNotFound) => {
                    return Err(ClientError::Refused { subject: super::subject(group), code, message: None });
                }
                code => {
                    let subject = format!("offset of {}-{} in {}", topic.name, partition.partition_index, super::subject(group));
                    return Err(ClientError::Refused { subject, code, message: None });
                }
            }
        }
    }
    Ok(())
}
