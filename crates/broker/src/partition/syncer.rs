//! Group commit: one thread per log directory gathers the partitions that need a sync and syncs them together, on a bounded pool.
//!
//! Owns when which partition is synced; never touches what is in a log. While a round runs, everything that comes is gathered for the
//! next one, so that a hundred producers waiting for one disk cost it one sync a round, not a hundred. Each partition's waiters are
//! woken as its own sync ends, not at the end of the round.
//!
//! Data that nobody waits for (acks 0 and 1, `write.caching`) is synced in the background: within [`BACKGROUND_DELAY`], or as soon as
//! [`BACKGROUND_BYTES_MAX`] have gathered in the directory. A failed sync is never tried again: the kernel may have dropped the pages
//! that it could not write, and a second `fdatasync` would report success for data that is gone. The directory goes offline. Only what
//! could not even be written, for lack of room, is tried again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ottla_log::{LogError, SyncTicket};
use parking_lot::{Condvar, Mutex};

use super::apart::DirThread;
use super::backlog::{Backlog, Covered};
use super::{LogDir, Partition};

/// How long written data that nobody waits for may stay unsynced.
pub const BACKGROUND_DELAY: Duration = Duration::from_millis(50);
/// How much written data that nobody waits for may gather in a log directory before it is synced.
pub const BACKGROUND_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Threads that sync one log directory's files at a time, the gathering one included. Measured: 1,000 dirty files take 150 ms one after
/// another and 26 ms on 16 threads; more gain nothing.
pub const SYNC_THREADS_MAX: usize = 16;
/// Dirty partitions from which one `syncfs` is cheaper than a sync of each file. Measured: 1,000 files take 26 ms on 16 threads and 8 ms
/// by `syncfs`, 16 files 1.3 and 0.85 ms; but it waits for whatever else was written to that file system, so it has to be worth it.
const SYNC_FS_FROM: usize = 64;
/// How long a helper thread of the pool stays without work.
const HELPER_IDLE: Duration = Duration::from_secs(10);
/// The stacks of these threads hold a few frames.
const STACK_BYTES: usize = 256 * 1024;

/// Whether and where a partition stands in its directory's queue, and how much it has there.
#[derive(Debug, Default)]
pub(super) struct SyncMark {
    place: AtomicU8,
    /// Written since the last sync began.
    unsynced_bytes: AtomicU64,
}

const IDLE: u8 = 0;
const BACKGROUND: u8 = 1;
const URGENT: u8 = 2;

/// The partitions of one directory that have something to sync. Holds each at most once in either list.
#[derive(Default)]
pub(super) struct SyncQueue {
    /// Held while a round is under way: whoever holds it knows that no sync of this directory has files open or is about to rename one.
    pub(super) in_round: Mutex<()>,
    /// Of the directory as a whole.
    pub(super) backlog: Backlog,
    /// Gathered for the next background round.
    background_bytes: AtomicU64,
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    urgent: Vec<Arc<Partition>>,
    background: Vec<Arc<Partition>>,
    background_due: Option<Instant>,
    /// The gathering thread sleeps; otherwise it looks here by itself when its round ends.
    asleep: bool,
    stopping: bool,
}

impl SyncQueue {
    /// The partition has `bytes` more to sync; one of the two calls below must follow.
    pub(super) fn wrote(&self, partition: &Partition, bytes: u64) {
        partition.sync_mark().unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.backlog.add(bytes);
    }

