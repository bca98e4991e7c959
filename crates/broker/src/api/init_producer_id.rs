//! InitProducerId (key 22): an id for an idempotent producer (KIP-98).
//!
//! Versions 0 to 5. (Version 6, two-phase commit, is unstable in Kafka 4.3.)
//!
//! * Without a transactional id: a new producer id with epoch 0, whatever the producer had before (KIP-360 resets so).
//! * A producer id without an epoch, or the reverse: INVALID_REQUEST.
//!
//! Known gaps: with a transactional id, COORDINATOR_NOT_AVAILABLE until there is a transaction coordinator.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_model::ProducerId;
use ottla_wire::ErrorCode;
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};
use crate::producer_ids::ProducerIds;

/// See the module.
pub struct InitProducerId;

impl ApiHandler for InitProducerId {
    type Request<'a> = InitProducerIdRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: InitProducerIdRequest<'_>, reply: Reply<'_>) -> Answer {
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return reply.send(&refused(ErrorCode::InvalidRequest));
        }
        match request.transactional_id {
            None => {}
            Some("") => return reply.send(&refused(ErrorCode::InvalidRequest)),
            Some(_) => return reply.send(&refused(ErrorCode::CoordinatorNotAvailable)),
        }
        if let Some(id) = broker.producer_ids.take() {
            return reply.send(&given(id));
        }
        let broker = Arc::clone(broker);
        let deadline = deadline_after(broker.config.request_timeout_ms);
        reply.later(|later| async move {
            match ProducerIds::take_or_fetch(&broker, deadline).await {
                Ok(id) => later.encode(&given(id)),
                Err(failure) => {
                    tracing::warn!("no producer id could be given out: {failure}");
                    // Clients try again on this one; an id is not theirs to lose.
                    later.encode(&refused(ErrorCode::CoordinatorLoadInProgress))
                }
            }
        })
    }
}

fn given(id: ProducerId) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: ErrorCode::None.as_i16(), producer_id: id.0, producer_epoch: 0, ..Default::default() }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code.as_i16(), producer_id: -1, producer_epoch: -1, ..Default::default() }
}
