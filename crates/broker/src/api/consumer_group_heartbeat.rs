//! ConsumerGroupHeartbeat (key 68): a member of a consumer group is alive, says what changed, and learns what it is to read (KIP-848).
//!
//! Versions 0 and 1.
//!
//! * Epoch 0 joins, -1 leaves, -2 leaves as a static member that comes back. What is null is as before, in both directions.
//! * Subscriptions by pattern, and ids that the member makes itself (KIP-1082), from version 1.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{Assignment, ConsumerGroupHeartbeat as Beat, Request, Response};
use ottla_model::{GroupId, MemberEpoch, MemberId, PartitionId, TopicId};
use ottla_wire::ErrorCode;
use ottla_wire::message::consumer_group_heartbeat::{
    self as wire, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::groups::{self, client_of, instance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::storage::random_uuid;

/// See the module.
pub struct ConsumerGroupHeartbeat;

/// First version in which a member makes its own id.
const MEMBER_ID_REQUIRED_SINCE: i16 = 1;

impl ApiHandler for ConsumerGroupHeartbeat {
    type Request<'a> = ConsumerGroupHeartbeatRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: ConsumerGroupHeartbeatRequest<'_>, reply: Reply<'_>) -> Answer {
        let fresh_id = match random_uuid() {
            Ok(id) => id,
            Err(error) => {
                tracing::error!("no member id can be drawn: {error}");
                return reply.send(&refused(ErrorCode::UnknownServerError, "no member id can be drawn".to_owned()));
            }
        };
        let group = GroupId::new(request.group_id);
        let beat = Beat {
            group: group.clone(),
            member: MemberId::new(request.member_id),
            epoch: MemberEpoch(request.member_epoch),
            instance: instance_of(request.instance_id),
            rack: request.rack_id.map(Arc::from),
            client: client_of(cx),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            topic_names: request.subscribed_topic_names.map(|names| names.into_iter().map(Arc::from).collect()),
            topic_regex: request.subscribed_topic_regex.map(Arc::from),
            assignor: request.server_assignor.map(Arc::from),
            owned: request.topic_partitions.as_deref().map(assignment_of),
            member_id_required: cx.version >= MEMBER_ID_REQUIRED_SINCE,
            fresh_id,
        };
        let take = |response| match response {
            Response::ConsumerGroupHeartbeat(result) => Some(result),
            _ => None,
        };
        groups::ask(broker, reply, &group, Request::ConsumerGroupHeartbeat(beat), take, |later, result| match result {
            Err(why) => later.encode(&refused(why.error_code(), why.message())),
            Ok(beat) => later.encode(&ConsumerGroupHeartbeatResponse {
                member_id: Some(Cow::Borrowed(beat.member.as_str())),
                member_epoch: beat.epoch.0,
                heartbeat_interval_ms: beat.heartbeat_interval_ms,
                assignment: beat.assignment.as_ref().map(|assignment| wire::Assignment {
                    topic_partitions: assignment
                        .topics()
                        .map(|(topic, partitions)| TopicPartitions {
                            topic_id: topic.0,
                            partitions: partitions.iter().map(|partition| partition.0).collect(),
                        })
                        .collect(),
                }),
                ..Default::default()
            }),
        })
    }
}

fn assignment_of(topics: &[TopicPartitions]) -> Assignment {
    let each = |topic: &TopicPartitions| {
        let id = TopicId(topic.topic_id);
        topic.partitions.iter().map(move |partition| (id, PartitionId(*partition))).collect::<Vec<_>>()
    };
    topics.iter().flat_map(each).collect()
}

fn refused(code: ErrorCode, message: String) -> ConsumerGroupHeartbeatResponse<'static> {
    ConsumerGroupHeartbeatResponse { error_code: code.as_i16(), error_message: Some(Cow::Owned(message)), ..Default::default() }
}
