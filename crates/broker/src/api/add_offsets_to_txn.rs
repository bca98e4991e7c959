//! AddOffsetsToTxn (key 25): a transaction will commit offsets of a group (KIP-98).
//!
//! Versions 0 to 4.
//!
//! * The group's partition of `__consumer_offsets` takes part in the transaction. The topic is made where no group was there before.
//! * PRODUCER_FENCED from version 2 (KIP-588), INVALID_PRODUCER_EPOCH before.
//! * Clients at `transaction.version` 2 do not send it: there TxnOffsetCommit adds the partition (KIP-890).
//!
//! Known gaps: none.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::{AddPartitions, Owner, TransactionVersion, TransactionalId};
use ottla_model::{ProducerEpoch, ProducerId, TopicName, TopicPartition};
use ottla_wire::ErrorCode;
use ottla_wire::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::{OFFSETS_TOPIC, TransactionRefused, ensure_offsets_topic, partition_of};

/// See the module.
pub struct AddOffsetsToTxn;

/// First version that knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;

impl ApiHandler for AddOffsetsToTxn {
    type Request<'a> = AddOffsetsToTxnRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: AddOffsetsToTxnRequest<'_>, reply: Reply<'_>) -> Answer {
        let (version, group) = (cx.version, request.group_id);
        let adding = AddPartitions {
            transactional_id: TransactionalId::new(request.transactional_id),
            owner: Owner { producer_id: ProducerId(request.producer_id), producer_epoch: ProducerEpoch(request.producer_epoch) },
            partitions: BTreeSet::new(),
            version: TransactionVersion::Classic,
        };
        if let Some(partition) = offsets_partition(broker, group) {
            let asked = broker.transactions.add(AddPartitions { partitions: [partition].into_iter().collect(), ..adding });
            return reply.later(|later| async move { later.encode(&response(asked.await, version)) });
        }
        let (broker, group) = (Arc::clone(broker), group.to_owned());
        reply.later(|later| async move {
            if let Err(failure) = ensure_offsets_topic(&broker).await {
                tracing::warn!("the topic {OFFSETS_TOPIC} cannot be made: {failure}");
            }
            let Some(partition) = offsets_partition(&broker, &group) else {
                return later.encode(&AddOffsetsToTxnResponse {
                    error_code: ErrorCode::CoordinatorNotAvailable.as_i16(),
                    ..Default::default()
                });
            };
            let asked = broker.transactions.add(AddPartitions { partitions: [partition].into_iter().collect(), ..adding });
            later.encode(&response(asked.await, version))
        })
    }
}

/// `None`: there is no offsets topic yet.
fn offsets_partition(broker: &BrokerContext, group: &str) -> Option<TopicPartition> {
    let partition = partition_of(&broker.image(), OFFSETS_TOPIC, group)?;
    Some(TopicPartition::new(TopicName::new(OFFSETS_TOPIC).ok()?, partition))
}

fn response(added: Result<(), TransactionRefused>, version: i16) -> AddOffsetsToTxnResponse {
    let code = added.err().map_or(ErrorCode::None, |why| why.error_code_in(version, FENCED_SINCE));
    AddOffsetsToTxnResponse { error_code: code.as_i16(), ..Default::default() }
}
