//! Transactions as one partition sees them: who may begin one here, and how one ends. Knows no coordinator.

use std::sync::Arc;

use ottla_log::{AppendError, AppendOrigin, FirstBatch, ProducerDescription, VerificationGuard};
use ottla_model::{Acks, Offset, ProducerEpoch, ProducerId, TimestampMs};
use ottla_wire::ErrorCode;
use ottla_wire::batch::{EndTxnMarker, control_batch};

use super::{AppendOptions, Partition, append_error_code};

impl Partition {
    /// To be called before a transaction's coordinator is asked whether it takes part here; `None`: it is open already. The caller has
    /// asked [`Partition::check_leader`].
    pub fn begin_verification(&self, batch: &FirstBatch, now: TimestampMs) -> Option<VerificationGuard> {
        self.change_log(|log| Ok(log.begin_verification(batch, now))).unwrap_or_default()
    }

    /// Whether a coordinator may append a batch of its own in a producer's transaction.
    pub fn check_transactional(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        may_begin: AppendOrigin,
    ) -> Result<(), AppendError> {
        self.with_log(|log| log.check_transactional(producer_id, producer_epoch, may_begin))
    }

    /// Whether a producer's transaction may be ended so.
    pub fn check_marker(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        marker: &EndTxnMarker,
        raises_epoch: bool,
    ) -> Result<(), AppendError> {
        self.with_log(|log| log.check_marker(producer_id, producer_epoch, marker, raises_epoch))
    }

    /// Appends a marker; gives the offset behind it. The caller has asked [`Partition::check_leader`].
    pub fn append_marker(
        self: &Arc<Self>,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        marker: EndTxnMarker,
        raises_epoch: bool,
        now: TimestampMs,
    ) -> Result<Offset, ErrorCode> {
        if !self.has_enough_replicas() {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let batch = control_batch(marker, now.0, producer_id.0, producer_epoch.0).map_err(|error| {
            tracing::error!(partition = %self.topic_partition(), "a marker cannot be built: {error}");
            ErrorCode::UnknownServerError
        })?;
        let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Marker { raises_epoch }, now };
        let appended = self.append(&batch, options).map_err(|error| {
            tracing::info!(partition = %self.topic_partition(), "a marker is refused: {error}");
            append_error_code(&error)
        })?;
        Ok(appended.last_offset.plus(1))
    }

    /// What is known of each producer.
    pub fn describe_producers(&self) -> Vec<ProducerDescription> {
        self.with_log(ottla_log::PartitionLog::describe_producers)
    }
}
