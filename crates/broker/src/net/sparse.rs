//! Keeps hostile input from filling the log: at most so many lines a second, the rest counted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lines let through in each second.
const LINES_PER_SECOND_MAX: u32 = 10;

/// Lets a few lines a second through and counts the others.
#[derive(Debug, Default)]
pub struct Sparse(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Sparse {
    /// `Some(n)`: print, and `n` lines were left out since the last one printed. `None`: leave it out.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut w = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if w.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1)) {
            w.began = Some(now);
            w.lines = 0;
        }
        if w.lines >= LINES_PER_SECOND_MAX {
            w.suppressed += 1;
            return None;
        }
        w.lines += 1;
        Some(std::mem::take(&mut w.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_in_the_next_second() {
        let (sparse, t) = (Sparse::default(), Instant::now());
        let admitted = (0..25).filter(|_| sparse.admit(t).is_some()).count();
        assert_eq!(admitted, LINES_PER_SECOND_MAX as usize);
        assert_eq!(sparse.admit(t + Duration::from_secs(1)), Some(15));
        assert_eq!(sparse.admit(t + Duration::from_secs(1)), Some(0));
    }
}
