//! What is counted in each log dir.

use std::time::Instant;

use super::{Count, Histogram};

/// By what damage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A read for a consumer.
    Fetch,
    /// The scrub.
    Scrub,
    /// The opening of a log, which is then not served, or lacks what was once synced.
    Recovery,
}

impl Found {
    /// All of them.
    pub const ALL: [Found; 3] = [Found::Fetch, Found::Scrub, Found::Recovery];

    /// Its word in the label.
    pub const fn label(self) -> &'static str {
        match self {
            Found::Fetch => "fetch",
            Found::Scrub => "scrub",
            Found::Recovery => "recovery",
        }
    }
}

/// The counts of one log dir.
#[derive(Debug, Default)]
pub struct LogDirCounts {
    damaged: [Count; Found::ALL.len()],
    /// Rounds of syncs, from their first to their last.
    pub sync_rounds: Histogram,
    /// Partitions synced in them.
    pub synced_partitions: Count,
    /// Segments that retention has deleted.
    pub segments_deleted: Count,
    /// Their bytes.
    pub segment_bytes_deleted: Count,
    /// Bytes the scrub has read.
    pub scrub_bytes: Count,
    /// Times it has seen all there is.
    pub scrub_passes: Count,
    /// Partitions that the pass under way has not begun; 0 between passes.
    pub scrub_partitions_left: Count,
}

impl LogDirCounts {
    /// A damaged place was found.
    pub fn damage_found(&self, found: Found) {
        self.of(found).add_one();
    }

    /// Damaged places found so.
    pub fn damages(&self, found: Found) -> u64 {
        self.of(found).get()
    }

    fn of(&self, found: Found) -> &Count {
        let [fetch, scrub, recovery] = &self.damaged;
        match found {
            Found::Fetch => fetch,
            Found::Scrub => scrub,
            Found::Recovery => recovery,
        }
    }

    /// A round of syncs begins; counted when what this gives is dropped.
    pub fn sync_round(&self, partitions: usize) -> impl Drop + '_ {
        self.synced_partitions.add(partitions as u64);
        Round { counts: self, began: Instant::now() }
    }
}

struct Round<'a> {
    counts: &'a LogDirCounts,
    began: Instant,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.counts.sync_rounds.observe(self.began.elapsed());
    }
}
