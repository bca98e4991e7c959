//! What of a log is dirty, and whether it is worth a pass. Pure: segments are facts, time is a value.

use ottla_model::{Offset, TimestampMs};

/// A sealed segment, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub base: Offset,
    /// Exclusive.
    pub end: Offset,
    pub bytes: u64,
    /// Of its records, or its file's when they have none. Of use in dirty segments, with `min.compaction.lag.ms`.
    pub largest_timestamp: i64,
    /// Of its first batch; -1: not known. Of use in the oldest dirty segment, with `max.compaction.lag.ms`.
    pub first_timestamp: i64,
}

/// The topic's configs that say when to compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub min_lag_ms: i64,
    pub max_lag_ms: i64,
}

/// What a pass over a log would be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionNeed {
    /// Passes before went up to here.
    pub first_dirty: Offset,
    /// Nothing from here on may be touched: it is in the segment that grows, may yet be aborted or cut off, or is too young.
    pub first_uncleanable: Offset,
    /// Bytes of what was compacted before.
    pub clean_bytes: u64,
    /// Bytes of what can be compacted now and was not before.
    pub dirty_bytes: u64,
    /// Some of it is older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl CompactionNeed {
    /// The dirty part of what there is to be read, in millionths.
    pub fn dirty_ratio_ppm(&self) -> u32 {
        let all = u128::from(self.clean_bytes) + u128::from(self.dirty_bytes);
        let ppm = (u128::from(self.dirty_bytes) * 1_000_000).checked_div(all).unwrap_or(0);
        u32::try_from(ppm).unwrap_or(1_000_000)
    }

    /// Whether a pass is due by `min.cleanable.dirty.ratio` (in millionths) or `max.compaction.lag.ms`.
    pub fn is_due(&self, min_ratio_ppm: u32) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.dirty_ratio_ppm() > min_ratio_ppm)
    }
}

/// `sealed`: all segments but the one that grows, in order. `first_dirty`: where passes before have ended. `stable_end`: what lies
/// below is on this disk, replicated and decided for good.
pub(crate) fn plan(sealed: &[SegmentFacts], first_dirty: Offset, stable_end: Offset, rules: Rules, now: TimestampMs) -> CompactionNeed {
    let is_too_young =
        |s: &SegmentFacts| rules.min_lag_ms > 0 && s.end > first_dirty && s.largest_timestamp > now.0.saturating_sub(rules.min_lag_ms);
    let cleanable = sealed.iter().take_while(|s| s.end <= stable_end && !is_too_young(s)).count();
    let (cleanable, _) = sealed.split_at(cleanable);
    let clean = cleanable.partition_point(|s| s.end <= first_dirty);
    let bytes = |segments: &[SegmentFacts]| segments.iter().map(|s| s.bytes).sum();
    let (clean, dirty) = cleanable.split_at(clean);
    let is_late = |s: &SegmentFacts| s.first_timestamp >= 0 && now.0.saturating_sub(s.first_timestamp) > rules.max_lag_ms;
    let start = sealed.first().map_or(first_dirty, |s| s.base);
    CompactionNeed {
        first_dirty: first_dirty.max(start),
        first_uncleanable: cleanable.last().map_or(start, |s| s.end),
        clean_bytes: bytes(clean),
        dirty_bytes: bytes(dirty),
        is_overdue: rules.max_lag_ms != i64::MAX && dirty.iter().any(is_late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);
    const ANY_TIME: Rules = Rules { min_lag_ms: 0, max_lag_ms: i64::MAX };

    /// Ten segments of 10 offsets and 100 bytes, one second apart; the last of them ends now.
    fn segments() -> Vec<SegmentFacts> {
        let of = |i: i64| SegmentFacts {
            base: Offset(i * 10),
            end: Offset(i * 10 + 10),
            bytes: 100,
            largest_timestamp: NOW.0 - (9 - i) * 1000,
            first_timestamp: NOW.0 - (10 - i) * 1000,
        };
        (0..10).map(of).collect()
    }

    #[test]
    fn the_dirty_part_reaches_up_to_what_is_stable_in_whole_segments() {
        for (first_dirty, stable_end, uncleanable, clean_bytes, dirty_bytes) in [
            (0, 100, 100, 0, 1000),
            (30, 100, 100, 300, 700),
            (35, 100, 100, 300, 700), // the segment it lies in is gone through again
            (30, 99, 90, 300, 600),
            (30, 35, 30, 300, 0),
            (50, 30, 30, 300, 0),
            (100, 100, 100, 1000, 0),
        ] {
            let need = plan(&segments(), Offset(first_dirty), Offset(stable_end), ANY_TIME, NOW);
            let expected = CompactionNeed {
                first_dirty: Offset(first_dirty),
                first_uncleanable: Offset(uncleanable),
                clean_bytes,
                dirty_bytes,
                is_overdue: false,
            };
            assert_eq!(need, expected, "dirty from {first_dirty}, stable up to {stable_end}");
        }
        let none = plan(&[], Offset(7), Offset(9), ANY_TIME, NOW);
        assert_eq!((none.dirty_bytes, none.first_uncleanable, none.is_due(0)), (0, Offset(7), false));
    }

    #[test]
    fn what_was_compacted_up_to_a_place_that_retention_has_taken_is_dirty_from_the_start() {
        let need = plan(&segments()[4..], Offset(10), Offset(100), ANY_TIME, NOW);
        assert_eq!((need.first_dirty, need.clean_bytes, need.dirty_bytes), (Offset(40), 0, 600));
    }

    #[test]
    fn young_segments_wait_but_not_such_as_were_compacted_before() {
        let rules = Rules { min_lag_ms: 4_500, ..ANY_TIME };
        assert_eq!(plan(&segments(), Offset(0), Offset(100), rules, NOW).first_uncleanable, Offset(50));
        assert_eq!(plan(&segments(), Offset(70), Offset(100), rules, NOW).first_uncleanable, Offset(70));
        let all = Rules { min_lag_ms: 1, ..ANY_TIME };
        assert_eq!(
            plan(&segments(), Offset(0), Offset(100), all, NOW).first_uncleanable,
            Offset(90),
            "at this very moment it is too young"
        );
    }

    #[test]
    fn a_pass_is_due_by_ratio_or_by_age() {
        let need = plan(&segments(), Offset(50), Offset(100), ANY_TIME, NOW);
        assert_eq!(need.dirty_ratio_ppm(), 500_000);
        assert!(!need.is_due(500_000) && need.is_due(499_999));
        // Segment 5 begins five seconds ago.
        for (max_lag_ms, overdue) in [(4_999, true), (5_000, false)] {
            let need = plan(&segments(), Offset(50), Offset(100), Rules { max_lag_ms, ..ANY_TIME }, NOW);
            assert_eq!((need.is_overdue, need.is_due(1_000_000)), (overdue, overdue));
        }
        let clean = plan(&segments(), Offset(100), Offset(100), Rules { max_lag_ms: 1, ..ANY_TIME }, NOW);
        assert!(!clean.is_due(0), "there is nothing to do");
    }
}
