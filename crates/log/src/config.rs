//! What a log needs to know of its topic's configs, resolved: defaults, bounds and names live in `ottla_model::config`.

use ottla_wire::compress::Compression;

pub use ottla_wire::batch::TimestampType;

/// How far a compressed batch is looked into on its way in (`batch.validation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchValidation {
    /// Header and CRC; the records inside are the producer's word.
    Header,
    /// Every record, as Kafka does.
    Full,
}

/// What the log stores batches compressed with (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer sent them.
    Producer,
    /// With this codec; other batches are repacked.
    Codec {
        /// The codec; `Compression::None` for `uncompressed`.
        codec: Compression,
        /// Its level; `None` for its default.
        level: Option<i32>,
    },
}

/// One log's settings. Kafka's names with units last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it would grow beyond this.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is closed at the first append this long after its first record.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most this much is taken off `segment_ms`, differently for each segment, so that the
    /// partitions of a topic do not all roll at once.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: a segment is closed when its index has grown to this.
    pub segment_index_bytes: u32,
    /// `max.message.bytes`: largest batch a client may append.
    pub max_message_bytes: u32,
    /// `retention.ms`: age by which a segment is deleted; -1: never.
    pub retention_ms: i64,
    /// `retention.bytes`: size the log is cut down to; -1: no limit.
    pub retention_bytes: i64,
    /// Whether `cleanup.policy` has `delete`: without it, neither time nor size deletes a segment.
    pub cleanup_delete: bool,
    /// Whether `cleanup.policy` has `compact`: records without a key are refused then.
    pub cleanup_compact: bool,
    /// `min.cleanable.dirty.ratio`, in millionths: a log is compacted once more than this part of it is new.
    pub min_cleanable_dirty_ratio_ppm: u32,
    /// `min.compaction.lag.ms`: a record is not compacted before this age.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a record is compacted by this age, whatever the dirty ratio.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: time that tombstones and transaction markers stay after the pass that found nothing else to keep of
    /// them (KIP-534).
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`: time between a segment's renaming to `.deleted` and its removal.
    pub file_delete_delay_ms: i64,
    /// `message.timestamp.type`; `LogAppendTime` rewrites each batch's header and CRC.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future.
    pub message_timestamp_after_max_ms: i64,
    /// `batch.validation`.
    pub batch_validation: BatchValidation,
    /// `compression.type`.
    pub compression_type: TopicCompression,
    /// `producer.id.expiration.ms`: a producer not heard of for so long is forgotten.
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            max_message_bytes: (1 << 20) + 12,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            cleanup_delete: true,
            cleanup_compact: false,
            min_cleanable_dirty_ratio_ppm: 500_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 86_400_000,
            file_delete_delay_ms: 60_000,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            batch_validation: BatchValidation::Header,
            compression_type: TopicCompression::Producer,
            producer_id_expiration_ms: 86_400_000,
        }
    }
}