    /// Has the partition synced in the next round.
    pub(super) fn sync_now(&self, partition: &Arc<Partition>) {
        if partition.sync_mark().place.swap(URGENT, Ordering::AcqRel) == URGENT {
            // It stands in the queue, and the round that takes it looks at the log only after it has cleared the mark.
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.urgent.push(Arc::clone(partition));
        self.wake(waiting);
    }

    /// Has the partition, which has `bytes` more to sync, synced within the bounds of time and size.
    pub(super) fn sync_in_background(&self, partition: &Arc<Partition>, bytes: u64) {
        let before = self.background_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_first = partition.sync_mark().place.compare_exchange(IDLE, BACKGROUND, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let is_full = before < BACKGROUND_BYTES_MAX && before + bytes >= BACKGROUND_BYTES_MAX;
        if !is_first && !is_full {
            return;
        }
        let mut waiting = self.waiting.lock();
        if is_first {
            waiting.background.push(Arc::clone(partition));
        }
        let now = Instant::now();
        let due = if is_full { now } else { now + BACKGROUND_DELAY };
        if waiting.background_due.is_none_or(|already| due < already) {
            waiting.background_due = Some(due);
            self.wake(waiting);
        }
    }

    fn wake(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.more.notify_one();
        }
    }

    /// The partitions of the next round; waits until there are some. `None`: the broker stops and nothing is left.
    fn next_round(&self) -> Option<Vec<Arc<Partition>>> {
        let mut waiting = self.waiting.lock();
        loop {
            let stopping = waiting.stopping;
            let background_due = waiting.background_due.is_some_and(|due| stopping || due <= Instant::now());
            if background_due {
                self.background_bytes.store(0, Ordering::Relaxed);
                waiting.background_due = None;
                let background = std::mem::take(&mut waiting.background);
                waiting.urgent.extend(background);
            }
            if !waiting.urgent.is_empty() {
                return Some(std::mem::take(&mut waiting.urgent));
            }
            if stopping {
                return None;
            }
            waiting.asleep = true;
            match waiting.background_due {
                Some(due) => {
                    self.more.wait_until(&mut waiting, due);
                }
                None => self.more.wait(&mut waiting),
            }
            waiting.asleep = false;
        }
    }

    fn stop(&self) {
        self.waiting.lock().stopping = true;
        self.more.notify_all();
    }
}

/// The threads that sync one log directory. Stopped, they sync what is left first.
pub(super) struct Syncer {
    dir: Arc<LogDir>,
    gatherer: DirThread,
}

impl Syncer {
    pub(super) fn start(dir: Arc<LogDir>) -> std::io::Result<Syncer> {
        let for_thread = Arc::clone(&dir);
        let gatherer = dir.spawn("ottla-sync", STACK_BYTES, move || gather(for_thread))?;
        Ok(Syncer { dir, gatherer })
    }

