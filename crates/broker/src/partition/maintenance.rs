//! What is due now and then: retention, checkpoints, forgotten producers, files whose deletion was put off.
//!
//! Owns one thread for each log directory, so that one that hangs keeps the others' from nothing, and the list of what is to be removed. Everything here may be late without harm; nothing on the way of a request waits
//! for it. Kafka's intervals hold: `log.retention.check.interval.ms`, `log.flush.offset.checkpoint.interval.ms`,
//! `log.flush.start.offset.checkpoint.interval.ms`, `replica.high.watermark.checkpoint.interval.ms`,
//! `producer.id.expiration.check.interval.ms`.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ottla_log::LogError;
use ottla_model::config::ServerConfig;
use parking_lot::{Condvar, Mutex};

use super::apart::DirThread;
use super::checkpoints::Checkpoint;
use super::removal::Removals;
use super::{LogDir, Partition, PartitionManager, PartitionStartError};
use crate::metadata_publisher::Published;

/// How often files of deleted segments are looked for; their own delay is `file.delete.delay.ms`.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is tried to make logs for which there was no room.
const MAKE_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two runs of one task, whatever is configured.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The stack of each thread.
const STACK_BYTES: usize = 512 * 1024;

/// How much may be written to a log directory before its recovery points are written down again, however short the time: recovery after
/// a crash reads at most about twice as much.
pub const RECOVERY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What a directory's thread is told from outside.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Folders to remove. Bounded by the partitions deleted within `file.delete.delay.ms`; each is a name.
    folders: Vec<(Instant, PathBuf)>,
    /// The directory has had [`RECOVERY_BYTES_MAX`] written to it.
    recovery_points_due: bool,
    /// The directory is full: what may go goes now.
    retention_due: bool,
    /// When logs are to be made for which there was no room.
    make_due: Option<Instant>,
    stopping: bool,
}

impl Shared {
    /// Has the recovery points written down before their interval is over.
    pub(super) fn write_recovery_points(&self) {
        self.state.lock().recovery_points_due = true;
        self.wake.notify_one();
    }

    /// Has retention look before its interval is over.
    pub(super) fn free_room(&self) {
        self.state.lock().retention_due = true;
        self.wake.notify_one();
    }

    /// Has the logs made for which there was no room, in a while.
    pub(super) fn make_later(&self) {
        self.state.lock().make_due.get_or_insert(Instant::now() + MAKE_INTERVAL);
        self.wake.notify_one();
    }

    /// Removes a folder once `delay_ms` have passed.
    pub(super) fn remove_later(&self, folder: PathBuf, delay_ms: i64) {
        let due = Instant::now() + Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
        self.state.lock().folders.push((due, folder));
        self.wake.notify_one();
    }

    fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_one();
    }
}

/// The threads, one for each directory.
#[derive(Default)]
pub(super) struct Maintenance {
    threads: Mutex<Vec<(Arc<Shared>, DirThread)>>,
}

impl Maintenance {
    /// Ends the threads, each after the task in hand.
    pub(super) fn stop(&self) {
        let mut threads = std::mem::take(&mut *self.threads.lock());
        threads.iter().for_each(|(shared, _)| shared.stop());
        threads.iter_mut().for_each(|(_, thread)| thread.join());
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        // Perhaps by one of them, which held the last handle of the manager for a moment: they end by themselves.
        self.threads.lock().iter().for_each(|(shared, _)| shared.stop());
    }
}

