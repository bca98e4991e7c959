//! Heartbeat (key 12): a member of a classic group is alive, and learns whether it has to join again (REBALANCE_IN_PROGRESS).
//!
//! Versions 0 to 4.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{Heartbeat as Beat, Request, Response};
use ottla_model::{Generation, GroupId, MemberId};
use ottla_wire::ErrorCode;
use ottla_wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::groups::{self, instance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct Heartbeat;

impl ApiHandler for Heartbeat {
    type Request<'a> = HeartbeatRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: HeartbeatRequest<'_>, reply: Reply<'_>) -> Answer {
        let group = GroupId::new(request.group_id);
        let beat = Beat {
            group: group.clone(),
            member: MemberId::new(request.member_id),
            instance: instance_of(request.group_instance_id),
            generation: Generation(request.generation_id),
        };
        let take = |response| match response {
            Response::Heartbeat(result) => Some(result),
            _ => None,
        };
        groups::ask(broker, reply, &group, Request::Heartbeat(beat), take, |later, result| {
            let code = result.map_or_else(|why| why.error_code(), |()| ErrorCode::None);
            later.encode(&HeartbeatResponse { error_code: code.as_i16(), ..Default::default() })
        })
    }
}
