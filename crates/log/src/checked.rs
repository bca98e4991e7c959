//! How much of a segment was held against its checksums since this process opened it.
//!
//! Two stretches are known, whatever the segment's size: the one up to its end (what this process wrote, or recovery read), and
//! one other, where readers are at work. What lies outside is checked before it is served, again if need be: that costs time,
//! and is never wrong.

use std::sync::atomic::{AtomicU32, Ordering};

use ottla_model::Offset;
use parking_lot::Mutex;

/// A stretch of whole batches that hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub from: u32,
    pub to: u32,
    /// The offset at `to`.
    pub next_offset: Offset,
}

const NOTHING: Stretch = Stretch { from: 0, to: 0, next_offset: Offset::ZERO };

impl Stretch {
    fn len(&self) -> u32 {
        self.to - self.from
    }
}

/// See the module. Reads change it, and only have the log behind `&`.
#[derive(Debug)]
pub(crate) struct Checked {
    /// All from here to the end.
    sound_from: AtomicU32,
    /// Ends below `sound_from`, or is empty.
    other: Mutex<Stretch>,
}

impl Checked {
    /// Of a segment that this process fills.
    pub fn all() -> Checked {
        Checked { sound_from: AtomicU32::new(0), other: Mutex::new(NOTHING) }
    }

    /// Whether all from a position on is known to hold. All that a read of fresh data pays.
    #[inline]
    pub fn is_sound_from(&self, position: u32) -> bool {
        position >= self.sound_from.load(Ordering::Relaxed)
    }

    /// How far it is known from a position on that lies below what is sound up to the end.
    pub fn stretch_at(&self, position: u32) -> Option<Stretch> {
        Some(*self.other.lock()).filter(|s| s.from <= position && position < s.to)
    }

    /// Only from `position` on it is sound; of what lies below, nothing is known.
    pub fn restart(&self, position: u32) {
        *self.other.lock() = NOTHING;
        self.sound_from.store(position, Ordering::Relaxed);
    }

    /// A stretch was found to hold. Of two that do not touch, the longer one is kept.
    pub fn note(&self, found: Stretch) {
        if found.from >= found.to || self.is_sound_from(found.from) {
            return;
        }
        let mut other = self.other.lock();
        if found.from <= other.to && other.from <= found.to && other.len() > 0 {
            let last = if found.to > other.to { found } else { *other };
            *other = Stretch { from: found.from.min(other.from), ..last };
        } else if found.len() > other.len() {
            *other = found;
        }
        if self.is_sound_from(other.to) {
            self.sound_from.store(other.from, Ordering::Relaxed);
            *other = NOTHING;
        }
    }

    /// The segment was cut: what will be written from `size` on is sound.
    pub fn cut(&self, size: u32) {
        *self.other.lock() = NOTHING;
        self.sound_from.fetch_min(size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: u32, to: u32) -> Stretch {
        Stretch { from, to, next_offset: Offset(i64::from(to)) }
    }

    #[test]
    fn stretches_grow_together_and_the_longer_of_two_is_kept() {
        let checked = Checked::all();
        checked.restart(1000);
        let at = |position| checked.stretch_at(position).map(|s| (s.from, s.to, s.next_offset.0));
        checked.note(stretch(100, 200));
        checked.note(stretch(200, 300));
        checked.note(stretch(50, 100));
        assert_eq!((at(50), at(299), at(300)), (Some((50, 300, 300)), Some((50, 300, 300)), None));
        checked.note(stretch(500, 600));
        assert_eq!((at(50), at(500)), (Some((50, 300, 300)), None), "shorter");
        checked.note(stretch(400, 900));
        assert_eq!((at(50), at(400)), (None, Some((400, 900, 900))), "longer");
        assert!(!checked.is_sound_from(400));
        checked.note(stretch(900, 1000));
        assert!(checked.is_sound_from(400) && !checked.is_sound_from(399), "it has reached what was sound up to the end");
        checked.note(stretch(0, 400));
        assert!(checked.is_sound_from(0));
    }

    #[test]
    fn what_is_written_behind_a_cut_is_sound() {
        let checked = Checked::all();
        checked.restart(1000);
        checked.note(stretch(0, 500));
        checked.cut(300);
        assert!(checked.is_sound_from(300) && !checked.is_sound_from(299) && checked.stretch_at(0).is_none());
    }
}
