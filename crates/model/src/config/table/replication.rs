//! Replicas and what they may use.

use super::super::def::configs;

configs! { REPLICATION: Broker =
    /// alter.log.dirs.replication.quota.window.num
    "alter.log.dirs.replication.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// alter.log.dirs.replication.quota.window.size.seconds
    "alter.log.dirs.replication.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// cordoned.log.dirs
    "cordoned.log.dirs": List, Any, "", Medium, PerBroker, NotYet;
    /// default.replication.factor
    "default.replication.factor": Int, Any, "1", Medium, ReadOnly, NotYet;
    /// follower.replication.throttled.rate
    "follower.replication.throttled.rate": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// leader.replication.throttled.rate
    "leader.replication.throttled.rate": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// min.insync.replicas
    "min.insync.replicas": Int, Min(1), "1", High, ClusterWide, NotYet;
    /// num.replica.alter.log.dirs.threads
    "num.replica.alter.log.dirs.threads": Int, Any, null, High, ReadOnly, NotYet;
    /// num.replica.fetchers
    "num.replica.fetchers": Int, Min(1), "1", High, ClusterWide, NotYet;
    /// replica.alter.log.dirs.io.max.bytes.per.second
    "replica.alter.log.dirs.io.max.bytes.per.second": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// replica.fetch.backoff.ms
    "replica.fetch.backoff.ms": Int, Min(0), "1000", Medium, ReadOnly, NotYet;
    /// replica.fetch.max.bytes
    "replica.fetch.max.bytes": Int, Min(0), "1048576", Medium, ReadOnly, NotYet;
    /// replica.fetch.min.bytes
    "replica.fetch.min.bytes": Int, Any, "1", High, ReadOnly, NotYet;
    /// replica.fetch.response.max.bytes
    "replica.fetch.response.max.bytes": Int, Min(0), "10485760", Medium, ReadOnly, NotYet;
    /// replica.fetch.wait.max.ms
    "replica.fetch.wait.max.ms": Int, Any, "500", High, ReadOnly, NotYet;
    /// replica.high.watermark.checkpoint.interval.ms
    "replica.high.watermark.checkpoint.interval.ms": Long, Any, "5000", High, ReadOnly, NotYet;
    /// replica.lag.time.max.ms
    "replica.lag.time.max.ms": Long, Any, "30000", High, ReadOnly, NotYet;
    /// replica.selector.class
    "replica.selector.class": Text, Any, null, Medium, ReadOnly, NotYet;
    /// replica.socket.receive.buffer.bytes
    "replica.socket.receive.buffer.bytes": Int, Any, "65536", High, ReadOnly, NotYet;
    /// replica.socket.timeout.ms
    "replica.socket.timeout.ms": Int, Any, "30000", High, ReadOnly, NotYet;
    /// replication.quota.window.num
    "replication.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// replication.quota.window.size.seconds
    "replication.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
}
