//! Replicas and what they may use.

use super::super::def::configs;

configs! { REPLICATION: Broker =
    /// Samples over which moves between log dirs are measured.
    "alter.log.dirs.replication.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// Length of one such sample.
    "alter.log.dirs.replication.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// Log dirs that get no new replicas.
    "cordoned.log.dirs": List, Any, "", Medium, PerBroker, NotYet;
    /// Replicas of a topic that is created without a number of them.
    "default.replication.factor": Int, Any, "1", Medium, ReadOnly, Works;
    /// Bytes per second that throttled replicas may fetch.
    "follower.replication.throttled.rate": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// Bytes per second that throttled replicas may be sent.
    "leader.replication.throttled.rate": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// In-sync replicas that must hold a record before acks=all is answered.
    "min.insync.replicas": Int, Min(1), "1", High, ClusterWide, Works;
    /// Threads that move replicas between log dirs.
    "num.replica.alter.log.dirs.threads": Int, Any, null, High, ReadOnly, NotYet;
    /// Connections over which a follower fetches from one leader.
    "num.replica.fetchers": Int, Min(1), "1", High, ClusterWide, NotYet;
    /// Bytes per second moved between log dirs.
    "replica.alter.log.dirs.io.max.bytes.per.second": Long, Min(0), "9223372036854775807", Medium, ClusterWide, NotYet;
    /// How long a follower waits after an error.
    "replica.fetch.backoff.ms": Int, Min(0), "1000", Medium, ReadOnly, NotYet;
    /// Bytes that a follower asks for of one partition.
    "replica.fetch.max.bytes": Int, Min(0), "1048576", Medium, ReadOnly, NotYet;
    /// Bytes that a leader gathers before it answers a follower.
    "replica.fetch.min.bytes": Int, Any, "1", High, ReadOnly, NotYet;
    /// Bytes that a follower asks for in one request.
    "replica.fetch.response.max.bytes": Int, Min(0), "10485760", Medium, ReadOnly, NotYet;
    /// How long a leader may gather before it answers a follower.
    "replica.fetch.wait.max.ms": Int, Any, "500", High, ReadOnly, NotYet;
    /// How often the high watermarks are written down.
    "replica.high.watermark.checkpoint.interval.ms": Long, Any, "5000", High, ReadOnly, Works;
    /// A follower that was behind for this long leaves the ISR.
    "replica.lag.time.max.ms": Long, Any, "30000", High, ReadOnly, NotYet;
    /// How the replica is chosen that a consumer reads from.
    "replica.selector.class": Text, Any, null, Medium, ReadOnly, NotYet;
    /// The system's receive buffer of a follower's connection.
    "replica.socket.receive.buffer.bytes": Int, Any, "65536", High, ReadOnly, NotYet;
    /// How long a follower waits for its leader's answer.
    "replica.socket.timeout.ms": Int, Any, "30000", High, ReadOnly, NotYet;
    /// Samples over which replication traffic is measured.
    "replication.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// Length of one such sample.
    "replication.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
}
