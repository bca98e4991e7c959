//! OffsetDelete (key 47): forget how far a group has read in some partitions (KIP-496).
//!
//! Version 0. Of a topic that members of the group subscribe to: GROUP_SUBSCRIBED_TO_TOPIC.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{OffsetDelete as Delete, Request, Response, TopicPartitions};
use ottla_model::{GroupId, PartitionId, TopicId, TopicName};
use ottla_wire::ErrorCode;
use ottla_wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::groups::{self, code_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct OffsetDelete;

impl ApiHandler for OffsetDelete {
    type Request<'a> = OffsetDeleteRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: OffsetDeleteRequest<'_>, reply: Reply<'_>) -> Answer {
        let group = GroupId::new(request.group_id);
        let image = broker.image();
        // As in Kafka a topic that is not there is an error of its partitions.
        let known = |name: &str| TopicName::new(name).ok().filter(|name| image.topic(name.as_str()).is_some());
        let mut shape = Vec::with_capacity(request.topics.len());
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let partitions: Vec<PartitionId> = topic.partitions.iter().map(|p| PartitionId(p.partition_index)).collect();
            let name = known(topic.name);
            shape.push((topic.name.to_owned(), partitions.clone(), name.is_some()));
            topics.extend(name.map(|topic| TopicPartitions { topic, topic_id: TopicId::ZERO, partitions }));
        }
        let take = |response| match response {
            Response::OffsetDelete(each) => Some(each),
            _ => None,
        };
        let delete = Request::OffsetDelete(Delete { group: group.clone(), topics });
        groups::ask(broker, reply, &group, delete, take, |later, each| {
            let each = match each {
                Ok(each) => each,
                Err(why) => return later.encode(&OffsetDeleteResponse { error_code: why.error_code().as_i16(), ..Default::default() }),
            };
            let mut each = each.iter();
            let topics = shape.into_iter().map(|(name, partitions, is_known)| {
                let partitions = partitions.into_iter().map(|partition| OffsetDeleteResponsePartition {
                    partition_index: partition.0,
                    error_code: match is_known {
                        true => each.next().map_or(ErrorCode::UnknownServerError.as_i16(), code_of),
                        false => ErrorCode::UnknownTopicOrPartition.as_i16(),
                    },
                });
                let partitions = partitions.collect();
                OffsetDeleteResponseTopic { name: Cow::Owned(name), partitions }
            });
            let topics = topics.collect();
            later.encode(&OffsetDeleteResponse { topics, ..Default::default() })
        })
    }
}
