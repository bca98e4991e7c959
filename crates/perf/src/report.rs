//! What produce and consume runs are asked for and what they tell, raw and native alike.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cost::Used;
use crate::{BrokerCost, Histogram, LatencyMs, PerfError, Processes};

const MIB: f64 = (1u64 << 20) as f64;

/// How much is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes of batches, as they travel: packed, where there is a codec.
    Bytes(u64),
    /// Records.
    Records(u64),
    /// As much as can be in this time.
    Time(Duration),
}

/// What a run of produce or consume has come to.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// `produce` or `consume`.
    pub work: &'static str,
    /// `raw` or `native`.
    pub client: &'static str,
    /// The topic.
    pub topic: String,
    /// Its partitions that were used.
    pub partitions: usize,
    /// Connections that carried it; with the native client, clients.
    pub connections: usize,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Of batches as they travelled; with the native client, of keys and values.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Requests; the native client does not tell.
    pub requests: Option<u64>,
    /// Rate of bytes.
    pub mib_per_s: f64,
    /// Rate of records.
    pub records_per_s: f64,
    /// Rate of requests.
    pub requests_per_s: Option<f64>,
    /// From sending to the answer.
    pub latency_ms: Option<LatencyMs>,
    /// What it cost the broker, where its processes are known.
    pub broker: Option<BrokerCost>,
}

/// What a run has moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) requests: Option<u64>,
    pub(crate) latencies: Histogram,
}

impl Moved {
    pub(crate) fn add(&mut self, other: &Moved) {
        self.bytes += other.bytes;
        self.records += other.records;
        self.requests = match (self.requests, other.requests) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        self.latencies.merge(&other.latencies);
    }
}

/// The beginning of a measurement.
pub(crate) struct Stopwatch<'p> {
    processes: &'p Processes,
    used: Option<Used>,
    started: Instant,
}

impl<'p> Stopwatch<'p> {
    pub(crate) fn start(processes: &'p Processes) -> Result<Stopwatch<'p>, PerfError> {
        Ok(Stopwatch { processes, used: processes.used()?, started: Instant::now() })
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Seconds since the start, and what the broker has used in them.
    pub(crate) fn stop(self, bytes: u64, requests: Option<u64>) -> Result<(f64, Option<BrokerCost>), PerfError> {
        let seconds = self.started.elapsed().as_secs_f64();
        Ok((seconds, BrokerCost::between(self.used, self.processes.used()?, bytes, requests)))
    }

    /// The report of a run that ends here.
    pub(crate) fn report(self, how: Described<'_>, moved: &Moved) -> Result<LoadReport, PerfError> {
        let (seconds, broker) = self.stop(moved.bytes, moved.requests)?;
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Ok(LoadReport {
            work: how.work,
            client: how.client,
            topic: how.topic.to_owned(),
            partitions: how.partitions,
            connections: how.connections,
            seconds,
            bytes: moved.bytes,
            records: moved.records,
            requests: moved.requests,
            mib_per_s: rate(moved.bytes) / MIB,
            records_per_s: rate(moved.records),
            requests_per_s: moved.requests.map(rate),
            latency_ms: moved.latencies.summary(),
            broker,
        })
    }
}

/// What a report says of how the load was made.
pub(crate) struct Described<'t> {
    pub(crate) work: &'static str,
    pub(crate) client: &'static str,
    pub(crate) topic: &'t str,
    pub(crate) partitions: usize,
    pub(crate) connections: usize,
}
