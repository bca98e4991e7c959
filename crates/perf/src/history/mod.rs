//! History: a client writes transactions of unique values, or moves them on from one topic to another, and writes down each
//! step of each; [`check`] then holds both topics against the histories of all clients.
//!
//! Made to be killed: a client that comes back with the same transactional id fences the one before, and goes on in the same
//! file. What it was at in that moment is not known then, and its transactions may have come to either end, but whole.

mod book;
mod check;
mod client;
mod read;

pub use check::Findings;
pub use client::{HistoryOptions, HistoryReport, MoveOptions, run};
pub use read::{CheckOptions, CheckReport, check};

/// Sizes, partitions, aborts (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One in so many.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
