//! A partition's log: the one owner of its folder.
//!
//! | file | owns |
//! |---|---|
//! | `open` | making and opening a folder |
//! | `recover` | what a crash left: torn tails, indexes, epochs, producer state |
//! | `append`, `validate` | what is let in, and how it is written |
//! | `read`, `find` | positions of offsets, fragments to send; offsets of timestamps |
//! | `compaction` | segments replaced by what a pass of compaction made of them |
//! | `damage` | what is checked before it is served, the scrub, damaged places |
//! | `sync` | the durable end |
//! | `retention` | rolling by time, deleting what is old |
//! | `truncate` | cutting the end off, moving the start |
//!
//! All methods are called under the partition's own lock. Those that take long (`SyncTicket::sync`) own what they need and run
//! outside of it; fragments that were read keep their file open and may be sent outside of it too.

mod append;
mod compaction;
mod damage;
mod find;
mod open;
mod read;
mod recover;
mod retention;
mod sync;
#[cfg(test)]
mod tests;
mod truncate;
mod unpack;
mod validate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs, TopicId, TopicPartition};
use ottla_wire::batch::EndTxnMarker;
use parking_lot::Mutex;

use crate::config::LogConfig;
use crate::disk::Disk;
use crate::epochs::EpochCache;
use crate::error::{AppendError, IoFailure, LogError};
use crate::producer_state::{ProducerDescription, ProducerState};
use crate::segment::{Place, Segment, Tail};
use crate::txn_index::AbortedTxn;
use crate::verification::{FirstBatch, VerificationGuard};

pub use append::{AppendOrigin, Appended};
pub use compaction::ReplacedFiles;
pub use damage::{CHECK_BYTES_MAX, Damage, ScrubPlace, ScrubStep};
pub use find::FoundOffset;
pub use open::{OpenHints, Recovery};
pub use read::ReadOut;
pub use recover::TornTail;
pub use retention::{OldSegments, RetentionReason};
pub use sync::SyncTicket;
pub(crate) use unpack::with_records;

/// One partition's log.
#[derive(Debug)]
pub struct PartitionLog {
    disk: Arc<dyn Disk>,
    dir: Box<Path>,
    topic_partition: TopicPartition,
    topic_id: Option<TopicId>,
    config: LogConfig,
    /// Never empty; in order; the last one grows.
    segments: Vec<Segment>,
    tail: Tail,
    log_start: Offset,
    /// Sum of the segments' sizes.
    size_bytes: u64,
    epochs: EpochCache,
    producers: ProducerState,
    sync: sync::SyncState,
    /// Positions that were of use lately, so that a reader that goes on where it stopped needs no index.
    marks: Mutex<read::Marks>,
    damages: Mutex<damage::Damages>,
    deleted: Vec<retention::DeletedSegment>,
    /// Passes of compaction have come up to here.
    compacted_upto: Offset,
    /// How often segments were replaced.
    replaced_count: u64,
    failed: Option<Box<str>>,
}

impl PartitionLog {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id, as `partition.metadata` has it.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings it goes by.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings; they hold from the next append on.
    pub fn update_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// First offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record: all below it are written.
    pub fn log_end_offset(&self) -> Offset {
        self.tail.next_offset
    }

