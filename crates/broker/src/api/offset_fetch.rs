//! OffsetFetch (key 9): how far groups have read.
//!
//! Versions 1 to 10; `sarama` up to 1.38 sends 1 by default.
//!
//! * A partition without an offset is answered with -1, and so is one of a topic that is not there; by id (version 10) the latter is
//!   UNKNOWN_TOPIC_ID.
//! * Version 1 has no error of the group: each partition has it. KIP-447: an offset that a transaction has yet to decide is
//!   UNSTABLE_OFFSET_COMMIT where that was asked for (version 7). KIP-709: several groups (version 8).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{FetchedOffset, OffsetFetch as Fetch, Request, Response, TopicPartitions};
use ottla_cluster::metadata::MetadataImage;
use ottla_model::{GroupId, MemberEpoch, MemberId, PartitionId, TopicId, TopicName, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::groups::{Refused, taken};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::group_error_code;

/// See the module.
pub struct OffsetFetch;

/// First version with an error of the group.
const GROUP_ERROR_SINCE: i16 = 2;
/// First version that asks for several groups.
const BATCHED_SINCE: i16 = 8;
/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;

impl ApiHandler for OffsetFetch {
    type Request<'a> = OffsetFetchRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: OffsetFetchRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let require_stable = request.require_stable;
        let groups = if version >= BATCHED_SINCE { request.groups } else { vec![only_group(request)] };
        let image = broker.image();
        let asked: Vec<_> = groups
            .into_iter()
            .map(|group| {
                let asked = Asked::of(group, version, &image);
                let fetch = Fetch {
                    group: asked.group.clone(),
                    member: asked.member.clone(),
                    epoch: asked.epoch,
                    topics: asked.known_topics(),
                    require_stable,
                };
                let answer = broker.groups.ask(&asked.group, Request::OffsetFetch(fetch));
                (asked, answer)
            })
            .collect();
        drop(image);
        let broker = Arc::clone(broker);
        let take = |response| match response {
            Response::OffsetFetch(fetched) => Some(fetched),
            _ => None,
        };
        reply.later(|later| async move {
            let mut groups = Vec::with_capacity(asked.len());
            for (asked, answer) in asked {
                let fetched = taken(answer.await, take);
                groups.push(asked.response(fetched, version, &broker.image()));
            }
            if version >= BATCHED_SINCE {
                return later.encode(&OffsetFetchResponse { groups, ..Default::default() });
            }
            later.encode(&response_of_one(groups.pop().unwrap_or_default(), version))
        })
    }
}

/// The request of the versions up to 7, as that of the later ones.
fn only_group(request: OffsetFetchRequest<'_>) -> OffsetFetchRequestGroup<'_> {
    let OffsetFetchRequest { group_id, topics, .. } = request;
    let topics = topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id, topics, ..Default::default() }
}

/// The answer of the versions up to 7.
fn response_of_one(group: OffsetFetchResponseGroup<'static>, version: i16) -> OffsetFetchResponse<'static> {
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|p| OffsetFetchResponsePartition {
                partition_index: p.partition_index,
                committed_offset: p.committed_offset,
                committed_leader_epoch: p.committed_leader_epoch,
                metadata: p.metadata,
                error_code: p.error_code,
            })
            .collect(),
    });
    let error_code = if version >= GROUP_ERROR_SINCE { group.error_code } else { ErrorCode::None.as_i16() };
    OffsetFetchResponse { topics: topics.collect(), error_code, ..Default::default() }
}

/// What was asked of one group.
struct Asked {
    group: GroupId,
    member: Option<MemberId>,
    epoch: MemberEpoch,
    topics: Option<Vec<AskedTopic>>,
}

struct AskedTopic {
    name: String,
    id: Uuid,
    /// `None`: no topic can be of this name, or there is none of this id.
    known: Option<TopicName>,
    partitions: Vec<i32>,
}

