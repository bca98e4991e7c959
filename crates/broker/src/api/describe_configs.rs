//! DescribeConfigs (key 32): configs of topics and brokers, and where each value comes from.
//!
//! Versions 0 to 4. Kafka 4 dropped 0, which says of a value only whether it is the default; sarama sends it by default.
//!
//! * TOPIC: every topic config with its effective value. BROKER: every config of this broker by its id; with an empty name, the dynamic
//!   defaults of all brokers. Another broker's id: INVALID_REQUEST, as in Kafka (clients send it to that broker).
//! * What is asked for again in the same words is answered once.
//! * Synonyms and documentation where asked for (KIP-226, KIP-569).
//!
//! Known gaps: BROKER_LOGGER, CLIENT_METRICS and GROUP resources are refused with INVALID_REQUEST.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_model::TopicName;
use ottla_model::config::{ConfigEntry, ConfigSource, describe_broker, describe_broker_defaults, describe_topic};
use ottla_wire::ErrorCode;
use ottla_wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DescribeConfigs;

/// Kafka's `ConfigResource.Type`.
pub(super) mod resource_type {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or all brokers' defaults.
    pub const BROKER: i8 = 4;
}

impl ApiHandler for DescribeConfigs {
    type Request<'a> = DescribeConfigsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DescribeConfigsRequest<'_>, reply: Reply<'_>) -> Answer {
        // Each answer is some hundred times its question: asked for the same over and over, a node would give itself away.
        let mut seen = HashSet::new();
        let asked = request.resources.iter().filter(|&r| seen.insert((r.resource_type, r.resource_name, &r.configuration_keys)));
        let results = asked.map(|resource| match entries(broker, resource) {
            Ok(entries) => {
                let is_asked = |entry: &ConfigEntry| match &resource.configuration_keys {
                    // An empty list asks for all too: older Java clients send it so.
                    Some(keys) if !keys.is_empty() => keys.contains(&entry.name),
                    _ => true,
                };
                let configs = entries.into_iter().filter(is_asked);
                DescribeConfigsResult {
                    error_code: ErrorCode::None.as_i16(),
                    error_message: None,
                    resource_type: resource.resource_type,
                    resource_name: Cow::Borrowed(resource.resource_name),
                    configs: configs.map(|entry| result(entry, request.include_synonyms, request.include_documentation)).collect(),
                }
            }
            Err((code, message)) => DescribeConfigsResult {
                error_code: code.as_i16(),
                error_message: Some(Cow::Owned(message)),
                resource_type: resource.resource_type,
                resource_name: Cow::Borrowed(resource.resource_name),
                ..Default::default()
            },
        });
        reply.send(&DescribeConfigsResponse { results: results.collect(), ..Default::default() })
    }
}

fn entries(broker: &BrokerContext, resource: &DescribeConfigsResource<'_>) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let name = resource.resource_name;
    let config = broker.effective_config();
    match resource.resource_type {
        resource_type::TOPIC => {
            TopicName::new(name).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
            let image = broker.image();
            match image.topic(name) {
                Some(_) => Ok(describe_topic(&config, &image.topic_config(name))),
                None => Err((ErrorCode::UnknownTopicOrPartition, format!("there is no topic `{name}`"))),
            }
        }
        resource_type::BROKER if name.is_empty() => Ok(describe_broker_defaults(&config)),
        resource_type::BROKER => {
            let own = broker.node();
            if name.parse() == Ok(own.0) {
                Ok(describe_broker(&config))
            } else {
                let message = format!("this is broker {own}: ask for it by this id, or with an empty name for all brokers' defaults");
                Err((ErrorCode::InvalidRequest, message))
            }
        }
        other => Err((ErrorCode::InvalidRequest, format!("configs of resources of type {other} cannot be described"))),
    }
}

fn result(entry: ConfigEntry, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult<'static> {
    let synonym = |s: ottla_model::config::ConfigSynonym| DescribeConfigsSynonym {
        name: Cow::Borrowed(s.name),
        value: s.value.map(Cow::Owned),
        source: s.source.to_wire(),
    };
    DescribeConfigsResourceResult {
        name: Cow::Borrowed(entry.name),
        value: entry.value.map(Cow::Owned),
        read_only: entry.read_only,
        is_default: entry.source == ConfigSource::Default,
        config_source: entry.source.to_wire(),
        is_sensitive: entry.sensitive,
        synonyms: if synonyms { entry.synonyms.into_iter().map(synonym).collect() } else { Vec::new() },
        config_type: entry.kind.to_wire(),
        documentation: documentation.then_some(Cow::Borrowed(entry.documentation)),
    }
}
