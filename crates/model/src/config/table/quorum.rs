//! The node, the metadata quorum, elections.

use super::super::def::configs;

configs! { QUORUM: Broker =
    /// Whether leadership goes back to the preferred replicas by itself.
    "auto.leader.rebalance.enable": Bool, Any, "true", High, ReadOnly, NotYet;
    /// How often a broker tells the controller that it lives.
    "broker.heartbeat.interval.ms": Int, Any, "2000", Medium, ReadOnly, NotYet;
    /// The older name of `node.id`.
    "broker.id": Int, Any, "-1", High, ReadOnly, Works;
    /// Where the broker stands: replicas of one partition go to different racks where they can.
    "broker.rack": Text, Any, null, Medium, ReadOnly, Works;
    /// A broker not heard of for this long is fenced.
    "broker.session.timeout.ms": Int, Any, "9000", Medium, ReadOnly, NotYet;
    /// Whether a broker hands its partitions over before it stops.
    "controlled.shutdown.enable": Bool, Any, "true", Medium, ReadOnly, NotYet;
    /// The listeners that are the controller's, first the one other nodes use. A cluster of one needs none.
    "controller.listener.names": List, Any, null, High, ReadOnly, Works;
    /// A controller event that took longer is logged.
    "controller.performance.always.log.threshold.ms": Long, Min(0), "2000", Medium, ReadOnly, NotYet, internal;
    /// How often the controller logs what its events took.
    "controller.performance.sample.period.ms": Long, Min(100), "60000", Medium, ReadOnly, NotYet, internal;
    /// How long the controller gathers records before it syncs them. It takes all that wait, and waits for none.
    "controller.quorum.append.linger.ms": Int, Min(0), "25", Medium, ReadOnly, NoEffect;
    /// Whether a controller joins the quorum by itself.
    "controller.quorum.auto.join.enable": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// Addresses at which controllers are found, as host:port.
    "controller.quorum.bootstrap.servers": List, Any, "", High, ReadOnly, NotYet;
    /// The longest pause between two elections.
    "controller.quorum.election.backoff.max.ms": Int, Min(0), "1000", High, ReadOnly, NotYet;
    /// A voter that hears of no leader for this long starts an election.
    "controller.quorum.election.timeout.ms": Int, Min(0), "1000", High, ReadOnly, NotYet;
    /// Bytes of the metadata log in one request.
    "controller.quorum.fetch.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
    /// Bytes of a snapshot in one request.
    "controller.quorum.fetch.snapshot.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
    /// How long a voter goes without its leader, and a leader without its voters.
    "controller.quorum.fetch.timeout.ms": Int, Min(0), "2000", High, ReadOnly, NotYet;
    /// How long a voter waits for an answer.
    "controller.quorum.request.timeout.ms": Int, Min(0), "2000", Medium, ReadOnly, NotYet;
    /// How long a voter waits before it asks again.
    "controller.quorum.retry.backoff.ms": Int, Min(0), "20", Low, ReadOnly, NotYet;
    /// The voters of the metadata quorum, as id@host:port. This version runs quorums of one.
    "controller.quorum.voters": List, Any, "", High, ReadOnly, Works;
    /// Samples over which changes of the metadata are measured.
    "controller.quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// Length of one such sample.
    "controller.quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// How long the controller waits for a broker.
    "controller.socket.timeout.ms": Int, Any, "30000", Medium, ReadOnly, NotYet;
    /// How long a starting broker tries to register.
    "initial.broker.registration.timeout.ms": Int, Any, "60000", Medium, ReadOnly, NotYet;
    /// How long deleted files of the metadata log stay.
    "internal.metadata.delete.delay.millis": Long, Any, "60000", Low, ReadOnly, NotYet, internal;
    /// Size of a segment of the metadata log, in tests.
    "internal.metadata.log.segment.bytes": Int, Any, null, Low, ReadOnly, NotYet, internal;
    /// Size of a batch of the metadata log, in tests.
    "internal.metadata.max.batch.size.in.bytes": Int, Any, "8388608", Low, ReadOnly, NotYet, internal;
    /// How often that is looked at.
    "leader.imbalance.check.interval.seconds": Long, Min(1), "300", High, ReadOnly, NotYet;
    /// The folder of the metadata log. Not set: the first of `log.dirs`.
    "metadata.log.dir": Text, Any, null, High, ReadOnly, Works;
    /// Bytes of the metadata log after which a snapshot is taken.
    "metadata.log.max.record.bytes.between.snapshots": Long, Min(1), "20971520", High, ReadOnly, Works;
    /// Time after which a snapshot is taken. Snapshots are taken by size alone.
    "metadata.log.max.snapshot.interval.ms": Long, Min(0), "3600000", High, ReadOnly, NotYet;
    /// Size of a segment of the metadata log, which has none here.
    "metadata.log.segment.bytes": Int, Min(8388608), "1073741824", High, ReadOnly, NoEffect;
    /// Age of a segment of the metadata log, which has none here.
    "metadata.log.segment.ms": Long, Any, "604800000", High, ReadOnly, NoEffect;
    /// How often an idle controller writes a record that says nothing.
    "metadata.max.idle.interval.ms": Int, Min(0), "500", Low, ReadOnly, NoEffect;
    /// Size of old parts of the metadata log that are kept. What a snapshot covers goes at once.
    "metadata.max.retention.bytes": Long, Any, "104857600", High, ReadOnly, NoEffect;
    /// Age of old parts of the metadata log that are kept. What a snapshot covers goes at once.
    "metadata.max.retention.ms": Long, Any, "604800000", High, ReadOnly, NoEffect;
    /// This node's number, unlike any other in the cluster.
    "node.id": Int, Min(0), null, High, ReadOnly, Works;
    /// What this node is: `broker`, `controller`, or both. This version runs nodes that are both.
    "process.roles": List, EachOf(&["broker", "controller"]), null, High, ReadOnly, Works;
    /// How long a node may take to start.
    "server.max.startup.time.ms": Long, Min(0), "9223372036854775807", Medium, ReadOnly, NotYet, internal;
    /// Whether a replica that may lack records can lead when no other is left.
    "unclean.leader.election.enable": Bool, Any, "false", High, ClusterWide, NotYet;
    /// How often that is looked at.
    "unclean.leader.election.interval.ms": Long, Min(1), "300000", Medium, ReadOnly, NotYet, internal;
    /// Whether request versions under development are offered.
    "unstable.api.versions.enable": Bool, Any, "false", High, ReadOnly, NotYet, internal;
    /// Whether feature levels under development are offered.
    "unstable.feature.versions.enable": Bool, Any, "false", High, ReadOnly, NotYet, internal;
}
