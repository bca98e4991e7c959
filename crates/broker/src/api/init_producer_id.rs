//! InitProducerId (key 22): an id for an idempotent or transactional producer, and its epoch (KIP-98).
//!
//! Versions 0 to 5. (Version 6, two-phase commit, is unstable in Kafka 4.3.)
//!
//! * Without a transactional id: a new producer id with epoch 0, whatever the producer had before (KIP-360 resets so).
//! * With one: the coordinator of the transactional id gives the producer the next epoch, and so fences the one before; what that one left
//!   open is aborted first, and meanwhile CONCURRENT_TRANSACTIONS. From version 3 a producer may go on from what it has (KIP-360).
//! * A timeout that is not between 1 and `transaction.max.timeout.ms`: INVALID_TRANSACTION_TIMEOUT.
//! * A producer id without an epoch or the reverse, or an empty transactional id: INVALID_REQUEST.
//! * PRODUCER_FENCED from version 4 (KIP-588), INVALID_PRODUCER_EPOCH before.
//!
//! Known gaps: no two-phase commit (KIP-939), which Kafka 4.3 has behind an unstable version.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::{self, Owner, TransactionalId};
use ottla_model::{ProducerEpoch, ProducerId};
use ottla_wire::ErrorCode;
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::{BrokerContext, deadline_after};

/// See the module.
pub struct InitProducerId;

/// First version that knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 4;

impl ApiHandler for InitProducerId {
    type Request<'a> = InitProducerIdRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: InitProducerIdRequest<'_>, reply: Reply<'_>) -> Answer {
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return reply.send(&refused(ErrorCode::InvalidRequest));
        }
        if let Some(id) = request.transactional_id {
            let has = Owner { producer_id: ProducerId(request.producer_id), producer_epoch: ProducerEpoch(request.producer_epoch) };
            let asked = broker.transactions.initialize(transaction::InitProducerId {
                transactional_id: TransactionalId::new(id),
                timeout_ms: request.transaction_timeout_ms,
                goes_on_as: (has.producer_id != ProducerId::NONE).then_some(has),
            });
            let version = cx.version;
            return reply.later(|later| async move {
                match asked.await {
                    Ok(owner) => later.encode(&given(owner)),
                    Err(why) => later.encode(&refused(why.error_code_in(version, FENCED_SINCE))),
                }
            });
        }
        let first = |producer_id| Owner { producer_id, producer_epoch: ProducerEpoch(0) };
        if let Some(id) = broker.producer_ids.take() {
            return reply.send(&given(first(id)));
        }
        let producer_ids = Arc::clone(&broker.producer_ids);
        let deadline = deadline_after(broker.config.request_timeout_ms);
        reply.later(|later| async move {
            match producer_ids.take_or_fetch(deadline).await {
                Ok(id) => later.encode(&given(first(id))),
                Err(failure) => {
                    tracing::warn!("no producer id could be given out: {failure}");
                    // Clients try again on this one; an id is not theirs to lose.
                    later.encode(&refused(ErrorCode::CoordinatorLoadInProgress))
                }
            }
        })
    }
}

fn given(owner: Owner) -> InitProducerIdResponse {
    let Owner { producer_id, producer_epoch } = owner;
    InitProducerIdResponse { producer_id: producer_id.0, producer_epoch: producer_epoch.0, ..Default::default() }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code.as_i16(), producer_id: -1, producer_epoch: -1, ..Default::default() }
}
