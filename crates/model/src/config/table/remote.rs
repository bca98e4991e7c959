//! Tiered storage.

use super::super::def::configs;

configs! { REMOTE: Broker =
    /// follower.fetch.last.tiered.offset.enable
    "follower.fetch.last.tiered.offset.enable": Bool, Any, "false", Medium, ClusterWide, NotYet;
    /// log.local.retention.bytes
    "log.local.retention.bytes": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// log.local.retention.ms
    "log.local.retention.ms": Long, Min(-2), "-2", Medium, ClusterWide, NotYet;
    /// remote.fetch.max.wait.ms
    "remote.fetch.max.wait.ms": Int, Min(1), "500", Medium, ClusterWide, NotYet;
    /// remote.list.offsets.request.timeout.ms
    "remote.list.offsets.request.timeout.ms": Long, Min(1), "30000", Medium, ClusterWide, NotYet;
    /// remote.log.index.file.cache.total.size.bytes
    "remote.log.index.file.cache.total.size.bytes": Long, Min(1), "1073741824", Low, ClusterWide, NotYet;
    /// remote.log.index.file.cache.ttl.ms
    "remote.log.index.file.cache.ttl.ms": Long, Min(-1), "900000", Low, ReadOnly, NotYet, internal;
    /// remote.log.manager.copier.thread.pool.size
    "remote.log.manager.copier.thread.pool.size": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// remote.log.manager.copy.max.bytes.per.second
    "remote.log.manager.copy.max.bytes.per.second": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// remote.log.manager.copy.quota.window.num
    "remote.log.manager.copy.quota.window.num": Int, Min(1), "11", Medium, ReadOnly, NotYet;
    /// remote.log.manager.copy.quota.window.size.seconds
    "remote.log.manager.copy.quota.window.size.seconds": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// remote.log.manager.expiration.thread.pool.size
    "remote.log.manager.expiration.thread.pool.size": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// remote.log.manager.fetch.max.bytes.per.second
    "remote.log.manager.fetch.max.bytes.per.second": Long, Min(1), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// remote.log.manager.fetch.quota.window.num
    "remote.log.manager.fetch.quota.window.num": Int, Min(1), "11", Medium, ReadOnly, NotYet;
    /// remote.log.manager.fetch.quota.window.size.seconds
    "remote.log.manager.fetch.quota.window.size.seconds": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// remote.log.manager.follower.thread.pool.size
    "remote.log.manager.follower.thread.pool.size": Int, Min(1), "2", Medium, ClusterWide, NotYet;
    /// remote.log.manager.task.interval.ms
    "remote.log.manager.task.interval.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet;
    /// remote.log.manager.task.retry.backoff.max.ms
    "remote.log.manager.task.retry.backoff.max.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet, internal;
    /// remote.log.manager.task.retry.backoff.ms
    "remote.log.manager.task.retry.backoff.ms": Long, Min(1), "500", Low, ReadOnly, NotYet, internal;
    /// remote.log.manager.task.retry.jitter
    "remote.log.manager.task.retry.jitter": Double, RangeDouble(0.0, 0.5), "0.2", Low, ReadOnly, NotYet, internal;
    /// remote.log.manager.thread.pool.size
    "remote.log.manager.thread.pool.size": Int, Min(1), "2", Medium, ReadOnly, NotYet;
    /// remote.log.metadata.custom.metadata.max.bytes
    "remote.log.metadata.custom.metadata.max.bytes": Int, Min(0), "128", Low, ReadOnly, NotYet;
    /// remote.log.metadata.manager.class.name
    "remote.log.metadata.manager.class.name": Text, NonEmpty, "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", Medium, ReadOnly, NotYet;
    /// remote.log.metadata.manager.class.path
    "remote.log.metadata.manager.class.path": Text, Any, null, Medium, ReadOnly, NotYet;
    /// remote.log.metadata.manager.impl.prefix
    "remote.log.metadata.manager.impl.prefix": Text, NonEmpty, "rlmm.config.", Medium, ReadOnly, NotYet;
    /// remote.log.metadata.manager.listener.name
    "remote.log.metadata.manager.listener.name": Text, NonEmpty, null, Medium, ReadOnly, NotYet;
    /// remote.log.reader.max.pending.tasks
    "remote.log.reader.max.pending.tasks": Int, Min(1), "100", Medium, ReadOnly, NotYet;
    /// remote.log.reader.threads
    "remote.log.reader.threads": Int, Min(1), "10", Medium, ClusterWide, NotYet;
    /// remote.log.storage.manager.class.name
    "remote.log.storage.manager.class.name": Text, NonEmpty, null, Medium, ReadOnly, NotYet;
    /// remote.log.storage.manager.class.path
    "remote.log.storage.manager.class.path": Text, Any, null, Medium, ReadOnly, NotYet;
    /// remote.log.storage.manager.impl.prefix
    "remote.log.storage.manager.impl.prefix": Text, NonEmpty, "rsm.config.", Medium, ReadOnly, NotYet;
    /// remote.log.storage.system.enable
    "remote.log.storage.system.enable": Bool, Any, "false", Medium, ReadOnly, NotYet;
}
