//! Has the markers of a decided transaction written, each partition's over again until it is there or not needed any more. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use ottla_model::TopicPartition;
use ottla_wire::ErrorCode;
use tokio::sync::Semaphore;

use crate::coordinator::{GroupCoordinators, Shared};
use crate::metadata_publisher::Published;
use crate::partition::PartitionManager;
use crate::txn_markers::{self, Marker};

/// Markers of this broker's coordinators that are being written at a time.
const AT_ONCE_MAX: usize = 256;
/// Time before the second try; each further one waits twice as long.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// The longest time between two tries.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What writes markers, shared by all coordinators of the broker.
pub(super) struct Markers {
    partitions: Arc<PartitionManager>,
    published: Arc<Published>,
    groups: Arc<GroupCoordinators>,
    room: Semaphore,
    /// Stands in for the partitions.
    #[cfg(test)]
    pub script: parking_lot::Mutex<Option<Script>>,
}

/// What a partition answers in a test.
#[cfg(test)]
pub(crate) type Script = Box<dyn FnMut(&TopicPartition, Marker) -> Result<(), ErrorCode> + Send>;

impl Markers {
    pub(super) fn new(shared: &Shared, groups: &Arc<GroupCoordinators>) -> Markers {
        Markers {
            partitions: Arc::clone(&shared.partitions),
            published: Arc::clone(&shared.published),
            groups: Arc::clone(groups),
            room: Semaphore::new(AT_ONCE_MAX),
            #[cfg(test)]
            script: Default::default(),
        }
    }

    /// Returns when the marker is durable, or nobody needs it any more.
    pub(super) async fn write(&self, partition: &TopicPartition, marker: Marker) {
        let mut published = self.published.subscribe();
        let mut wait = RETRY_MIN;
        loop {
            published.borrow_and_update();
            if self.published.image().partition(partition.topic.as_str(), partition.partition).is_none() {
                tracing::info!(%partition, producer_id = %marker.producer_id, "a partition of a transaction is no more: it gets no marker");
                return;
            }
            match self.try_once(partition, marker).await {
                Ok(()) => return,
                // Somebody has written under a later epoch since, which has ended what was open.
                Err(ErrorCode::InvalidProducerEpoch) => {
                    tracing::info!(%partition, ?marker, "the producer of a transaction was fenced in a partition: it gets no marker");
                    return;
                }
                // Kafka's too: a log so old has no transactions.
                Err(ErrorCode::UnsupportedForMessageFormat) => return,
                Err(code) => tracing::debug!(%partition, ?marker, "a marker was not written, and is tried again: {code}"),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
                // The partition may be gone, or back. The sender lives as long as `self`.
                _ = published.changed() => {}
            }
        }
    }

    async fn try_once(&self, partition: &TopicPartition, marker: Marker) -> Result<(), ErrorCode> {
        // Never closed; and not held while waiting for the next try.
        let _permit = self.room.acquire().await;
        #[cfg(test)]
        if let Some(script) = &mut *self.script.lock() {
            return script(partition, marker);
        }
        txn_markers::write(&self.partitions, &self.groups, partition, marker).await
    }
}
