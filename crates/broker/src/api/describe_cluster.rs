//! DescribeCluster (key 60): the nodes of the cluster (KIP-700).
//!
//! Versions 0 to 2.
//!
//! * Endpoints of brokers on the listener the request came in on. Asked for controllers on a broker's listener: MISMATCHED_ENDPOINT_TYPE;
//!   for anything else: UNSUPPORTED_ENDPOINT_TYPE (KIP-919). Version 0 had neither error and gets INVALID_REQUEST.
//! * Fenced brokers only when asked for (KIP-1073).
//!
//! Known gaps: not served on the controller's listener yet.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_wire::ErrorCode;
use ottla_wire::message::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINT_TYPE_BROKERS, ENDPOINT_TYPE_CONTROLLERS,
};
use ottla_wire::message::metadata::AUTHORIZED_OPERATIONS_OMITTED;

use super::metadata::CLUSTER_OPERATIONS;
use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct DescribeCluster;

impl ApiHandler for DescribeCluster {
    type Request<'a> = DescribeClusterRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: DescribeClusterRequest, reply: Reply<'_>) -> Answer {
        let refused = match request.endpoint_type {
            ENDPOINT_TYPE_BROKERS => None,
            ENDPOINT_TYPE_CONTROLLERS => {
                Some((ErrorCode::MismatchedEndpointType, "this is a broker's listener, and controllers were asked for".to_owned()))
            }
            other => Some((ErrorCode::UnsupportedEndpointType, format!("there is no endpoint type {other}"))),
        };
        if let Some((code, message)) = refused {
            let code = if cx.version == 0 { ErrorCode::InvalidRequest } else { code };
            return reply.send(&DescribeClusterResponse {
                error_code: code.as_i16(),
                error_message: Some(Cow::Owned(message)),
                endpoint_type: ENDPOINT_TYPE_BROKERS,
                ..Default::default()
            });
        }
        let image = broker.image();
        let described = image.brokers().filter(|b| !b.fenced || request.include_fenced_brokers).filter_map(|b| {
            let at = b.end_point(&cx.listener.name)?;
            Some(DescribeClusterBroker {
                broker_id: b.id.0,
                host: Cow::Borrowed(&*at.host),
                port: i32::from(at.port),
                rack: b.rack.as_deref().map(Cow::Borrowed),
                is_fenced: b.fenced,
            })
        });
        let response = DescribeClusterResponse {
            cluster_id: Cow::Borrowed(&image.cluster_id().0),
            controller_id: image.controller().0,
            brokers: described.collect(),
            cluster_authorized_operations: if request.include_cluster_authorized_operations {
                CLUSTER_OPERATIONS
            } else {
                AUTHORIZED_OPERATIONS_OMITTED
            },
            ..Default::default()
        };
        reply.send(&response)
    }
}
