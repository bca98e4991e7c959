//! Reads and writes the records of one partition of the offsets topic. Blocks on its files.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ottla_cluster::group::{BatchContent, EndTransaction, GroupConfig, GroupCoordinator, GroupRecord, TransactionResult};
use ottla_log::{AppendError, AppendOrigin, ReadError};
use ottla_model::{Acks, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use ottla_wire::batch::{self, BatchBuilder, BatchError, BatchView, Batches, EndTxnMarker, TxnResult};
use ottla_wire::compress::Compression;
use ottla_wire::{ErrorCode, RecordFragment};

use super::records;
use crate::partition::{AppendOptions, Isolation, NotServing, Partition};

/// What is read at a time.
const READ_BYTES: u32 = 1 << 20;

/// Why a coordinator cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// What was written before is not known to stay.
    #[error("its newest records are not durable: {0}")]
    NotDurable(ErrorCode),
    /// The log cannot be read.
    #[error("its log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A file cannot be read.
    #[error("its log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A batch cannot be read.
    #[error("its log has a batch that cannot be read: {0}")]
    Batch(#[from] BatchError),
    /// The reading thread ended badly.
    #[error("the reading was interrupted: {0}")]
    Lost(tokio::task::JoinError),
}

/// Why a batch was not written. The coordinator that wanted it is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The partition is not served here.
    #[error("the partition is not led here: {}", .0.error_code())]
    NotServing(NotServing),
    /// Too few replicas.
    #[error("fewer replicas are in sync than min.insync.replicas of the offsets topic asks for")]
    NotEnoughReplicas,
    /// The log refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It cannot be written down.
    #[error("a batch of records cannot be built: {0}")]
    Build(String),
    /// The directory hangs or has failed.
    #[error("the log directory has failed")]
    Lost,
}

/// Rebuilds a coordinator from the records below `end`.
pub(super) fn read(partition: &Arc<Partition>, end: Offset, config: GroupConfig) -> Result<GroupCoordinator, LoadError> {
    let mut coordinator = GroupCoordinator::new(config);
    let mut from = partition.watermarks().log_start;
    let mut bytes = Vec::new();
    while from < end {
        let read = partition.read(from, Isolation::ReadUncommitted, READ_BYTES, true)?;
        bytes.clear();
        for fragment in &read.records {
            append_fragment(&mut bytes, fragment)?;
        }
        let before = from;
        for view in Batches::new(&bytes) {
            let view = view?;
            replay(&mut coordinator, &view)?;
            from = Offset(view.last_offset() + 1);
        }
        if from == before {
            // Compaction has left nothing up to the end.
            break;
        }
    }
    Ok(coordinator)
}

fn append_fragment(bytes: &mut Vec<u8>, fragment: &RecordFragment) -> io::Result<()> {
    match fragment {
        RecordFragment::Bytes(more) => bytes.extend_from_slice(more),
        RecordFragment::File(range) => {
            let at = bytes.len();
            bytes.resize(at + range.len as usize, 0);
            range.file.read_exact_at(bytes.get_mut(at..).unwrap_or_default(), range.position)?;
        }
    }
    Ok(())
}

fn replay(coordinator: &mut GroupCoordinator, view: &BatchView<'_>) -> Result<(), BatchError> {
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

/// Appends one batch; gives the offset behind it.
pub(super) fn append(partition: &Arc<Partition>, content: &BatchContent, now: TimestampMs) -> Result<Offset, WriteError> {
    partition.check_led(LeaderEpoch::NONE).map_err(WriteError::NotServing)?;
    if !partition.has_enough_replicas() {
        return Err(WriteError::NotEnoughReplicas);
    }
    let bytes = match content {
        BatchContent::Records(records) => build(records, None, now)?,
        BatchContent::Transactional { producer, producer_epoch, records } => build(records, Some((*producer, *producer_epoch)), now)?,
        BatchContent::Marker(EndTransaction { producer, producer_epoch, coordinator_epoch, result }) => {
            let result = match result {
                TransactionResult::Commit => TxnResult::Commit,
                TransactionResult::Abort => TxnResult::Abort,
            };
            let marker = EndTxnMarker { result, coordinator_epoch: *coordinator_epoch };
            batch::control_batch(marker, now.0, producer.0, producer_epoch.0).map_err(|error| WriteError::Build(error.to_string()))?
        }
    };
    let appended = partition.append(&bytes, AppendOptions { acks: Acks::All, origin: AppendOrigin::Coordinator, now })?;
    Ok(appended.last_offset.plus(1))
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
