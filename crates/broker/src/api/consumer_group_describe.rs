//! ConsumerGroupDescribe (key 69): state and members of consumer groups (KIP-848).
//!
//! Versions 0 and 1. A group that is not there, or is a classic one: GROUP_ID_NOT_FOUND.
//!
//! Ours, in a tagged field that Kafka's clients skip: why the group last rebalanced.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{ConsumerGroupDescription, ConsumerMemberDescription, ConsumerMemberType, NamedPartitions, Request, Response};
use ottla_model::GroupId;
use ottla_wire::message::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, MEMBER_TYPE_CLASSIC, MEMBER_TYPE_CONSUMER,
    Member, TopicPartitions,
};
use ottla_wire::message::metadata::AUTHORIZED_OPERATIONS_OMITTED;

use super::groups::{GROUP_OPERATIONS, Refused, ask_each, last_rebalance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct ConsumerGroupDescribe;

impl ApiHandler for ConsumerGroupDescribe {
    type Request<'a> = ConsumerGroupDescribeRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: ConsumerGroupDescribeRequest<'_>, reply: Reply<'_>) -> Answer {
        let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { AUTHORIZED_OPERATIONS_OMITTED };
        let (broker, names) = (Arc::clone(broker), request.group_ids.iter().map(|name| GroupId::new(name)).collect::<Vec<_>>());
        let take = |response| match response {
            Response::ConsumerGroupDescribe(described) => Some(described),
            _ => None,
        };
        reply.later(|later| async move {
            let mut groups = Vec::new();
            ask_each(&broker, &names, Request::ConsumerGroupDescribe, take, |group, described| {
                groups.push(DescribedGroup { authorized_operations: operations, ..described_group(group, described) });
            })
            .await;
            later.encode(&ConsumerGroupDescribeResponse { groups, ..Default::default() })
        })
    }
}

fn text(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn described_group(group: &GroupId, described: Result<ConsumerGroupDescription, Refused>) -> DescribedGroup<'static> {
    let group_id = text(group.as_str());
    match described {
        Err(why) => {
            DescribedGroup { error_code: why.error_code().as_i16(), error_message: Some(Cow::Owned(why.message())), group_id, ..Default::default() }
        }
        Ok(described) => DescribedGroup {
            group_id,
            group_state: Cow::Borrowed(described.state.name()),
            group_epoch: described.epoch.0,
            assignment_epoch: described.target_epoch.0,
            assignor_name: Cow::Borrowed(described.assignor.name()),
            members: described.members.iter().map(member_of).collect(),
            last_rebalance: described.last_rebalance.as_ref().map(last_rebalance_of),
            ..Default::default()
        },
    }
}

fn member_of(member: &ConsumerMemberDescription) -> Member<'static> {
    Member {
        member_id: text(member.member.as_str()),
        instance_id: member.instance.as_ref().map(|id| text(id.as_str())),
        rack_id: member.rack.as_deref().map(text),
        member_epoch: member.epoch.0,
        client_id: text(&member.client.id),
        client_host: text(&member.client.host),
        subscribed_topic_names: member.topic_names.iter().map(|name| text(name)).collect(),
        subscribed_topic_regex: member.topic_regex.as_deref().map(text),
        assignment: assignment_of(&member.assignment),
        target_assignment: assignment_of(&member.target),
        member_type: match member.member_type {
            ConsumerMemberType::Classic => MEMBER_TYPE_CLASSIC,
            ConsumerMemberType::Consumer => MEMBER_TYPE_CONSUMER,
        },
    }
}

fn assignment_of(topics: &[NamedPartitions]) -> Assignment<'static> {
    let topics = topics.iter().map(|topic| TopicPartitions {
        topic_id: topic.topic_id.0,
        topic_name: text(topic.topic.as_str()),
        partitions: topic.partitions.iter().map(|partition| partition.0).collect(),
    });
    Assignment { topic_partitions: topics.collect() }
}
