//! What this node counts of itself, and the page that tells it.
//!
//! Owns the counters and the one list of metrics ([`METRICS`]), of which both the page at `/metrics` and `docs/metrics.md` are made. A
//! counter on the way of a request is a relaxed add on a cache line that few threads share, a few of them a request and none a record;
//! what can be asked for (connections, offline directories, memory) is not counted at all but looked up when the page is asked for.
//! Never decides anything: nothing in the broker reads a metric.

mod histogram;
mod list;
mod log_dir;
mod page;
mod partitions;
mod process;
mod requests;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::{BOUNDS, Counted, Histogram};
pub use list::{Kind, METRICS, Metric, markdown};
pub use log_dir::{Found, LogDirCounts};
pub(crate) use page::{Watched, page};
pub use partitions::PartitionCounts;
pub use requests::{ApiCounts, Appended, OpenRequest, RequestCounts};

/// One number that only rises.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    #[inline]
    pub fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// For what is a level and not a count: it stands here now.
    #[inline]
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted in the broker as a whole; each log dir has its own [`LogDirCounts`].
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests and what they moved.
    pub requests: RequestCounts,
    /// Connections.
    pub connections: ConnectionCounts,
}

/// What became of connections.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Taken.
    pub accepted: Count,
    /// Not taken, in the order of [`ConnectionCounts::REFUSED`].
    pub refused: [Count; ConnectionCounts::REFUSED.len()],
    /// Ended, in the order of [`ConnectionCounts::CLOSED`].
    pub closed: [Count; ConnectionCounts::CLOSED.len()],
}

impl ConnectionCounts {
    /// Why connections are refused.
    pub const REFUSED: [&str; 4] = ["max_connections", "max_connections_per_ip", "stopping", "accept_failed"];
    /// Why connections end.
    pub const CLOSED: [&str; 7] = ["closed", "idle", "socket", "disk", "frame", "request", "stalled"];
}
