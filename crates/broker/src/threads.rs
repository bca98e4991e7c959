//! The threads that serve connections, and those that stand in for them.
//!
//! Appends and reads run on the connection's own thread, which is what makes them cheap; so the first calls to a disk that hangs hold
//! the threads that made them, one call a thread, for as long as the disk hangs. The runtime therefore has more threads than work: those in
//! reserve are blocked, and cost nothing. When a thread has been held up for some 50 ms another is let go in its place, and taken back
//! when it returns; by then the directory counts as slow, and no network thread touches it any more (see [`crate::partition`]).
//!
//! What remains: a task that was woken on the held thread in the moment before, and waits in its innermost slot, is not taken over by the
//! others. So up to one more connection for each thread held waits with it.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::partition::{Alarm, Call, Calls};

/// Directories that may hang at a time without other connections being held up.
const HUNG_DIRS_MAX: usize = 4;

/// The threads. Cheap to clone.
#[derive(Clone)]
pub struct NetworkThreads(Arc<Inner>);

struct Inner {
    calls: Calls,
    alarm: Arc<Alarm>,
    reserve: Mutex<Reserve>,
    let_go: Condvar,
    runtime: Option<Handle>,
}

/// The threads in reserve.
#[derive(Debug, Default)]
struct Reserve {
    /// All there are.
    threads: usize,
    /// Those that should stand in for others.
    standing_in: usize,
    /// Those that wait, or are about to.
    waiting: usize,
    stopping: bool,
}

impl std::fmt::Debug for NetworkThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkThreads")
    }
}

impl Default for NetworkThreads {
    /// Those of a runtime without a reserve.
    fn default() -> NetworkThreads {
        NetworkThreads::with(None, 0)
    }
}

impl NetworkThreads {
    /// A runtime of `workers` threads, with as many in reserve for each of so many log directories.
    pub fn runtime(workers: usize, log_dirs: usize) -> io::Result<(Runtime, NetworkThreads)> {
        let reserve = workers * log_dirs.clamp(1, HUNG_DIRS_MAX);
        let runtime = Builder::new_multi_thread().worker_threads(workers + reserve).thread_name("ottla-net").enable_all().build()?;
        let threads = NetworkThreads::with(Some(runtime.handle().clone()), reserve);
        threads.fill_reserve();
        Ok((runtime, threads))
    }

    fn with(runtime: Option<Handle>, reserve: usize) -> NetworkThreads {
        let alarm: Arc<Alarm> = Arc::default();
        NetworkThreads(Arc::new(Inner {
            calls: Calls::new(Arc::clone(&alarm)),
            alarm,
            reserve: Mutex::new(Reserve { threads: reserve, ..Reserve::default() }),
            let_go: Condvar::new(),
            runtime,
        }))
    }

    /// Who is to be woken when a thread begins to work.
    pub(crate) fn alarm(&self) -> &Arc<Alarm> {
        &self.0.alarm
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// Runs a connection such that it is noticed when it holds up its thread.
    pub async fn watch<F: Future>(&self, connection: F) -> F::Output {
        let mut connection = std::pin::pin!(connection);
        poll_fn(|cx| {
            let _working = self.0.calls.enter(Call::Connection);
            connection.as_mut().poll(cx)
        })
        .await
    }

    /// So many threads are held up: as many of the reserve stand in for them. Gives whether any does.
    pub(crate) fn stand_in(&self, held_up: usize) -> bool {
        let mut reserve = self.0.reserve.lock();
        let wanted = held_up.min(reserve.threads);
        if wanted > reserve.standing_in {
            tracing::debug!(held_up, "network threads are held up; others stand in for them");
            reserve.standing_in = wanted;
            self.0.let_go.notify_all();
        } else if wanted < reserve.standing_in && held_up == 0 {
            reserve.standing_in = 0;
            drop(reserve);
            self.fill_reserve();
            return false;
        }
        wanted > 0
    }

    /// Has all threads of the reserve wait that stand in for nobody.
    fn fill_reserve(&self) {
        let Some(runtime) = &self.0.runtime else { return };
        let mut reserve = self.0.reserve.lock();
        while reserve.waiting < reserve.threads - reserve.standing_in {
            reserve.waiting += 1;
            let inner = Arc::clone(&self.0);
            runtime.spawn(async move {
                // Comes from the end of this thread's queue after this: nothing else is then in the slot that others cannot take from.
                tokio::task::yield_now().await;
                inner.wait_in_reserve();
            });
        }
    }

    /// Lets all go, for good: the runtime is about to end.
    pub fn release(&self) {
        self.0.reserve.lock().stopping = true;
        self.0.let_go.notify_all();
    }
}

impl Inner {
    fn wait_in_reserve(&self) {
        let mut reserve = self.reserve.lock();
        while !reserve.stopping && reserve.waiting + reserve.standing_in <= reserve.threads {
            self.let_go.wait(&mut reserve);
        }
        reserve.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::partition::Watcher;

    #[test]
    fn others_stand_in_for_threads_that_are_held_up_and_go_back_when_these_return() {
        let (runtime, threads) = NetworkThreads::runtime(2, 1).unwrap();
        let watcher = Watcher::new(threads.clone());
        watcher.start(&[]).unwrap();
        for _ in 0..3 {
            let (hold, held) = mpsc::channel::<()>();
            let held = Arc::new(Mutex::new(held));
            let (began, begun) = mpsc::channel();
            let holders: Vec<_> = (0..2)
                .map(|_| {
                    let (threads, held, began) = (threads.clone(), Arc::clone(&held), began.clone());
                    runtime.spawn(async move {
                        threads
                            .watch(async {
                                began.send(()).unwrap();
                                // Ends when the other end is dropped, as a call to a disk does when it is there again.
                                let _ = held.lock().recv();
                            })
                            .await;
                    })
                })
                .collect();
            (0..2).for_each(|_| begun.recv_timeout(Duration::from_secs(60)).unwrap());
            // Both threads are blocked. A third serves, and drives timers and sockets too.
            let (served, serving) = mpsc::channel();
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                served.send(()).unwrap();
            });
            serving.recv_timeout(Duration::from_secs(60)).expect("no thread is left to serve");
            drop(hold);
            holders.into_iter().for_each(|holder| runtime.block_on(holder).unwrap());
            let (reserve, deadline) = (&threads.0.reserve, std::time::Instant::now() + Duration::from_secs(60));
            let places = || {
                let reserve = reserve.lock();
                (reserve.standing_in, reserve.waiting)
            };
            while places() != (0, 2) && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert_eq!(places(), (0, 2), "all are back");
        }
        threads.release();
    }
}
