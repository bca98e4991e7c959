//! Blocks of producer ids (AllocateProducerIds, KIP-730).

use ottla_model::{BrokerEpoch, NodeId, ProducerId};

use super::ControllerError;
use super::brokers::check_epoch;
use super::command::ProducerIdBlock;
use super::draft::Draft;
use crate::metadata::MetadataRecord;

/// Ids in one block, as in Kafka (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK_LEN: i32 = 1000;

pub(super) fn allocate(draft: &mut Draft<'_>, broker_id: NodeId, broker_epoch: BrokerEpoch) -> Result<ProducerIdBlock, ControllerError> {
    check_epoch(&draft.image, broker_id, broker_epoch)?;
    let first = draft.image.producer_id_next();
    let next = first.get().checked_add(i64::from(PRODUCER_ID_BLOCK_LEN)).ok_or(ControllerError::ProducerIdsExhausted)?;
    draft.emit(MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id: ProducerId(next) })?;
    Ok(ProducerIdBlock { first, len: PRODUCER_ID_BLOCK_LEN })
}
