//! Metrics, quotas, plug-ins and what else is left.

use super::super::def::configs;

configs! { GENERAL: Broker =
    /// Threads for work in the background.
    "background.threads": Int, Min(1), "10", High, ClusterWide, NoEffect;
    /// A Java class that decides on quotas.
    "client.quota.callback.class": Class, Any, null, Low, ReadOnly, Refused;
    /// Sources of values such as `${vault:path}`. Without them the text itself would be taken for the value.
    "config.providers": List, Any, "", Low, ClusterWide, Refused;
    /// When finished waits of DeleteRecords are cleared away.
    "delete.records.purgatory.purge.interval.requests": Int, Any, "1", Medium, ReadOnly, NoEffect;
    /// How often Java metrics reporters are asked.
    "kafka.metrics.polling.interval.secs": Int, Min(1), "10", Low, ReadOnly, NoEffect;
    /// Java classes that report metrics.
    "kafka.metrics.reporters": List, Any, "", Low, ReadOnly, NoEffect;
    /// Java classes that report metrics.
    "metric.reporters": List, Any, "org.apache.kafka.common.metrics.JmxReporter", Low, ClusterWide, NoEffect;
    /// Samples of a Java metric.
    "metrics.num.samples": Int, Min(1), "2", Low, ReadOnly, NoEffect;
    /// Which Java metrics are recorded.
    "metrics.recording.level": Text, Any, "INFO", Low, ReadOnly, NoEffect;
    /// Length of a sample of a Java metric.
    "metrics.sample.window.ms": Long, Min(1), "30000", Low, ReadOnly, NoEffect;
    /// When finished waits of Produce are cleared away.
    "producer.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NoEffect;
    /// Samples over which quotas are measured.
    "quota.window.num": Int, Min(1), "11", Low, ReadOnly, NotYet;
    /// Length of one such sample.
    "quota.window.size.seconds": Int, Min(1), "1", Low, ReadOnly, NotYet;
    /// When finished waits of ShareFetch are cleared away.
    "share.fetch.purgatory.purge.interval.requests": Int, Any, "1000", Medium, ReadOnly, NoEffect;
    /// The largest report of metrics that a client may push (KIP-714).
    "telemetry.max.bytes": Int, Min(1), "1048576", Low, ReadOnly, NotYet;
}
