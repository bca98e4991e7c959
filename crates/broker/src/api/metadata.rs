//! Metadata (key 3): brokers, controller, topics, and who leads which partition.
//!
//! Versions 0 to 13.
//!
//! * All topics (an empty list in version 0, null after), those named, or, from version 12 on, those of some ids.
//! * A topic that is not there is created when the request (always, below version 4) and `auto.create.topics.enable` allow it. The answer
//!   waits for it, for at most [`AUTO_CREATE_WAIT_MS`]; beyond that it is LEADER_NOT_AVAILABLE, and clients ask again.
//! * Brokers, and errors of leaders, are told by the address of the listener the request came in on.
//! * Authorized operations (KIP-430) are all there are, as nothing forbids any yet.
//!
//! Known gaps: internal topics are not created by asking for them, until they have their coordinators.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::controller::{Command, ControllerError, CreateTopics, NewTopic, Reply as ControllerReply, TopicPlacement};
use ottla_cluster::metadata::{MetadataImage, PartitionImage, TopicImage};
use ottla_model::{NodeId, TopicId, TopicName, is_internal_topic};
use ottla_wire::ErrorCode;
use ottla_wire::message::metadata::{
    AUTHORIZED_OPERATIONS_OMITTED, MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, CommandFailure, deadline_after};
use crate::controller::error_code as controller_error_code;

/// See the module.
pub struct Metadata;

/// How long an answer waits for topics that it made the controller create.
pub const AUTO_CREATE_WAIT_MS: i32 = 2000;
/// First version that can ask by topic id.
const TOPIC_IDS_SINCE: i16 = 12;
/// First version with an error for a leader that has no such listener.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;

/// Every operation there is on a topic: READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub(super) const TOPIC_OPERATIONS: i32 = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11);
/// Every operation there is on the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub(super) const CLUSTER_OPERATIONS: i32 = (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);

impl ApiHandler for Metadata {
    type Request<'a> = MetadataRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=13;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: MetadataRequest<'_>, reply: Reply<'_>) -> Answer {
        let view = View {
            version: cx.version,
            listener: &cx.listener.name,
            topic_operations: request.include_topic_authorized_operations,
            cluster_operations: request.include_cluster_authorized_operations,
        };
        let image = broker.image();
        let topics = match &request.topics {
            None => return reply.send(&view.response(&image, image.topics().map(|t| view.topic(&image, t)).collect())),
            Some(all) if all.is_empty() && cx.version == 0 => {
                return reply.send(&view.response(&image, image.topics().map(|t| view.topic(&image, t)).collect()));
            }
            Some(topics) => topics,
        };
        if topics.iter().any(|t| cx.version < TOPIC_IDS_SINCE && (t.name.is_none() || !t.topic_id.is_zero())) {
            let refused = topics.iter().map(|t| MetadataResponseTopic {
                error_code: ErrorCode::InvalidRequest.as_i16(),
                name: Some(Cow::Borrowed(t.name.unwrap_or_default())),
                topic_id: t.topic_id,
                ..Default::default()
            });
            return reply.send(&view.response(&image, refused.collect()));
        }
        if topics.iter().any(|t| !t.topic_id.is_zero()) {
            // As in Kafka: with one id in the request, names are not looked at.
            let by_id = topics.iter().filter(|t| !t.topic_id.is_zero()).map(|t| match image.topic_by_id(TopicId(t.topic_id)) {
                Some(topic) => view.topic(&image, topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UnknownTopicId.as_i16(),
                    name: None,
                    topic_id: t.topic_id,
                    ..Default::default()
                },
            });
            return reply.send(&view.response(&image, by_id.collect()));
        }
        let mut seen = BTreeSet::new();
        let names: Vec<&str> = topics.iter().filter_map(|t| t.name).filter(|name| seen.insert(*name)).collect();
        let may_create = request.allow_auto_topic_creation && broker.effective_config().auto_create_topics_enable;
        let creatable = |name: &&str| image.topic(name).is_none() && !is_internal_topic(name) && TopicName::new(name).is_ok();
        let to_create: Vec<String> =
            if may_create { names.iter().copied().filter(creatable).map(str::to_owned).collect() } else { Vec::new() };
        if to_create.is_empty() {
            let named = names.iter().map(|name| view.named(&image, name, ErrorCode::UnknownTopicOrPartition));
            return reply.send(&view.response(&image, named.collect()));
        }
        let created = create(broker, &to_create);
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let listener: Box<str> = view.listener.into();
        let View { version, topic_operations, cluster_operations, .. } = view;
        let broker = Arc::clone(broker);
        reply.hold(|later| async move {
            let failures = created.await;
            let view = View { version, listener: &listener, topic_operations, cluster_operations };
            let image = broker.image();
            let named = names.iter().map(|name| {
                let failure = failures.iter().find(|(failed, _)| failed == name);
                view.named(&image, name, failure.map_or(ErrorCode::UnknownTopicOrPartition, |(_, code)| *code))
            });
            later.encode(&view.response(&image, named.collect()))
        })
    }
}

