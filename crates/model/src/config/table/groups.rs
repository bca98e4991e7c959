//! Consumer, share and streams groups.

use super::super::def::configs;

configs! { GROUPS: Broker =
    /// Least time between two assignments of a consumer group.
    "group.consumer.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, Works;
    /// The assignors of consumer groups, the default first.
    "group.consumer.assignors": List, Any, "uniform,range", Medium, ReadOnly, Works;
    /// How often members of a consumer group report.
    "group.consumer.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, Works;
    /// The most a group may set for its assignment interval.
    "group.consumer.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// The most a group may set for its heartbeats.
    "group.consumer.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// The most a group may set for its sessions.
    "group.consumer.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// Members of a consumer group at most.
    "group.consumer.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, Works;
    /// Whether groups change between the classic and the consumer protocol while in use.
    "group.consumer.migration.policy": Text, OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), "bidirectional", Medium, ReadOnly, Works;
    /// The least a group may set for its assignment interval.
    "group.consumer.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// The least a group may set for its heartbeats.
    "group.consumer.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// The least a group may set for its sessions.
    "group.consumer.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// How often topics are matched anew against subscribed patterns.
    "group.consumer.regex.refresh.interval.ms": Int, Min(10000), "600000", Medium, ReadOnly, Works, internal;
    /// A member of a consumer group not heard of for this long is removed.
    "group.consumer.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, Works;
    /// How long a coordinator gathers writes; -1 to fit the load.
    "group.coordinator.append.linger.ms": Int, Min(-1), "-1", Medium, ReadOnly, NoEffect;
    /// Threads for a coordinator's work in the background.
    "group.coordinator.background.threads": Int, Min(1), "2", High, ReadOnly, NoEffect;
    /// The largest write buffer a coordinator keeps.
    "group.coordinator.cached.buffer.max.bytes": Int, Min(524288), "1048588", Medium, ClusterWide, NoEffect;
    /// The group protocols that are served.
    "group.coordinator.rebalance.protocols": List, EachOf(&["consumer", "classic", "share", "streams"]), "classic,consumer,streams", Medium, ReadOnly, NotYet;
    /// Threads of the group coordinators.
    "group.coordinator.threads": Int, Min(1), "4", High, ReadOnly, NoEffect;
    /// How long a new classic group waits for more members before its first rebalance.
    "group.initial.rebalance.delay.ms": Int, Any, "3000", Medium, ReadOnly, Works;
    /// The longest session a member of a classic group may ask for.
    "group.max.session.timeout.ms": Int, Any, "1800000", Medium, ReadOnly, Works;
    /// Members of a classic group at most.
    "group.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, Works;
    /// The shortest session a member of a classic group may ask for.
    "group.min.session.timeout.ms": Int, Any, "6000", Medium, ReadOnly, Works;
    /// Least time between two assignments of a share group.
    "group.share.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, NotYet;
    /// The assignor of share groups.
    "group.share.assignors": List, Any, "simple", Medium, ReadOnly, NotYet;
    /// How often a record is delivered to a share group at most.
    "group.share.delivery.count.limit": Int, Range(2, 10), "5", Medium, ReadOnly, NotYet;
    /// How often members of a share group report.
    "group.share.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// How long before a share group's state is asked for again.
    "group.share.initialize.retry.interval.ms": Int, Min(1), "30000", Low, ReadOnly, NotYet, internal;
    /// The most a share group may set for its assignment interval.
    "group.share.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// The most a share group may set for its deliveries.
    "group.share.max.delivery.count.limit": Int, Range(5, 25), "10", Medium, ReadOnly, NotYet;
    /// The most a share group may set for its heartbeats.
    "group.share.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// The most a share group may set for its locks.
    "group.share.max.partition.max.record.locks": Int, Range(2000, 10000), "4000", Medium, ReadOnly, NotYet;
    /// The most a share group may set for how long a lock lasts.
    "group.share.max.record.lock.duration.ms": Int, Range(30000, 3600000), "60000", Medium, ReadOnly, NotYet;
    /// The most a share group may set for its sessions.
    "group.share.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// Share sessions a broker holds at most.
    "group.share.max.share.sessions": Int, Min(1), "2000", Medium, ReadOnly, NotYet;
    /// Members of a share group at most.
    "group.share.max.size": Int, Range(1, 1000), "200", Medium, ReadOnly, NotYet;
    /// The least a share group may set for its assignment interval.
    "group.share.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// The least a share group may set for its deliveries.
    "group.share.min.delivery.count.limit": Int, Range(2, 5), "2", Medium, ReadOnly, NotYet;
    /// The least a share group may set for its heartbeats.
    "group.share.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// The least a share group may set for its locks.
    "group.share.min.partition.max.record.locks": Int, Range(100, 2000), "100", Medium, ReadOnly, NotYet;
    /// The least a share group may set for how long a lock lasts.
    "group.share.min.record.lock.duration.ms": Int, Range(1000, 30000), "15000", Medium, ReadOnly, NotYet;
    /// The least a share group may set for its sessions.
    "group.share.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// Records of a partition that a share group may hold at once.
    "group.share.partition.max.record.locks": Int, Range(100, 10000), "2000", Medium, ReadOnly, NotYet;
    /// The Java class that keeps the state of share groups.
    "group.share.persister.class.name": Text, Any, "org.apache.kafka.server.share.persister.DefaultStatePersister", Medium, ReadOnly, NotYet, internal;
    /// How long a record is held for the member that acquired it.
    "group.share.record.lock.duration.ms": Int, Range(1000, 3600000), "30000", Medium, ReadOnly, NotYet;
    /// A member of a share group not heard of for this long is removed.
    "group.share.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// Least time between two assignments of a streams group.
    "group.streams.assignment.interval.ms": Int, Min(0), "1000", Medium, ClusterWide, NotYet;
    /// How often members of a streams group report.
    "group.streams.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// How long a new streams group waits for more members.
    "group.streams.initial.rebalance.delay.ms": Int, Min(0), "3000", Medium, ReadOnly, NotYet;
    /// The most a streams group may set for its assignment interval.
    "group.streams.max.assignment.interval.ms": Int, Min(0), "15000", Medium, ReadOnly, NotYet;
    /// The most a streams group may set for its heartbeats.
    "group.streams.max.heartbeat.interval.ms": Int, Min(1), "15000", Medium, ReadOnly, NotYet;
    /// The most a streams group may set for its sessions.
    "group.streams.max.session.timeout.ms": Int, Min(1), "60000", Medium, ReadOnly, NotYet;
    /// Members of a streams group at most.
    "group.streams.max.size": Int, Min(1), "2147483647", Medium, ReadOnly, NotYet;
    /// The most a streams group may set for its standby replicas.
    "group.streams.max.standby.replicas": Int, Min(0), "2", Medium, ReadOnly, NotYet;
    /// The least a streams group may set for its assignment interval.
    "group.streams.min.assignment.interval.ms": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// The least a streams group may set for its heartbeats.
    "group.streams.min.heartbeat.interval.ms": Int, Min(1), "5000", Medium, ReadOnly, NotYet;
    /// The least a streams group may set for its sessions.
    "group.streams.min.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// Standby replicas of each task of a streams group.
    "group.streams.num.standby.replicas": Int, Min(0), "0", Medium, ReadOnly, NotYet;
    /// A member of a streams group not heard of for this long is removed.
    "group.streams.session.timeout.ms": Int, Min(1), "45000", Medium, ReadOnly, NotYet;
    /// The longest text a client may commit with an offset.
    "offset.metadata.max.bytes": Int, Any, "4096", High, ReadOnly, Works;
    /// How long a commit of offsets waits for the replicas.
    "offsets.commit.timeout.ms": Int, Min(1), "5000", High, ReadOnly, NotYet;
    /// Bytes read at once when offsets are loaded.
    "offsets.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NoEffect;
    /// How often stale offsets are looked for.
    "offsets.retention.check.interval.ms": Long, Min(1), "600000", High, ReadOnly, Works;
    /// How long the offsets of an empty group are kept.
    "offsets.retention.minutes": Int, Min(1), "10080", High, ReadOnly, Works;
    /// How the offsets topic is compressed, by number.
    "offsets.topic.compression.codec": Int, Any, "0", High, ReadOnly, NotYet;
    /// Partitions of the offsets topic.
    "offsets.topic.num.partitions": Int, Min(1), "50", High, ReadOnly, Works;
    /// Replicas of the offsets topic.
    "offsets.topic.replication.factor": Short, Min(1), "3", High, ReadOnly, Works;
    /// Size of a segment of the offsets topic.
    "offsets.topic.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, Works;
    /// How long the share coordinator gathers writes; -1 to fit the load.
    "share.coordinator.append.linger.ms": Int, Min(-1), "-1", Medium, ReadOnly, NotYet;
    /// The largest write buffer the share coordinator keeps.
    "share.coordinator.cached.buffer.max.bytes": Int, Min(524288), "1048588", Medium, ClusterWide, NoEffect;
    /// How often the state of idle share partitions is written down whole.
    "share.coordinator.cold.partition.snapshot.interval.ms": Int, Min(1), "300000", Low, ReadOnly, NotYet, internal;
    /// Bytes read at once when share state is loaded.
    "share.coordinator.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NotYet;
    /// Updates of share state between two of its snapshots.
    "share.coordinator.snapshot.update.records.per.snapshot": Int, Range(0, 500), "500", Medium, ReadOnly, NotYet;
    /// How the share state topic is compressed, by number.
    "share.coordinator.state.topic.compression.codec": Int, Any, "0", High, ReadOnly, NotYet;
    /// In-sync replicas that the share state topic needs.
    "share.coordinator.state.topic.min.isr": Short, Min(1), "2", High, ReadOnly, NotYet;
    /// Partitions of the share state topic.
    "share.coordinator.state.topic.num.partitions": Int, Min(1), "50", High, ReadOnly, NotYet;
    /// How often the share state topic is cleared of what is superseded.
    "share.coordinator.state.topic.prune.interval.ms": Int, Min(1), "300000", Low, ReadOnly, NotYet, internal;
    /// Replicas of the share state topic.
    "share.coordinator.state.topic.replication.factor": Short, Min(1), "3", High, ReadOnly, NotYet;
    /// Size of a segment of the share state topic.
    "share.coordinator.state.topic.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, NotYet;
    /// Threads of the share coordinator.
    "share.coordinator.threads": Int, Min(1), "1", Medium, ReadOnly, NoEffect;
    /// How long a write of share state waits for the replicas.
    "share.coordinator.write.timeout.ms": Int, Min(1), "5000", High, ReadOnly, NotYet;
}
