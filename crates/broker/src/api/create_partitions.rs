//! CreatePartitions (key 37): raises topics' numbers of partitions (KIP-195).
//!
//! Versions 0 to 3.
//!
//! * The count is the new total. No more than before: INVALID_PARTITIONS.
//! * Brokers of the new partitions may be given, one list for each.
//! * The answer waits until this broker knows the partitions, for at most the request's timeout.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::controller::{Command, CreatePartitions as CreatePartitionsCommand, NewPartitions, Reply as ControllerReply};
use ottla_model::NodeId;
use ottla_wire::ErrorCode;
use ottla_wire::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::controller::error_code as controller_error_code;

/// See the module.
pub struct CreatePartitions;

impl ApiHandler for CreatePartitions {
    type Request<'a> = CreatePartitionsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: CreatePartitionsRequest<'_>, reply: Reply<'_>) -> Answer {
        let brokers = |ids: &[i32]| ids.iter().map(|id| NodeId(*id)).collect();
        let topics = request.topics.iter().map(|topic| NewPartitions {
            topic: topic.name.to_owned(),
            count: topic.count,
            assignments: topic.assignments.as_ref().map(|all| all.iter().map(|a| brokers(&a.broker_ids)).collect()),
        });
        let command =
            Command::CreatePartitions(CreatePartitionsCommand { topics: topics.collect(), validate_only: request.validate_only });
        let names: Vec<String> = request.topics.iter().map(|topic| topic.name.to_owned()).collect();
        let done = broker.command(command, deadline_after(request.timeout_ms));
        reply.hold(|later| async move {
            let outcome: Vec<(ErrorCode, Option<String>)> = match done.await {
                Ok(ControllerReply::PartitionsCreated(created)) => created
                    .into_iter()
                    .map(|one| match one {
                        Ok(()) => (ErrorCode::None, None),
                        Err(error) => (controller_error_code(&error), Some(error.to_string())),
                    })
                    .collect(),
                Ok(other) => {
                    tracing::error!("the controller answered a creation of partitions with {other:?}");
                    vec![(ErrorCode::UnknownServerError, None); names.len()]
                }
                Err(failure) => vec![(failure.error_code(), Some(failure.to_string())); names.len()],
            };
            let results = names.into_iter().zip(outcome).map(|(name, (code, message))| CreatePartitionsTopicResult {
                name: Cow::Owned(name),
                error_code: code.as_i16(),
                error_message: message.map(Cow::Owned),
            });
            later.encode(&CreatePartitionsResponse { results: results.collect(), ..Default::default() })
        })
    }
}
