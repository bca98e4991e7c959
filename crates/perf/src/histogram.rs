//! Latencies counted in buckets of which each is at most 1/128 wide: any number of them in a fixed 57 KiB.

use std::time::Duration;

use serde::Serialize;

/// Buckets between a power of two and the next: what a quantile may be off by.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 7;
/// Below `STEPS` nanoseconds each value has its own bucket; above, each power of two has `STEPS` of them.
const BUCKETS: usize = (STEPS as usize) * (64 - STEP_BITS as usize + 1);

/// Counts of latencies.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

/// What is told of a histogram: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyMs {
    /// How many were counted.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Histogram {
        Histogram::default()
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least latency that `per_mille` of 1000 did not exceed, rounded up to the end of its bucket; `None` of none.
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        // The rank of the one that is meant, from 1: of 10 latencies the 990th per mille is the 10th, not the 9th.
        let rank = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank
        });
        (self.count > 0).then(|| Duration::from_nanos(found.map_or(self.max_ns, bucket_end).min(self.max_ns)))
    }

    /// The usual quantiles; `None` of none.
    pub fn summary(&self) -> Option<LatencyMs> {
        let at = |per_mille| self.quantile(per_mille).map(ms);
        Some(LatencyMs {
            count: self.count,
            p50: at(500)?,
            p90: at(900)?,
            p99: at(990)?,
            p999: at(999)?,
            max: ms(Duration::from_nanos(self.max_ns)),
            mean: self.sum_ns as f64 / self.count as f64 / 1e6,
        })
    }
}

fn ms(time: Duration) -> f64 {
    // To the microsecond: more is noise, and less hides what a fast broker does.
    (time.as_nanos() as f64 / 1e3).round() / 1e3
}

fn bucket(ns: u64) -> usize {
    let Some(power) = ns.checked_ilog2().filter(|power| *power >= STEP_BITS) else { return ns as usize };
    let shift = power - STEP_BITS;
    // The step within the power of two, which has its highest bit set: from STEPS to 2 * STEPS - 1.
    let step = ns >> shift;
    (u64::from(shift) * STEPS + step) as usize
}

/// The largest value of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (shift, step) = (bucket / STEPS - 1, bucket % STEPS + STEPS);
    u64::try_from(((u128::from(step) + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values_us: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        for us in values_us {
            histogram.record(Duration::from_micros(us));
        }
        histogram
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let latencies = of(1..=1000).summary().unwrap();
        assert_eq!((latencies.count, latencies.max), (1000, 1.0));
        for (found, exact) in [(latencies.p50, 0.5), (latencies.p90, 0.9), (latencies.p99, 0.99), (latencies.p999, 0.999)] {
            assert!((exact..exact * 1.01).contains(&found), "{found} for {exact}");
        }
        assert!((latencies.mean - 0.5005).abs() < 1e-9, "{latencies:?}");
    }

    #[test]
    fn few_values_are_not_rounded_down_to_a_better_one() {
        let histogram = of([1, 1, 1, 1, 1, 1, 1, 1, 1, 5000]);
        assert_eq!(histogram.quantile(990), Some(Duration::from_micros(5000)), "the 99th percentile of ten is the worst");
        assert!(histogram.quantile(900).unwrap() < Duration::from_micros(2));
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Histogram::new().summary(), None);
        assert_eq!(Histogram::new().quantile(500), None);
    }

    #[test]
    fn the_longest_time_there_is_has_a_bucket() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(histogram.quantile(500), Some(Duration::from_nanos(u64::MAX)));
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_which_is_narrow(ns in any::<u64>()) {
            let end = bucket_end(bucket(ns));
            prop_assert!(end >= ns);
            prop_assert!(end - ns <= ns / STEPS, "{ns} is told as {end}");
            prop_assert!(bucket(ns) == 0 || bucket_end(bucket(ns) - 1) < ns);
        }

        #[test]
        fn merging_is_as_if_all_had_been_counted_in_one(a in prop::collection::vec(0u64..1 << 40, 0..50), b in prop::collection::vec(0u64..1 << 40, 1..50)) {
            let mut merged = of(a.iter().copied());
            merged.merge(&of(b.iter().copied()));
            prop_assert_eq!(merged.summary(), of(a.into_iter().chain(b)).summary());
        }
    }
}