impl PartitionManager {
    /// Starts the threads.
    pub fn start_maintenance(self: &Arc<Self>, published: &Arc<Published>) -> Result<(), PartitionStartError> {
        for dir in self.log_dirs() {
            let (manager, published, for_thread) = (Arc::downgrade(self), Arc::clone(published), Arc::clone(dir));
            let thread = dir.spawn("ottla-maintenance", STACK_BYTES, move || run(&for_thread, &manager, &published))?;
            self.maintenance.threads.lock().push((Arc::clone(&dir.maintenance), thread));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Retention,
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
    Producers,
    SegmentFiles,
}

const TASKS: [Task; 6] =
    [Task::Retention, Task::RecoveryPoints, Task::LogStarts, Task::HighWatermarks, Task::Producers, Task::SegmentFiles];

impl Task {
    fn interval(self, config: &ServerConfig) -> Duration {
        let ms = match self {
            Task::Retention => config.log_retention_check_interval_ms,
            Task::RecoveryPoints => i64::from(config.log_flush_offset_checkpoint_interval_ms),
            Task::LogStarts => i64::from(config.log_flush_start_offset_checkpoint_interval_ms),
            Task::HighWatermarks => config.replica_high_watermark_checkpoint_interval_ms,
            Task::Producers => i64::from(config.producer_id_expiration_check_interval_ms),
            Task::SegmentFiles => return REMOVAL_INTERVAL,
        };
        Duration::from_millis(u64::try_from(ms).unwrap_or(0)).max(INTERVAL_MIN)
    }
}

fn run(dir: &Arc<LogDir>, manager: &Weak<PartitionManager>, published: &Published) {
    let shared = Arc::clone(&dir.maintenance);
    let mut last = [Instant::now(); TASKS.len()];
    let mut removals = Removals::default();
    loop {
        // The intervals are looked up anew: some can be changed while the broker runs.
        let config = published.config();
        let due = |task: usize, last: &[Instant; TASKS.len()]| last[task] + TASKS[task].interval(&config);
        let (recovery_points_due, retention_due, make_due);
        {
            let mut state = shared.state.lock();
            let task_due = (0..TASKS.len()).map(|task| due(task, &last)).min();
            let next = state.folders.iter().map(|f| f.0).chain(task_due).chain(removals.due()).chain(state.make_due).min();
            if let Some(next) = next
                && next > Instant::now()
                && !state.stopping
                && !state.recovery_points_due
                && !state.retention_due
            {
                shared.wake.wait_until(&mut state, next);
            }
            if state.stopping {
                return;
            }
            recovery_points_due = std::mem::take(&mut state.recovery_points_due);
            retention_due = std::mem::take(&mut state.retention_due);
            let now = Instant::now();
            make_due = state.make_due.take_if(|due| *due <= now).is_some();
            state.folders.retain_mut(|(due, folder)| {
                let is_due = *due <= now;
                if is_due {
                    removals.add_folder(std::mem::take(folder));
                }
                !is_due
            });
        }
        if dir.is_offline() {
            return;
        }
        removals.step(&**dir.disk(), Instant::now());
        let Some(manager) = manager.upgrade() else { return };
        if make_due {
            manager.make_unmade();
        }
        for (index, task) in TASKS.into_iter().enumerate() {
            let early = recovery_points_due && task == Task::RecoveryPoints || retention_due && task == Task::Retention;
            if early || due(index, &last) <= Instant::now() {
                manager.run_task(dir, task, &mut removals);
                last[index] = Instant::now();
            }
        }
    }
}

impl PartitionManager {
    fn run_task(&self, dir: &LogDir, task: Task, removals: &mut Removals) {
        let partitions = dir.partitions();
        let done = match task {
            Task::Retention => self.each(&partitions, |partition| self.retain(partition)),
            Task::RecoveryPoints => {
                dir.recovery_points_taken();
                dir.write_checkpoint(Checkpoint::RecoveryPoints)
            }
            Task::LogStarts => dir.write_log_starts(&partitions),
            Task::HighWatermarks => dir.write_checkpoint(Checkpoint::HighWatermarks),
            Task::Producers => {
                self.each(&partitions, |partition| partition.change_log(|log| Ok(log.expire_producers(self.clock().now()))).map(|_| ()))
            }
            Task::SegmentFiles => self.each(&partitions, |partition| {
                removals.add_files(partition.change_log(|log| Ok(log.take_due_files(self.clock().now())))?);
                Ok(())
            }),
        };
        if let Err(error) = done {
            dir.note_failure("maintenance", &error);
        }
    }

    fn each(&self, partitions: &[Arc<Partition>], mut run: impl FnMut(&Arc<Partition>) -> Result<(), LogError>) -> Result<(), LogError> {
        partitions.iter().try_for_each(&mut run)
    }

    /// Deletes the segments that `retention.ms` and `retention.bytes` make old.
    fn retain(&self, partition: &Arc<Partition>) -> Result<(), LogError> {
        let now = self.clock().now();
        let high_watermark = partition.high_watermark();
        let deleted = partition.change_log(|log| log.delete_old_segments(high_watermark, now))?;
        if let Some(old) = deleted {
            partition.log_dir().counts().segments_deleted.add(old.count as u64);
            partition.log_dir().counts().segment_bytes_deleted.add(old.bytes);
            tracing::info!(
                partition = %partition.topic_partition(),
                segments = old.count,
                bytes = old.bytes,
                "deleted old segments ({:?}); the log starts at {} now",
                old.reason,
                old.log_start
            );
            partition.sync_in_background();
        }
        Ok(())
    }
}
