//! Listeners, connections, requests.

use super::super::def::configs;

configs! { NETWORK: Broker =
    /// advertised.listeners
    "advertised.listeners": List, Any, null, High, ReadOnly, NotYet;
    /// connections.max.idle.ms
    "connections.max.idle.ms": Long, Any, "600000", Medium, ReadOnly, NotYet;
    /// fetch.max.bytes
    "fetch.max.bytes": Int, Min(1024), "57671680", Medium, ReadOnly, NotYet;
    /// fetch.purgatory.purge.interval.requests
    "fetch.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NotYet;
    /// inter.broker.listener.name
    "inter.broker.listener.name": Text, Any, null, Medium, ReadOnly, NotYet;
    /// listener.security.protocol.map
    "listener.security.protocol.map": Text, Any, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Low, PerBroker, NotYet;
    /// listeners
    "listeners": List, Any, "PLAINTEXT://:9092", High, PerBroker, NotYet;
    /// max.connection.creation.rate
    "max.connection.creation.rate": Int, Min(0), "2147483647", Medium, ClusterWide, NotYet;
    /// max.connections
    "max.connections": Int, Min(0), "2147483647", Medium, ClusterWide, NotYet;
    /// max.connections.per.ip
    "max.connections.per.ip": Int, Min(0), "2147483647", Medium, ClusterWide, NotYet;
    /// max.connections.per.ip.overrides
    "max.connections.per.ip.overrides": Text, Any, "", Medium, ClusterWide, NotYet;
    /// max.incremental.fetch.session.cache.slots
    "max.incremental.fetch.session.cache.slots": Int, Min(0), "1000", Medium, ReadOnly, NotYet;
    /// max.request.partition.size.limit
    "max.request.partition.size.limit": Int, Min(1), "2000", Medium, ReadOnly, NotYet;
    /// num.io.threads
    "num.io.threads": Int, Min(1), "8", High, ClusterWide, NotYet;
    /// num.network.threads
    "num.network.threads": Int, Min(1), "3", High, ClusterWide, NotYet;
    /// queued.max.request.bytes
    "queued.max.request.bytes": Long, Any, "-1", Medium, ReadOnly, NotYet;
    /// queued.max.requests
    "queued.max.requests": Int, Min(1), "500", High, ReadOnly, NotYet;
    /// request.timeout.ms
    "request.timeout.ms": Int, Any, "30000", High, ReadOnly, NotYet;
    /// socket.connection.setup.timeout.max.ms
    "socket.connection.setup.timeout.max.ms": Long, Any, "30000", Medium, ReadOnly, NotYet;
    /// socket.connection.setup.timeout.ms
    "socket.connection.setup.timeout.ms": Long, Any, "10000", Medium, ReadOnly, NotYet;
    /// socket.listen.backlog.size
    "socket.listen.backlog.size": Int, Min(1), "50", Medium, ReadOnly, NotYet;
    /// socket.receive.buffer.bytes
    "socket.receive.buffer.bytes": Int, Any, "102400", High, ReadOnly, NotYet;
    /// socket.request.max.bytes
    "socket.request.max.bytes": Int, Min(1), "104857600", High, ReadOnly, NotYet;
    /// socket.send.buffer.bytes
    "socket.send.buffer.bytes": Int, Any, "102400", High, ReadOnly, NotYet;
}
