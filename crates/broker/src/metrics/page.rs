//! The page at `/metrics`: the list, read and written as OpenMetrics text.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::{BOUNDS, Counted, Kind, METRICS, Metric};
use crate::context::BrokerContext;
use crate::http::HttpCounts;
use crate::net::{Connections, RequestMemory};

/// The parts of a node that are looked at.
pub(crate) struct Watched {
    pub broker: Arc<BrokerContext>,
    pub connections: Connections,
    pub memory: RequestMemory,
    pub http: Arc<HttpCounts>,
}

/// One look at them.
pub(super) struct Look {
    pub node: Arc<Watched>,
    /// Free bytes of each log dir, in their order; `None` for those that did not say.
    pub free_bytes: Vec<Option<u64>>,
    /// Why the node is not ready, if it is not.
    pub unready: Option<String>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// The whole page.
pub(crate) fn page(node: &Arc<Watched>, free_bytes: Vec<Option<u64>>, unready: Option<String>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Look { node: Arc::clone(node), free_bytes, unready }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Look {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let unit = match metric.unit {
                "" => None,
                "bytes" => Some(Unit::Bytes),
                "seconds" => Some(Unit::Seconds),
                other => Some(Unit::Other(other.to_owned())),
            };
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let encoder = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
            let mut samples = Samples { metric, encoder, result: Ok(()) };
            (metric.read)(self, &mut samples);
            samples.result?;
        }
        Ok(())
    }
}

/// Where the values of one metric go.
pub struct Samples<'a> {
    metric: &'static Metric,
    encoder: MetricEncoder<'a>,
    result: fmt::Result,
}

/// A value of a metric.
pub(super) enum Value<'a> {
    Whole(u64),
    Real(f64),
    Histogram(&'a Counted),
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Value::Whole(value as u64)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Whole(u64::from(value))
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl<'a> From<&'a Counted> for Value<'a> {
    fn from(value: &'a Counted) -> Self {
        Value::Histogram(value)
    }
}

impl Samples<'_> {
    /// One value; `labels` in the order in which the list names them.
    pub(super) fn put<'v>(&mut self, labels: &[&str], value: impl Into<Value<'v>>) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        if self.result.is_ok() {
            self.result = self.write(labels, value.into());
        }
    }

    fn write(&mut self, labels: &[&str], value: Value<'_>) -> fmt::Result {
        let labels: Vec<(&str, &str)> = self.metric.labels.iter().copied().zip(labels.iter().copied()).collect();
        if labels.is_empty() {
            return write(self.metric.kind, &mut self.encoder, value);
        }
        write(self.metric.kind, &mut self.encoder.encode_family(&labels)?, value)
    }
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

fn write(kind: Kind, encoder: &mut MetricEncoder<'_>, value: Value<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => encoder.encode_counter(&value, NO_EXEMPLAR),
        (Kind::Counter, Value::Real(value)) => encoder.encode_counter(&value, NO_EXEMPLAR),
        (Kind::Gauge, Value::Whole(value)) => encoder.encode_gauge(&value),
        (Kind::Gauge, Value::Real(value)) => encoder.encode_gauge(&value),
        (Kind::Histogram, Value::Histogram(counted)) => {
            let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counted.buckets).collect();
            encoder.encode_histogram::<NoLabelSet>(counted.sum.as_secs_f64(), counted.count(), &buckets, None)
        }
        // A row of the list that reads what is not of its kind: every row is read in a test.
        (Kind::Histogram, Value::Whole(_) | Value::Real(_)) | (Kind::Counter | Kind::Gauge, Value::Histogram(_)) => Err(fmt::Error),
    }
}
