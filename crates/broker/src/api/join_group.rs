//! JoinGroup (key 11): become a member of a classic group's next generation, or stay one.
//!
//! Versions 0 to 9.
//!
//! * Answered when the generation begins: when all members have joined again, or their time is over.
//! * KIP-394: from version 4 a new dynamic member is given its id first (MEMBER_ID_REQUIRED). KIP-345: static members (version 5).
//!   KIP-800: reasons (version 8). KIP-814: the leader can be told to leave the assignment as it is (version 9).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{JoinGroup as Join, JoinGroupResponse as JoinedOrNot, Request, Response};
use ottla_model::{GroupId, MemberId};
use ottla_wire::ErrorCode;
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::groups::{self, Refused, client_of, instance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::storage::random_uuid;

/// See the module.
pub struct JoinGroup;

/// First version in which a new member is given its id first.
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;
/// First version whose answer may lack the protocol's name.
const PROTOCOL_MAY_LACK_SINCE: i16 = 7;
/// First version that can tell the leader not to assign.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

impl ApiHandler for JoinGroup {
    type Request<'a> = JoinGroupRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=9;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: JoinGroupRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let fresh_id = match random_uuid() {
            Ok(id) => id,
            Err(error) => {
                tracing::error!("no member id can be drawn: {error}");
                return reply.send(&refused(version, request.member_id, ErrorCode::UnknownServerError));
            }
        };
        let group = GroupId::new(request.group_id);
        let join = Join {
            group: group.clone(),
            member: MemberId::new(request.member_id),
            instance: instance_of(request.group_instance_id),
            client: client_of(cx),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: if request.rebalance_timeout_ms < 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms },
            protocol_type: Arc::from(request.protocol_type),
            protocols: request.protocols.iter().map(|protocol| (Arc::from(protocol.name), Arc::from(protocol.metadata))).collect(),
            reason: request.reason.filter(|reason| !reason.is_empty()).map(Arc::from),
            member_id_required: version >= MEMBER_ID_REQUIRED_SINCE,
            can_skip_assignment: version >= SKIP_ASSIGNMENT_SINCE,
            fresh_id,
        };
        let member = request.member_id.to_owned();
        let take = |response| match response {
            Response::JoinGroup(joined) => Some(Ok(joined)),
            _ => None,
        };
        groups::ask(broker, reply, &group, Request::JoinGroup(join), take, move |later, joined| match joined {
            Ok(JoinedOrNot { member, result: Err(error) }) => {
                later.encode(&refused(version, member.as_str(), Refused::Group(error).error_code()))
            }
            Ok(JoinedOrNot { member, result: Ok(joined) }) => {
                let text = |text: &Arc<str>| Cow::Owned(text.to_string());
                let members = joined.members.iter().map(|other| JoinGroupResponseMember {
                    member_id: Cow::Borrowed(other.member.as_str()),
                    group_instance_id: other.instance.as_ref().map(|id| Cow::Borrowed(id.as_str())),
                    metadata: Cow::Borrowed(&*other.metadata),
                });
                later.encode(&JoinGroupResponse {
                    error_code: ErrorCode::None.as_i16(),
                    generation_id: joined.generation.0,
                    protocol_type: joined.protocol_type.as_ref().map(text),
                    protocol_name: protocol_name(version, joined.protocol.as_deref()),
                    leader: Cow::Borrowed(joined.leader.as_str()),
                    skip_assignment: joined.skip_assignment,
                    member_id: Cow::Borrowed(member.as_str()),
                    members: members.collect(),
                    ..Default::default()
                })
            }
            Err(why) => later.encode(&refused(version, &member, why.error_code())),
        })
    }
}

fn protocol_name(version: i16, name: Option<&str>) -> Option<Cow<'_, str>> {
    match name {
        Some(name) => Some(Cow::Borrowed(name)),
        None if version >= PROTOCOL_MAY_LACK_SINCE => None,
        None => Some(Cow::Borrowed("")),
    }
}

fn refused(version: i16, member: &str, code: ErrorCode) -> JoinGroupResponse<'_> {
    JoinGroupResponse {
        error_code: code.as_i16(),
        generation_id: -1,
        protocol_name: protocol_name(version, None),
        member_id: Cow::Borrowed(member),
        ..Default::default()
    }
}
