//! DeleteGroups (key 42): delete groups that have no members, with their offsets (KIP-229).
//!
//! Versions 0 to 2. A group with members: NON_EMPTY_GROUP.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{Request, Response};
use ottla_model::GroupId;
use ottla_wire::ErrorCode;
use ottla_wire::message::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::groups::taken;
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DeleteGroups;

impl ApiHandler for DeleteGroups {
    type Request<'a> = DeleteGroupsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DeleteGroupsRequest<'_>, reply: Reply<'_>) -> Answer {
        let asked = request.groups_names.iter().map(|name| {
            let group = GroupId::new(name);
            let answer = broker.groups.ask(&group, Request::DeleteGroup(group.clone()));
            (group, answer)
        });
        let asked: Vec<_> = asked.collect();
        let take = |response| match response {
            Response::DeleteGroup(deleted) => Some(deleted),
            _ => None,
        };
        reply.later(|later| async move {
            let mut results = Vec::with_capacity(asked.len());
            for (group, answer) in asked {
                let code = taken(answer.await, take).map_or_else(|why| why.error_code(), |()| ErrorCode::None);
                results.push(DeletableGroupResult { group_id: Cow::Owned(group.as_str().to_owned()), error_code: code.as_i16() });
            }
            later.encode(&DeleteGroupsResponse { results, ..Default::default() })
        })
    }
}
