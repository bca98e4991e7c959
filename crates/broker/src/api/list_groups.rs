//! ListGroups (key 16): all groups that this broker coordinates.
//!
//! Versions 0 to 5. Filtered by state (KIP-518, version 4) and by type (KIP-848, version 5).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{ListGroups as List, Request, Response};
use ottla_wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct ListGroups;

impl ApiHandler for ListGroups {
    type Request<'a> = ListGroupsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: ListGroupsRequest<'_>, reply: Reply<'_>) -> Answer {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let filter = List { states: owned(&request.states_filter), types: owned(&request.types_filter) };
        let asked = broker.groups.ask_all(&Request::ListGroups(filter));
        reply.later(|later| async move {
            let answers = match asked.await {
                Ok(answers) => answers,
                Err(why) => return later.encode(&ListGroupsResponse { error_code: why.error_code().as_i16(), ..Default::default() }),
            };
            let listed = answers.iter().flat_map(|answer| match answer {
                Response::ListGroups(listed) => listed.as_slice(),
                _ => &[],
            });
            let groups = listed.map(|group| ListedGroup {
                group_id: Cow::Borrowed(group.group.as_str()),
                protocol_type: Cow::Borrowed(&*group.protocol_type),
                group_state: Cow::Borrowed(group.state.name()),
                group_type: Cow::Borrowed(group.group_type.name()),
            });
            later.encode(&ListGroupsResponse { groups: groups.collect(), ..Default::default() })
        })
    }
}
