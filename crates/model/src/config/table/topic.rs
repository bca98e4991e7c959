//! Configs of a topic.

use super::super::def::configs;

configs! { TOPIC: Topic =
    /// batch.validation
    "batch.validation": Text, OneOf(&["header", "full"]), "header", Medium, ClusterWide, NotYet;
    /// cleanup.policy
    "cleanup.policy": List, EachOf(&["compact", "delete"]), "delete", Medium, ClusterWide, NotYet;
    /// compression.gzip.level
    "compression.gzip.level": Int, RangeOr(1, 9, -1), "-1", Medium, ClusterWide, NotYet;
    /// compression.lz4.level
    "compression.lz4.level": Int, Range(1, 17), "9", Medium, ClusterWide, NotYet;
    /// compression.type
    "compression.type": Text, OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", Medium, ClusterWide, NotYet;
    /// compression.zstd.level
    "compression.zstd.level": Int, Range(-131072, 22), "3", Medium, ClusterWide, NotYet;
    /// delete.retention.ms
    "delete.retention.ms": Long, Min(0), "86400000", Medium, ClusterWide, NotYet;
    /// file.delete.delay.ms
    "file.delete.delay.ms": Long, Min(0), "60000", Medium, ClusterWide, NotYet;
    /// flush.messages
    "flush.messages": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// flush.ms
    "flush.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// follower.replication.throttled.replicas
    "follower.replication.throttled.replicas": List, ThrottledReplicas, "", Medium, ClusterWide, NotYet;
    /// index.interval.bytes
    "index.interval.bytes": Int, Min(0), "4096", Medium, ClusterWide, NotYet;
    /// internal.segment.bytes
    "internal.segment.bytes": Int, Any, null, Medium, ClusterWide, NotYet, internal;
    /// leader.replication.throttled.replicas
    "leader.replication.throttled.replicas": List, ThrottledReplicas, "", Medium, ClusterWide, NotYet;
    /// local.retention.bytes
    "local.retention.bytes": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// local.retention.ms
    "local.retention.ms": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// max.compaction.lag.ms
    "max.compaction.lag.ms": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// max.message.bytes
    "max.message.bytes": Int, Min(0), "1048588", Medium, ClusterWide, NotYet;
    /// message.timestamp.after.max.ms
    "message.timestamp.after.max.ms": Long, Min(0), "3600000", Medium, ClusterWide, NotYet;
    /// message.timestamp.before.max.ms
    "message.timestamp.before.max.ms": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// message.timestamp.type
    "message.timestamp.type": Text, OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime", Medium, ClusterWide, NotYet;
    /// min.cleanable.dirty.ratio
    "min.cleanable.dirty.ratio": Double, RangeDouble(0.0, 1.0), "0.5", Medium, ClusterWide, NotYet;
    /// min.compaction.lag.ms
    "min.compaction.lag.ms": Long, Min(0), "0", Medium, ClusterWide, NotYet;
    /// min.insync.replicas
    "min.insync.replicas": Int, Min(1), "1", Medium, ClusterWide, NotYet;
    /// preallocate
    "preallocate": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// remote.log.copy.disable
    "remote.log.copy.disable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// remote.log.delete.on.disable
    "remote.log.delete.on.disable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// remote.storage.enable
    "remote.storage.enable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// retention.bytes
    "retention.bytes": Long, Any, "-1", Medium, ClusterWide, NotYet;
    /// retention.ms
    "retention.ms": Long, Min(-1), "604800000", Medium, ClusterWide, NotYet;
    /// segment.bytes
    "segment.bytes": Int, Min(1048576), "1073741824", Medium, ClusterWide, NotYet;
    /// segment.index.bytes
    "segment.index.bytes": Int, Min(4), "10485760", Medium, ClusterWide, NotYet;
    /// segment.jitter.ms
    "segment.jitter.ms": Long, Min(0), "0", Medium, ClusterWide, NotYet;
    /// segment.ms
    "segment.ms": Long, Min(1), "604800000", Medium, ClusterWide, NotYet;
    /// unclean.leader.election.enable
    "unclean.leader.election.enable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// write.caching
    "write.caching": Bool, Any, "false", High, ClusterWide, NotYet;
}
