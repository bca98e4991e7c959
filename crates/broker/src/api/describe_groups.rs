//! DescribeGroups (key 15): state and members of classic groups.
//!
//! Versions 0 to 6.
//!
//! * A group that does not exist is `Dead`; from version 6 with GROUP_ID_NOT_FOUND and the reason (KIP-1043).
//! * Ours, in a tagged field that Kafka's clients skip: why the group last rebalanced.
//! * KIP-430: what the client may do to each group, when asked for (version 3).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{ClassicDescription, Request, Response};
use ottla_model::GroupId;
use ottla_wire::ErrorCode;
use ottla_wire::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember};
use ottla_wire::message::metadata::AUTHORIZED_OPERATIONS_OMITTED;

use super::groups::{GROUP_OPERATIONS, Refused, ask_each, last_rebalance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DescribeGroups;

/// First version in which a group that does not exist is an error.
const NOT_FOUND_SINCE: i16 = 6;
/// The state of a group that does not exist.
const DEAD: &str = "Dead";

impl ApiHandler for DescribeGroups {
    type Request<'a> = DescribeGroupsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: DescribeGroupsRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { AUTHORIZED_OPERATIONS_OMITTED };
        let (broker, names) = (Arc::clone(broker), request.groups.iter().map(|name| GroupId::new(name)).collect::<Vec<_>>());
        let take = |response| match response {
            Response::DescribeGroup(described) => Some(described),
            _ => None,
        };
        reply.later(|later| async move {
            let mut groups = Vec::new();
            ask_each(&broker, &names, Request::DescribeGroup, take, |group, described| {
                groups.push(DescribedGroup { authorized_operations: operations, ..described_group(group, described, version) });
            })
            .await;
            later.encode(&DescribeGroupsResponse { groups, ..Default::default() })
        })
    }
}

fn described_group(group: &GroupId, described: Result<ClassicDescription, Refused>, version: i16) -> DescribedGroup<'static> {
    let group_id = Cow::Owned(group.as_str().to_owned());
    match described {
        Err(why) if why.error_code() == ErrorCode::GroupIdNotFound => {
            let is_told = version >= NOT_FOUND_SINCE;
            DescribedGroup {
                error_code: if is_told { ErrorCode::GroupIdNotFound } else { ErrorCode::None }.as_i16(),
                error_message: is_told.then(|| Cow::Owned(why.message())),
                group_id,
                group_state: Cow::Borrowed(DEAD),
                ..Default::default()
            }
        }
        Err(why) => DescribedGroup { error_code: why.error_code().as_i16(), group_id, ..Default::default() },
        Ok(ClassicDescription { state, protocol_type, protocol, members, last_rebalance }) => {
            let text = |text: &str| Cow::Owned(text.to_owned());
            let members = members.iter().map(|member| DescribedGroupMember {
                member_id: text(member.member.as_str()),
                group_instance_id: member.instance.as_ref().map(|id| text(id.as_str())),
                client_id: text(&member.client.id),
                client_host: text(&member.client.host),
                member_metadata: Cow::Owned(member.metadata.to_vec()),
                member_assignment: Cow::Owned(member.assignment.to_vec()),
            });
            DescribedGroup {
                group_id,
                group_state: Cow::Borrowed(state.name()),
                protocol_type: text(&protocol_type),
                protocol_data: text(protocol.as_deref().unwrap_or("")),
                members: members.collect(),
                last_rebalance: last_rebalance.as_ref().map(last_rebalance_of),
                ..Default::default()
            }
        }
    }
}
