//! EndTxn (key 26): commits a transaction or aborts it (KIP-98).
//!
//! Versions 0 to 5. Answered when the decision is durable; the markers follow.
//!
//! * From version 5 each end gives the producer its next epoch, or a new id when they run out, and the answer says so (KIP-890,
//!   `transaction.version` 2). The same request again, while its epoch is one behind, gets the same answer.
//! * PRODUCER_FENCED from version 2 (KIP-588), INVALID_PRODUCER_EPOCH before.
//!
//! Known gaps: none.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::{EndTransaction, Owner, TransactionVersion, TransactionalId};
use ottla_model::{ProducerEpoch, ProducerId};
use ottla_wire::message::end_txn::{EndTxnRequest, EndTxnResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;

/// See the module.
pub struct EndTxn;

/// First version that knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;
/// First version whose clients have an epoch for each transaction.
const EPOCH_BUMP_SINCE: i16 = 5;

impl ApiHandler for EndTxn {
    type Request<'a> = EndTxnRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: EndTxnRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let asked = broker.transactions.end(EndTransaction {
            transactional_id: TransactionalId::new(request.transactional_id),
            owner: Owner { producer_id: ProducerId(request.producer_id), producer_epoch: ProducerEpoch(request.producer_epoch) },
            commit: request.committed,
            version: if version >= EPOCH_BUMP_SINCE { TransactionVersion::EpochBump } else { TransactionVersion::Classic },
        });
        reply.later(|later| async move {
            later.encode(&match asked.await {
                Ok(Owner { producer_id, producer_epoch }) => {
                    EndTxnResponse { producer_id: producer_id.0, producer_epoch: producer_epoch.0, ..Default::default() }
                }
                Err(why) => EndTxnResponse { error_code: why.error_code_in(version, FENCED_SINCE).as_i16(), ..Default::default() },
            })
        })
    }
}

/// Shared by the tests of the APIs of transactions.
#[cfg(test)]
#[path = "transactions_tests.rs"]
mod tests;
