//! Consumer, share and streams groups.

use super::super::def::configs;

configs! { GROUPS: Broker =
    /// group.consumer.assignment.interval.ms
    "group.consumer.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, NotYet;
    /// group.consumer.assignors
    "group.consumer.assignors": List, Any, "uniform,range", Medium, ReadOnly, NotYet;
    /// group.consumer.heartbeat.interval.ms
    "group.consumer.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.consumer.max.assignment.interval.ms
    "group.consumer.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// group.consumer.max.heartbeat.interval.ms
    "group.consumer.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// group.consumer.max.session.timeout.ms
    "group.consumer.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// group.consumer.max.size
    "group.consumer.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, NotYet;
    /// group.consumer.migration.policy
    "group.consumer.migration.policy": Text, OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), "bidirectional", Medium, ReadOnly, NotYet;
    /// group.consumer.min.assignment.interval.ms
    "group.consumer.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// group.consumer.min.heartbeat.interval.ms
    "group.consumer.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.consumer.min.session.timeout.ms
    "group.consumer.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// group.consumer.regex.refresh.interval.ms
    "group.consumer.regex.refresh.interval.ms": Int, Min(10000), "600000", Medium, ReadOnly, NotYet, internal;
    /// group.consumer.session.timeout.ms
    "group.consumer.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// group.coordinator.append.linger.ms
    "group.coordinator.append.linger.ms": Int, Min(-1), "-1", Medium, ReadOnly, NotYet;
    /// group.coordinator.background.threads
    "group.coordinator.background.threads": Int, Min(1), "2", High, ReadOnly, NotYet;
    /// group.coordinator.cached.buffer.max.bytes
    "group.coordinator.cached.buffer.max.bytes": Int, Min(524288), "1048588", Medium, ClusterWide, NotYet;
    /// group.coordinator.rebalance.protocols
    "group.coordinator.rebalance.protocols": List, EachOf(&["consumer", "classic", "share", "streams"]), "classic,consumer,streams", Medium, ReadOnly, NotYet;
    /// group.coordinator.threads
    "group.coordinator.threads": Int, Min(1), "4", High, ReadOnly, NotYet;
    /// group.initial.rebalance.delay.ms
    "group.initial.rebalance.delay.ms": Int, Any, "3000", Medium, ReadOnly, NotYet;
    /// group.max.session.timeout.ms
    "group.max.session.timeout.ms": Int, Any, "1800000", Medium, ReadOnly, NotYet;
    /// group.max.size
    "group.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, NotYet;
    /// group.min.session.timeout.ms
    "group.min.session.timeout.ms": Int, Any, "6000", Medium, ReadOnly, NotYet;
    /// group.share.assignment.interval.ms
    "group.share.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, NotYet;
    /// group.share.assignors
    "group.share.assignors": List, Any, "simple", Medium, ReadOnly, NotYet;
    /// group.share.delivery.count.limit
    "group.share.delivery.count.limit": Int, Range(2, 10), "5", Medium, ReadOnly, NotYet;
    /// group.share.heartbeat.interval.ms
    "group.share.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.share.initialize.retry.interval.ms
    "group.share.initialize.retry.interval.ms": Int, Min(1), "30000", Low, ReadOnly, NotYet, internal;
    /// group.share.max.assignment.interval.ms
    "group.share.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// group.share.max.delivery.count.limit
    "group.share.max.delivery.count.limit": Int, Range(5, 25), "10", Medium, ReadOnly, NotYet;
    /// group.share.max.heartbeat.interval.ms
    "group.share.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// group.share.max.partition.max.record.locks
    "group.share.max.partition.max.record.locks": Int, Range(2000, 10000), "4000", Medium, ReadOnly, NotYet;
    /// group.share.max.record.lock.duration.ms
    "group.share.max.record.lock.duration.ms": Int, Range(30000, 3600000), "60000", Medium, ReadOnly, NotYet;
    /// group.share.max.session.timeout.ms
    "group.share.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// group.share.max.share.sessions
    "group.share.max.share.sessions": Int, Min(1), "2000", Medium, ReadOnly, NotYet;
    /// group.share.max.size
    "group.share.max.size": Int, Range(1, 1000), "200", Medium, ReadOnly, NotYet;
    /// group.share.min.assignment.interval.ms
    "group.share.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// group.share.min.delivery.count.limit
    "group.share.min.delivery.count.limit": Int, Range(2, 5), "2", Medium, ReadOnly, NotYet;
    /// group.share.min.heartbeat.interval.ms
    "group.share.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.share.min.partition.max.record.locks
    "group.share.min.partition.max.record.locks": Int, Range(100, 2000), "100", Medium, ReadOnly, NotYet;
    /// group.share.min.record.lock.duration.ms
    "group.share.min.record.lock.duration.ms": Int, Range(1000, 30000), "15000", Medium, ReadOnly, NotYet;
    /// group.share.min.session.timeout.ms
    "group.share.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// group.share.partition.max.record.locks
    "group.share.partition.max.record.locks": Int, Range(100, 10000), "2000", Medium, ReadOnly, NotYet;
    /// group.share.persister.class.name
    "group.share.persister.class.name": Text, Any, "org.apache.kafka.server.share.persister.DefaultStatePersister", Medium, ReadOnly, NotYet, internal;
    /// group.share.record.lock.duration.ms
    "group.share.record.lock.duration.ms": Int, Range(1000, 3600000), "30000", Medium, ReadOnly, NotYet;
    /// group.share.session.timeout.ms
    "group.share.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// group.streams.assignment.interval.ms
    "group.streams.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, NotYet;
    /// group.streams.heartbeat.interval.ms
    "group.streams.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.streams.initial.rebalance.delay.ms
    "group.streams.initial.rebalance.delay.ms": Int, Min(0), "3000", Medium, ReadOnly, NotYet;
    /// group.streams.max.assignment.interval.ms
    "group.streams.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// group.streams.max.heartbeat.interval.ms
    "group.streams.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// group.streams.max.session.timeout.ms
    "group.streams.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// group.streams.max.size
    "group.streams.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, NotYet;
    /// group.streams.max.standby.replicas
    "group.streams.max.standby.replicas": Int, Min(0), "2", Medium, ReadOnly, NotYet;
    /// group.streams.min.assignment.interval.ms
    "group.streams.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// group.streams.min.heartbeat.interval.ms
    "group.streams.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// group.streams.min.session.timeout.ms
    "group.streams.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// group.streams.num.standby.replicas
    "group.streams.num.standby.replicas": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// group.streams.session.timeout.ms
    "group.streams.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// offset.metadata.max.bytes
    "offset.metadata.max.bytes": Int, Any, "4096", High, ReadOnly, NotYet;
    /// offsets.commit.timeout.ms
    "offsets.commit.timeout.ms": Int, Min(1), "5000", High, ReadOnly, NotYet;
    /// offsets.load.buffer.size
    "offsets.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NotYet;
    /// offsets.retention.check.interval.ms
    "offsets.retention.check.interval.ms": Long, Min(1), "600000", High, ReadOnly, NotYet;
    /// offsets.retention.minutes
    "offsets.retention.minutes": Int, Min(1), "10080", High, ReadOnly, NotYet;
    /// offsets.topic.compression.codec
    "offsets.topic.compression.codec": Int, Any, "0", High, ReadOnly, NotYet;
    /// offsets.topic.num.partitions
    "offsets.topic.num.partitions": Int, Min(1), "50", High, ReadOnly, NotYet;
    /// offsets.topic.replication.factor
    "offsets.topic.replication.factor": Short, Min(1), "3", High, ReadOnly, NotYet;
    /// offsets.topic.segment.bytes
    "offsets.topic.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, NotYet;
    /// share.coordinator.append.linger.ms
    "share.coordinator.append.linger.ms": Int, Min(-1), "-1", Medium, ReadOnly, NotYet;
    /// share.coordinator.cached.buffer.max.bytes
    "share.coordinator.cached.buffer.max.bytes": Int, Min(524288), "1048588", Medium, ClusterWide, NotYet;
    /// share.coordinator.cold.partition.snapshot.interval.ms
    "share.coordinator.cold.partition.snapshot.interval.ms": Int, Min(1), "300000", Low, ReadOnly, NotYet, internal;
    /// share.coordinator.load.buffer.size
    "share.coordinator.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NotYet;
    /// share.coordinator.snapshot.update.records.per.snapshot
    "share.coordinator.snapshot.update.records.per.snapshot": Int, Range(0, 500), "500", Medium, ReadOnly, NotYet;
    /// share.coordinator.state.topic.compression.codec
    "share.coordinator.state.topic.compression.codec": Int, Any, "0", High, ReadOnly, NotYet;
    /// share.coordinator.state.topic.min.isr
    "share.coordinator.state.topic.min.isr": Short, Min(1), "2", High, ReadOnly, NotYet;
    /// share.coordinator.state.topic.num.partitions
    "share.coordinator.state.topic.num.partitions": Int, Min(1), "50", High, ReadOnly, NotYet;
    /// share.coordinator.state.topic.prune.interval.ms
    "share.coordinator.state.topic.prune.interval.ms": Int, Min(1), "300000", Low, ReadOnly, NotYet, internal;
    /// share.coordinator.state.topic.replication.factor
    "share.coordinator.state.topic.replication.factor": Short, Min(1), "3", High, ReadOnly, NotYet;
    /// share.coordinator.state.topic.segment.bytes
    "share.coordinator.state.topic.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, NotYet;
    /// share.coordinator.threads
    "share.coordinator.threads": Int, Min(1), "1", Medium, ReadOnly, NotYet;
    /// share.coordinator.write.timeout.ms
    "share.coordinator.write.timeout.ms": Int, Min(1), "5000", High, ReadOnly, NotYet;
}
