//! Transactions and idempotent producers.

use super::super::def::configs;

configs! { TRANSACTIONS: Broker =
    /// How long it goes on asking.
    "add.partitions.to.txn.retry.backoff.max.ms": Int, Min(0), "100", High, ReadOnly, Works;
    /// How long the broker waits before it asks again to add a partition to a transaction.
    "add.partitions.to.txn.retry.backoff.ms": Int, Min(1), "20", High, ReadOnly, Works;
    /// How often that is looked at.
    "producer.id.expiration.check.interval.ms": Int, Min(1), "600000", Low, ReadOnly, Works, internal;
    /// A partition forgets an idempotent producer not heard of for this long.
    "producer.id.expiration.ms": Int, Min(1), "86400000", Low, ClusterWide, Works;
    /// How often transactions that took too long are looked for.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int, Min(1), "10000", Low, ReadOnly, Works;
    /// The longest a producer may ask for a transaction to last.
    "transaction.max.timeout.ms": Int, Min(1), "900000", High, ReadOnly, Works;
    /// Whether a transactional write is checked against its transaction first (KIP-890).
    "transaction.partition.verification.enable": Bool, Any, "true", Low, ClusterWide, Works;
    /// How often transactional ids that expired are looked for.
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int, Min(1), "3600000", Low, ReadOnly, Works;
    /// Bytes read at once when transactions are loaded.
    "transaction.state.log.load.buffer.size": Int, Min(1), "5242880", High, ReadOnly, NoEffect;
    /// In-sync replicas that the transaction topic needs.
    "transaction.state.log.min.isr": Int, Min(1), "2", High, ReadOnly, Works;
    /// Partitions of the transaction topic.
    "transaction.state.log.num.partitions": Int, Min(1), "50", High, ReadOnly, Works;
    /// Replicas of the transaction topic.
    "transaction.state.log.replication.factor": Short, Min(1), "3", High, ReadOnly, Works;
    /// Size of a segment of the transaction topic.
    "transaction.state.log.segment.bytes": Int, Min(1), "104857600", High, ReadOnly, Works;
    /// Whether transactions take part in a two-phase commit (KIP-939).
    "transaction.two.phase.commit.enable": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// A transactional id not used for this long is forgotten.
    "transactional.id.expiration.ms": Int, Min(1), "604800000", High, ReadOnly, Works;
}
