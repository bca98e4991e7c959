//! Listeners, connections, requests.

use super::super::def::configs;

configs! { NETWORK: Broker =
    /// The addresses that clients and other brokers are told to connect to. Not set: those of `listeners`. The controller's listeners
    /// are left out of what clients are told.
    "advertised.listeners": List, Any, null, High, ReadOnly, Works;
    /// A connection without a request for this long is closed.
    "connections.max.idle.ms": Long, Any, "600000", Medium, ReadOnly, Works;
    /// The most a Fetch response holds, but for a first batch that is larger.
    "fetch.max.bytes": Int, Min(1024), "57671680", Medium, ReadOnly, Works;
    /// When finished waits of Fetch are cleared away.
    "fetch.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NoEffect;
    /// The addresses where metrics and health are served over HTTP, as http://host:port; empty for none. Without a host: every address of
    /// the machine; port 0: any free port. There is no authentication: not for networks that others are on. Ottla's own.
    "http.listeners": List, Any, "", Medium, ReadOnly, Works;
    /// The listener on which brokers speak to each other. Not set: the one named by `security.inter.broker.protocol`.
    "inter.broker.listener.name": Text, Any, null, Medium, ReadOnly, Works;
    /// What is spoken on each listener, as NAME:PROTOCOL. Controller listeners are PLAINTEXT when this is not set.
    "listener.security.protocol.map": Text, Any, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Low, PerBroker, Works;
    /// The addresses this node opens, as NAME://host:port. Without a host: every address of the machine; port 0: any free port.
    "listeners": List, Any, "PLAINTEXT://:9092", High, PerBroker, Works;
    /// New connections accepted per second.
    "max.connection.creation.rate": Int, Min(0), "2147483647", Medium, ClusterWide, NotYet;
    /// Connections the broker holds at most.
    "max.connections": Int, Min(0), "2147483647", Medium, ClusterWide, Works;
    /// Connections held at most from one address.
    "max.connections.per.ip": Int, Min(0), "2147483647", Medium, ClusterWide, Works;
    /// Other limits for single addresses or host names, as host:count.
    "max.connections.per.ip.overrides": Text, Any, "", Medium, ClusterWide, NotYet;
    /// Fetch sessions (KIP-227) that are remembered.
    "max.incremental.fetch.session.cache.slots": Int, Min(0), "1000", Medium, ReadOnly, Works;
    /// Partitions described in one answer to DescribeTopicPartitions.
    "max.request.partition.size.limit": Int, Min(1), "2000", Medium, ReadOnly, Works;
    /// Threads that handle requests.
    "num.io.threads": Int, Min(1), "8", High, ClusterWide, NoEffect;
    /// Threads that read requests and write answers.
    "num.network.threads": Int, Min(1), "3", High, ClusterWide, NoEffect;
    /// Bytes of requests held in memory at most; -1 for no such limit.
    "queued.max.request.bytes": Long, Any, "-1", Medium, ReadOnly, Works;
    /// Requests that wait for a thread. Requests are handled as they are read.
    "queued.max.requests": Int, Min(1), "500", High, ReadOnly, NoEffect;
    /// How long the broker waits for another part of the cluster before it gives up.
    "request.timeout.ms": Int, Any, "30000", High, ReadOnly, Works;
    /// Last limit on the time to connect to another node, after several attempts.
    "socket.connection.setup.timeout.max.ms": Long, Any, "30000", Medium, ReadOnly, NotYet;
    /// First limit on the time to connect to another node.
    "socket.connection.setup.timeout.ms": Long, Any, "10000", Medium, ReadOnly, NotYet;
    /// Connections that may wait to be accepted.
    "socket.listen.backlog.size": Int, Min(1), "50", Medium, ReadOnly, Works;
    /// Size of the system's receive buffer of a connection; -1 for the system's own choice.
    "socket.receive.buffer.bytes": Int, Any, "102400", High, ReadOnly, Works;
    /// The largest request that is read; a larger one closes its connection.
    "socket.request.max.bytes": Int, Min(1), "104857600", High, ReadOnly, Works;
    /// Size of the system's send buffer of a connection; -1 for the system's own choice.
    "socket.send.buffer.bytes": Int, Any, "102400", High, ReadOnly, Works;
}
