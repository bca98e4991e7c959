//! Whether a log directory has room for records.
//!
//! Appends stop while there is still a little left, the reserve, and not when the disk is full to the last byte. For three reasons. File
//! systems that give out blocks when data is written back (btrfs, NFS, thin volumes) say that the disk is full in `fdatasync`, where it
//! is too late: what was written may be gone, and the directory has to go offline as after any sync that fails. What frees room needs
//! some itself: retention, DeleteRecords and deleted topics rename files and write checkpoints. And the metadata log, where it is in the
//! same file system, goes on too. So those write on in the reserve, and only appends ask here.
//!
//! An append costs one addition: a look at the file system allows so many bytes, or so long a time, whichever ends first. Where several
//! directories share a file system, each may go [`LOOK_BYTES_MAX`] too far, and so may whoever else writes there within
//! [`LOOK_INTERVAL_MS`]: that is a part of what the reserve is for. Where the disk refuses a write all the same (a quota, which no look
//! shows), appends are refused from then on, but for one in each interval that tries.
//!
//! Owns when a directory is full and when no longer, and tells both once. Never removes anything, and never takes the directory offline.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ottla_log::LogError;
use ottla_log::disk::Space;
use ottla_model::TimestampMs;
use parking_lot::Mutex;

use super::LogDir;

/// The most that is kept free of records.
pub const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The least, on the smallest of file systems.
const RESERVE_BYTES_MIN: u64 = 1024 * 1024;
/// In between it is this part of the file system.
const RESERVE_PART: u64 = 64;
/// Appended to one directory between two looks, at most.
pub const LOOK_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Time between two looks, at most, while there is room; at least, while there is none.
pub const LOOK_INTERVAL_MS: i64 = 100;

/// See the module.
pub(super) struct Room {
    /// What may be appended before the next look.
    allowed_bytes: AtomicI64,
    /// The clock at the last look.
    looked: AtomicI64,
    /// Appends are refused.
    is_full: AtomicBool,
    full: Mutex<Option<Full>>,
}

/// There is no room.
#[derive(Clone, Copy)]
struct Full {
    /// As it was last seen.
    space: Space,
    /// The disk has refused a write since it was last seen to have enough.
    by_disk: bool,
}

impl Default for Room {
    fn default() -> Room {
        Room { allowed_bytes: AtomicI64::new(0), looked: AtomicI64::new(i64::MIN), is_full: AtomicBool::new(false), full: Mutex::default() }
    }
}

/// What appends leave of a file system.
fn reserve(space: Space) -> u64 {
    (space.total_bytes / RESERVE_PART).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}

impl LogDir {
    /// Whether so many bytes may be appended. Costs next to nothing, but for a look at the file system now and then.
    #[inline]
    pub(super) fn admit(&self, bytes: usize, now: TimestampMs) -> Result<(), LogError> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let room = &self.room;
        if room.was_looked_at(now) && room.allowed_bytes.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
            return Ok(());
        }
        self.look_for_room(bytes, now)
    }

    #[cold]
    fn look_for_room(&self, bytes: i64, now: TimestampMs) -> Result<(), LogError> {
        let room = &self.room;
        let mut full = room.full.lock();
        if room.was_looked_at(now) {
            if let Some(full) = &*full {
                return Err(self.no_room(full.space));
            }
            if room.allowed_bytes.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
                return Ok(());
            }
        }
        room.looked.store(now.0, Ordering::Relaxed);
        let Ok(space) = self.disk().space(self.path()) else {
            // It does not say. The write will.
            room.allowed_bytes.store(LOOK_BYTES_MAX, Ordering::Relaxed);
            return Ok(());
        };
        // Once full, a little more has to be free, so that one segment that goes does not begin and end it a hundred times.
        let kept = reserve(space) + if full.is_some() { reserve(space) / 4 } else { 0 };
        let above = i64::try_from(space.free_bytes.saturating_sub(kept)).unwrap_or(i64::MAX);
        if above < bytes {
            let by_disk = full.is_some_and(|full| full.by_disk);
            self.become_full(&mut full, Full { space, by_disk });
            return Err(self.no_room(space));
        }
        if full.is_some_and(|full| full.by_disk) {
            // Only a write can tell. The others wait for how this one ends, or for the next look.
            return Ok(());
        }
        room.allowed_bytes.store(above.min(LOOK_BYTES_MAX) - bytes, Ordering::Relaxed);
        self.become_roomy(&mut full, space);
        Ok(())
    }

    /// The disk has refused a write for lack of room.
    pub(super) fn refused_by_disk(&self) -> LogError {
        let mut full = self.room.full.lock();
        let space = self.disk().space(self.path()).unwrap_or(Space { total_bytes: 0, free_bytes: 0 });
        self.become_full(&mut full, Full { space, by_disk: true });
        self.no_room(space)
    }

    /// The disk has taken a write.
    #[inline]
    pub(super) fn taken_by_disk(&self) {
        if self.room.is_full.load(Ordering::Relaxed) {
            let mut full = self.room.full.lock();
            if let Some(Full { space, by_disk: true }) = *full {
                self.become_roomy(&mut full, space);
            }
        }
    }

    /// Whether appends are refused, as far as is known.
    pub fn is_full(&self) -> bool {
        self.room.is_full.load(Ordering::Relaxed)
    }

    fn become_full(&self, full: &mut Option<Full>, now: Full) {
        self.room.allowed_bytes.store(0, Ordering::Relaxed);
        self.room.is_full.store(true, Ordering::Relaxed);
        if full.replace(now).is_some() {
            return;
        }
        let Space { total_bytes, free_bytes } = now.space;
        tracing::warn!(
            log_dir = %self.path().display(),
            "log directory has no room: appends are refused and reads go on; {free_bytes} of {total_bytes} bytes are free, and {} are kept \
             for what frees room; delete topics or records, lower retention, or make the file system larger",
            reserve(now.space)
        );
        self.maintenance.free_room();
    }

    fn become_roomy(&self, full: &mut Option<Full>, space: Space) {
        if full.take().is_some() {
            self.room.is_full.store(false, Ordering::Relaxed);
            let Space { total_bytes, free_bytes } = space;
            tracing::info!(
                log_dir = %self.path().display(),
                "log directory has room again: appends go on; {free_bytes} of {total_bytes} bytes are free"
            );
        }
    }

    fn no_room(&self, space: Space) -> LogError {
        LogError::NoRoom { dir: self.path().to_owned(), free_bytes: space.free_bytes, kept_bytes: reserve(space) }
    }
}

impl Room {
    /// Whether the last look is young enough; one in the future is none, as the clock may be set back.
    fn was_looked_at(&self, now: TimestampMs) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        looked <= now.0 && now.0.saturating_sub(looked) < LOOK_INTERVAL_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_part_of_the_file_system_within_bounds() {
        let of = |total_bytes| reserve(Space { total_bytes, free_bytes: 0 });
        assert_eq!(of(0), RESERVE_BYTES_MIN);
        assert_eq!(of(256 << 20), 4 << 20);
        assert_eq!(of(1 << 40), RESERVE_BYTES_MAX);
    }
}
