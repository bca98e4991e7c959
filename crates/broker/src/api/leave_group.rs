//! LeaveGroup (key 13): members leave a classic group; also how an administrator removes them.
//!
//! Versions 0 to 5.
//!
//! * KIP-345: several members at once, and static ones by their instance ids (version 3). Before, the one member's error is the answer's.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{LeaveGroup as Leave, LeavingMember, Request, Response};
use ottla_model::{GroupId, MemberId};
use ottla_wire::ErrorCode;
use ottla_wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::groups::{self, code_of, instance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct LeaveGroup;

/// First version with several members.
const BATCHED_SINCE: i16 = 3;

impl ApiHandler for LeaveGroup {
    type Request<'a> = LeaveGroupRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: LeaveGroupRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let group = GroupId::new(request.group_id);
        let members = if version >= BATCHED_SINCE {
            let leaving = request.members.iter().map(|member| LeavingMember {
                member: MemberId::new(member.member_id),
                instance: instance_of(member.group_instance_id),
                reason: member.reason.filter(|reason| !reason.is_empty()).map(Arc::from),
            });
            leaving.collect()
        } else {
            vec![LeavingMember { member: MemberId::new(request.member_id), instance: None, reason: None }]
        };
        let take = |response| match response {
            Response::LeaveGroup(left) => Some(left),
            _ => None,
        };
        let leave = Request::LeaveGroup(Leave { group: group.clone(), members });
        groups::ask(broker, reply, &group, leave, take, move |later, left| match left {
            Err(why) => later.encode(&LeaveGroupResponse { error_code: why.error_code().as_i16(), ..Default::default() }),
            Ok(left) if version < BATCHED_SINCE => {
                let error_code = left.first().map_or(ErrorCode::None.as_i16(), |member| code_of(&member.result));
                later.encode(&LeaveGroupResponse { error_code, ..Default::default() })
            }
            Ok(left) => {
                let members = left.iter().map(|member| MemberResponse {
                    member_id: Cow::Borrowed(member.member.as_str()),
                    group_instance_id: member.instance.as_ref().map(|id| Cow::Borrowed(id.as_str())),
                    error_code: code_of(&member.result),
                });
                later.encode(&LeaveGroupResponse { members: members.collect(), ..Default::default() })
            }
        })
    }
}
