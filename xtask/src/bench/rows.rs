//! The rows of the table: what is done to each system, and which figures of the report are kept. The one list of them.

use super::stats::Better;

/// A figure, and where it stands in a report of `ottla perf`.
pub type Kept = (&'static str, &'static str, Better);

/// One row.
pub struct Row {
    /// As it is asked for.
    pub name: &'static str,
    /// As the table has it.
    pub work: &'static str,
    /// How it is done.
    pub kind: Kind,
}

/// How a row is done.
pub enum Kind {
    /// A new node: its start, its memory at rest, idle connections.
    Start,
    /// Load on nodes that all such rows share.
    Load(Load),
    /// A consumer that has to read from disk, beside live traffic, on the same nodes.
    Cold,
    /// The memory of those nodes, as the rows before have left it.
    MemoryAfter,
    /// A group of many members, by this protocol, on nodes that all such rows share.
    Group(&'static str),
    /// Many groups with a few offsets each: memory, and what they cost at rest.
    Groups,
    /// Kill -9 and start again, with a million committed offsets.
    Offsets,
    /// Kill -9 and start again, with much data.
    Restart,
    /// Many partitions.
    Density,
}

/// A load by `ottla perf`.
pub struct Load {
    /// `produce`, `consume`, `end-to-end`, `commits` or `transactions`.
    pub command: &'static str,
    /// Partitions of the topic.
    pub partitions: &'static str,
    /// When records are acknowledged.
    pub acknowledged: Acknowledged,
    /// MiB that are there before.
    pub filled_mib: Option<&'static str>,
    /// More arguments.
    pub arguments: &'static [&'static str],
    /// What is kept of the report.
    pub kept: &'static [Kept],
    /// Whether the yardstick does the same.
    pub with_limit: bool,
}

/// When records are acknowledged: both systems do the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// In the page cache: Kafka's default; Ottla with `write.caching=true`.
    InPageCache,
    /// On disk: Ottla's default; Kafka with `flush.messages=1`.
    OnDisk,
}

const CPU_BY_GIB: Kept = ("broker CPU s/GiB", "/broker/cpu_s_per_gib", Better::Less);
const CPU_BY_REQUEST: Kept = ("broker CPU µs/request", "/broker/cpu_us_per_request", Better::Less);
const MIB_RATE: Kept = ("MiB/s", "/mib_per_s", Better::More);
const RECORD_RATE: Kept = ("records/s", "/records_per_s", Better::More);
const P50: Kept = ("p50 ms", "/latency_ms/p50", Better::Less);
const P99: Kept = ("p99 ms", "/latency_ms/p99", Better::Less);

const CPU_BY_COMMIT: Kept = ("broker CPU µs/commit", "/broker/cpu_us_per_request", Better::Less);
const COMMIT_RATE: Kept = ("commits/s", "/commits_per_s", Better::More);

const CPU_BY_TRANSACTION: Kept = ("broker CPU µs/transaction", "/broker/cpu_us_per_request", Better::Less);
const TRANSACTION_RATE: Kept = ("transactions/s", "/transactions_per_s", Better::More);

/// Of the rows that commit offsets.
const COMMITTERS: &[&str] = &["--groups", "200", "--connections", "20", "--in-flight", "5", "--seconds", "4"];

use Acknowledged::{InPageCache, OnDisk};

