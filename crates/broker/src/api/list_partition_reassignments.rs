//! ListPartitionReassignments (key 46): partitions whose replicas are on the move (KIP-455).
//!
//! Version 0. All of them, or those of the topics and partitions named; what is named but not moving, or not there, is left out, as in
//! Kafka.
//!
//! Known gaps: none; nothing can be reassigned yet, so the list is empty until that comes.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::metadata::{PartitionImage, TopicImage};
use ottla_model::{NodeId, PartitionId};
use ottla_wire::message::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};

use super::{Answer, ApiHandler, Listeners, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct ListPartitionReassignments;

impl ApiHandler for ListPartitionReassignments {
    type Request<'a> = ListPartitionReassignmentsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const LISTENERS: Listeners = Listeners::Both;

    fn handle(
        broker: &Arc<BrokerContext>,
        _cx: &RequestContext<'_>,
        request: ListPartitionReassignmentsRequest<'_>,
        reply: Reply<'_>,
    ) -> Answer {
        let image = broker.image();
        let topics = match &request.topics {
            None => image.topics().filter_map(|topic| moving(topic, |_| true)).collect(),
            Some(named) => named
                .iter()
                .filter_map(|asked| moving(image.topic(asked.name)?, |partition| asked.partition_indexes.contains(&partition.0)))
                .collect(),
        };
        reply.send(&ListPartitionReassignmentsResponse { error_message: None, topics, ..Default::default() })
    }
}

fn moving(topic: &TopicImage, is_asked: impl Fn(PartitionId) -> bool) -> Option<OngoingTopicReassignment<'_>> {
    let partitions: Vec<_> = topic
        .iter()
        .filter(|(id, partition)| partition.is_reassigning() && is_asked(*id))
        .map(|(id, partition)| ongoing(id, partition))
        .collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment { name: Cow::Borrowed(topic.name.as_str()), partitions })
}

fn ongoing(id: PartitionId, partition: &PartitionImage) -> OngoingPartitionReassignment {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect();
    OngoingPartitionReassignment {
        partition_index: id.0,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding_replicas),
        removing_replicas: ids(&partition.removing_replicas),
    }
}
