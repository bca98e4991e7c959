//! Configs of a topic.

use super::super::def::configs;

configs! { TOPIC: Topic =
    /// How closely a compressed batch is looked at before it is appended: by its header and CRC, or in full, record by record. Ottla's
    /// own.
    "batch.validation": Text, OneOf(&["header", "full"]), "header", Medium, ClusterWide, Works;
    /// What happens to old segments: `delete` by age and size, `compact` to the newest record of each key, both, or (empty) nothing.
    "cleanup.policy": List, EachOf(&["compact", "delete"]), "delete", Medium, ClusterWide, Works;
    /// The level when batches are stored with gzip; -1 for gzip's own default.
    "compression.gzip.level": Int, RangeOr(1, 9, -1), "-1", Medium, ClusterWide, Works;
    /// The level when batches are stored with lz4.
    "compression.lz4.level": Int, Range(1, 17), "9", Medium, ClusterWide, Works;
    /// How batches are stored: `producer` as they came, `uncompressed`, or with one codec whatever they came with.
    "compression.type": Text, OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", Medium, ClusterWide, Works;
    /// The level when batches are stored with zstd.
    "compression.zstd.level": Int, Range(-131072, 22), "3", Medium, ClusterWide, Works;
    /// How long tombstones and transaction markers stay after compaction has first met them.
    "delete.retention.ms": Long, Min(0), "86400000", Medium, ClusterWide, Works;
    /// How long the files of a deleted segment stay, for those who read them still.
    "file.delete.delay.ms": Long, Min(0), "60000", Medium, ClusterWide, Works;
    /// Records after which a log is synced. What acks=all waits for is synced at once whatever this says.
    "flush.messages": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// Time after which a log is synced. What acks=all waits for is synced at once, the rest within a short time.
    "flush.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// Replicas whose followers are throttled, as partition:broker, or `*`.
    "follower.replication.throttled.replicas": List, ThrottledReplicas, "", Medium, ClusterWide, NotYet;
    /// Bytes of a log between two entries of its index.
    "index.interval.bytes": Int, Min(0), "4096", Medium, ClusterWide, Works;
    /// Size of a segment, in tests.
    "internal.segment.bytes": Int, Any, null, Medium, ClusterWide, NotYet, internal;
    /// Replicas whose leaders are throttled, as partition:broker, or `*`.
    "leader.replication.throttled.replicas": List, ThrottledReplicas, "", Medium, ClusterWide, NotYet;
    /// Size of what is kept on local disk beside tiered storage; -2: as `retention.bytes`.
    "local.retention.bytes": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// Age of what is kept on local disk beside tiered storage; -2: as `retention.ms`.
    "local.retention.ms": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// A record is compacted after this time at the latest.
    "max.compaction.lag.ms": Long, Min(1), "9223372036854775807", Medium, ClusterWide, Works;
    /// The largest batch, after compression.
    "max.message.bytes": Int, Min(0), "1048588", Medium, ClusterWide, Works;
    /// How far ahead of the broker's clock a record's timestamp may be.
    "message.timestamp.after.max.ms": Long, Min(0), "3600000", Medium, ClusterWide, Works;
    /// How far behind the broker's clock a record's timestamp may be.
    "message.timestamp.before.max.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, Works;
    /// Whether records keep the producer's timestamp or get that of their append.
    "message.timestamp.type": Text, OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime", Medium, ClusterWide, Works;
    /// The part of a log that must be new before it is compacted.
    "min.cleanable.dirty.ratio": Double, RangeDouble(0.0, 1.0), "0.5", Medium, ClusterWide, Works;
    /// A record is not compacted before this time.
    "min.compaction.lag.ms": Long, Min(0), "0", Medium, ClusterWide, Works;
    /// In-sync replicas that must hold a record before acks=all is answered.
    "min.insync.replicas": Int, Min(1), "1", Medium, ClusterWide, Works;
    /// Whether a segment's file gets its full size when it is made.
    "preallocate": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// Whether nothing more is copied to tiered storage.
    "remote.log.copy.disable": Bool, Any, "false", Medium, ClusterWide, Refused;
    /// Whether data goes from tiered storage when that is switched off.
    "remote.log.delete.on.disable": Bool, Any, "false", Medium, ClusterWide, Refused;
    /// Whether the topic is in tiered storage.
    "remote.storage.enable": Bool, Any, "false", Medium, ClusterWide, Refused;
    /// Size of a partition above which its oldest segments go; -1 for no limit.
    "retention.bytes": Long, Any, "-1", Medium, ClusterWide, Works;
    /// Age of records after which their segments go; -1 for no limit.
    "retention.ms": Long, Min(-1), "604800000", Medium, ClusterWide, Works;
    /// Size of a segment at which a new one begins.
    "segment.bytes": Int, Min(1048576), "1073741824", Medium, ClusterWide, Works;
    /// The largest index of a segment; a full one makes the segment roll.
    "segment.index.bytes": Int, Min(4), "10485760", Medium, ClusterWide, Works;
    /// At most this is taken from `segment.ms`, by chance, so that not all logs roll at once.
    "segment.jitter.ms": Long, Min(0), "0", Medium, ClusterWide, Works;
    /// Age of a segment at which a new one begins.
    "segment.ms": Long, Min(1), "604800000", Medium, ClusterWide, Works;
    /// Whether a replica that may lack records can lead when no other is left.
    "unclean.leader.election.enable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// Whether acks=all is answered when the data is written, before it is on stable storage. Ottla's own; off, unlike Kafka, where it
    /// cannot be.
    "write.caching": Bool, Any, "false", High, ClusterWide, Works;
}