/// Has topics created with the broker's defaults; gives what failed, and why.
fn create(broker: &Arc<BrokerContext>, names: &[String]) -> impl Future<Output = Vec<(String, ErrorCode)>> + Send + use<> {
    let topics = names.iter().map(|name| NewTopic {
        name: name.clone(),
        placement: TopicPlacement::Counts { partitions: -1, replication_factor: -1 },
        configs: Default::default(),
    });
    let command = Command::CreateTopics(CreateTopics { topics: topics.collect(), validate_only: false });
    let done = broker.command(command, deadline_after(AUTO_CREATE_WAIT_MS));
    let names = names.to_vec();
    async move {
        let all = |code: ErrorCode| names.iter().map(|name| (name.clone(), code)).collect();
        match done.await {
            Ok(ControllerReply::TopicsCreated(results)) => {
                let failed = |(name, result): (&String, Result<_, ControllerError>)| match result {
                    Ok(_) => None,
                    // Another client was faster: it is there, or will be in a moment.
                    Err(ControllerError::TopicExists { .. }) => Some((name.clone(), ErrorCode::LeaderNotAvailable)),
                    Err(error) => Some((name.clone(), controller_error_code(&error))),
                };
                names.iter().zip(results).filter_map(failed).collect()
            }
            Ok(other) => {
                tracing::error!("the controller answered a creation of topics with {other:?}");
                all(ErrorCode::UnknownServerError)
            }
            Err(CommandFailure::TimedOut) => all(ErrorCode::LeaderNotAvailable),
            Err(failure) => all(failure.error_code()),
        }
    }
}

/// How the answer is to look.
struct View<'r> {
    version: i16,
    listener: &'r str,
    topic_operations: bool,
    cluster_operations: bool,
}

impl View<'_> {
    fn response<'i>(&self, image: &'i MetadataImage, topics: Vec<MetadataResponseTopic<'i>>) -> MetadataResponse<'i> {
        let brokers = image.brokers().filter(|b| !b.fenced).filter_map(|b| {
            let at = b.end_point(self.listener)?;
            Some(MetadataResponseBroker {
                node_id: b.id.0,
                host: Cow::Borrowed(&*at.host),
                port: i32::from(at.port),
                rack: b.rack.as_deref().map(Cow::Borrowed),
            })
        });
        MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(Cow::Borrowed(&image.cluster_id().0)),
            controller_id: image.controller().0,
            topics,
            cluster_authorized_operations: if self.cluster_operations { CLUSTER_OPERATIONS } else { AUTHORIZED_OPERATIONS_OMITTED },
            ..Default::default()
        }
    }

    fn named<'i>(&self, image: &'i MetadataImage, name: &'i str, if_missing: ErrorCode) -> MetadataResponseTopic<'i> {
        match image.topic(name) {
            Some(topic) => self.topic(image, topic),
            None => MetadataResponseTopic {
                error_code: if TopicName::new(name).is_ok() { if_missing } else { ErrorCode::InvalidTopicException }.as_i16(),
                name: Some(Cow::Borrowed(name)),
                is_internal: is_internal_topic(name),
                ..Default::default()
            },
        }
    }

    fn topic<'i>(&self, image: &'i MetadataImage, topic: &'i TopicImage) -> MetadataResponseTopic<'i> {
        let partitions = topic.iter().map(|(id, partition)| {
            let (leader, mut error) = reachable_leader(image, partition, self.listener);
            if error == ErrorCode::ListenerNotFound && self.version < LISTENER_NOT_FOUND_SINCE {
                error = ErrorCode::LeaderNotAvailable;
            }
            let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect::<Vec<i32>>();
            MetadataResponsePartition {
                error_code: error.as_i16(),
                partition_index: id.0,
                leader_id: leader.0,
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: ids(&partition.replicas),
                isr_nodes: ids(&partition.isr),
                offline_replicas: offline_replicas(image, partition, self.listener),
            }
        });
        MetadataResponseTopic {
            error_code: ErrorCode::None.as_i16(),
            name: Some(Cow::Borrowed(topic.name.as_str())),
            topic_id: topic.id.0,
            is_internal: topic.name.is_internal(),
            partitions: partitions.collect(),
            topic_authorized_operations: if self.topic_operations { TOPIC_OPERATIONS } else { AUTHORIZED_OPERATIONS_OMITTED },
        }
    }
}

/// A partition's leader as a client on this listener sees it.
pub(super) fn reachable_leader(image: &MetadataImage, partition: &PartitionImage, listener: &str) -> (NodeId, ErrorCode) {
    match image.broker(partition.leader).filter(|b| !b.fenced) {
        None => (NodeId::NONE, ErrorCode::LeaderNotAvailable),
        Some(leader) if leader.end_point(listener).is_none() => (NodeId::NONE, ErrorCode::ListenerNotFound),
        Some(leader) => (leader.id, ErrorCode::None),
    }
}

/// The replicas that no client on this listener could reach, or that are in a log dir that has failed.
pub(super) fn offline_replicas(image: &MetadataImage, partition: &PartitionImage, listener: &str) -> Vec<i32> {
    let is_online = |id: &&NodeId| {
        image.broker(**id).is_some_and(|b| !b.fenced && b.end_point(listener).is_some() && b.has_replica_online(partition))
    };
    partition.replicas.iter().filter(|id| !is_online(id)).map(|id| id.0).collect()
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
