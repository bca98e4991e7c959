//! The cleaner: compacts the logs of topics with `cleanup.policy=compact`, one after another, the one with the largest dirty part first.
//!
//! Owns one thread for each log directory, so that one that hangs keeps the others from nothing; `log.cleaner.threads` of them compact at a
//! time. What is dirty, which records stay and how segments are replaced is the log's to say; here is when, how fast, and what becomes of
//! failures. A partition's lock is held to look at its segments and to give them other names, not while they are read or written.
//!
//! Owns `cleaner-offset-checkpoint`: up to where each log was compacted. It may say less than is true, which costs work.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ottla_log::checkpoint::{CLEANER_OFFSETS_FILE, OffsetCheckpoint, read_offsets, write_offsets};
use ottla_log::{CompactionError, CompactionNeed, CompactionStats, LogError, MapLimits};
use ottla_model::config::{CleanerConfig, ServerConfig};
use ottla_model::{Clock, Offset, TopicId, TopicPartition};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::apart::DirThread;
use super::{LogDir, Partition, PartitionManager, PartitionStartError};
use crate::metadata_publisher::Published;

/// The stack of each thread.
const STACK_BYTES: usize = 512 * 1024;
/// The least rest, whatever is configured.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// What may be read and written at once after a rest, whatever the rate: a tenth of a second's worth.
const BURST: Duration = Duration::from_millis(100);

/// The threads, one for each directory.
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<DirThread>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Passes that came to their end.
    passes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// Directories in which a log is compacted now.
    busy: Vec<Weak<LogDir>>,
    /// When what was read and written would have been at the rate that is allowed.
    paid_until: Option<Instant>,
}

impl Default for Cleaner {
    fn default() -> Cleaner {
        let shared = Shared { state: Mutex::default(), wake: Condvar::new(), passes: watch::Sender::new(0) };
        Cleaner { shared: Arc::new(shared), threads: Mutex::default() }
    }
}

impl Shared {
    /// Sleeps until then; `true`: it is time to stop.
    fn stops_before(&self, due: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.stopping && !self.wake.wait_until(&mut state, due).timed_out() {}
        state.stopping
    }

    /// So many bytes were read or written: takes the time that they should have taken. `false`: it is time to stop.
    fn pay(&self, bytes: u64, bytes_per_second_max: f64) -> bool {
        let due = {
            let mut state = self.state.lock();
            let now = Instant::now();
            let cost = Duration::try_from_secs_f64(bytes as f64 / bytes_per_second_max.max(1.0)).unwrap_or_default();
            let from = state.paid_until.map_or(now, |until| until.max(now.checked_sub(BURST).unwrap_or(now)));
            let due = from.checked_add(cost).unwrap_or(now);
            state.paid_until = Some(due);
            if due <= now {
                return !state.stopping;
            }
            due
        };
        !self.stops_before(due)
    }

    /// Waits for its turn, of which there are `turns_max`; `None`: there is none before `due`, or it is time to stop.
    fn turn(self: &Arc<Self>, dir: &Arc<LogDir>, turns_max: usize, due: Instant) -> Option<Turn> {
        let mut state = self.state.lock();
        loop {
            // One that hangs has no turn any more once it is offline.
            state.busy.retain(|busy| busy.upgrade().is_some_and(|dir| !dir.is_offline()));
            if state.stopping {
                return None;
            }
            if state.busy.len() < turns_max {
                state.busy.push(Arc::downgrade(dir));
                return Some(Turn { shared: Arc::clone(self), dir: Arc::downgrade(dir) });
            }
            if self.wake.wait_until(&mut state, due).timed_out() {
                return None;
            }
        }
    }

    fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_all();
    }
}

/// One of `log.cleaner.threads`.
struct Turn {
    shared: Arc<Shared>,
    dir: Weak<LogDir>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.state.lock().busy.retain(|busy| !Weak::ptr_eq(busy, &self.dir));
        self.shared.wake.notify_all();
    }
}

impl Cleaner {
    /// Ends the threads, each after the piece in hand. What they had written and was not put in place yet is thrown away by the next start.
    pub(super) fn stop(&self) {
        self.shared.stop();
        for mut thread in std::mem::take(&mut *self.threads.lock()) {
            thread.join();
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        // Perhaps by its own thread, which held the last handle for a moment: it ends by itself.
        self.shared.stop();
    }
}

impl PartitionManager {
    /// Starts the threads, unless `log.cleaner.enable` says not to.
    pub fn start_cleaner(self: &Arc<Self>, published: &Arc<Published>) -> Result<(), PartitionStartError> {
        if !published.config().cleaner.enable {
            return Ok(());
        }
        for dir in self.log_dirs() {
            let (shared, published, clock) = (Arc::clone(&self.cleaner.shared), Arc::clone(published), Arc::clone(self.clock()));
            let for_thread = Arc::downgrade(dir);
            let thread = dir.spawn("ottla-cleaner", STACK_BYTES, move || run(&shared, &for_thread, &published, &clock))?;
            self.cleaner.threads.lock().push(thread);
        }
        Ok(())
    }

