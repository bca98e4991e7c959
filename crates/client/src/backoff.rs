//! How long to wait before trying again: doubling, bounded, and spread so that clients do not come back in step.

use std::time::Duration;

/// A base, a bound, and nothing else: the number of failures is the caller's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base_ms: u32,
    max_ms: u32,
}

impl Backoff {
    pub(crate) const fn new(base_ms: u32, max_ms: u32) -> Backoff {
        Backoff { base_ms, max_ms }
    }

    /// The wait after `failures` in a row (at least 1), give or take a fifth by `random` (KIP-580).
    pub(crate) fn after(self, failures: u32, random: u32) -> Duration {
        let doubled = u64::from(self.base_ms) << failures.saturating_sub(1).min(20);
        let bounded = doubled.min(u64::from(self.max_ms.max(self.base_ms)));
        // 80% to 120%, in thousandths.
        let spread = 800 + u64::from(random % 401);
        Duration::from_micros(bounded * spread)
    }
}

/// Four random bytes. Only spreads load: where the system has none to give, a constant serves as well.
pub(crate) fn random_u32() -> u32 {
    getrandom::u32().unwrap_or(0x5bd1_e995)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_bound_and_stay_within_a_fifth() {
        let backoff = Backoff::new(100, 1_000);
        let middle: Vec<u128> = (1..=6).map(|n| backoff.after(n, 200).as_millis()).collect();
        assert_eq!(middle, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.after(1, 0).as_millis(), 80);
        assert_eq!(backoff.after(1, 400).as_millis(), 120);
        assert_eq!(backoff.after(u32::MAX, 200).as_millis(), 1_000);
    }
}
