//! Compaction: of each key only the newest record stays (`cleanup.policy=compact`), offsets unchanged.
//!
//! | file | owns |
//! |---|---|
//! | `plan` | which part of a log is dirty, and whether it is worth a pass |
//! | `map` | the newest offset of each key of the dirty part, in bounded memory |
//! | `filter` | which records and batches stay |
//! | `reader` | batches of a file, whole and checked |
//! | `pass` | one pass over a log: fill the map, write segments anew |
//!
//! A [`Compaction`] owns all it needs and runs outside of the partition's lock, while the log is written and read. What it has written
//! bears `.cleaned` until the log takes it over (`PartitionLog::replace_compacted`); who reads the old files goes on reading them.
//! It reads no clock and never sleeps: whoever runs it is asked after each piece whether to go on, and may take their time.

mod filter;
mod map;
mod pass;
pub(crate) mod plan;
mod reader;

pub(crate) use filter::LastOfProducer;
pub use map::MapLimits;
pub(crate) use pass::{Basis, CLEANED_KINDS, Source, cleaned_path, suffixed};
pub use pass::{Compaction, CompactionError, CompactionStats, NewSegment};
pub use plan::CompactionNeed;

/// What output of a pass is called until all of it is on stable storage.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// What it is called while it takes the place of the old segments: found after a crash, that is gone on with.
pub(crate) const SWAP_SUFFIX: &str = ".swap";
