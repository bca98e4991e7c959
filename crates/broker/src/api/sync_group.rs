//! SyncGroup (key 14): the leader of a classic group hands out the assignments, every member waits for its own.
//!
//! Versions 0 to 5.
//!
//! * Answered when the leader's assignments are durable. KIP-559: protocol type and name are held against the group's (version 5).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{Request, Response, SyncGroup as Sync};
use ottla_model::{Generation, GroupId, MemberId};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::groups::{self, instance_of};
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct SyncGroup;

impl ApiHandler for SyncGroup {
    type Request<'a> = SyncGroupRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: SyncGroupRequest<'_>, reply: Reply<'_>) -> Answer {
        let group = GroupId::new(request.group_id);
        let assignments = request.assignments.iter().map(|each| (MemberId::new(each.member_id), Arc::from(each.assignment)));
        let sync = Sync {
            group: group.clone(),
            member: MemberId::new(request.member_id),
            instance: instance_of(request.group_instance_id),
            generation: Generation(request.generation_id),
            protocol_type: request.protocol_type.map(Arc::from),
            protocol: request.protocol_name.map(Arc::from),
            assignments: assignments.collect(),
        };
        let take = |response| match response {
            Response::SyncGroup(synced) => Some(synced),
            _ => None,
        };
        groups::ask(broker, reply, &group, Request::SyncGroup(sync), take, |later, synced| match synced {
            Ok(synced) => later.encode(&SyncGroupResponse {
                protocol_type: synced.protocol_type.as_deref().map(Cow::Borrowed),
                protocol_name: synced.protocol.as_deref().map(Cow::Borrowed),
                assignment: Cow::Borrowed(&*synced.assignment),
                ..Default::default()
            }),
            Err(why) => later.encode(&SyncGroupResponse { error_code: why.error_code().as_i16(), ..Default::default() }),
        })
    }
}
