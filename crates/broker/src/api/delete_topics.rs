//! DeleteTopics (key 20).
//!
//! Versions 0 to 6. Kafka 4 dropped 0, which is the same but for the throttle time; sarama sends it by default.
//!
//! * By name, and from version 6 on by id (KIP-516); one of the two for each topic.
//! * With `delete.topic.enable=false`: TOPIC_DELETION_DISABLED, which versions below 3 know as INVALID_REQUEST.
//! * The answer waits until this broker has forgotten the topics, for at most the request's timeout. Their files go later
//!   (`file.delete.delay.ms`).
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::controller::{Command, DeleteTopics as DeleteTopicsCommand, Reply as ControllerReply, TopicRef};
use ottla_model::{TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::message::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::controller::error_code as controller_error_code;

/// See the module.
pub struct DeleteTopics;

/// First version that takes ids.
const TOPIC_IDS_SINCE: i16 = 6;
/// First version that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;

impl ApiHandler for DeleteTopics {
    type Request<'a> = DeleteTopicsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: DeleteTopicsRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let named: Vec<(Option<&str>, Uuid)> = if version >= TOPIC_IDS_SINCE {
            request.topics.iter().map(|t| (t.name, t.topic_id)).collect()
        } else {
            request.topic_names.iter().map(|name| (Some(*name), Uuid::ZERO)).collect()
        };
        let mut results = Vec::with_capacity(named.len());
        let mut topics = Vec::new();
        let mut places = Vec::new();
        for (name, id) in named {
            let asked = match (name, id.is_zero()) {
                (Some(name), true) => Ok(TopicRef::Name(name.to_owned())),
                (None, false) => Ok(TopicRef::Id(TopicId(id))),
                (Some(_), false) => Err("name the topic or give its id, not both"),
                (None, true) => Err("neither a name nor an id was given"),
            };
            let mut result = DeletableTopicResult {
                name: name.map(|name| Cow::Owned(name.to_owned())),
                topic_id: id,
                error_code: ErrorCode::UnknownServerError.as_i16(),
                ..Default::default()
            };
            match asked {
                Ok(topic) => {
                    places.push(results.len());
                    topics.push(topic);
                }
                Err(message) => set_error(&mut result, ErrorCode::InvalidRequest, message.to_owned()),
            }
            results.push(result);
        }
        if topics.is_empty() {
            return reply.send(&DeleteTopicsResponse { responses: results, ..Default::default() });
        }
        let done = broker.command(Command::DeleteTopics(DeleteTopicsCommand { topics }), deadline_after(request.timeout_ms));
        reply.hold(|later| async move {
            match done.await {
                Ok(ControllerReply::TopicsDeleted(deleted)) => {
                    for (place, deleted) in places.into_iter().zip(deleted) {
                        let Some(result) = results.get_mut(place) else { continue };
                        match deleted {
                            Ok((name, id)) => {
                                result.name = Some(Cow::Owned(name.as_str().to_owned()));
                                result.topic_id = id.0;
                                result.error_code = ErrorCode::None.as_i16();
                            }
                            Err(error) => set_error(result, known_to(version, controller_error_code(&error)), error.to_string()),
                        }
                    }
                }
                Ok(other) => tracing::error!("the controller answered a deletion of topics with {other:?}"),
                Err(failure) => {
                    for place in places {
                        if let Some(result) = results.get_mut(place) {
                            set_error(result, known_to(version, failure.error_code()), failure.to_string());
                        }
                    }
                }
            }
            later.encode(&DeleteTopicsResponse { responses: results, ..Default::default() })
        })
    }
}

/// The code, or what a version that does not know it is told.
fn known_to(version: i16, code: ErrorCode) -> ErrorCode {
    if code == ErrorCode::TopicDeletionDisabled && version < DELETION_DISABLED_SINCE { ErrorCode::InvalidRequest } else { code }
}

fn set_error(result: &mut DeletableTopicResult<'_>, code: ErrorCode, message: String) {
    result.error_code = code.as_i16();
    result.error_message = Some(Cow::Owned(message));
}
