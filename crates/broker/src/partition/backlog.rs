//! How much of a directory's data is written but not on stable storage, and the brake on producers when it is too much.
//!
//! Owns the count. Whoever appends adds to it, whoever has synced takes off what the sync covered. Never refuses an append: the
//! producer's next request waits instead, so a disk that is slower than the page cache slows its producers down to its own speed, and
//! a crash never leaves more than this to be recovered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::LogDir;

/// Written but unsynced data of one log directory beyond which its producers are held back.
pub const UNSYNCED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The unsynced bytes of one directory.
#[derive(Debug)]
pub(super) struct Backlog {
    bytes: AtomicU64,
    bytes_max: AtomicU64,
    eased: Notify,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog { bytes: AtomicU64::new(0), bytes_max: AtomicU64::new(UNSYNCED_BYTES_MAX), eased: Notify::new() }
    }
}

impl Backlog {
    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_off(&self, bytes: u64) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let max = self.bytes_max.load(Ordering::Relaxed);
        if before > max && before - bytes <= max {
            self.eased.notify_waiters();
        }
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > self.bytes_max.load(Ordering::Relaxed)
    }

    /// Nothing will be synced any more: nobody shall wait for it.
    pub(super) fn give_up(&self) {
        self.eased.notify_waiters();
    }
}

/// The bytes that a sync under way covers: taken off when it has ended, however it ended.
pub(super) struct Covered {
    dir: Arc<LogDir>,
    bytes: u64,
}

impl Covered {
    pub(super) fn new(dir: &Arc<LogDir>, bytes: u64) -> Covered {
        Covered { dir: Arc::clone(dir), bytes }
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        self.dir.queue.backlog.take_off(self.bytes);
    }
}

impl LogDir {
    /// What is written here and not on stable storage yet.
    pub fn unsynced_bytes(&self) -> u64 {
        self.queue.backlog.bytes.load(Ordering::Relaxed)
    }

    /// Whether more is written here than the disk has kept up with. Whoever appended should then wait for [`LogDir::caught_up`].
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.queue.backlog.is_over() && !self.is_offline()
    }

    /// Waits until the disk has caught up, or has failed.
    pub async fn caught_up(&self) {
        loop {
            let mut eased = std::pin::pin!(self.queue.backlog.eased.notified());
            // Registered first, looked at second: an end in between is seen by one of the two.
            eased.as_mut().enable();
            if !self.is_behind() {
                return;
            }
            eased.await;
        }
    }

    /// A bound that a test can reach.
    #[cfg(test)]
    pub(crate) fn set_unsynced_bytes_max(&self, bytes: u64) {
        self.queue.backlog.bytes_max.store(bytes, Ordering::Relaxed);
    }
}
