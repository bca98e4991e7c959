//! Time as a value: whoever needs "now" is given it.

use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since the Unix epoch, as in record timestamps. `-1`: none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// No timestamp.
    pub const NONE: TimestampMs = TimestampMs(-1);

    /// The raw value, as it stands on the wire.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// Milliseconds since some moment in the life of this process. It only ever goes forward, whatever becomes of the wall clock: timeouts
/// are measured by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// The moment `ms` later; a negative wait is none.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(if ms < 0 { 0 } else { ms as u64 }))
    }

    /// How long ago `earlier` was; 0 if it is yet to come.
    pub const fn since_ms(self, earlier: MonotonicMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where the wall clock is read. The broker gives the system's, tests and the simulation give their own.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> TimestampMs;
}

/// A clock that moves only when told.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `now`.
    pub fn new(now: TimestampMs) -> ManualClock {
        ManualClock(AtomicI64::new(now.0))
    }

    /// Moves on by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}
