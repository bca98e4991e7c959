//! Partitions on disk: the defaults that topics inherit, and the care of all logs.

use super::super::def::configs;

configs! { LOG: Broker =
    /// A Java class that judges each change of configs.
    "alter.config.policy.class.name": Class, Any, null, Low, ReadOnly, Refused;
    /// Whether a topic is made when a client first asks for it.
    "auto.create.topics.enable": Bool, Any, "true", High, ReadOnly, Works;
    /// Default of the topic config of the same name; -1 for gzip's own default.
    "compression.gzip.level": Int, RangeOr(1, 9, -1), "-1", Medium, ClusterWide, Works;
    /// Default of the topic config of the same name.
    "compression.lz4.level": Int, Range(1, 17), "9", Medium, ClusterWide, Works;
    /// Default of the topic config of the same name: how batches are stored.
    "compression.type": Text, OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", High, ClusterWide, Works;
    /// Default of the topic config of the same name.
    "compression.zstd.level": Int, Range(-131072, 22), "3", Medium, ClusterWide, Works;
    /// A Java class that judges each new topic.
    "create.topic.policy.class.name": Class, Any, null, Low, ReadOnly, Refused;
    /// Whether topics can be deleted.
    "delete.topic.enable": Bool, Any, "true", High, ReadOnly, Works;
    /// How closely a compressed batch is looked at before it is appended: by its header and CRC, or in full, record by record. Ottla's
    /// own.
    "log.batch.validation": Text, OneOf(&["header", "full"]), "header", Medium, ClusterWide, Works;
    /// How long the cleaner rests when there is nothing to clean.
    "log.cleaner.backoff.ms": Long, Min(0), "15000", Medium, ClusterWide, Works;
    /// Memory for the keys of compaction: of all threads together, 24 bytes a key. Taken only while a log is compacted, and no more than
    /// its new records need.
    "log.cleaner.dedupe.buffer.size": Long, Any, "134217728", Medium, ClusterWide, Works;
    /// How long tombstones stay in a compacted topic.
    "log.cleaner.delete.retention.ms": Long, Min(0), "86400000", Medium, ClusterWide, Works;
    /// Whether topics are compacted.
    "log.cleaner.enable": Bool, Any, "true", Medium, ReadOnly, Works;
    /// How full the memory for the keys may get.
    "log.cleaner.io.buffer.load.factor": Double, Any, "0.9", Medium, ClusterWide, Works;
    /// Memory for the reads and writes of compaction. Ottla takes 512 KiB, or two batches, if those are larger.
    "log.cleaner.io.buffer.size": Int, Min(0), "524288", Medium, ClusterWide, NoEffect;
    /// Bytes that compaction reads and writes per second.
    "log.cleaner.io.max.bytes.per.second": Double, Any, "1.7976931348623157E308", Medium, ClusterWide, Works;
    /// A record is compacted after this time at the latest.
    "log.cleaner.max.compaction.lag.ms": Long, Min(1), "9223372036854775807", Medium, ClusterWide, Works;
    /// The part of a log that must be new before it is compacted.
    "log.cleaner.min.cleanable.ratio": Double, RangeDouble(0.0, 1.0), "0.5", Medium, ClusterWide, Works;
    /// A record is not compacted before this time.
    "log.cleaner.min.compaction.lag.ms": Long, Min(0), "0", Medium, ClusterWide, Works;
    /// Logs that are compacted at a time: one in each log dir at most.
    "log.cleaner.threads": Int, Min(0), "1", Medium, ClusterWide, Works;
    /// What happens to old segments: `delete` by age and size, `compact` to the newest record of each key, both, or (empty) nothing.
    "log.cleanup.policy": List, EachOf(&["compact", "delete"]), "delete", Medium, ClusterWide, Works;
    /// The folder of the data, when `log.dirs` is not set.
    "log.dir": List, Any, "/tmp/kafka-logs", High, ReadOnly, Works;
    /// How long a broker may fail to tell the controller of a broken log dir before it stops.
    "log.dir.failure.timeout.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet;
    /// The folders of the data, one for each disk.
    "log.dirs": List, Any, null, High, ReadOnly, Works;
    /// Records after which a log is synced. What acks=all waits for is synced at once whatever this says.
    "log.flush.interval.messages": Long, Min(1), "9223372036854775807", High, ClusterWide, NotYet;
    /// Time after which a log is synced. What acks=all waits for is synced at once, the rest within a short time.
    "log.flush.interval.ms": Long, Any, null, High, ClusterWide, NotYet;
    /// How often the recovery points are written down, up to which a log is known to be on stable storage.
    "log.flush.offset.checkpoint.interval.ms": Int, Min(0), "60000", High, ReadOnly, Works;
    /// How often the above is looked at.
    "log.flush.scheduler.interval.ms": Long, Any, "9223372036854775807", High, ReadOnly, NotYet;
    /// How often the log start offsets are written down.
    "log.flush.start.offset.checkpoint.interval.ms": Int, Min(0), "60000", High, ReadOnly, Works;
    /// Bytes of a log between two entries of its index.
    "log.index.interval.bytes": Int, Min(0), "4096", Medium, ClusterWide, Works;
    /// The largest index of a segment; a full one makes the segment roll.
    "log.index.size.max.bytes": Int, Min(4), "10485760", Medium, ClusterWide, Works;
    /// How long after the start the first care of the logs begins.
    "log.initial.task.delay.ms": Long, Min(0), "30000", Low, ReadOnly, NotYet, internal;
    /// How far ahead of the broker's clock a record's timestamp may be.
    "log.message.timestamp.after.max.ms": Long, Min(0), "3600000", Medium, ClusterWide, Works;
    /// How far behind the broker's clock a record's timestamp may be.
    "log.message.timestamp.before.max.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, Works;
    /// Whether records keep the producer's timestamp or get that of their append.
    "log.message.timestamp.type": Text, OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime", Medium, ClusterWide, Works;
    /// Whether a segment's file gets its full size when it is made.
    "log.preallocate": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// Size of a partition above which its oldest segments go; -1 for no limit.
    "log.retention.bytes": Long, Any, "-1", High, ClusterWide, Works;
    /// How often logs are looked through for what may go.
    "log.retention.check.interval.ms": Long, Min(1), "300000", Medium, ReadOnly, Works;
    /// Age of records in hours after which their segments go; where neither `log.retention.ms` nor `log.retention.minutes` is set.
    "log.retention.hours": Int, Any, "168", High, ReadOnly, Works;
    /// Age of records in minutes after which their segments go; where `log.retention.ms` is not set.
    "log.retention.minutes": Int, Any, null, High, ReadOnly, Works;
    /// Age of records after which their segments go; -1 for no limit.
    "log.retention.ms": Long, Any, null, High, ClusterWide, Works;
    /// Age of a segment in hours at which a new one begins; where `log.roll.ms` is not set.
    "log.roll.hours": Int, Min(1), "168", High, ReadOnly, Works;
    /// At most so many hours are taken from the above, by chance; where `log.roll.jitter.ms` is not set.
    "log.roll.jitter.hours": Int, Min(0), "0", High, ReadOnly, Works;
    /// At most this is taken from the above, by chance, so that not all logs roll at once.
    "log.roll.jitter.ms": Long, Any, null, High, ClusterWide, Works;
    /// Age of a segment at which a new one begins.
    "log.roll.ms": Long, Any, null, High, ClusterWide, Works;
    /// Size of a segment at which a new one begins.
    "log.segment.bytes": Int, Min(1048576), "1073741824", High, ClusterWide, Works;
    /// How long the files of a deleted segment stay, for those who read them still.
    "log.segment.delete.delay.ms": Long, Min(0), "60000", High, ClusterWide, Works;
    /// Whether acks=all is answered when the data is written, before it is on stable storage. Ottla's own; off, unlike Kafka, where it
    /// cannot be.
    "log.write.caching": Bool, Any, "false", High, ClusterWide, Works;
    /// The largest batch a topic takes, after compression.
    "message.max.bytes": Int, Min(0), "1048588", High, ClusterWide, Works;
    /// Partitions of a topic that is created without a count.
    "num.partitions": Int, Min(1), "1", Medium, ReadOnly, Works;
    /// Threads that open and recover logs at start, for each log dir.
    "num.recovery.threads.per.data.dir": Int, Min(1), "2", High, ClusterWide, Works;
}
