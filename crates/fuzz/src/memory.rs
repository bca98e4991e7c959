//! What a piece of work allocates, counted for each thread by itself, so that tests may run side by side.
//!
//! Memory that a C library takes for itself (zstd's tables) does not pass here and is not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    /// Bytes that this thread holds. Negative where it frees what others allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// A layout is never larger than `isize::MAX`, so none of the casts changes a value.
// SAFETY: every call is the system allocator's; counting touches no memory of its own that was allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of `System.alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new may be there side by side while the bytes are moved.
        count(new_size as isize);
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Runs `work`, and gives with its result the most bytes that it held at a time.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Runs `work`, which must never hold more than `bytes_max` bytes.
///
/// # Panics
/// When it did.
#[track_caller]
pub fn bounded<T>(bytes_max: usize, what: &str, work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak_of(work);
    assert!(peak <= bytes_max, "{what}: held {peak} bytes, {bytes_max} are the bound");
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_was_held_is_counted_not_the_sum() {
        let (kept, peak) = peak_of(|| {
            drop(vec![1u8; 3000]);
            vec![1u8; 2000]
        });
        assert_eq!((kept.len(), peak), (2000, 3000));
    }

    #[test]
    #[should_panic(expected = "a vector: held 100 bytes, 99 are the bound")]
    fn more_than_the_bound_is_a_failure() {
        bounded(99, "a vector", || drop(vec![1u8; 100]));
    }
}
