//! One partition's log: segments, indexes, leader epochs, producer state, recovery, retention, compaction; and the small files of a log
//! directory. On disk everything is as Kafka has it, byte for byte.
//!
//! The log runs on the [`disk::Disk`] trait: the real file system, or one in memory that tears, forgets and fails. It knows
//! nothing of sockets, clusters or async, reads no clock and spawns no thread: whoever owns a [`PartitionLog`] says what time
//! it is and on which thread a sync runs.

mod checked;
mod compact;
mod config;
mod epochs;
mod error;
mod header;
mod index;
mod partition;
mod producer_state;
mod scan;
mod segment;
mod txn_index;
mod verification;

pub mod checkpoint;
pub mod disk;
pub mod log_dir;

pub use compact::{Compaction, CompactionError, CompactionNeed, CompactionStats, MapLimits, NewSegment};
pub use config::{BatchValidation, LogConfig, TimestampType, TopicCompression};
pub use disk::{Disk, MemDisk, RealDisk};
pub use epochs::EpochCache;
pub use error::{AppendError, IoFailure, LogError, ReadError};
pub use partition::{
    AppendOrigin, Appended, CHECK_BYTES_MAX, Damage, FoundOffset, OldSegments, OpenHints, PartitionLog, ReadOut, Recovery, ReplacedFiles,
    RetentionReason, ScrubPlace, ScrubStep, SyncTicket, TornTail,
};
pub use producer_state::{PRODUCERS_MAX, ProducerDescription};
pub use txn_index::AbortedTxn;
pub use verification::{FirstBatch, VERIFICATIONS_MAX, VerificationGuard};
