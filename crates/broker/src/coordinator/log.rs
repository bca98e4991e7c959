//! Reads and writes the log of one coordinator's partition. Blocks on its files; knows nothing of what the records say.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ottla_log::{AppendError, AppendOrigin, ReadError};
use ottla_model::{Acks, LeaderEpoch, Offset, TimestampMs};
use ottla_wire::batch::{BatchError, Batches};
use ottla_wire::{ErrorCode, RecordFragment};

use super::machine::Machine;
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
    /// What changed meanwhile cannot be written.
    #[error("it cannot begin: {0}")]
    Write(#[from] WriteError),
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
    /// It is led in another term than the coordinator's.
    #[error("the partition's leader epoch has changed")]
    OtherTerm,
    /// Too few replicas.
    #[error("fewer replicas are in sync than min.insync.replicas of the topic asks for")]
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

/// Has the machine take in all below `end`.
pub(super) fn replay<M: Machine>(partition: &Arc<Partition>, end: Offset, machine: &mut M) -> Result<(), LoadError> {
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
            machine.replay(&view)?;
            from = Offset(view.last_offset() + 1);
        }
        if from == before {
            // Compaction has left nothing up to the end.
            break;
        }
    }
    Ok(())
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

/// Appends one batch; gives the offset behind it.
pub(super) fn append(partition: &Arc<Partition>, batch: &[u8], now: TimestampMs) -> Result<Offset, WriteError> {
    partition.check_led(LeaderEpoch::NONE).map_err(WriteError::NotServing)?;
    if !partition.has_enough_replicas() {
        return Err(WriteError::NotEnoughReplicas);
    }
    let appended = partition.append(batch, AppendOptions { acks: Acks::All, origin: AppendOrigin::Coordinator, now })?;
    Ok(appended.last_offset.plus(1))
}