    /// Syncs what is left and ends the threads; leaves them where the directory has failed, as they may hang in it.
    pub(super) fn stop(&mut self) {
        self.dir.queue.stop();
        self.gatherer.join();
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn gather(dir: Arc<LogDir>) {
    let pool = Arc::new(Pool { dir: Arc::clone(&dir), state: Mutex::default(), job: Condvar::new(), done: Condvar::new() });
    while let Some(partitions) = dir.queue.next_round() {
        let _round = dir.queue.in_round.lock();
        let jobs: VecDeque<Job> = partitions.into_iter().filter_map(begin).collect();
        if jobs.is_empty() {
            continue;
        }
        let _counted = dir.counts().sync_round(jobs.len());
        if jobs.len() >= SYNC_FS_FROM {
            sync_together(&dir, jobs);
        } else {
            pool.run(jobs);
        }
    }
    pool.stop();
}

struct Job {
    partition: Arc<Partition>,
    ticket: SyncTicket,
    covered: Covered,
}

fn begin(partition: Arc<Partition>) -> Option<Job> {
    // Cleared before the log is looked at: what is appended after this look queues the partition anew.
    partition.sync_mark().place.swap(IDLE, Ordering::AcqRel);
    let covered = Covered::new(partition.log_dir(), partition.sync_mark().unsynced_bytes.swap(0, Ordering::AcqRel));
    match partition.begin_sync() {
        Ok(ticket) => ticket.map(|ticket| Job { partition, ticket, covered }),
        Err(error) if error.is_disk_full() => {
            wait_for_room(partition.log_dir(), &partition, &error);
            None
        }
        Err(error) => {
            partition.log_dir().fail("sync", &error);
            None
        }
    }
}

fn finish(dir: &LogDir, job: Job) {
    let Job { partition, ticket, covered } = job;
    match partition.finish_sync(ticket) {
        Ok(()) => {}
        Err(error) if error.is_disk_full() => wait_for_room(dir, &partition, &error),
        Err(error) => dir.fail("sync", &error),
    }
    drop(covered);
}

/// A file beside the records could not be written. It is tried again with the next background round, and by none that a stop waits for.
fn wait_for_room(dir: &LogDir, partition: &Arc<Partition>, error: &LogError) {
    tracing::debug!(partition = %partition.topic_partition(), "its sync has to wait for room: {error}");
    dir.refused_by_disk();
    if !dir.queue.waiting.lock().stopping {
        partition.sync_in_background();
    }
}

/// Brings tickets of one directory to stable storage, on this thread; how it went stands in each, for `finish_sync` to give.
pub(super) fn sync_tickets(tickets: &mut [SyncTicket], dir: &LogDir) {
    if tickets.len() >= SYNC_FS_FROM {
        let _ = SyncTicket::sync_all(tickets, &**dir.disk(), dir.path());
    } else {
        for ticket in tickets {
            let _ = ticket.sync();
        }
    }
}

fn sync_together(dir: &LogDir, jobs: VecDeque<Job>) {
    if dir.is_offline() {
        return;
    }
    let (partitions, mut tickets): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| ((job.partition, job.covered), job.ticket)).unzip();
    sync_tickets(&mut tickets, dir);
    for ((partition, covered), ticket) in partitions.into_iter().zip(tickets) {
        finish(dir, Job { partition, ticket, covered });
    }
}

/// Works one round off on as many threads as it has files, up to [`SYNC_THREADS_MAX`].
struct Pool {
    dir: Arc<LogDir>,
    state: Mutex<PoolState>,
    job: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Job>,
    running: usize,
    helpers: usize,
    idle_helpers: usize,
    stopping: bool,
}

impl Pool {
    fn run(self: &Arc<Self>, jobs: VecDeque<Job>) {
        let mut state = self.state.lock();
        // The gatherer takes one job itself: a single dirty partition, the usual case, costs no other thread.
        let useful = (jobs.len() - 1).min(SYNC_THREADS_MAX - 1);
        state.jobs = jobs;
        for _ in 0..useful.min(state.idle_helpers) {
            self.job.notify_one();
        }
        while state.helpers < useful && self.add_helper() {
            state.helpers += 1;
        }
        while let Some(job) = state.jobs.pop_front() {
            parking_lot::MutexGuard::unlocked(&mut state, || self.sync(job));
        }
        while state.running > 0 {
            self.done.wait(&mut state);
        }
    }

    /// Without a further thread the round takes longer, no more.
    fn add_helper(self: &Arc<Self>) -> bool {
        let pool = Arc::clone(self);
        std::thread::Builder::new().name("ottla-sync-help".to_owned()).stack_size(STACK_BYTES).spawn(move || pool.help()).is_ok()
    }

    fn help(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                parking_lot::MutexGuard::unlocked(&mut state, || self.sync(job));
                state.running -= 1;
                if state.running == 0 {
                    self.done.notify_one();
                }
            } else {
                state.idle_helpers += 1;
                let timed_out = !state.stopping && self.job.wait_for(&mut state, HELPER_IDLE).timed_out();
                state.idle_helpers -= 1;
                if state.jobs.is_empty() && (timed_out || state.stopping) {
                    state.helpers -= 1;
                    return;
                }
            }
        }
    }

    fn sync(&self, mut job: Job) {
        // The failure of one file tells on the disk, not on the file: nothing of this directory is acknowledged any more.
        if self.dir.is_offline() {
            return;
        }
        // How it went stands in the ticket, for `finish_sync` to give.
        let _ = job.ticket.sync();
        finish(&self.dir, job);
    }

    fn stop(&self) {
        self.state.lock().stopping = true;
        self.job.notify_all();
    }
}