/// All rows, in the order in which they are done.
pub const ROWS: &[Row] = &[
    Row { name: "start", work: "an empty node", kind: Kind::Start },
    Row {
        name: "produce-1",
        work: "produce 1000 x 100 B a batch, 1 partition",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--mib", "1024"],
            kept: &[CPU_BY_GIB, MIB_RATE],
            with_limit: true,
        }),
    },
    Row {
        name: "produce-6",
        work: "produce 1000 x 100 B a batch, 6 partitions, 2 connections",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "6",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--connections", "2", "--mib", "1024"],
            kept: &[CPU_BY_GIB, MIB_RATE],
            with_limit: true,
        }),
    },
    Row {
        name: "produce-small",
        work: "produce one record of 100 B a request, 4 connections, 20 in flight",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--batch-records", "1", "--connections", "4", "--in-flight", "20", "--records", "150000"],
            kept: &[CPU_BY_REQUEST, RECORD_RATE],
            with_limit: true,
        }),
    },
    Row {
        name: "lz4",
        work: "produce lz4 batches of 16 KiB, 1 partition",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--batch-records", "160", "--compression", "lz4", "--records", "6400000"],
            kept: &[CPU_BY_REQUEST, RECORD_RATE],
            with_limit: false,
        }),
    },
    Row {
        name: "wide",
        work: "produce 10 x 100 B to each of 100 partitions in one request",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "100",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--partitions-per-request", "100", "--batch-records", "10", "--mib", "128"],
            kept: &[CPU_BY_REQUEST, RECORD_RATE],
            with_limit: false,
        }),
    },
    Row {
        name: "consume-1",
        work: "consume, 1 partition",
        kind: Kind::Load(Load {
            command: "consume",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: Some("1536"),
            arguments: &["--mib", "1024", "--no-check"],
            kept: &[CPU_BY_GIB, MIB_RATE],
            with_limit: true,
        }),
    },
    Row {
        name: "consume-6",
        work: "consume, 6 partitions, 2 connections",
        kind: Kind::Load(Load {
            command: "consume",
            partitions: "6",
            acknowledged: InPageCache,
            filled_mib: Some("1536"),
            arguments: &["--connections", "2", "--mib", "1024", "--no-check"],
            kept: &[CPU_BY_GIB, MIB_RATE],
            with_limit: true,
        }),
    },
    Row {
        name: "end-to-end",
        work: "end to end, 1000/s",
        kind: Kind::Load(Load {
            command: "end-to-end",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--rate", "1000", "--seconds", "7"],
            kept: &[P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-1",
        work: "on disk: produce 1000 x 100 B a batch, 1 partition",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "1",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: &["--mib", "256"],
            kept: &[CPU_BY_GIB, MIB_RATE],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-16",
        work: "on disk: produce 10 records a request, 16 partitions, 16 connections",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "16",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: &["--connections", "16", "--in-flight", "1", "--batch-records", "10", "--seconds", "4"],
            kept: &[RECORD_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-1000",
        work: "on disk: produce 10 records a request, 1000 partitions, 8 connections",
        kind: Kind::Load(Load {
            command: "produce",
            partitions: "1000",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: &["--connections", "8", "--batch-records", "10", "--seconds", "4"],
            kept: &[RECORD_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-end-to-end",
        work: "on disk: end to end, 100/s",
        kind: Kind::Load(Load {
            command: "end-to-end",
            partitions: "1",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: &["--rate", "100", "--seconds", "10"],
            kept: &[P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "commits-1",
        work: "commit one offset, 200 groups, 20 connections with 5 in flight",
        kind: Kind::Load(Load {
            command: "commits",
            partitions: "1",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: COMMITTERS,
            kept: &[CPU_BY_COMMIT, COMMIT_RATE],
            with_limit: false,
        }),
    },
    Row {
        name: "commits-10",
        work: "commit ten offsets, 200 groups, 20 connections with 5 in flight",
        kind: Kind::Load(Load {
            command: "commits",
            partitions: "10",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: COMMITTERS,
            kept: &[CPU_BY_COMMIT, COMMIT_RATE],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-commits",
        work: "on disk: commit one offset, 200 groups, 20 connections with 5 in flight",
        kind: Kind::Load(Load {
            command: "commits",
            partitions: "1",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: COMMITTERS,
            kept: &[CPU_BY_COMMIT, COMMIT_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "transactions-1",
        work: "transactions of one record, 10 producers",
        kind: Kind::Load(Load {
            command: "transactions",
            partitions: "10",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--producers", "10", "--batch-records", "1", "--seconds", "4"],
            kept: &[CPU_BY_TRANSACTION, TRANSACTION_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "transactions-100",
        work: "transactions of 100 records of 100 B, 10 producers",
        kind: Kind::Load(Load {
            command: "transactions",
            partitions: "10",
            acknowledged: InPageCache,
            filled_mib: None,
            arguments: &["--producers", "10", "--batch-records", "100", "--seconds", "4"],
            kept: &[CPU_BY_TRANSACTION, TRANSACTION_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row {
        name: "disk-transactions",
        work: "on disk: transactions of one record, 10 producers",
        kind: Kind::Load(Load {
            command: "transactions",
            partitions: "10",
            acknowledged: OnDisk,
            filled_mib: None,
            arguments: &["--producers", "10", "--batch-records", "1", "--seconds", "4"],
            kept: &[CPU_BY_TRANSACTION, TRANSACTION_RATE, P50, P99],
            with_limit: false,
        }),
    },
    Row { name: "group-classic", work: "a group of 500 members, classic protocol", kind: Kind::Group("classic") },
    Row { name: "group-consumer", work: "a group of 500 members, consumer protocol", kind: Kind::Group("consumer") },
    Row { name: "cold", work: "consume 1 GiB from disk, beside 1000 live records/s", kind: Kind::Cold },
    Row { name: "memory-after", work: "after the rows before", kind: Kind::MemoryAfter },
    Row { name: "groups", work: "10,000 groups with 10 offsets each", kind: Kind::Groups },
    Row { name: "offsets", work: "1,000,000 committed offsets, after kill -9", kind: Kind::Offsets },
    Row { name: "restart", work: "4 GiB and 2000 partitions, after kill -9", kind: Kind::Restart },
    Row { name: "density", work: "10,000 empty partitions", kind: Kind::Density },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_what_is_consumed_is_there() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
            if let Kind::Load(load) = &row.kind {
                assert_eq!(load.command == "consume", load.filled_mib.is_some(), "{}", row.name);
            }
        }
    }

    #[test]
    fn the_page_explains_every_row() {
        let path = crate::run::root().join("docs/performance.md");
        let page = std::fs::read_to_string(&path).unwrap();
        for row in ROWS {
            assert!(page.contains(&format!("| `{}` |", row.name)), "{} does not explain {}", path.display(), row.name);
        }
    }
}
