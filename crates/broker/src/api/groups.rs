//! What the APIs of groups share: how a request's names become the coordinators' own, and the way to ask one and answer later.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_cluster::group::{Client, GroupError, LastRebalance, Request, Response};
use ottla_model::{GroupId, InstanceId};
use ottla_wire::ErrorCode;
use ottla_wire::message::describe_groups as wire;

use super::{Answer, Frame, LaterReply, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::{Unanswered, group_error_code};

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS: all that can be done to a group, to whom nothing is forbidden.
pub(super) const GROUP_OPERATIONS: i32 = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

/// Who asks, as coordinators keep it.
pub(super) fn client_of(cx: &RequestContext<'_>) -> Client {
    // As Java writes an address without a host name.
    Client { id: Arc::from(cx.client_id.unwrap_or("")), host: Arc::from(format!("/{}", cx.peer.ip())) }
}

/// An instance id, if there is one.
pub(super) fn instance_of(id: Option<&str>) -> Option<InstanceId> {
    id.map(InstanceId::new)
}

/// Why there is no result: the coordinator refused, or gave no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// By the coordinator.
    Group(GroupError),
    /// There was no coordinator to ask.
    Unanswered(Unanswered),
}

impl Refused {
    /// What the client is told.
    pub(super) fn error_code(&self) -> ErrorCode {
        match self {
            Refused::Group(error) => group_error_code(error),
            Refused::Unanswered(why) => why.error_code(),
        }
    }

    /// The same for people.
    pub(super) fn message(&self) -> String {
        match self {
            Refused::Group(error) => error.to_string(),
            Refused::Unanswered(why) => why.to_string(),
        }
    }
}

/// The code of one part of an answer.
pub(super) fn code_of(result: &Result<(), GroupError>) -> i16 {
    match result {
        Ok(()) => ErrorCode::None.as_i16(),
        Err(error) => group_error_code(error).as_i16(),
    }
}

/// Why a group last rebalanced, as both kinds of descriptions tell it.
pub(super) fn last_rebalance_of(last: &LastRebalance) -> wire::LastRebalance<'static> {
    wire::LastRebalance {
        began_ms: last.began.0,
        duration_ms: last.duration_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX)),
        reason: Cow::Owned(last.reason.to_string()),
        member_id: last.member.as_ref().map(|member| Cow::Owned(member.as_str().to_owned())),
    }
}

/// Asks a group's coordinator now and answers when it does. `take` finds the result in its answer; an answer of another kind is a defect
/// of ours.
pub(super) fn ask<T: 'static>(
    broker: &Arc<BrokerContext>,
    reply: Reply<'_>,
    group: &GroupId,
    request: Request,
    take: fn(Response) -> Option<Result<T, GroupError>>,
    answer: impl FnOnce(LaterReply, Result<T, Refused>) -> Frame + Send + 'static,
) -> Answer {
    let asked = broker.groups.ask(group, request);
    reply.later(|later| async move { answer(later, taken(asked.await, take)) })
}

/// Questions of one request that are under way at a time. A request may name as many groups as fit into it.
const ASKED_AT_ONCE: usize = 100;

/// Asks about each of these groups, a part of them at a time, and gives the results in their order.
pub(super) async fn ask_each<T>(
    broker: &Arc<BrokerContext>,
    groups: &[GroupId],
    request: fn(GroupId) -> Request,
    take: fn(Response) -> Option<Result<T, GroupError>>,
    mut each: impl FnMut(&GroupId, Result<T, Refused>),
) {
    for part in groups.chunks(ASKED_AT_ONCE) {
        let asked: Vec<_> = part.iter().map(|group| (group, broker.groups.ask(group, request(group.clone())))).collect();
        for (group, answer) in asked {
            each(group, taken(answer.await, take));
        }
    }
}

/// What is in a coordinator's answer.
pub(super) fn taken<T>(answered: Result<Response, Unanswered>, take: fn(Response) -> Option<Result<T, GroupError>>) -> Result<T, Refused> {
    match answered {
        Err(why) => Err(Refused::Unanswered(why)),
        Ok(response) => match take(response) {
            Some(result) => result.map_err(Refused::Group),
            None => {
                tracing::error!("a group coordinator answered another question than it was asked");
                Err(Refused::Unanswered(Unanswered::NotAvailable))
            }
        },
    }
}

/// Shared by the tests of these APIs.
#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
