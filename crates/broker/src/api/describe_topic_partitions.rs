//! DescribeTopicPartitions (key 75): partitions with their eligible leader replicas, in pages (KIP-966).
//!
//! Version 0.
//!
//! * Topics in the order of their names, those named or all. At most `response_partition_limit` partitions, and no more than
//!   `max.request.partition.size.limit`; a cursor says where to go on.
//! * Of topics named, those that are not there get UNKNOWN_TOPIC_OR_PARTITION or INVALID_TOPIC_EXCEPTION.
//! * A cursor with a negative partition, or of a topic that is not among those named: INVALID_REQUEST.
//!
//! Known gaps: `last_known_elr` is always empty.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::metadata::{MetadataImage, TopicImage};
use ottla_model::{NodeId, TopicName};
use ottla_wire::ErrorCode;
use ottla_wire::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::metadata::{TOPIC_OPERATIONS, offline_replicas, reachable_leader};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DescribeTopicPartitions;

impl ApiHandler for DescribeTopicPartitions {
    type Request<'a> = DescribeTopicPartitionsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(
        broker: &Arc<BrokerContext>,
        cx: &RequestContext<'_>,
        request: DescribeTopicPartitionsRequest<'_>,
        reply: Reply<'_>,
    ) -> Answer {
        let image = broker.image();
        let (first_topic, first_partition) = request.cursor.as_ref().map_or(("", 0), |c| (c.topic_name, c.partition_index));
        let named: BTreeSet<&str> = request.topics.iter().map(|t| t.name).filter(|name| *name >= first_topic).collect();
        let cursor_is_stray = request.cursor.is_some() && !request.topics.is_empty() && !named.contains(first_topic);
        if first_partition < 0 || cursor_is_stray {
            return reply.send(&invalid(&request));
        }
        let limit = request.response_partition_limit.min(broker.config.max_request_partition_size_limit).max(1) as usize;
        let start = Start { topic: first_topic, partition: first_partition as usize };
        let mut page = Page { image: &image, listener: &cx.listener.name, start, left: limit, response: Default::default() };
        if request.topics.is_empty() {
            for topic in image.topics_from(first_topic) {
                if page.is_full(topic.name.as_str()) || page.add(topic) {
                    break;
                }
            }
        } else {
            for name in named {
                if page.is_full(name) {
                    break;
                }
                match image.topic(name) {
                    Some(topic) => {
                        if page.add(topic) {
                            break;
                        }
                    }
                    None => page.add_missing(name),
                }
            }
        }
        reply.send(&page.response)
    }
}

struct Start<'r> {
    topic: &'r str,
    partition: usize,
}

/// The answer as it fills up.
struct Page<'r> {
    image: &'r MetadataImage,
    listener: &'r str,
    start: Start<'r>,
    left: usize,
    response: DescribeTopicPartitionsResponse<'r>,
}

impl<'r> Page<'r> {
    /// When full, the next page begins with this topic.
    fn is_full(&mut self, next: &'r str) -> bool {
        let full = self.left == 0;
        if full {
            self.response.next_cursor = Some(Cursor { topic_name: Cow::Borrowed(next), partition_index: 0 });
        }
        full
    }

    /// Adds a topic's partitions as far as there is room; true when not all found room.
    fn add(&mut self, topic: &'r TopicImage) -> bool {
        let name = topic.name.as_str();
        let from = if name == self.start.topic { self.start.partition.min(topic.partitions.len()) } else { 0 };
        let upto = topic.partitions.len().min(from.saturating_add(self.left));
        let partitions = topic.iter().skip(from).take(upto - from).map(|(id, partition)| {
            let (leader, error) = reachable_leader(self.image, partition, self.listener);
            let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect::<Vec<i32>>();
            DescribeTopicPartitionsResponsePartition {
                error_code: error.as_i16(),
                partition_index: id.0,
                leader_id: leader.0,
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: ids(&partition.replicas),
                isr_nodes: ids(&partition.isr),
                eligible_leader_replicas: Some(ids(&partition.elr)),
                last_known_elr: Some(Vec::new()),
                offline_replicas: offline_replicas(self.image, partition, self.listener),
            }
        });
        let partitions: Vec<_> = partitions.collect();
        self.left -= partitions.len();
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::None.as_i16(),
            name: Some(Cow::Borrowed(name)),
            topic_id: topic.id.0,
            is_internal: topic.name.is_internal(),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
        });
        let is_cut = upto < topic.partitions.len();
        if is_cut {
            self.response.next_cursor = Some(Cursor { topic_name: Cow::Borrowed(name), partition_index: upto as i32 });
        }
        is_cut
    }

    fn add_missing(&mut self, name: &'r str) {
        let code = if TopicName::new(name).is_ok() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: code.as_i16(),
            name: Some(Cow::Borrowed(name)),
            is_internal: ottla_model::is_internal_topic(name),
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..Default::default()
        });
    }
}

fn invalid<'r>(request: &DescribeTopicPartitionsRequest<'r>) -> DescribeTopicPartitionsResponse<'r> {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.as_i16(),
        name: Some(Cow::Borrowed(topic.name)),
        is_internal: ottla_model::is_internal_topic(topic.name),
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}