    /// All offsets below it are on stable storage.
    pub fn durable_end(&self) -> Offset {
        self.sync.durable_end
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Base offset of the oldest segment; the log may start within it.
    pub fn first_segment_base(&self) -> Offset {
        self.segments[0].base
    }

    /// Base offset of the segment that grows.
    pub fn active_segment_base(&self) -> Offset {
        self.active().base
    }

    /// The end of what read-committed consumers may see: the first record of the oldest transaction that is not decided for
    /// good, or the high watermark.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        match self.producers.first_unstable(high_watermark) {
            Some(first) if first < high_watermark => first.max(self.log_start),
            _ => high_watermark,
        }
    }

    /// The high watermark has risen: transactions whose markers are below it are decided for good.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.producers.forget_replicated(high_watermark);
    }

    /// Where a producer's open transaction began in this partition.
    pub fn open_transaction(&self, producer_id: ProducerId) -> Option<Offset> {
        self.producers.open_transaction(producer_id)
    }

    /// To be called before the coordinator of a producer's transaction is asked whether it takes part here; what it says counts while the
    /// guard holds, which no marker of the producer leaves it. `None`: the transaction is open already, and nobody need be asked.
    pub fn begin_verification(&mut self, batch: &FirstBatch, now: TimestampMs) -> Option<VerificationGuard> {
        self.producers.begin_verification(batch, now)
    }

    /// Whether a coordinator may write a batch of its own in a producer's transaction: as a client might that appends with `may_begin`. To be asked under the same lock as the append, or by who alone appends such batches and markers.
    pub fn check_transactional(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        may_begin: AppendOrigin,
    ) -> Result<(), AppendError> {
        self.producers.check_transaction(producer_id, producer_epoch, may_begin.may_begin())?;
        self.producers.check_epoch(producer_id, producer_epoch)
    }

    /// Whether a marker may be written.
    pub fn check_marker(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        marker: &EndTxnMarker,
        raises_epoch: bool,
    ) -> Result<(), AppendError> {
        self.producers.check_marker(producer_id, producer_epoch, marker, raises_epoch)
    }

    /// What is known of each producer (DescribeProducers).
    pub fn describe_producers(&self) -> Vec<ProducerDescription> {
        self.producers.describe()
    }

    /// Number of producers that are remembered for idempotence.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Forgets producers by `producer.id.expiration.ms`. To be called now and then.
    pub fn expire_producers(&mut self, now: TimestampMs) -> usize {
        self.producers.expire(now, self.config.producer_id_expiration_ms)
    }

    /// Aborted transactions with records in `from..upto`, for read-committed fetches.
    pub fn aborted_transactions(&self, from: Offset, upto: Offset) -> Result<Vec<AbortedTxn>, IoFailure> {
        let first = self.segment_of(from).unwrap_or(0);
        let mut found = Vec::new();
        for segment in &self.segments[first..] {
            let entries = self.read_txn_index(segment.base)?;
            found.extend(entries.iter().filter(|t| t.last_offset >= from && t.first_offset < upto));
            // An entry stands in the segment of its marker; once all that could begin below `upto` have been seen, it is enough.
            if entries.iter().any(|t| t.last_stable_offset >= upto) {
                break;
            }
        }
        Ok(found)
    }

    /// The newest leader epoch that wrote here or was assigned.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The leader epochs of this log.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Where an epoch ended (KIP-101, KIP-279): the largest epoch not above it that is known, and its end; `(-1, -1)` when
    /// nothing can be said.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_offset_of(epoch, self.log_end_offset())
    }

    /// The epoch in which the record at `offset` was written.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_of(offset)
    }

    /// This replica leads from now on: what it appends is of this epoch. On stable storage before the durable end passes the
    /// first of it.
    pub fn assign_epoch_start(&mut self, epoch: LeaderEpoch) {
        let end = self.log_end_offset();
        self.assign_epoch(epoch, end);
    }

    /// Whether an earlier failure took the log out of service, and which.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Closes the files that are kept open, so that they do not outlive a folder that is about to be removed.
    pub fn release_files(&mut self) {
        for segment in &self.segments {
            segment.close(&*self.disk);
        }
        self.tail.take_file();
    }

    fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.epochs.assign(epoch, start) {
            self.sync.epochs_changed();
        }
    }

    fn active(&self) -> &Segment {
        // Holds by construction: made with one segment, and every removal leaves or makes one.
        &self.segments[self.segments.len() - 1]
    }

    fn place(&self) -> Place<'_> {
        Place { disk: &*self.disk, dir: &self.dir }
    }

    /// Index of the segment that an offset belongs to; `None`: it is below the first.
    fn segment_of(&self, offset: Offset) -> Option<usize> {
        self.segments.partition_point(|s| s.base <= offset).checked_sub(1)
    }

    /// End of a segment, exclusive: the next one's base, or the log end.
    fn end_of(&self, at: usize) -> Offset {
        self.segments.get(at + 1).map_or(self.tail.next_offset, |next| next.base)
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn check_in_service(&self) -> Result<(), LogError> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(LogError::Failed { dir: self.dir.to_path_buf(), cause: cause.to_string() }),
        }
    }

    /// From here on only reads: what the files hold is not known to be what this log believes.
    fn fail(&mut self, cause: impl std::fmt::Display) {
        self.failed.get_or_insert_with(|| cause.to_string().into());
    }
}
