//! The list of metrics: name, kind, unit, labels, what it tells, and where it is read.
//!
//! Names follow OpenMetrics: the unit stands at the end of a name, and `_total` behind that of a counter. Label values are few and fixed by
//! the node's configuration, never by what clients send: there is nothing by topic, partition or client.

use std::fmt::Write as _;

use super::page::{Look, Samples};
use super::{ConnectionCounts, Found, process};
use crate::api::APIS;
use crate::partition::LogDir;

/// What a metric's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at the start of the node.
    Counter,
    /// Stands where it stands.
    Gauge,
    /// Counts in buckets, with a sum.
    Histogram,
}

/// A row of the list.
pub struct Metric {
    /// Its name, without unit and `_total`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Their unit; empty for plain numbers.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
    pub(super) read: fn(&Look, &mut Samples<'_>),
}

impl Metric {
    /// The name by which it is asked for. That of a histogram has `_bucket`, `_sum` or `_count` behind it.
    pub fn exposed_name(&self) -> String {
        let unit = if self.unit.is_empty() { "" } else { "_" };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{}{total}", self.name, self.unit)
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:literal: $kind:ident, $unit:literal, [$($label:literal),*], $read:expr;)*) => {
        /// All metrics, in the order of the page.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            help: concat!($($doc),+).trim_ascii(),
            read: $read,
        }),*];
    };
}

