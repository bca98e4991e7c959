//! IncrementalAlterConfigs (key 44): changes some configs and leaves the others as they are (KIP-339).
//!
//! Versions 0 and 1.
//!
//! * SET, DELETE, APPEND, SUBTRACT on topics, on this or another broker, and (empty name) on all brokers' defaults. A resource changes as
//!   a whole or not at all.
//! * A resource or a config named twice, an unknown operation, a value missing: INVALID_REQUEST. An unknown config, or a value that its
//!   type or bounds forbid: INVALID_CONFIG.
//! * `validate_only` tries and changes nothing.
//!
//! Known gaps: BROKER_LOGGER, CLIENT_METRICS and GROUP resources are refused with INVALID_REQUEST.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::controller::{AlterConfigs, Command, ConfigResourceAlteration, Reply as ControllerReply};
use ottla_cluster::metadata::ConfigResource;
use ottla_model::config::{AlterOp, ConfigAlteration};
use ottla_model::{NodeId, TopicName};
use ottla_wire::ErrorCode;
use ottla_wire::message::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::describe_configs::resource_type;
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::controller::error_code as controller_error_code;

/// See the module.
pub struct IncrementalAlterConfigs;

impl ApiHandler for IncrementalAlterConfigs {
    type Request<'a> = IncrementalAlterConfigsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn handle(
        broker: &Arc<BrokerContext>,
        _cx: &RequestContext<'_>,
        request: IncrementalAlterConfigsRequest<'_>,
        reply: Reply<'_>,
    ) -> Answer {
        let mut responses = Vec::with_capacity(request.resources.len());
        let mut resources = Vec::new();
        let mut places = Vec::new();
        for resource in &request.resources {
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: Cow::Owned(resource.resource_name.to_owned()),
                error_code: ErrorCode::UnknownServerError.as_i16(),
                ..Default::default()
            };
            match alteration(resource) {
                Ok(alteration) => {
                    places.push(responses.len());
                    resources.push(alteration);
                }
                Err((code, message)) => set(&mut response, code, Some(message)),
            }
            responses.push(response);
        }
        if resources.is_empty() {
            return reply.send(&IncrementalAlterConfigsResponse { responses, ..Default::default() });
        }
        let command = Command::AlterConfigs(AlterConfigs { resources, validate_only: request.validate_only });
        // The request has no timeout of its own.
        let done = broker.command(command, deadline_after(broker.config.request_timeout_ms));
        reply.hold(|later| async move {
            match done.await {
                Ok(ControllerReply::ConfigsAltered(altered)) => {
                    for (place, altered) in places.into_iter().zip(altered) {
                        let Some(response) = responses.get_mut(place) else { continue };
                        match altered {
                            Ok(()) => set(response, ErrorCode::None, None),
                            Err(error) => set(response, controller_error_code(&error), Some(error.to_string())),
                        }
                    }
                }
                Ok(other) => tracing::error!("the controller answered a change of configs with {other:?}"),
                Err(failure) => {
                    for place in places {
                        if let Some(response) = responses.get_mut(place) {
                            set(response, failure.error_code(), Some(failure.to_string()));
                        }
                    }
                }
            }
            later.encode(&IncrementalAlterConfigsResponse { responses, ..Default::default() })
        })
    }
}

fn alteration(resource: &AlterConfigsResource<'_>) -> Result<ConfigResourceAlteration, (ErrorCode, String)> {
    let invalid = |message: String| (ErrorCode::InvalidRequest, message);
    let name = resource.resource_name;
    let target = match resource.resource_type {
        resource_type::TOPIC => {
            ConfigResource::Topic(TopicName::new(name).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?)
        }
        resource_type::BROKER if name.is_empty() => ConfigResource::DefaultBroker,
        resource_type::BROKER => {
            let id = name.parse().map_err(|_| invalid(format!("`{name}` is no broker id")))?;
            ConfigResource::Broker(NodeId(id))
        }
        other => return Err(invalid(format!("configs of resources of type {other} cannot be changed"))),
    };
    let alterations = resource.configs.iter().map(|config| {
        let op = AlterOp::from_wire(config.config_operation)
            .ok_or_else(|| invalid(format!("{} is no operation on a config", config.config_operation)))?;
        Ok(ConfigAlteration { name: config.name.to_owned(), op, value: config.value.map(str::to_owned) })
    });
    Ok(ConfigResourceAlteration { resource: target, alterations: alterations.collect::<Result<_, _>>()? })
}

fn set(response: &mut AlterConfigsResourceResponse<'_>, code: ErrorCode, message: Option<String>) {
    response.error_code = code.as_i16();
    response.error_message = message.map(Cow::Owned);
}