    /// The number of passes that came to their end since the start, as it rises.
    #[cfg(test)]
    pub(super) fn passes(&self) -> watch::Receiver<u64> {
        self.cleaner.shared.passes.subscribe()
    }
}

fn run(shared: &Arc<Shared>, dir: &Weak<LogDir>, published: &Published, clock: &Arc<dyn Clock>) {
    lower_priority();
    let mut cleaner = DirCleaner::default();
    loop {
        if shared.stops_before(Instant::now() + backoff(&published.config().cleaner)) {
            return;
        }
        let Some(dir) = dir.upgrade().filter(|dir| !dir.is_offline()) else { return };
        // As long as there is something to do, without a rest.
        while cleaner.round(shared, &dir, &published.config(), &**clock) && !dir.is_offline() {}
    }
}

/// What a directory's thread knows of its logs.
#[derive(Default)]
struct DirCleaner {
    /// What the file says; `None`: not known.
    written: Option<OffsetCheckpoint>,
    /// Logs that cannot be compacted, until the broker is restarted. Bounded by the logs there were.
    uncleanable: HashSet<(TopicId, TopicPartition)>,
}

impl LogDir {
    /// Up to where the logs were compacted when this was last written down. A file that cannot be read counts as empty, which costs work.
    pub(super) fn read_cleaner_offsets(&self) -> OffsetCheckpoint {
        let read = read_offsets(&**self.disk(), &self.path().join(CLEANER_OFFSETS_FILE));
        read.inspect_err(|error| tracing::warn!("a checkpoint is not used: {error}")).unwrap_or_default()
    }
}

impl DirCleaner {
    /// Compacts the log that needs it most; `false`: none does, or it is time to stop or to rest.
    fn round(&mut self, shared: &Arc<Shared>, dir: &Arc<LogDir>, config: &ServerConfig, clock: &dyn Clock) -> bool {
        let Some((partition, need)) = self.dirtiest(dir, clock) else { return false };
        let turns_max = usize::try_from(config.cleaner.threads).unwrap_or(0);
        let Some(turn) = shared.turn(dir, turns_max, Instant::now() + backoff(&config.cleaner)) else { return false };
        let started = Instant::now();
        let passed = compact(&partition, need, limits(&config.cleaner), clock, &mut |bytes| {
            let rate = config.cleaner.io_bytes_per_second_max;
            !partition.is_deleted() && !dir.is_offline() && shared.pay(bytes, rate)
        });
        drop(turn);
        match passed {
            Ok((stats, upto)) => {
                tell(&partition, &stats, upto, started.elapsed());
                let kept = self.keep_offsets(dir);
                shared.passes.send_modify(|passes| *passes += 1);
                if let Err(error) = kept {
                    dir.note_failure("writing how far logs are compacted", &error);
                    return false;
                }
                true
            }
            // Its folder has another name, and its files are on their way out.
            Err(_) if partition.is_deleted() => true,
            Err(CompactionError::Stopped) => false,
            Err(CompactionError::Changed) => {
                tracing::debug!(partition = %partition.topic_partition(), "it has changed while it was compacted, and will be compacted again");
                false
            }
            Err(CompactionError::Log(error)) => {
                dir.note_failure("compaction", &error);
                false
            }
            Err(error @ (CompactionError::Damaged { .. } | CompactionError::MapTooSmall { .. })) => {
                tracing::error!(
                    partition = %partition.topic_partition(),
                    "it is not compacted any more until the broker is restarted, and keeps growing: {error}"
                );
                self.uncleanable.insert((partition.topic_id(), partition.topic_partition().clone()));
                true
            }
        }
    }