metrics! {
    /// Always 1; the label has the version.
    "ottla_build_info": Gauge, "", ["version"], |_, out| out.put(&[env!("CARGO_PKG_VERSION")], true);
    /// Whether /health/ready says so.
    "ottla_ready": Gauge, "", [], |look, out| out.put(&[], look.unready.is_none());

    /// Requests that were answered, or needed no answer.
    "ottla_requests": Counter, "", ["api"], |look, out| {
        APIS.iter().for_each(|api| out.put(&[api.key.name()], look.requests().of(api.key).latency.count()));
    };
    /// Error codes in answers, each as often as it stands there: an answer about ten partitions may hold ten.
    "ottla_request_errors": Counter, "", ["api", "error"], |look, out| {
        for api in APIS {
            look.requests().errors_of(api.key).into_iter().for_each(|(code, count)| out.put(&[api.key.name(), code.name()], count));
        }
    };
    /// From a whole request to its answer, ready to be sent: waits for syncs and for new records are in it. Of APIs that were asked for.
    "ottla_request": Histogram, "seconds", ["api"], |look, out| {
        let counted = APIS.iter().map(|api| (api, look.requests().of(api.key))).filter(|(_, counts)| counts.latency.count() > 0);
        counted.for_each(|(api, counts)| out.put(&[api.key.name()], &counts.latency));
    };
    /// Bytes of requests.
    "ottla_request_received": Counter, "bytes", ["api"], |look, out| {
        APIS.iter().for_each(|api| out.put(&[api.key.name()], look.requests().of(api.key).bytes_in));
    };
    /// Bytes of answers.
    "ottla_request_answered": Counter, "bytes", ["api"], |look, out| {
        APIS.iter().for_each(|api| out.put(&[api.key.name()], look.requests().of(api.key).bytes_out));
    };
    /// Requests that wait for a sync, for new records, for the controller or for their turn behind such a one.
    "ottla_requests_parked": Gauge, "", [], |look, out| out.put(&[], look.requests().parked());
    /// Partitions that parked fetches watch.
    "ottla_fetch_watched_partitions": Gauge, "", [], |look, out| out.put(&[], look.node.broker.purgatory.watches());
    /// Requests kept because the log that they are about is being opened or its disk is slow.
    "ottla_request_deferred": Gauge, "bytes", [], |look, out| out.put(&[], look.node.broker.deferred.held_bytes());
    /// Memory held by requests that have arrived in part.
    "ottla_request_partial": Gauge, "bytes", [], |look, out| out.put(&[], look.node.memory.held_bytes());

    /// Connections that are open, on all Kafka listeners.
    "ottla_connections_open": Gauge, "", [], |look, out| out.put(&[], look.node.connections.count());
    /// Connections that were taken.
    "ottla_connections_accepted": Counter, "", [], |look, out| out.put(&[], look.node.broker.metrics.connections.accepted.get());
    /// Connections that were not taken: by a limit, because the node stops, or because the system has no more descriptors.
    "ottla_connections_refused": Counter, "", ["reason"], |look, out| {
        let refused = ConnectionCounts::REFUSED.iter().zip(&look.node.broker.metrics.connections.refused);
        refused.for_each(|(reason, count)| out.put(&[reason], count.get()));
    };
    /// Connections that have ended: closed by the client or a stop, idle for too long, a failed socket or disk, what came was no frame, a
    /// request that could not be answered, or one that stalled while memory was short.
    "ottla_connections_closed": Counter, "", ["reason"], |look, out| {
        let closed = ConnectionCounts::CLOSED.iter().zip(&look.node.broker.metrics.connections.closed);
        closed.for_each(|(reason, count)| out.put(&[reason], count.get()));
    };

    /// Records that Produce has appended.
    "ottla_appended_records": Counter, "", [], |look, out| out.put(&[], look.requests().all_appended().records);
    /// Record batches that Produce has appended.
    "ottla_appended_batches": Counter, "", [], |look, out| out.put(&[], look.requests().all_appended().batches);
    /// Bytes of the batches that Produce has appended, as they are stored.
    "ottla_appended": Counter, "bytes", [], |look, out| out.put(&[], look.requests().all_appended().bytes);
    /// Bytes of record batches that Fetch has given.
    "ottla_fetched": Counter, "bytes", [], |look, out| out.put(&[], look.requests().fetched_bytes());
    /// Reads done by other threads than those that serve connections: what the page cache did not have, or had to be checked first.
    "ottla_cold_reads": Counter, "", [], |look, out| out.put(&[], look.node.broker.cold_reads.started());
    /// Such reads that go on now; 8 at most.
    "ottla_cold_reads_running": Gauge, "", [], |look, out| out.put(&[], look.node.broker.cold_reads.running());

    /// Partitions with a replica here: led and served, following another broker, still being opened, or offline.
    "ottla_partitions": Gauge, "", ["state"], |look, out| {
        let counts = look.node.broker.partition_counts();
        out.put(&["led"], counts.led);
        out.put(&["following"], counts.following);
        out.put(&["opening"], counts.opening);
        out.put(&["offline"], counts.offline);
    };
    /// 1 for the state that a log dir is in: online, slow (network threads leave it alone) or offline until the node is started again.
    "ottla_log_dir_state": Gauge, "", ["log_dir", "state"], |look, out| look.each_dir(|dir, path| {
        let (offline, slow) = (dir.is_offline(), dir.is_slow());
        out.put(&[path, "online"], !offline && !slow);
        out.put(&[path, "slow"], slow);
        out.put(&[path, "offline"], offline);
    });
    /// Space that is free for this process on the log dir's file system. Left out while the dir does not say.
    "ottla_log_dir_free": Gauge, "bytes", ["log_dir"], |look, out| {
        for (dir, free) in look.dirs().iter().zip(&look.free_bytes) {
            free.iter().for_each(|free| out.put(&[&dir.path().to_string_lossy()], *free));
        }
    };
    /// Written and not on stable storage yet. Producers are held back beyond 256 MiB.
    "ottla_log_unsynced": Gauge, "bytes", ["log_dir"], |look, out| look.each_dir(|dir, path| out.put(&[path], dir.unsynced_bytes()));
    /// Rounds of syncs: one round brings what all partitions of a log dir have written to stable storage.
    "ottla_log_sync_round": Histogram, "seconds", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], &dir.counts().sync_rounds.counted()));
    };
    /// Partitions synced in these rounds.
    "ottla_log_synced_partitions": Counter, "", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().synced_partitions.get()));
    };
    /// Segments that retention has deleted.
    "ottla_log_segments_deleted": Counter, "", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().segments_deleted.get()));
    };
    /// Bytes of the segments that retention has deleted.
    "ottla_log_segments_deleted": Counter, "bytes", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().segment_bytes_deleted.get()));
    };
    /// Damaged places in log files, each counted once: found by a read for a consumer, by the scrub, or by the recovery of a log
    /// that cannot be opened then, or ends before what was once synced. None is served as sound; the node's log names file, position and offsets. Anything but 0 wants a look at the disk.
    "ottla_log_damaged_batches": Counter, "", ["log_dir", "found"], |look, out| look.each_dir(|dir, path| {
        Found::ALL.into_iter().for_each(|found| out.put(&[path, found.label()], dir.counts().damages(found)));
    });
    /// Bytes that the scrub has read and checked.
    "ottla_log_scrubbed": Counter, "bytes", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().scrub_bytes.get()));
    };
    /// Passes of the scrub that have ended: each sees all sealed segments of the log dir.
    "ottla_log_scrub_passes": Counter, "", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().scrub_passes.get()));
    };
    /// Partitions that the scrub's pass under way has yet to begin; 0 between passes.
    "ottla_log_scrub_partitions_left": Gauge, "", ["log_dir"], |look, out| {
        look.each_dir(|dir, path| out.put(&[path], dir.counts().scrub_partitions_left.get()));
    };

    /// Whether this node leads the metadata quorum.
    "ottla_controller_leader": Gauge, "", [], |look, out| out.put(&[], look.node.broker.controller.leads());
    /// The leader epoch of the last entry of the metadata log that is applied here.
    "ottla_controller_epoch": Gauge, "", [], |look, out| {
        out.put(&[], look.node.broker.controller.image().position().map_or(0, |position| position.term));
    };
    /// The index of the last entry of the metadata log that is applied here.
    "ottla_controller_applied_index": Gauge, "", [], |look, out| {
        out.put(&[], look.node.broker.controller.image().position().map_or(0, |position| position.index));
    };
    /// Commands to the controller: carried out, or refused (also those that were asked for and could not be).
    "ottla_controller_commands": Counter, "", ["outcome"], |look, out| {
        let counts = look.node.broker.controller.counts();
        out.put(&["done"], counts.done.get());
        out.put(&["refused"], counts.refused.get());
    };

    /// Connections to the HTTP listeners.
    "ottla_http_connections": Counter, "", [], |look, out| out.put(&[], look.node.http.accepted.get());
    /// HTTP connections that were closed before their answer, as they were too slow or the oldest of too many.
    "ottla_http_connections_dropped": Counter, "", ["reason"], |look, out| {
        out.put(&["slow"], look.node.http.slow.get());
        out.put(&["crowded"], look.node.http.crowded.get());
    };

    /// Memory of the process that is in use and not on a disk.
    "process_resident_memory": Gauge, "bytes", [], |_, out| { process::resident_bytes().into_iter().for_each(|bytes| out.put(&[], bytes)); };
    /// Processor time that the process has used, user and system together.
    "process_cpu": Counter, "seconds", [], |_, out| { process::cpu().into_iter().for_each(|time| out.put(&[], time.as_secs_f64())); };
    /// Files and sockets that the process has open.
    "process_open_fds": Gauge, "", [], |_, out| { process::open_fds().into_iter().for_each(|count| out.put(&[], count)); };
    /// Files and sockets that it may have open.
    "process_max_fds": Gauge, "", [], |_, out| { process::max_fds().into_iter().for_each(|count| out.put(&[], count)); };
    /// When the node was started, in seconds since 1970.
    "process_start_time": Gauge, "seconds", [], |_, out| out.put(&[], process::started());
}

