//! OffsetForLeaderEpoch (key 23): where an epoch ends in the leader's log (KIP-101, KIP-279, KIP-320).
//!
//! Versions 0 to 4. Followers and consumers find out by it what of their own is not the leader's.
//!
//! * An epoch that the log knows, or the largest before it, with its end offset; the leader's own epoch ends at the log end.
//! * An epoch that no record is older than: -1 and -1.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, PartitionId};
use ottla_wire::ErrorCode;
use ottla_wire::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use super::{Answer, ApiHandler, Reply, RequestContext, TopicRef};
use crate::context::BrokerContext;
use crate::partition::NotServing;

/// See the module.
pub struct OffsetForLeaderEpoch;

impl ApiHandler for OffsetForLeaderEpoch {
    type Request<'a> = OffsetForLeaderEpochRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn touches(request: &OffsetForLeaderEpochRequest<'_>, _version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in &request.topics {
            topic.partitions.iter().for_each(|asked| each(TopicRef::Name(topic.topic), PartitionId(asked.partition)));
        }
    }

    fn handle(
        broker: &Arc<BrokerContext>,
        _cx: &RequestContext<'_>,
        request: OffsetForLeaderEpochRequest<'_>,
        reply: Reply<'_>,
    ) -> Answer {
        let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
            topic: Cow::Borrowed(topic.topic),
            partitions: topic.partitions.iter().map(|asked| response(asked, find(broker, topic.topic, asked))).collect(),
        });
        reply.send(&OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
    }
}

fn find(broker: &BrokerContext, topic: &str, asked: &OffsetForLeaderPartition) -> Result<(LeaderEpoch, Offset), NotServing> {
    let partition = broker.partition(topic, PartitionId(asked.partition))?;
    partition.check_leader(LeaderEpoch(asked.current_leader_epoch))?;
    Ok(partition.epoch_end_offset(LeaderEpoch(asked.leader_epoch)))
}

fn response(asked: &OffsetForLeaderPartition, found: Result<(LeaderEpoch, Offset), NotServing>) -> EpochEndOffset {
    match found {
        Ok((epoch, end)) => EpochEndOffset {
            error_code: ErrorCode::None.as_i16(),
            partition: asked.partition,
            leader_epoch: epoch.0,
            end_offset: end.0,
        },
        Err(why) => EpochEndOffset { error_code: why.error_code().as_i16(), partition: asked.partition, ..Default::default() },
    }
}
