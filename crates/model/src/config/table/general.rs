//! Metrics, quotas, plug-ins and what else is left.

use super::super::def::configs;

configs! { GENERAL: Broker =
    /// background.threads
    "background.threads": Int, Min(1), "10", High, ClusterWide, NotYet;
    /// client.quota.callback.class
    "client.quota.callback.class": Class, Any, null, Low, ReadOnly, NotYet;
    /// config.providers
    "config.providers": List, Any, "", Low, ClusterWide, NotYet;
    /// delete.records.purgatory.purge.interval.requests
    "delete.records.purgatory.purge.interval.requests": Int, Any, "1", Medium, ReadOnly, NotYet;
    /// kafka.metrics.polling.interval.secs
    "kafka.metrics.polling.interval.secs": Int, Min(1), "10", Low, ReadOnly, NotYet;
    /// kafka.metrics.reporters
    "kafka.metrics.reporters": List, Any, "", Low, ReadOnly, NotYet;
    /// metric.reporters
    "metric.reporters": List, Any, "org.apache.kafka.common.metrics.JmxReporter", Low, ClusterWide, NotYet;
    /// metrics.num.samples
    "metrics.num.samples": Int, Min(1), "2", Low, ReadOnly, NotYet;
    /// metrics.recording.level
    "metrics.recording.level": Text, Any, "INFO", Low, ReadOnly, NotYet;
    /// metrics.sample.window.ms
    "metrics.sample.window.ms": Long, Min(1), "30000", Low, ReadOnly, NotYet;
    /// producer.purgatory.purge.interval.requests
    "producer.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NotYet;
    /// quota.window.num
    "quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// quota.window.size.seconds
    "quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// share.fetch.purgatory.purge.interval.requests
    "share.fetch.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NotYet;
    /// telemetry.max.bytes
    "telemetry.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
}