    /// The log whose dirty part is the largest in proportion, of those for which a pass is due.
    fn dirtiest(&self, dir: &LogDir, clock: &dyn Clock) -> Option<(Arc<Partition>, CompactionNeed)> {
        let now = clock.now();
        let mut dirtiest: Option<(Arc<Partition>, CompactionNeed)> = None;
        for partition in dir.partitions() {
            let name = partition.topic_partition();
            if !partition.with_log(|log| log.config().cleanup_compact) || self.uncleanable.contains(&(partition.topic_id(), name.clone())) {
                continue;
            }
            let high_watermark = partition.high_watermark();
            let (need, ratio_ppm) =
                partition.with_log(|log| (log.compaction_need(high_watermark, now), log.config().min_cleanable_dirty_ratio_ppm));
            match need {
                Ok(Some(need)) if need.is_due(ratio_ppm) => {
                    if dirtiest.as_ref().is_none_or(|(_, most)| need.dirty_ratio_ppm() > most.dirty_ratio_ppm()) {
                        dirtiest = Some((partition, need));
                    }
                }
                Ok(_) => {}
                Err(error) => partition.note_read_error(&error),
            }
        }
        dirtiest
    }

    /// Has the file say what is true now.
    fn keep_offsets(&mut self, dir: &LogDir) -> Result<(), LogError> {
        // First those that are not open: one that is opened meanwhile is in both lists, not in none.
        let unopened = dir.unopened().into_iter().filter_map(|(name, hints)| Some((name, hints.compacted_upto?)));
        let mut offsets: OffsetCheckpoint = unopened.collect();
        for partition in dir.partitions().iter().filter(|partition| !partition.is_deleted()) {
            let (upto, start) = partition.with_log(|log| (log.compacted_upto(), log.log_start_offset()));
            if upto > start {
                offsets.insert(partition.topic_partition().clone(), upto);
            }
        }
        if self.written.as_ref() != Some(&offsets) {
            self.written = None;
            write_offsets(&**dir.disk(), &dir.path().join(CLEANER_OFFSETS_FILE), &offsets)?;
            self.written = Some(offsets);
        }
        Ok(())
    }
}

/// How long a directory's thread rests when there is nothing to do, or waits for its turn.
fn backoff(config: &CleanerConfig) -> Duration {
    Duration::from_millis(u64::try_from(config.backoff_ms).unwrap_or(0)).max(BACKOFF_MIN)
}

/// What one pass may take of the memory for keys.
fn limits(config: &CleanerConfig) -> MapLimits {
    let bytes = u64::try_from(config.dedupe_buffer_bytes).unwrap_or(0);
    MapLimits { bytes_max: bytes / u64::try_from(config.threads).unwrap_or(1).max(1), load_factor: config.dedupe_buffer_load_factor }
}

/// One pass over a log; gives what it did, and up to where the log is compacted.
fn compact(
    partition: &Arc<Partition>,
    need: CompactionNeed,
    limits: MapLimits,
    clock: &dyn Clock,
    pace: &mut dyn FnMut(u64) -> bool,
) -> Result<(CompactionStats, Offset), CompactionError> {
    let mut pass = partition.with_log(|log| log.begin_compaction(need, limits, clock.now()));
    loop {
        let new = match pass.next(pace) {
            Ok(Some(new)) => new,
            Ok(None) => break,
            // What is cut or deleted while it is read looks like damage.
            Err(CompactionError::Damaged { .. }) if partition.with_log(|log| log.has_changed_since(&pass)) => {
                return Err(CompactionError::Changed);
            }
            Err(error) => return Err(error),
        };
        let Some(replaced) = partition.change_log(|log| log.replace_compacted(&new))? else { return Err(CompactionError::Changed) };
        let synced = replaced.sync();
        partition.change_log(|log| log.forget_replaced(replaced, synced, clock.now()))?;
    }
    let is_same = partition.change_log(|log| Ok(log.finish_compaction(&pass)))?;
    if is_same { Ok((pass.stats(), pass.upto())) } else { Err(CompactionError::Changed) }
}

fn tell(partition: &Partition, stats: &CompactionStats, upto: Offset, took: Duration) {
    tracing::info!(
        partition = %partition.topic_partition(),
        keys = stats.keys,
        bytes_before = stats.bytes_before,
        bytes_after = stats.bytes_after,
        took_ms = took.as_millis(),
        "compacted up to offset {upto}{}",
        if stats.is_partial { "; log.cleaner.dedupe.buffer.size was full, the next pass goes on" } else { "" }
    );
}

/// The calling thread makes way for those that serve requests. As far as the system heeds it.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        /// How much less than others it gets of a processor that several want.
        const NICENESS: libc::c_int = 10;
        /// `IOPRIO_WHO_PROCESS`: here, one thread.
        const WHO_PROCESS: libc::c_int = 1;
        /// `IOPRIO_CLASS_BE` with the lowest of its eight levels: behind all others, but never starved.
        const LEAST: libc::c_int = (2 << 13) | 7;
        // SAFETY: both take numbers only, and change nothing but the calling thread (0).
        unsafe {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
            libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, LEAST);
        }
    }
}

#[cfg(test)]
#[path = "cleaner_tests.rs"]
mod tests;