impl Asked {
    fn of(group: OffsetFetchRequestGroup<'_>, version: i16, image: &MetadataImage) -> Asked {
        let topic = |topic: OffsetFetchRequestTopics<'_>| AskedTopic {
            name: topic.name.to_owned(),
            id: topic.topic_id,
            known: if version >= TOPIC_IDS_SINCE {
                image.topic_by_id(TopicId(topic.topic_id)).map(|topic| topic.name.clone())
            } else {
                TopicName::new(topic.name).ok()
            },
            partitions: topic.partition_indexes,
        };
        Asked {
            group: GroupId::new(group.group_id),
            member: group.member_id.map(MemberId::new),
            epoch: MemberEpoch(group.member_epoch),
            topics: group.topics.map(|topics| topics.into_iter().map(topic).collect()),
        }
    }

    fn known_topics(&self) -> Option<Vec<TopicPartitions>> {
        let known = |topic: &AskedTopic| {
            let partitions = topic.partitions.iter().map(|partition| PartitionId(*partition)).collect();
            topic.known.clone().map(|name| TopicPartitions { topic: name, topic_id: TopicId(topic.id), partitions })
        };
        Some(self.topics.as_ref()?.iter().filter_map(known).collect())
    }

    fn response(self, fetched: Result<Vec<FetchedOffset>, Refused>, version: i16, image: &MetadataImage) -> OffsetFetchResponseGroup<'static> {
        let group_id = Cow::Owned(self.group.as_str().to_owned());
        let (fetched, error) = match fetched {
            Ok(fetched) => (fetched, ErrorCode::None),
            Err(why) => (Vec::new(), why.error_code()),
        };
        if error != ErrorCode::None && version >= GROUP_ERROR_SINCE {
            return OffsetFetchResponseGroup { group_id, error_code: error.as_i16(), ..Default::default() };
        }
        let topics = match self.topics {
            None => by_topic(fetched, version, image),
            Some(asked) => {
                let mut fetched = fetched.into_iter();
                let topic = |topic: AskedTopic| {
                    let AskedTopic { name, id, known, partitions } = topic;
                    let missing = if version >= TOPIC_IDS_SINCE { ErrorCode::UnknownTopicId } else { ErrorCode::None };
                    let partitions = partitions.into_iter().map(|index| match known {
                        Some(_) => fetched.next().map_or_else(|| nothing(index, error), |offset| partition_of(index, offset)),
                        None => nothing(index, if error == ErrorCode::None { missing } else { error }),
                    });
                    let partitions = partitions.collect();
                    OffsetFetchResponseTopics { name: Cow::Owned(name), topic_id: id, partitions }
                };
                asked.into_iter().map(topic).collect()
            }
        };
        OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::None.as_i16() }
    }
}

/// All offsets of a group. By id only those of topics that are there.
fn by_topic(fetched: Vec<FetchedOffset>, version: i16, image: &MetadataImage) -> Vec<OffsetFetchResponseTopics<'static>> {
    let mut topics: Vec<OffsetFetchResponseTopics<'static>> = Vec::new();
    for offset in fetched {
        let id = image.topic(offset.topic.as_str()).map(|topic| topic.id.0);
        if version >= TOPIC_IDS_SINCE && id.is_none() {
            continue;
        }
        let name = offset.topic.as_str().to_owned();
        let partition = partition_of(offset.partition.0, offset);
        match topics.last_mut() {
            Some(last) if last.name == name => last.partitions.push(partition),
            _ => topics.push(OffsetFetchResponseTopics {
                name: Cow::Owned(name),
                topic_id: id.unwrap_or(Uuid::ZERO),
                partitions: vec![partition],
            }),
        }
    }
    topics
}

fn partition_of(index: i32, fetched: FetchedOffset) -> OffsetFetchResponsePartitions<'static> {
    match fetched.result {
        Ok(None) => nothing(index, ErrorCode::None),
        Err(error) => nothing(index, group_error_code(&error)),
        Ok(Some(offset)) => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: offset.offset.0,
            committed_leader_epoch: offset.leader_epoch.0,
            metadata: Some(Cow::Owned(offset.metadata.into_string())),
            error_code: ErrorCode::None.as_i16(),
        },
    }
}

fn nothing(index: i32, error: ErrorCode) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Cow::Borrowed("")),
        error_code: error.as_i16(),
    }
}
