//! The batches of the offsets topic: from what a coordinator wants written, and back.

use ottla_cluster::group::{BatchContent, EndTransaction, GroupCoordinator, GroupRecord, TransactionResult};
use ottla_model::{ProducerEpoch, ProducerId, TimestampMs};
use ottla_wire::batch::{self, BatchBuilder, BatchError, BatchView, EndTxnMarker, TxnResult};
use ottla_wire::compress::Compression;

use super::records;
use crate::coordinator::log::WriteError;

/// Takes in a batch of the log.
pub(super) fn replay(coordinator: &mut GroupCoordinator, view: &BatchView<'_>) -> Result<(), BatchError> {
    let unpacked = view.records(&Default::default())?;
    let producer = view.is_transactional().then(|| (ProducerId(view.producer_id()), ProducerEpoch(view.producer_epoch())));
    for record in unpacked.iter() {
        let record = record?;
        if view.is_control() {
            match EndTxnMarker::read(&record) {
                Ok(Some(marker)) => coordinator.replay_transaction_end(ProducerId(view.producer_id()), result_of(marker.result)),
                Ok(None) => {}
                Err(error) => tracing::warn!(offset = record.offset, "a control record of the offsets topic is passed over: {error}"),
            }
            continue;
        }
        match records::decode(record.key, record.value) {
            Ok(Some(known)) => coordinator.replay(known, producer),
            // Of a later version, or of a kind of group that is not served: not ours to understand.
            Ok(None) => tracing::debug!(offset = record.offset, "a record of the offsets topic is of a kind that is not known here"),
            Err(error) => tracing::warn!(offset = record.offset, "a record of the offsets topic is passed over: {error}"),
        }
    }
    Ok(())
}

fn result_of(result: TxnResult) -> TransactionResult {
    match result {
        TxnResult::Commit => TransactionResult::Commit,
        TxnResult::Abort => TransactionResult::Abort,
    }
}

/// The bytes of a batch.
pub(super) fn encode(content: &BatchContent, now: TimestampMs) -> Result<Vec<u8>, WriteError> {
    match content {
        BatchContent::Records(records) => build(records, None, now),
        BatchContent::Transactional { producer, producer_epoch, records } => build(records, Some((*producer, *producer_epoch)), now),
        BatchContent::Marker(end) => batch::control_batch(marker_of(end), now.0, end.producer.0, end.producer_epoch.0)
            .map_err(|error| WriteError::Build(error.to_string())),
    }
}

/// The record that ends a transaction.
pub(super) fn marker_of(end: &EndTransaction) -> EndTxnMarker {
    let result = match end.result {
        TransactionResult::Commit => TxnResult::Commit,
        TransactionResult::Abort => TxnResult::Abort,
    };
    EndTxnMarker { result, coordinator_epoch: end.coordinator_epoch }
}

fn build(records: &[GroupRecord], producer: Option<(ProducerId, ProducerEpoch)>, now: TimestampMs) -> Result<Vec<u8>, WriteError> {
    // The coordinator has seen to it that they fit into a batch of the topic.
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    if let Some((id, epoch)) = producer {
        builder = builder.producer(id.0, epoch.0, -1).transactional();
    }
    for record in records {
        let (key, value) = records::encode(record).map_err(|error| WriteError::Build(error.to_string()))?;
        builder.append(now.0, Some(&key), value.as_deref(), &[]).map_err(|error| WriteError::Build(error.to_string()))?;
    }
    builder.build().map_err(|error| WriteError::Build(error.to_string()))
}
