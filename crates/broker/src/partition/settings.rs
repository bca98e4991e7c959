//! From a topic's configs to what its logs and partitions heed.

use ottla_log::{BatchValidation, LogConfig, TimestampType, TopicCompression};
use ottla_model::config::{self, TopicConfig};
use ottla_wire::compress::Compression;

/// A topic's configs as a partition needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// For the log.
    pub log: LogConfig,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `write.caching`: the high watermark follows the log end, not the durable end.
    pub write_caching: bool,
}

impl TopicSettings {
    /// From the effective configs. `producer_id_expiration_ms` is the broker's.
    pub fn new(topic: &TopicConfig, producer_id_expiration_ms: i64) -> TopicSettings {
        TopicSettings {
            log: log_config(topic, producer_id_expiration_ms),
            min_insync_replicas: topic.min_insync_replicas,
            write_caching: topic.write_caching,
        }
    }
}

impl Default for TopicSettings {
    /// Kafka's defaults.
    fn default() -> TopicSettings {
        TopicSettings { log: LogConfig::default(), min_insync_replicas: 1, write_caching: false }
    }
}

/// The log's share of a topic's configs. The table bounds sizes to 0 and above.
pub fn log_config(topic: &TopicConfig, producer_id_expiration_ms: i64) -> LogConfig {
    let codec = |codec, level| TopicCompression::Codec { codec, level };
    LogConfig {
        segment_bytes: topic.segment_bytes.unsigned_abs(),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        index_interval_bytes: topic.index_interval_bytes.unsigned_abs(),
        segment_index_bytes: topic.segment_index_bytes.unsigned_abs(),
        max_message_bytes: topic.max_message_bytes.unsigned_abs(),
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        cleanup_delete: topic.cleanup_policy.delete,
        cleanup_compact: topic.cleanup_policy.compact,
        min_cleanable_dirty_ratio_ppm: (topic.min_cleanable_dirty_ratio * 1e6) as u32,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        delete_retention_ms: topic.delete_retention_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        message_timestamp_type: match topic.message_timestamp_type {
            config::TimestampType::CreateTime => TimestampType::CreateTime,
            config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        batch_validation: match topic.batch_validation {
            config::BatchValidation::Header => BatchValidation::Header,
            config::BatchValidation::Full => BatchValidation::Full,
        },
        compression_type: match topic.compression_type {
            config::CompressionType::Producer => TopicCompression::Producer,
            config::CompressionType::Uncompressed => codec(Compression::None, None),
            // -1 is gzip's own name for its default level.
            config::CompressionType::Gzip => codec(Compression::Gzip, Some(topic.compression_gzip_level).filter(|level| *level != -1)),
            config::CompressionType::Snappy => codec(Compression::Snappy, None),
            config::CompressionType::Lz4 => codec(Compression::Lz4, Some(topic.compression_lz4_level)),
            config::CompressionType::Zstd => codec(Compression::Zstd, Some(topic.compression_zstd_level)),
        },
        producer_id_expiration_ms,
    }
}
