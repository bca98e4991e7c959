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

use super::groups::ask_each;
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DeleteGroups;

impl ApiHandler for DeleteGroups {
    type Request<'a> = DeleteGroupsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DeleteGroupsRequest<'_>, reply: Reply<'_>) -> Answer {
        let (broker, names) = (Arc::clone(broker), request.groups_names.iter().map(|name| GroupId::new(name)).collect::<Vec<_>>());
        let take = |response| match response {
            Response::DeleteGroup(deleted) => Some(deleted),
            _ => None,
        };
        reply.later(|later| async move {
            let mut results = Vec::new();
            ask_each(&broker, &names, Request::DeleteGroup, take, |group, deleted| {
                let code = deleted.map_or_else(|why| why.error_code(), |()| ErrorCode::None);
                results.push(DeletableGroupResult { group_id: Cow::Owned(group.as_str().to_owned()), error_code: code.as_i16() });
            })
            .await;
            later.encode(&DeleteGroupsResponse { results, ..Default::default() })
        })
    }
}
