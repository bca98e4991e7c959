//! FindCoordinator (key 10): which broker coordinates a group or a transactional id.
//!
//! Versions 0 to 6.
//!
//! * A group's coordinator leads the partition of `__consumer_offsets` that the group falls to, a transactional id's (from version 1) that of
//!   `__transaction_state`. Each topic is made when it is first asked for; until it is there, and while the partition has no leader,
//!   COORDINATOR_NOT_AVAILABLE.
//! * KIP-699: several keys at once (version 4). An unknown kind of key: INVALID_REQUEST.
//!
//! Known gaps: share groups (KIP-932) get INVALID_REQUEST.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_wire::ErrorCode;
use ottla_wire::message::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP, KEY_TYPE_TRANSACTION,
};

use super::metadata::reachable_leader;
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, NodeAddress};
use crate::coordinator::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, ensure_offsets_topic, ensure_transactions_topic, partition_of};

/// See the module.
pub struct FindCoordinator;

/// First version that asks for several keys.
const BATCHED_SINCE: i16 = 4;

impl ApiHandler for FindCoordinator {
    type Request<'a> = FindCoordinatorRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: FindCoordinatorRequest<'_>, reply: Reply<'_>) -> Answer {
        let keys: Vec<&str> = if cx.version >= BATCHED_SINCE { request.coordinator_keys } else { vec![request.key] };
        let topic = match request.key_type {
            KEY_TYPE_GROUP => OFFSETS_TOPIC,
            KEY_TYPE_TRANSACTION => TRANSACTIONS_TOPIC,
            _ => {
                let why = (ErrorCode::InvalidRequest, "there are no coordinators for this type of key".to_owned());
                let results = keys.into_iter().map(|key| (key.to_owned(), Err(why.clone())));
                return reply.send(&response(cx.version, results.collect()));
            }
        };
        if broker.image().topic(topic).is_some() {
            let results = keys.into_iter().map(|key| (key.to_owned(), find(broker, topic, key, &cx.listener.name)));
            return reply.send(&response(cx.version, results.collect()));
        }
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        let (broker, version, listener) = (Arc::clone(broker), cx.version, cx.listener.name.clone());
        reply.later(|later| async move {
            let made = match topic {
                OFFSETS_TOPIC => ensure_offsets_topic(&broker).await,
                _ => ensure_transactions_topic(&broker).await,
            };
            if let Err(failure) = made {
                tracing::warn!("the topic {topic} cannot be made: {failure}");
                let why = failure.to_string();
                let results = keys.into_iter().map(|key| (key, Err((ErrorCode::CoordinatorNotAvailable, why.clone()))));
                return later.encode(&response(version, results.collect()));
            }
            let results = keys.into_iter().map(|key| {
                let found = find(&broker, topic, &key, &listener);
                (key, found)
            });
            later.encode(&response(version, results.collect()))
        })
    }
}

type Found = Result<NodeAddress, (ErrorCode, String)>;

fn find(broker: &BrokerContext, topic: &str, key: &str, listener: &str) -> Found {
    let image = broker.image();
    let partition = partition_of(&image, topic, key);
    let leader = partition.and_then(|partition| image.partition(topic, partition)).map(|partition| {
        let (leader, _) = reachable_leader(&image, partition, listener);
        leader.0
    });
    let address = leader.and_then(|leader| broker.endpoints(&[leader], listener).pop());
    address.ok_or_else(|| (ErrorCode::CoordinatorNotAvailable, format!("the partition of {topic} has no leader that can be reached")))
}

fn response(version: i16, results: Vec<(String, Found)>) -> FindCoordinatorResponse<'static> {
    let coordinators = results.into_iter().map(|(key, found)| match found {
        Ok(at) => Coordinator {
            key: Cow::Owned(key),
            node_id: at.node.0,
            host: Cow::Owned(at.host),
            port: at.port,
            error_code: ErrorCode::None.as_i16(),
            error_message: Some(Cow::Borrowed("")),
        },
        Err((code, message)) => Coordinator {
            key: Cow::Owned(key),
            node_id: -1,
            host: Cow::Borrowed(""),
            port: -1,
            error_code: code.as_i16(),
            error_message: Some(Cow::Owned(message)),
        },
    });
    let mut coordinators: Vec<Coordinator<'static>> = coordinators.collect();
    if version >= BATCHED_SINCE {
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Some(Coordinator { node_id, host, port, error_code, error_message, .. }) = coordinators.pop() else {
        return FindCoordinatorResponse::default();
    };
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}
