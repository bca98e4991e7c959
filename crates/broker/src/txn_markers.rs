//! Writes the marker of a transaction that ends to one partition that is led here. Decides nothing: which transactions end, and how, is
//! their coordinator's.

use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::group::{EndTransaction, TransactionResult};
use ottla_cluster::transaction::TransactionVersion;
use ottla_model::{LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition};
use ottla_wire::ErrorCode;
use ottla_wire::batch::{EndTxnMarker, TxnResult};
use tokio::time::Instant;

use crate::coordinator::{GroupCoordinators, NotTaken, OFFSETS_TOPIC};
use crate::partition::PartitionManager;

/// How long a marker may take to become durable before its coordinator is told to send it again.
const DURABLE_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction ends.
    pub producer_id: ProducerId,
    /// The epoch in the marker.
    pub producer_epoch: ProducerEpoch,
    /// The epoch of the transaction coordinator that says so.
    pub coordinator_epoch: i32,
    /// Commit, or abort.
    pub commit: bool,
    /// How the client took part: since version 2 a marker has an epoch of its own.
    pub version: TransactionVersion,
}

/// Writes the marker and returns when it is durable, so cannot be lost any more. On a partition of the offsets topic the coordinator of
/// its groups does so. Errors are those of WriteTxnMarkers.
pub async fn write(
    partitions: &Arc<PartitionManager>,
    groups: &Arc<GroupCoordinators>,
    partition: &TopicPartition,
    marker: Marker,
) -> Result<(), ErrorCode> {
    let found = partitions.find(partition.topic.as_str(), partition.partition);
    let found = found.ok_or_else(|| partitions.why_absent(partition).error_code())?;
    found.check_led(LeaderEpoch::NONE).map_err(|why| why.error_code())?;
    let Marker { producer_id, producer_epoch, coordinator_epoch, commit, version } = marker;
    let raises_epoch = version == TransactionVersion::EpochBump;
    if partition.topic.as_str() == OFFSETS_TOPIC {
        let result = if commit { TransactionResult::Commit } else { TransactionResult::Abort };
        let end = EndTransaction { producer: producer_id, producer_epoch, coordinator_epoch, result };
        return match groups.end_transaction(partition.partition, end, raises_epoch).await {
            Ok(_) => Ok(()),
            Err(NotTaken::ByLog(code)) => Err(code),
            // Whoever sends markers looks for the partition's leader, and knows of no group coordinator.
            Err(NotTaken::Unanswered(_)) => Err(ErrorCode::NotLeaderOrFollower),
        };
    }
    let (dir, now) = (Arc::clone(found.log_dir()), partitions.now());
    let result = if commit { TxnResult::Commit } else { TxnResult::Abort };
    let marker = EndTxnMarker { result, coordinator_epoch };
    let append = {
        let found = Arc::clone(&found);
        move || found.append_marker(producer_id, producer_epoch, marker, raises_epoch, now)
    };
    let appended = if dir.is_slow() { dir.off_network(append).await.unwrap_or(Err(ErrorCode::KafkaStorageError)) } else { append() };
    found.reach(appended?, Instant::now() + DURABLE_WAIT_MAX).await
}
