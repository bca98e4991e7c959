//! The node, the metadata quorum, elections.

use super::super::def::configs;

configs! { QUORUM: Broker =
    /// auto.leader.rebalance.enable
    "auto.leader.rebalance.enable": Bool, Any, "true", High, ReadOnly, NotYet;
    /// broker.heartbeat.interval.ms
    "broker.heartbeat.interval.ms": Int, Any, "2000", Medium, ReadOnly, NotYet;
    /// broker.id
    "broker.id": Int, Any, "-1", High, ReadOnly, NotYet;
    /// broker.rack
    "broker.rack": Text, Any, null, Medium, ReadOnly, NotYet;
    /// broker.session.timeout.ms
    "broker.session.timeout.ms": Int, Any, "9000", Medium, ReadOnly, NotYet;
    /// controlled.shutdown.enable
    "controlled.shutdown.enable": Bool, Any, "true", Medium, ReadOnly, NotYet;
    /// controller.listener.names
    "controller.listener.names": List, Any, null, High, ReadOnly, NotYet;
    /// controller.performance.always.log.threshold.ms
    "controller.performance.always.log.threshold.ms": Long, Min(0), "2000", Medium, ReadOnly, NotYet, internal;
    /// controller.performance.sample.period.ms
    "controller.performance.sample.period.ms": Long, Min(100), "60000", Medium, ReadOnly, NotYet, internal;
    /// controller.quorum.append.linger.ms
    "controller.quorum.append.linger.ms": Int, Min(0), "25", Medium, ReadOnly, NotYet;
    /// controller.quorum.auto.join.enable
    "controller.quorum.auto.join.enable": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// controller.quorum.bootstrap.servers
    "controller.quorum.bootstrap.servers": List, Any, "", High, ReadOnly, NotYet;
    /// controller.quorum.election.backoff.max.ms
    "controller.quorum.election.backoff.max.ms": Int, Min(0), "1000", High, ReadOnly, NotYet;
    /// controller.quorum.election.timeout.ms
    "controller.quorum.election.timeout.ms": Int, Min(0), "1000", High, ReadOnly, NotYet;
    /// controller.quorum.fetch.max.bytes
    "controller.quorum.fetch.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
    /// controller.quorum.fetch.snapshot.max.bytes
    "controller.quorum.fetch.snapshot.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
    /// controller.quorum.fetch.timeout.ms
    "controller.quorum.fetch.timeout.ms": Int, Min(0), "2000", High, ReadOnly, NotYet;
    /// controller.quorum.request.timeout.ms
    "controller.quorum.request.timeout.ms": Int, Min(0), "2000", Medium, ReadOnly, NotYet;
    /// controller.quorum.retry.backoff.ms
    "controller.quorum.retry.backoff.ms": Int, Min(0), "20", Low, ReadOnly, NotYet;
    /// controller.quorum.voters
    "controller.quorum.voters": List, Any, "", High, ReadOnly, NotYet;
    /// controller.quota.window.num
    "controller.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// controller.quota.window.size.seconds
    "controller.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// controller.socket.timeout.ms
    "controller.socket.timeout.ms": Int, Any, "30000", Medium, ReadOnly, NotYet;
    /// initial.broker.registration.timeout.ms
    "initial.broker.registration.timeout.ms": Int, Any, "60000", Medium, ReadOnly, NotYet;
    /// internal.metadata.delete.delay.millis
    "internal.metadata.delete.delay.millis": Long, Any, "60000", Low, ReadOnly, NotYet, internal;
    /// internal.metadata.log.segment.bytes
    "internal.metadata.log.segment.bytes": Int, Any, null, Low, ReadOnly, NotYet, internal;
    /// internal.metadata.max.batch.size.in.bytes
    "internal.metadata.max.batch.size.in.bytes": Int, Any, "8388608", Low, ReadOnly, NotYet, internal;
    /// leader.imbalance.check.interval.seconds
    "leader.imbalance.check.interval.seconds": Long, Min(1), "300", High, ReadOnly, NotYet;
    /// metadata.log.dir
    "metadata.log.dir": Text, Any, null, High, ReadOnly, NotYet;
    /// metadata.log.max.record.bytes.between.snapshots
    "metadata.log.max.record.bytes.between.snapshots": Long, Min(1), "20971520", High, ReadOnly, NotYet;
    /// metadata.log.max.snapshot.interval.ms
    "metadata.log.max.snapshot.interval.ms": Long, Min(0), "3600000", High, ReadOnly, NotYet;
    /// metadata.log.segment.bytes
    "metadata.log.segment.bytes": Int, Min(8388608), "1073741824", High, ReadOnly, NotYet;
    /// metadata.log.segment.ms
    "metadata.log.segment.ms": Long, Any, "604800000", High, ReadOnly, NotYet;
    /// metadata.max.idle.interval.ms
    "metadata.max.idle.interval.ms": Int, Min(0), "500", Low, ReadOnly, NotYet;
    /// metadata.max.retention.bytes
    "metadata.max.retention.bytes": Long, Any, "104857600", High, ReadOnly, NotYet;
    /// metadata.max.retention.ms
    "metadata.max.retention.ms": Long, Any, "604800000", High, ReadOnly, NotYet;
    /// node.id
    "node.id": Int, Min(0), null, High, ReadOnly, NotYet;
    /// process.roles
    "process.roles": List, EachOf(&["broker", "controller"]), null, High, ReadOnly, NotYet;
    /// server.max.startup.time.ms
    "server.max.startup.time.ms": Long, Min(0), "9223372036854775807", Medium, ReadOnly, NotYet, internal;
    /// unclean.leader.election.enable
    "unclean.leader.election.enable": Bool, Any, "false", High, ClusterWide, NotYet;
    /// unclean.leader.election.interval.ms
    "unclean.leader.election.interval.ms": Long, Min(1), "300000", Medium, ReadOnly, NotYet, internal;
    /// unstable.api.versions.enable
    "unstable.api.versions.enable": Bool, Any, "false", High, ReadOnly, NotYet, internal;
    /// unstable.feature.versions.enable
    "unstable.feature.versions.enable": Bool, Any, "false", High, ReadOnly, NotYet, internal;
}
