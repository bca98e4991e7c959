//! Transactions and idempotent producers.

use super::super::def::configs;

configs! { TRANSACTIONS: Broker =
    /// add.partitions.to.txn.retry.backoff.max.ms
    "add.partitions.to.txn.retry.backoff.max.ms": Int, Min(0), "100", High, ReadOnly, NotYet;
    /// add.partitions.to.txn.retry.backoff.ms
    "add.partitions.to.txn.retry.backoff.ms": Int, Min(1), "20", High, ReadOnly, NotYet;
    /// producer.id.expiration.check.interval.ms
    "producer.id.expiration.check.interval.ms": Int, Min(1), "600000", Low, ReadOnly, NotYet, internal;
    /// producer.id.expiration.ms
    "producer.id.expiration.ms": Int, Min(1), "86400000", Low, ClusterWide, NotYet;
    /// transaction.abort.timed.out.transaction.cleanup.interval.ms
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int, Min(1), "10000", Low, ReadOnly, NotYet;
    /// transaction.max.timeout.ms
    "transaction.max.timeout.ms": Int, Min(1), "900000", High, ReadOnly, NotYet;
    /// transaction.partition.verification.enable
    "transaction.partition.verification.enable": Bool, Any, "true", Low, ClusterWide, NotYet;
    /// transaction.remove.expired.transaction.cleanup.interval.ms
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int, Min(1), "3600000", Low, ReadOnly, NotYet;
    /// transaction.state.log.load.buffer.size
    "transaction.state.log.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NotYet;
    /// transaction.state.log.min.isr
    "transaction.state.log.min.isr": Int, Min(1), "2", High, ReadOnly, NotYet;
    /// transaction.state.log.num.partitions
    "transaction.state.log.num.partitions": Int, Min(1), "50", High, ReadOnly, NotYet;
    /// transaction.state.log.replication.factor
    "transaction.state.log.replication.factor": Short, Min(1), "3", High, ReadOnly, NotYet;
    /// transaction.state.log.segment.bytes
    "transaction.state.log.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, NotYet;
    /// transaction.two.phase.commit.enable
    "transaction.two.phase.commit.enable": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// transactional.id.expiration.ms
    "transactional.id.expiration.ms": Int, Min(1), "604800000", High, ReadOnly, NotYet;
}