impl Look {
    fn requests(&self) -> &super::RequestCounts {
        &self.node.broker.metrics.requests
    }

    fn dirs(&self) -> &[std::sync::Arc<LogDir>] {
        self.node.broker.partitions.log_dirs()
    }

    fn each_dir(&self, mut each: impl FnMut(&LogDir, &str)) {
        self.dirs().iter().for_each(|dir| each(dir, &dir.path().to_string_lossy()));
    }
}

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics and health\n\n\
         <!-- Written from the list in crates/broker/src/metrics/list.rs; a test compares them. `cargo xtask docs` rewrites this page. -->\n\n\
         With `http.listeners=http://127.0.0.1:9080` a node serves, by HTTP and without authentication:\n\n\
         | path | answer |\n\
         |---|---|\n\
         | `/metrics` | the metrics below, as OpenMetrics text, which Prometheus reads; 503 while the node starts |\n\
         | `/health/live` | 200 while the process works: its controller and its network threads answer. Otherwise 503 and one line that says why: restart it |\n\
         | `/health/ready` | 200 once the node is registered and serves all partitions that it leads. Otherwise 503 and one line that says why: send it no clients yet |\n\n\
         Counters start at 0 with the node. A histogram has `_bucket`, `_sum` and `_count` behind its name. `api` is Kafka's name of an API, `error`\n\
         that of an error code, `log_dir` an entry of `log.dirs`. Nothing is told by topic, partition or client: the number of time series does\n\
         not grow with what clients do.\n\n\
         | name | type | unit | labels | what it tells |\n\
         |---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| `{}` | {kind} | {} | {labels} | {} |", metric.exposed_name(), metric.unit, metric.help);
    }
    page
}
