//! What can go wrong with a log, by cause. The broker maps each enum onto Kafka's error codes in one exhaustive function.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ottla_model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use ottla_wire::batch::BatchError;

/// A file operation that failed, and on what.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct IoFailure {
    /// What was being done: "write", "open" and so on.
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl IoFailure {
    /// Whether the disk has no room left: the one failure that goes away by itself.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl IoFailure {
    /// The same, to be told to one more.
    pub(crate) fn again(&self) -> IoFailure {
        let source = self.source.raw_os_error().map_or_else(|| self.source.kind().into(), io::Error::from_raw_os_error);
        IoFailure { doing: self.doing, path: self.path.clone(), source }
    }
}

/// Names the operation and the file of an `io::Result`.
pub(crate) trait IoContext<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, IoFailure>;

    /// The same for what need not be there: `None`.
    fn if_there(self, doing: &'static str, path: &Path) -> Result<Option<T>, IoFailure>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, IoFailure> {
        self.map_err(|source| IoFailure { doing, path: path.to_owned(), source })
    }

    fn if_there(self, doing: &'static str, path: &Path) -> Result<Option<T>, IoFailure> {
        match self {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.doing(doing, path).map(Some),
        }
    }
}

/// Why a log could not be made, opened, synced, truncated or trimmed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A sync or a repair of this log failed before: what its files hold is no longer known, so it takes no more writes.
    /// A failed `fdatasync` is never tried again, as the kernel may have dropped the pages it could not write.
    #[error("the log in {} is out of service since an earlier failure: {cause}", dir.display())]
    Failed {
        /// Its folder.
        dir: PathBuf,
        /// The failure that took it out of service.
        cause: String,
    },
    /// A small file beside the log does not say what it should.
    #[error("{} is not readable: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder is not named `topic-partition`.
    #[error("{} is not named as a partition's folder is (`topic-3`)", .0.display())]
    BadFolderName(PathBuf),
    /// The disk has too little room for records. Nothing was written, and it goes away once there is room.
    #[error("no room in {}: {free_bytes} bytes are free, of which {kept_bytes} are kept for what frees room", dir.display())]
    NoRoom {
        /// The log directory.
        dir: PathBuf,
        /// What its file system has left.
        free_bytes: u64,
        /// How much of that is not for records.
        kept_bytes: u64,
    },
    /// An offset beyond what the log has.
    #[error("offset {asked} is outside of the log, which has {start} up to {end}")]
    OffsetOutOfRange {
        /// What was asked for.
        asked: Offset,
        /// Log start offset.
        start: Offset,
        /// Log end offset (exclusive).
        end: Offset,
    },
}

impl LogError {
    /// Whether the disk has no room left, see [`IoFailure::is_disk_full`].
    pub fn is_disk_full(&self) -> bool {
        match self {
            LogError::Io(failure) => failure.is_disk_full(),
            LogError::NoRoom { .. } => true,
            LogError::Failed { .. } | LogError::BadFile { .. } | LogError::BadFolderName(_) | LogError::OffsetOutOfRange { .. } => false,
        }
    }
}

/// Why records were not appended. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Sizes, counts, CRC, format or codec of a batch do not hold; `BatchError::error_code` has the answer.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A well-formed batch that must not be sent here (INVALID_RECORD).
    #[error("the batch is not acceptable: {reason}")]
    InvalidRecord {
        /// Which rule it breaks.
        reason: String,
    },
    /// A batch above `max.message.bytes` (MESSAGE_TOO_LARGE).
    #[error("a batch of {bytes} bytes is larger than max.message.bytes, {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More than one segment could hold (RECORD_LIST_TOO_LARGE).
    #[error("{bytes} bytes are more than a segment may hold, {bytes_max}")]
    LargerThanSegment {
        /// The size.
        bytes: usize,
        /// `segment.bytes`.
        bytes_max: usize,
    },
    /// A timestamp outside `message.timestamp.before.max.ms` / `message.timestamp.after.max.ms` (INVALID_TIMESTAMP).
    #[error("timestamp {found:?} is outside of the range allowed at {now:?}: {earliest:?} to {latest:?}")]
    InvalidTimestamp {
        /// The record's timestamp.
        found: TimestampMs,
        /// The broker's clock.
        now: TimestampMs,
        /// Earliest allowed.
        earliest: TimestampMs,
        /// Latest allowed.
        latest: TimestampMs,
    },
    /// A producer's batch that claims to have the broker's timestamps (INVALID_TIMESTAMP).
    #[error("a producer must not set the timestamp type to LogAppendTime")]
    TimestampTypeNotTheirs,
    /// Not the next sequence number of an idempotent producer (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer_id} epoch {producer_epoch} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
        /// The sequence that would have been right.
        expected: Sequence,
        /// What the batch has.
        found: Sequence,
    },
    /// A producer that was fenced by a newer incarnation of itself (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer_id} has epoch {current}, the batch has the older {found}")]
    ProducerFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The newest epoch seen.
        current: ProducerEpoch,
        /// What the batch has.
        found: ProducerEpoch,
    },
    /// A marker of a transaction coordinator that has been replaced (TRANSACTION_COORDINATOR_FENCED).
    #[error("coordinator epoch {current} has written here for producer {producer_id}, the marker has the older {found}")]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The newest coordinator epoch seen.
        current: i32,
        /// What the marker has.
        found: i32,
    },
    /// A batch outside of a transaction while the producer has one open (INVALID_TXN_STATE).
    #[error("producer {producer_id} has a transaction open since offset {first_offset}, but the batch is not transactional")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
        /// Where the transaction began.
        first_offset: Offset,
    },
    /// A transactional batch of a transaction that this partition takes no part in, or does no more (INVALID_TXN_STATE).
    #[error("the record of producer {producer_id} epoch {producer_epoch} is not part of an ongoing transaction")]
    NotInTransaction {
        /// The producer.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
    },
    /// A marker that has the epoch of the transaction that is open, where it would have the next one: of an earlier transaction
    /// (INVALID_PRODUCER_EPOCH).
    #[error("the marker of producer {producer_id} has epoch {current}, as has the transaction that is open")]
    LateMarker {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of both.
        current: ProducerEpoch,
    },
    /// A follower was sent offsets that lie below its log end (nothing of Kafka's: the fetcher truncates or resets). Offsets beyond
    /// it are right: the leader's log may be compacted.
    #[error("the log ends at {expected}, the batch starts at {found}")]
    NotDense {
        /// Log end offset.
        expected: Offset,
        /// Base offset of the batch.
        found: Offset,
    },
    /// The log itself cannot take writes (KAFKA_STORAGE_ERROR).
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<IoFailure> for AppendError {
    fn from(e: IoFailure) -> Self {
        AppendError::Log(LogError::Io(e))
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start or above the log end (OFFSET_OUT_OF_RANGE).
    #[error("offset {asked} is outside of the log, which has {start} up to {end}")]
    OffsetOutOfRange {
        /// Log start offset.
        start: Offset,
        /// Log end offset (exclusive).
        end: Offset,
        /// What was asked for.
        asked: Offset,
    },
    /// Bytes in a segment that are no sound batch (CORRUPT_MESSAGE).
    #[error("{} is damaged at position {position}, offsets {} to {}: {reason}", path.display(), offsets.start, offsets.end.0 - 1)]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// The records concerned are among these.
        offsets: Range<Offset>,
        /// What is wrong.
        reason: String,
    },
    /// The disk said no (KAFKA_STORAGE_ERROR).
    #[error(transparent)]
    Io(#[from] IoFailure),
}
