//! DescribeProducers (key 61): who writes to a partition, and which transactions are open in it (KIP-664).
//!
//! Version 0.
//!
//! * Answered by the leader: NOT_LEADER_OR_FOLLOWER elsewhere.
//! * All producers that the partition knows, whether they have a transaction open or not: a transaction that hangs is found by its start.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_log::ProducerDescription;
use ottla_model::{LeaderEpoch, PartitionId};
use ottla_wire::ErrorCode;
use ottla_wire::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::{Answer, ApiHandler, Reply, RequestContext, TopicRef};
use crate::context::BrokerContext;
use crate::partition::NotServing;

/// See the module.
pub struct DescribeProducers;

impl ApiHandler for DescribeProducers {
    type Request<'a> = DescribeProducersRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn touches(request: &DescribeProducersRequest<'_>, _version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in &request.topics {
            topic.partition_indexes.iter().for_each(|index| each(TopicRef::Name(topic.name), PartitionId(*index)));
        }
    }

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DescribeProducersRequest<'_>, reply: Reply<'_>) -> Answer {
        let topics = request.topics.iter().map(|topic| TopicResponse {
            name: Cow::Borrowed(topic.name),
            partitions: topic.partition_indexes.iter().map(|index| response(*index, describe(broker, topic.name, *index))).collect(),
        });
        reply.send(&DescribeProducersResponse { topics: topics.collect(), ..Default::default() })
    }
}

fn describe(broker: &BrokerContext, topic: &str, index: i32) -> Result<Vec<ProducerDescription>, NotServing> {
    let partition = broker.partition(topic, PartitionId(index))?;
    partition.check_leader(LeaderEpoch::NONE)?;
    Ok(partition.describe_producers())
}

fn response(partition_index: i32, described: Result<Vec<ProducerDescription>, NotServing>) -> PartitionResponse<'static> {
    match described {
        Ok(producers) => PartitionResponse {
            partition_index,
            error_code: ErrorCode::None.as_i16(),
            active_producers: producers.iter().map(state).collect(),
            ..Default::default()
        },
        Err(why) => PartitionResponse {
            partition_index,
            error_code: why.error_code().as_i16(),
            error_message: Some(Cow::Owned(why.to_string())),
            ..Default::default()
        },
    }
}

fn state(producer: &ProducerDescription) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.producer_epoch.0),
        last_sequence: producer.last_sequence.0,
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.open_since.map_or(-1, |since| since.0),
    }
}
