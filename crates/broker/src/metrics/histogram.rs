//! How long things took, in buckets of a fixed width.

use std::time::Duration;

use super::Count;

/// Upper bounds of the buckets: from what the page cache takes to what a client gives up at.
pub const BOUNDS: [Duration; 15] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Counts of durations. Two adds an entry.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Those up to each bound and above the one before; the last, those above all bounds.
    buckets: [Count; BOUNDS.len() + 1],
    sum_ns: Count,
}

/// What a histogram has counted, or several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// See [`Histogram`].
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

impl Histogram {
    /// Counts one.
    #[inline]
    pub fn observe(&self, took: Duration) {
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add_one();
        }
        self.sum_ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds what was counted here.
    pub fn add_to(&self, all: &mut Counted) {
        for (sum, bucket) in all.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        all.sum += Duration::from_nanos(self.sum_ns.get());
    }

    /// What was counted.
    pub fn counted(&self) -> Counted {
        let mut all = Counted::default();
        self.add_to(&mut all);
        all
    }
}

impl Counted {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_bucket_whose_bound_it_does_not_exceed() {
        assert!(BOUNDS.is_sorted());
        let histogram = Histogram::default();
        for took in [Duration::ZERO, BOUNDS[0], BOUNDS[0] + Duration::from_nanos(1), BOUNDS[14], Duration::from_secs(6)] {
            histogram.observe(took);
        }
        let counted = histogram.counted();
        assert_eq!((counted.buckets[0], counted.buckets[1], counted.buckets[14], counted.buckets[15]), (2, 1, 1, 1));
        assert_eq!(counted.count(), 5);
        assert_eq!(counted.sum, Duration::from_secs(11) + Duration::from_nanos(100_001));
    }
}
