//! Tiered storage.

use super::super::def::configs;

configs! { REMOTE: Broker =
    /// Whether an empty follower begins after what is in tiered storage.
    "follower.fetch.last.tiered.offset.enable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// Size of what is kept on local disk beside tiered storage; -2: as `log.retention.bytes`.
    "log.local.retention.bytes": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// Age of what is kept on local disk beside tiered storage; -2: as `log.retention.ms`.
    "log.local.retention.ms": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// How long a Fetch waits for tiered storage.
    "remote.fetch.max.wait.ms": Int, Min(1), "500", Medium, ClusterWide, NotYet;
    /// How long ListOffsets waits for tiered storage.
    "remote.list.offsets.request.timeout.ms": Long, Min(1), "30000", Medium, ClusterWide, NotYet;
    /// Local space for index files of tiered storage.
    "remote.log.index.file.cache.total.size.bytes": Long, Min(1), "1073741824", Low, ClusterWide, NotYet;
    /// How long such a file stays unused.
    "remote.log.index.file.cache.ttl.ms": Long, Min(-1), "900000", Low, ReadOnly, NotYet, internal;
    /// Threads that copy segments to tiered storage.
    "remote.log.manager.copier.thread.pool.size": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// Bytes per second copied to tiered storage.
    "remote.log.manager.copy.max.bytes.per.second": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// Samples over which that is measured.
    "remote.log.manager.copy.quota.window.num": Int, Min(1), "11", Medium, ReadOnly, NotYet;
    /// Length of one such sample.
    "remote.log.manager.copy.quota.window.size.seconds": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// Threads that delete from tiered storage.
    "remote.log.manager.expiration.thread.pool.size": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// Bytes per second read from tiered storage.
    "remote.log.manager.fetch.max.bytes.per.second": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// Samples over which that is measured.
    "remote.log.manager.fetch.quota.window.num": Int, Min(1), "11", Medium, ReadOnly, NotYet;
    /// Length of one such sample.
    "remote.log.manager.fetch.quota.window.size.seconds": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// Threads by which followers learn how far tiered storage has come.
    "remote.log.manager.follower.thread.pool.size": Int, Min(1), "2", Medium, ClusterWide, NotYet;
    /// How often segments are copied to and deleted from tiered storage.
    "remote.log.manager.task.interval.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet;
    /// The longest pause before such work is tried again.
    "remote.log.manager.task.retry.backoff.max.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet, internal;
    /// The first pause before such work is tried again.
    "remote.log.manager.task.retry.backoff.ms": Long, Min(1), "500", Low, ReadOnly, NotYet, internal;
    /// The part of those pauses that is left to chance.
    "remote.log.manager.task.retry.jitter": Double, RangeDouble(0.0, 0.5), "0.2", Low, ReadOnly, NotYet, internal;
    /// Older name of the threads of followers.
    "remote.log.manager.thread.pool.size": Int, Min(1), "2", Medium, ReadOnly, NotYet;
    /// Bytes that a storage plug-in may add to a segment's metadata.
    "remote.log.metadata.custom.metadata.max.bytes": Int, Min(0), "128", Low, ReadOnly, NotYet;
    /// The Java class that keeps the metadata of tiered storage.
    "remote.log.metadata.manager.class.name": Text, NonEmpty, "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", Medium, ReadOnly, NotYet;
    /// Where that class is found.
    "remote.log.metadata.manager.class.path": Text, Any, null, Medium, ReadOnly, NotYet;
    /// The prefix of configs that go to that class.
    "remote.log.metadata.manager.impl.prefix": Text, NonEmpty, "rlmm.config.", Medium, ReadOnly, NotYet;
    /// The listener that class connects to.
    "remote.log.metadata.manager.listener.name": Text, NonEmpty, null, Medium, ReadOnly, NotYet;
    /// Reads of tiered storage that may wait.
    "remote.log.reader.max.pending.tasks": Int, Min(1), "100", Medium, ReadOnly, NotYet;
    /// Threads that read from tiered storage.
    "remote.log.reader.threads": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// The Java class that stores segments.
    "remote.log.storage.manager.class.name": Text, NonEmpty, null, Medium, ReadOnly, NotYet;
    /// Where that class is found.
    "remote.log.storage.manager.class.path": Text, Any, null, Medium, ReadOnly, NotYet;
    /// The prefix of configs that go to that class.
    "remote.log.storage.manager.impl.prefix": Text, NonEmpty, "rsm.config.", Medium, ReadOnly, NotYet;
    /// Whether there is tiered storage.
    "remote.log.storage.system.enable": Bool, Any, "false", Medium, ReadOnly, NotYet;
}
