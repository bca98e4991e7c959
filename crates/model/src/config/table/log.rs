//! Partitions on disk: the defaults that topics inherit, and the care of all logs.

use super::super::def::configs;

configs! { LOG: Broker =
    /// alter.config.policy.class.name
    "alter.config.policy.class.name": Class, Any, null, Low, ReadOnly, NotYet;
    /// auto.create.topics.enable
    "auto.create.topics.enable": Bool, Any, "true", High, ReadOnly, NotYet;
    /// compression.gzip.level
    "compression.gzip.level": Int, RangeOr(1, 9, -1), "-1", Medium, ClusterWide, NotYet;
    /// compression.lz4.level
    "compression.lz4.level": Int, Range(1, 17), "9", Medium, ClusterWide, NotYet;
    /// compression.type
    "compression.type": Text, OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", High, ClusterWide, NotYet;
    /// compression.zstd.level
    "compression.zstd.level": Int, Range(-131072, 22), "3", Medium, ClusterWide, NotYet;
    /// create.topic.policy.class.name
    "create.topic.policy.class.name": Class, Any, null, Low, ReadOnly, NotYet;
    /// delete.topic.enable
    "delete.topic.enable": Bool, Any, "true", High, ReadOnly, NotYet;
    /// log.batch.validation
    "log.batch.validation": Text, OneOf(&["header", "full"]), "header", Medium, ClusterWide, NotYet;
    /// log.cleaner.backoff.ms
    "log.cleaner.backoff.ms": Long, Min(0), "15000", Medium, ClusterWide, NotYet;
    /// log.cleaner.dedupe.buffer.size
    "log.cleaner.dedupe.buffer.size": Long, Any, "134217728", Medium, ClusterWide, NotYet;
    /// log.cleaner.delete.retention.ms
    "log.cleaner.delete.retention.ms": Long, Min(0), "86400000", Medium, ClusterWide, NotYet;
    /// log.cleaner.enable
    "log.cleaner.enable": Bool, Any, "true", Medium, ReadOnly, NotYet;
    /// log.cleaner.io.buffer.load.factor
    "log.cleaner.io.buffer.load.factor": Double, Any, "0.9", Medium, ClusterWide, NotYet;
    /// log.cleaner.io.buffer.size
    "log.cleaner.io.buffer.size": Int, Min(0), "524288", Medium, ClusterWide, NotYet;
    /// log.cleaner.io.max.bytes.per.second
    "log.cleaner.io.max.bytes.per.second": Double, Any, "1.7976931348623157E308", Medium, ClusterWide, NotYet;
    /// log.cleaner.max.compaction.lag.ms
    "log.cleaner.max.compaction.lag.ms": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// log.cleaner.min.cleanable.ratio
    "log.cleaner.min.cleanable.ratio": Double, RangeDouble(0.0, 1.0), "0.5", Medium, ClusterWide, NotYet;
    /// log.cleaner.min.compaction.lag.ms
    "log.cleaner.min.compaction.lag.ms": Long, Min(0), "0", Medium, ClusterWide, NotYet;
    /// log.cleaner.threads
    "log.cleaner.threads": Int, Min(0), "1", Medium, ClusterWide, NotYet;
    /// log.cleanup.policy
    "log.cleanup.policy": List, EachOf(&["compact", "delete"]), "delete", Medium, ClusterWide, NotYet;
    /// log.dir
    "log.dir": List, Any, "/tmp/kafka-logs", High, ReadOnly, NotYet;
    /// log.dir.failure.timeout.ms
    "log.dir.failure.timeout.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet;
    /// log.dirs
    "log.dirs": List, Any, null, High, ReadOnly, NotYet;
    /// log.flush.interval.messages
    "log.flush.interval.messages": Long, Min(1), "9223372036854775807", High, ClusterWide, NotYet;
    /// log.flush.interval.ms
    "log.flush.interval.ms": Long, Any, null, High, ClusterWide, NotYet;
    /// log.flush.offset.checkpoint.interval.ms
    "log.flush.offset.checkpoint.interval.ms": Int, Min(0), "60000", High, ReadOnly, NotYet;
    /// log.flush.scheduler.interval.ms
    "log.flush.scheduler.interval.ms": Long, Any, "9223372036854775807", High, ReadOnly, NotYet;
    /// log.flush.start.offset.checkpoint.interval.ms
    "log.flush.start.offset.checkpoint.interval.ms": Int, Min(0), "60000", High, ReadOnly, NotYet;
    /// log.index.interval.bytes
    "log.index.interval.bytes": Int, Min(0), "4096", Medium, ClusterWide, NotYet;
    /// log.index.size.max.bytes
    "log.index.size.max.bytes": Int, Min(4), "10485760", Medium, ClusterWide, NotYet;
    /// log.initial.task.delay.ms
    "log.initial.task.delay.ms": Long, Min(0), "30000", Low, ReadOnly, NotYet, internal;
    /// log.message.timestamp.after.max.ms
    "log.message.timestamp.after.max.ms": Long, Min(0), "3600000", Medium, ClusterWide, NotYet;
    /// log.message.timestamp.before.max.ms
    "log.message.timestamp.before.max.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// log.message.timestamp.type
    "log.message.timestamp.type": Text, OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime", Medium, ClusterWide, NotYet;
    /// log.preallocate
    "log.preallocate": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// log.retention.bytes
    "log.retention.bytes": Long, Any, "-1", High, ClusterWide, NotYet;
    /// log.retention.check.interval.ms
    "log.retention.check.interval.ms": Long, Min(1), "300000", Medium, ReadOnly, NotYet;
    /// log.retention.hours
    "log.retention.hours": Int, Any, "168", High, ReadOnly, NotYet;
    /// log.retention.minutes
    "log.retention.minutes": Int, Any, null, High, ReadOnly, NotYet;
    /// log.retention.ms
    "log.retention.ms": Long, Any, null, High, ClusterWide, NotYet;
    /// log.roll.hours
    "log.roll.hours": Int, Min(1), "168", High, ReadOnly, NotYet;
    /// log.roll.jitter.hours
    "log.roll.jitter.hours": Int, Min(0), "0", High, ReadOnly, NotYet;
    /// log.roll.jitter.ms
    "log.roll.jitter.ms": Long, Any, null, High, ClusterWide, NotYet;
    /// log.roll.ms
    "log.roll.ms": Long, Any, null, High, ClusterWide, NotYet;
    /// log.segment.bytes
    "log.segment.bytes": Int, Min(1048576), "1073741824", High, ClusterWide, NotYet;
    /// log.segment.delete.delay.ms
    "log.segment.delete.delay.ms": Long, Min(0), "60000", High, ClusterWide, NotYet;
    /// log.write.caching
    "log.write.caching": Bool, Any, "false", High, ClusterWide, NotYet;
    /// message.max.bytes
    "message.max.bytes": Int, Min(0), "1048588", High, ClusterWide, NotYet;
    /// num.partitions
    "num.partitions": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// num.recovery.threads.per.data.dir
    "num.recovery.threads.per.data.dir": Int, Min(1), "2", High, ClusterWide, NotYet;
}
