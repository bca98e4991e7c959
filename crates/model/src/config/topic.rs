//! The configs of one topic, typed, each from its override or else from the broker's default.

use super::synonyms::broker_default_of;
use super::{ConfigError, Overrides, Scope, ServerConfig, Support, Value, lookup, nearest};

/// `cleanup.policy`: what happens to old segments. Neither: they are kept for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by age and size.
    pub delete: bool,
    /// The newest record of each key is kept.
    pub compact: bool,
}

/// `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Batches stay as the producer compressed them.
    Producer,
    /// Batches are stored uncompressed.
    Uncompressed,
    /// Batches are stored with gzip.
    Gzip,
    /// Batches are stored with snappy.
    Snappy,
    /// Batches are stored with lz4.
    Lz4,
    /// Batches are stored with zstd.
    Zstd,
}

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's timestamps.
    CreateTime,
    /// The time of the append.
    LogAppendTime,
}

/// `batch.validation`: how closely a compressed batch is looked at before it is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchValidation {
    /// Its header and CRC.
    Header,
    /// Also every record within, which costs the unpacking.
    Full,
}

/// The effective configs of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`; -1: the codec's own default.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`: how long tombstones stay after compaction.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`: how long a deleted segment's files stay on disk.
    pub file_delete_delay_ms: i64,
    /// `flush.messages`; `i64::MAX`: not by count.
    pub flush_messages: i64,
    /// `flush.ms`; `i64::MAX`: not by time.
    pub flush_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`: the largest batch.
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes`; -1: no limit.
    pub retention_bytes: i64,
    /// `retention.ms`; -1: no limit.
    pub retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `write.caching`: acks=all is answered once the replicas have written, not synced.
    pub write_caching: bool,
    /// `batch.validation`.
    pub batch_validation: BatchValidation,
}

impl TopicConfig {
    /// The effective configs of a topic with these overrides on a broker with these settings.
    pub fn resolve(server: &ServerConfig, overrides: &Overrides) -> Result<TopicConfig, ConfigError> {
        let from = Lookup { server, overrides };
        let config = TopicConfig {
            cleanup_policy: from.cleanup_policy()?,
            compression_type: match from.text("compression.type")?.as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                // The table allows no other than `producer`.
                _ => CompressionType::Producer,
            },
            compression_gzip_level: from.number("compression.gzip.level")?,
            compression_lz4_level: from.number("compression.lz4.level")?,
            compression_zstd_level: from.number("compression.zstd.level")?,
            delete_retention_ms: from.number("delete.retention.ms")?,
            file_delete_delay_ms: from.number("file.delete.delay.ms")?,
            flush_messages: from.number("flush.messages")?,
            flush_ms: from.number("flush.ms")?,
            index_interval_bytes: from.number("index.interval.bytes")?,
            max_compaction_lag_ms: from.number("max.compaction.lag.ms")?,
            max_message_bytes: from.number("max.message.bytes")?,
            message_timestamp_after_max_ms: from.number("message.timestamp.after.max.ms")?,
            message_timestamp_before_max_ms: from.number("message.timestamp.before.max.ms")?,
            message_timestamp_type: match from.text("message.timestamp.type")?.as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: from.double("min.cleanable.dirty.ratio")?,
            min_compaction_lag_ms: from.number("min.compaction.lag.ms")?,
            min_insync_replicas: from.number("min.insync.replicas")?,
            preallocate: from.boolean("preallocate")?,
            retention_bytes: from.number("retention.bytes")?,
            retention_ms: from.number("retention.ms")?,
            segment_bytes: from.number("segment.bytes")?,
            segment_index_bytes: from.number("segment.index.bytes")?,
            segment_jitter_ms: from.number("segment.jitter.ms")?,
            segment_ms: from.number("segment.ms")?,
            unclean_leader_election_enable: from.boolean("unclean.leader.election.enable")?,
            write_caching: from.boolean("write.caching")?,
            batch_validation: match from.text("batch.validation")?.as_str() {
                "full" => BatchValidation::Full,
                _ => BatchValidation::Header,
            },
        };
        config.check_together()?;
        Ok(config)
    }

    /// Checks one override by itself.
    pub fn validate(name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(def) = lookup(Scope::Topic, name) else {
            return Err(ConfigError::Unknown { scope: "topic", name: name.to_owned(), nearest: nearest(Scope::Topic, name) });
        };
        def.parse(value)?;
        let changes_something = def.default.is_none_or(|default| !def.same_value(default, value));
        if def.support == Support::Refused && changes_something {
            return Err(ConfigError::Unsupported { name: name.to_owned(), value: value.to_owned() });
        }
        Ok(())
    }

    /// What Kafka's `LogConfig.validateValues` asks of several configs together.
    fn check_together(&self) -> Result<(), ConfigError> {
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms {
            return Err(ConfigError::Conflict {
                first: format!("min.compaction.lag.ms={}", self.min_compaction_lag_ms),
                second: format!("max.compaction.lag.ms={}", self.max_compaction_lag_ms),
                remedy: "the least lag must not exceed the greatest",
            });
        }
        Ok(())
    }
}

/// Topic configs by name: the override, or the broker's default, or the table's.
struct Lookup<'a> {
    server: &'a ServerConfig,
    overrides: &'a Overrides,
}

impl Lookup<'_> {
    fn value(&self, name: &'static str) -> Result<Value, ConfigError> {
        let missing = || ConfigError::Missing { name, remedy: "give it a value" };
        let def = lookup(Scope::Topic, name).ok_or_else(missing)?;
        if let Some(text) = self.overrides.get(name) {
            return def.parse(text);
        }
        let from_broker = broker_default_of(name).map(|broker| self.server.values().value(broker)).transpose()?.flatten();
        match from_broker {
            Some(value) => Ok(value),
            None => def.parse(def.default.ok_or_else(missing)?),
        }
    }

    fn number<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, ConfigError> {
        let wrong = |value: String| ConfigError::IllTyped { name: name.to_owned(), value, expected: "integer" };
        match self.value(name)? {
            Value::Int(v) => T::try_from(v).map_err(|_| wrong(v.to_string())),
            other => Err(wrong(format!("{other:?}"))),
        }
    }

    fn double(&self, name: &'static str) -> Result<f64, ConfigError> {
        match self.value(name)? {
            Value::Double(v) => Ok(v),
            other => Err(ConfigError::IllTyped { name: name.to_owned(), value: format!("{other:?}"), expected: "number" }),
        }
    }

    fn boolean(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.value(name)? {
            Value::Bool(v) => Ok(v),
            other => Err(ConfigError::IllTyped { name: name.to_owned(), value: format!("{other:?}"), expected: "boolean" }),
        }
    }

    fn text(&self, name: &'static str) -> Result<String, ConfigError> {
        match self.value(name)? {
            Value::Text(v) => Ok(v),
            other => Err(ConfigError::IllTyped { name: name.to_owned(), value: format!("{other:?}"), expected: "text" }),
        }
    }

    fn cleanup_policy(&self) -> Result<CleanupPolicy, ConfigError> {
        match self.value("cleanup.policy")? {
            Value::List(items) => Ok(CleanupPolicy {
                delete: items.iter().any(|policy| policy == "delete"),
                compact: items.iter().any(|policy| policy == "compact"),
            }),
            other => Err(ConfigError::IllTyped { name: "cleanup.policy".to_owned(), value: format!("{other:?}"), expected: "list" }),
        }
    }
}
