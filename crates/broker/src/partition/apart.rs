//! Work on a log directory that others must not get stuck in: on a thread of its own, given up by whoever waits for it when the
//! directory fails.
//!
//! A call to a disk that hangs cannot be ended. So whoever has more to do than this one directory (the metadata's publisher, a stop, a
//! connection) has the call made elsewhere and waits for its outcome, or for the directory to be taken offline. Bounded by that: once it
//! is offline, nobody begins anything there.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use super::LogDir;

/// Requests about one directory that run off the network threads at a time, while it is slow.
pub const SLOW_REQUESTS_MAX: usize = 4;

/// What becomes of a directory and of the work on it, for those who wait.
#[derive(Default)]
pub(super) struct Fate {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Fate {
    pub(super) fn notify(&self) {
        // Taken for a moment, so that nobody is between looking and waiting.
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

/// Who may run off the network threads.
pub(super) struct SlowLane(Arc<Semaphore>);

impl Default for SlowLane {
    fn default() -> SlowLane {
        SlowLane(Arc::new(Semaphore::new(SLOW_REQUESTS_MAX)))
    }
}

thread_local! {
    /// This thread may be held up by a slow directory: it is none that serves connections.
    static MAY_BE_HELD_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread may touch a directory that is slow.
pub(super) fn may_be_held_up() -> bool {
    MAY_BE_HELD_UP.get()
}

/// A thread that works for one directory.
pub(super) struct DirThread {
    dir: Arc<LogDir>,
    ended: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

/// Says that a thread has ended, however it did.
struct Ending {
    dir: Arc<LogDir>,
    ended: Arc<AtomicBool>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.dir.fate.notify();
    }
}

impl DirThread {
    /// Waits until it has ended, or the directory has failed: then it may never end, and is left.
    pub(super) fn join(&mut self) {
        let mut guard = self.dir.fate.lock.lock();
        while !self.ended.load(Ordering::Acquire) && !self.dir.is_offline() {
            self.dir.fate.changed.wait(&mut guard);
        }
        drop(guard);
        if let Some(handle) = self.handle.take().filter(|_| self.ended.load(Ordering::Acquire))
            && handle.join().is_err()
        {
            tracing::error!(log_dir = %self.dir.path().display(), "a thread of the log directory has panicked");
        }
    }
}

impl LogDir {
    /// Starts a thread that works for this directory.
    pub(super) fn spawn(self: &Arc<Self>, name: &str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<DirThread> {
        let ended = Arc::new(AtomicBool::new(false));
        let ending = Ending { dir: Arc::clone(self), ended: Arc::clone(&ended) };
        let body = move || {
            let _ending = ending;
            work();
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(body)?;
        Ok(DirThread { dir: Arc::clone(self), ended, handle: Some(handle) })
    }

    /// Does something that blocks on this directory's files, and waits for it. `None`: the directory has failed, before or meanwhile.
    pub(super) fn run_apart<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Arc<LogDir>) -> T + Send + 'static) -> Option<T> {
        if self.is_offline() {
            return None;
        }
        let outcome: Arc<Mutex<Option<T>>> = Arc::default();
        let (dir, for_thread) = (Arc::clone(self), Arc::clone(&outcome));
        let spawned = self.spawn("ottla-dir", WORK_STACK_BYTES, move || *for_thread.lock() = Some(work(&dir)));
        match spawned {
            Ok(mut thread) => {
                thread.join();
                outcome.lock().take()
            }
            Err(error) => {
                self.fail("starting a thread for it", &error);
                None
            }
        }
    }

    /// Runs a part of a request off the network threads, since this directory is slow. `None`: it has failed meanwhile; what was begun may
    /// still be done.
    pub async fn off_network<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut failed = std::pin::pin!(self.failed());
        let permit = tokio::select! {
            permit = Arc::clone(&self.slow_lane.0).acquire_owned() => permit.ok()?,
            () = &mut failed => return None,
        };
        let run = tokio::task::spawn_blocking(move || {
            MAY_BE_HELD_UP.set(true);
            let done = work();
            MAY_BE_HELD_UP.set(false);
            drop(permit);
            done
        });
        tokio::select! {
            done = run => done.ok(),
            () = failed => None,
        }
    }
}

/// The stack of a thread that makes and removes logs.
const WORK_STACK_BYTES: usize = 512 * 1024;
