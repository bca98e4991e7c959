//! CreateTopics (key 19).
//!
//! Versions 0 to 7. Kafka 4 dropped 0 and 1; their meaning is the same, so they are taken.
//!
//! * Each topic succeeds or fails by itself. The answer waits until this broker knows the topics, for at most the request's timeout
//!   (REQUEST_TIMED_OUT; they may still be created).
//! * -1 for the broker's default count or replication factor (KIP-464). A manual assignment excludes both.
//! * Versions 5 and up tell the topic's counts and effective configs (KIP-525), 7 its id (KIP-516).
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::controller::{
    Command, CreateTopics as CreateTopicsCommand, CreatedTopic, NewTopic, Reply as ControllerReply, TopicPlacement,
};
use ottla_model::config::{Overrides, ServerConfig, describe_topic};
use ottla_model::{NodeId, PartitionId};
use ottla_wire::ErrorCode;
use ottla_wire::message::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::controller::error_code as controller_error_code;

/// See the module.
pub struct CreateTopics;

impl ApiHandler for CreateTopics {
    type Request<'a> = CreateTopicsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=7;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: CreateTopicsRequest<'_>, reply: Reply<'_>) -> Answer {
        let mut results = Vec::with_capacity(request.topics.len());
        let mut topics = Vec::new();
        // Where the results of what is sent to the controller belong.
        let mut places = Vec::new();
        for topic in &request.topics {
            match new_topic(topic) {
                Ok(new) => {
                    places.push(results.len());
                    topics.push(new);
                    results.push(failed(topic.name.to_owned(), ErrorCode::UnknownServerError, None));
                }
                Err((code, message)) => results.push(failed(topic.name.to_owned(), code, Some(message))),
            }
        }
        if topics.is_empty() {
            return reply.send(&CreateTopicsResponse { topics: results, ..Default::default() });
        }
        let validate_only = request.validate_only;
        let done = broker.command(
            Command::CreateTopics(CreateTopicsCommand { topics, validate_only }),
            deadline_after(request.timeout_ms),
        );
        let broker = Arc::clone(broker);
        reply.hold(|later| async move {
            match done.await {
                Ok(ControllerReply::TopicsCreated(created)) => {
                    let config = broker.effective_config();
                    for (place, created) in places.into_iter().zip(created) {
                        let Some(result) = results.get_mut(place) else { continue };
                        *result = match created {
                            Ok(created) => success(&config, &created),
                            Err(error) => {
                                failed(std::mem::take(&mut result.name).into_owned(), controller_error_code(&error), Some(error.to_string()))
                            }
                        };
                    }
                }
                Ok(other) => tracing::error!("the controller answered a creation of topics with {other:?}"),
                Err(failure) => {
                    for place in places {
                        if let Some(result) = results.get_mut(place) {
                            result.error_code = failure.error_code().as_i16();
                            result.error_message = Some(Cow::Owned(failure.to_string()));
                        }
                    }
                }
            }
            later.encode(&CreateTopicsResponse { topics: results, ..Default::default() })
        })
    }
}

fn new_topic(topic: &CreatableTopic<'_>) -> Result<NewTopic, (ErrorCode, String)> {
    let placement = if topic.assignments.is_empty() {
        TopicPlacement::Counts { partitions: topic.num_partitions, replication_factor: topic.replication_factor }
    } else if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "with a manual assignment, the number of partitions and the replication factor must be -1";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    } else {
        let brokers = |ids: &[i32]| ids.iter().map(|id| NodeId(*id)).collect();
        TopicPlacement::Manual(topic.assignments.iter().map(|a| (PartitionId(a.partition_index), brokers(&a.broker_ids))).collect())
    };
    let mut configs = Overrides::new();
    for config in &topic.configs {
        let Some(value) = config.value else {
            return Err((ErrorCode::InvalidConfig, format!("{} is given no value", config.name)));
        };
        configs.insert(config.name.to_owned(), value.to_owned());
    }
    Ok(NewTopic { name: topic.name.to_owned(), placement, configs })
}

fn success(config: &ServerConfig, created: &CreatedTopic) -> CreatableTopicResult<'static> {
    let configs = describe_topic(config, &created.configs).into_iter().map(|entry| CreatableTopicConfigs {
        name: Cow::Borrowed(entry.name),
        value: entry.value.map(Cow::Owned),
        read_only: entry.read_only,
        config_source: entry.source.to_wire(),
        is_sensitive: entry.sensitive,
    });
    CreatableTopicResult {
        name: Cow::Owned(created.name.as_str().to_owned()),
        topic_id: created.id.0,
        error_code: ErrorCode::None.as_i16(),
        error_message: None,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

fn failed(name: String, code: ErrorCode, message: Option<String>) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: Cow::Owned(name),
        error_code: code.as_i16(),
        error_message: Some(Cow::Owned(message.unwrap_or_else(|| code.message().to_owned()))),
        ..Default::default()
    }
}
