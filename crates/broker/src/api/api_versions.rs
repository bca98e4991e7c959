//! ApiVersions (key 18): which APIs in which versions, and which features, this node speaks.
//!
//! Versions 0 to 4. A client asks this first, often in a version that an older broker does not know: such a request is answered in
//! version 0 with UNSUPPORTED_VERSION and the versions of this API (KIP-511), so that the client can ask again.
//!
//! * The list is the registry's; on a controller's listener, that of the APIs served there.
//! * Client software name and version are checked from version 3 on: INVALID_REQUEST for others than Kafka takes.
//! * Features (KIP-584): what this version supports, and what the cluster is finalized at.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::features;
use ottla_wire::ErrorCode;
use ottla_wire::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey};

use super::{APIS, Answer, Api, ApiHandler, Listeners, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct ApiVersions;

/// First version in which the client says what it is.
const SOFTWARE_SINCE: i16 = 3;
/// First version in which a feature may be supported from 0 on (KAFKA-17011).
const FEATURE_ZERO_SINCE: i16 = 4;

impl ApiHandler for ApiVersions {
    type Request<'a> = ApiVersionsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const LISTENERS: Listeners = Listeners::Both;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: ApiVersionsRequest<'_>, reply: Reply<'_>) -> Answer {
        let is_valid = is_software_name(request.client_software_name) && is_software_name(request.client_software_version);
        if cx.version >= SOFTWARE_SINCE && !is_valid {
            return reply.send(&ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.as_i16(), ..Default::default() });
        }
        let image = broker.image();
        let supported = features::SUPPORTED.iter().filter(|f| f.level_min > 0 || cx.version >= FEATURE_ZERO_SINCE);
        let response = ApiVersionsResponse {
            error_code: ErrorCode::None.as_i16(),
            api_keys: APIS.iter().filter(|api| api.listeners.serves(cx.listener.kind)).map(row).collect(),
            supported_features: supported
                .map(|f| SupportedFeatureKey { name: Cow::Borrowed(f.name), min_version: f.level_min, max_version: f.level_max })
                .collect(),
            finalized_features_epoch: image.position().map_or(-1, |position| position.index as i64),
            finalized_features: image
                .features()
                .map(|(name, level)| FinalizedFeatureKey { name: Cow::Borrowed(name), max_version_level: level, min_version_level: level })
                .collect(),
            ..Default::default()
        };
        reply.send(&response)
    }

    fn unsupported_version(_broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, reply: Reply<'_>) -> Answer {
        let this = APIS.iter().filter(|api| api.key == ottla_wire::ApiKey::ApiVersions);
        let response = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.as_i16(),
            api_keys: this.map(row).collect(),
            ..Default::default()
        };
        reply.in_version(0).send(&response)
    }
}

fn row(api: &Api) -> ApiVersion {
    ApiVersion { api_key: api.key.as_i16(), min_version: api.advertised_since, max_version: *api.versions.end() }
}

/// Kafka's pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(text: &str) -> bool {
    let is_edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    is_edge(bytes.first().copied())
        && is_edge(bytes.last().copied())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_those_kafka_takes() {
        for good in ["apache-kafka-java", "4.3.1", "a", "sarama", "librdkafka", "2.3.0-RC1"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a/b", "ä", ".1"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
